"""Exercises and quiz of notebook 02, standardization."""

import numpy as np

from bnlib.course.kit.exercises import (
    FunctionExercise,
    PredictionExercise,
    TestExercise,
    ValueExercise,
    WrongTurn,
)
from bnlib.course.kit.quiz import Question

# ── 2.3 ─────────────────────────────────────────────────────────────────────────────────────────


def standardize(x_train, x_test):
    mu, sigma = x_train.mean(axis=0), x_train.std(axis=0)
    sigma = np.where(sigma == 0, 1, sigma)  # constant in training: only shift it
    return (x_train - mu) / sigma, (x_test - mu) / sigma


def _train_and_test(rng):
    mu, sigma = rng.uniform(-5, 5, size=4), rng.uniform(0.4, 4, size=4)
    x_train, x_test = rng.normal(mu, sigma, (9, 4)), rng.normal(mu + 1, sigma, (6, 4))
    x_train[:, 2] = rng.integers(1, 9)  # a whole number, so that its mean is exact and σ is 0
    return x_train, x_test


def _apply(mu, sigma, *arrays):
    return tuple((x - mu) / sigma for x in arrays)


def _own_statistics(x_train, x_test):
    return standardize(x_train, x_train)[0], standardize(x_test, x_test)[0]


def _joint_statistics(x_train, x_test):
    joint = np.concatenate([x_train, x_test])
    return _apply(joint.mean(axis=0), joint.std(axis=0), x_train, x_test)


def _unguarded(x_train, x_test):
    return _apply(x_train.mean(axis=0), x_train.std(axis=0), x_train, x_test)


def _zeroed(x_train, x_test):
    spread = x_train.std(axis=0)
    return tuple(np.where(spread == 0, 0, x_hat) for x_hat in standardize(x_train, x_test))


def _nan_to_num(x_train, x_test):
    return tuple(np.nan_to_num(x_hat) for x_hat in _unguarded(x_train, x_test))


def _eps(x_train, x_test, eps=1e-5):
    return _apply(x_train.mean(axis=0), np.sqrt(x_train.var(axis=0) + eps), x_train, x_test)


def _eps_outside(x_train, x_test, eps=1e-8):
    return _apply(x_train.mean(axis=0), x_train.std(axis=0) + eps, x_train, x_test)


def _rows(x_train, x_test):
    def by_row(x):
        return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)

    return by_row(x_train), by_row(x_test)


# ── 2.4 ─────────────────────────────────────────────────────────────────────────────────────────


def kappa():
    # H = [[1, ρ], [ρ, 1]]: H (1, 1) = (1 + ρ)(1, 1), and H (1, −1) = (1 − ρ)(1, −1).
    rho = 0.8
    return (1 + rho) / (1 - rho)


# ── 2.5 ─────────────────────────────────────────────────────────────────────────────────────────


def for_raw_features(w, b, mu, sigma):
    # p = Σ (x − μ)/σ · w + b = Σ x · (w/σ) + b − Σ μ · (w/σ)
    w_raw = w / sigma
    return w_raw, b - mu @ w_raw


def _a_model(rng):
    return rng.normal(size=4), rng.normal(), rng.uniform(1, 5, size=4), rng.uniform(0.3, 3, size=4)


# ── 2.6 ─────────────────────────────────────────────────────────────────────────────────────────


def is_right(standardizer):
    rng = np.random.default_rng(0)
    x_train, x_test = rng.normal(5, 3, size=(50, 4)), rng.normal(7, 6, size=(20, 4))
    x_train[:, 2] = 8.0  # constant in training, and not in the test set
    x_hat_train, x_hat_test = standardizer(x_train, x_test)
    mu, sigma = x_train.mean(axis=0), x_train.std(axis=0)
    sigma[2] = 1.0
    train_is_right = np.allclose(x_hat_train * sigma + mu, x_train)
    return bool(train_is_right and np.allclose(x_hat_test * sigma + mu, x_test))


def _feature_by_feature(x_train, x_test):
    pairs = [standardize(a[:, None], b[:, None]) for a, b in zip(x_train.T, x_test.T, strict=True)]
    return tuple(np.hstack(features) for features in zip(*pairs, strict=True))


def _as_a_line(x_train, x_test):
    sigma = x_train.std(axis=0)
    slope = 1 / np.where(sigma == 0, 1, sigma)
    shift = -x_train.mean(axis=0) * slope
    return x_train * slope + shift, x_test * slope + shift


def _only_centred(x_train, x_test):
    mu = x_train.mean(axis=0)
    return x_train - mu, x_test - mu


EXERCISES = [
    PredictionExercise(
        id="2.1",
        title="How large a step?",
        low=0.0,
        high=100.0,
        factor=1.1,
        hint=(
            "From which $\\eta$ on is $1 - \\eta\\lambda$ below −1?",
            "$\\lambda$ is the mean of $x^2$, and the mean of squares is the square of the mean "
            "plus the variance.",
        ),
        praise="$\\lambda = 20^2 + 25 = 425$, and $2/425 = 0.0047$.",
        note="The distance is multiplied by $1 - \\eta\\lambda$, which must stay above −1, so "
        "$\\eta < 2/\\lambda$; and $\\lambda = 20^2 + 25 = 425$.",
        wrong_turns=[
            WrongTurn(
                "1/λ",
                1 / 425,
                "$1/425$ lands on the best weight in one step. You can go twice as far before it "
                "diverges: the factor may fall to −1.",
            ),
            WrongTurn(
                "2/σ²",
                2 / 25,
                "You took the variance, 25, for $\\lambda$. Here $\\lambda$ is the mean of $x^2$ "
                "with the mean left in: 425. Most of it comes from not being centred.",
            ),
            WrongTurn(
                "2/Σx²",
                2 / 1700,
                "You summed the squares; the loss averages over the four days, so $\\lambda$ is "
                "their mean, 425.",
            ),
            WrongTurn(
                "1/20 or 2/20",
                (0.045, 0.074),
                "Near 1/20: but $\\lambda$ is the mean of the *squares*, 425, and $\\eta$ may go "
                "up to $2/425$.",
            ),
            WrongTurn(
                "an everyday learning rate",
                (0.009, 100.0),
                "A rate like that suits features near 1. These are near 20, their squares near "
                "400, and $2/425$ is the limit.",
            ),
        ],
    ),
    PredictionExercise(
        id="2.2",
        title="Does a network care?",
        choices=("about the same", "a few points ahead", "far ahead"),
        hint="What do raw pixels suffer from: different units, different scales, a mean?",
        note="Pixels share a unit and lie between 0 and 1, so little is wrong with them except "
        "their mean. Under mixed units the gap is large.",
        wrong_turns=[
            WrongTurn(
                "about the same",
                "about the same",
                "The mean of raw pixels costs something even with the rate tuned: a few points, "
                "early on. By step 300 it is about the same.",
            ),
            WrongTurn(
                "far ahead",
                "far ahead",
                "Only with a badly chosen rate, or with features in mixed units. Raw pixels "
                "between 0 and 1 share a unit, and with the rate tuned they do fairly well.",
            ),
        ],
    ),
    FunctionExercise(
        id="2.3",
        title="Standardize train and test",
        solution=standardize,
        inputs=_train_and_test,
        returns=("x_hat_train", "x_hat_test"),
        statistics_axis=0,
        hint=(
            "Which of the two sets may $\\mu$ and $\\sigma$ be computed from?",
            "`np.where(sigma == 0, 1, sigma)` leaves all other deviations alone.",
        ),
        praise="The same mean and deviation for both sets, and no division by zero.",
        note="Rounding can leave a constant such as 0.1 with a $\\sigma$ of 1e-17 instead of 0, so "
        "careful code compares with a small tolerance.",
        wrong_turns=[
            WrongTurn(
                "test by its own statistics",
                _own_statistics,
                "`x_hat_train` is right. Your test set is measured by its own mean and deviation: "
                "use the training set's.",
            ),
            WrongTurn(
                "statistics of both together",
                _joint_statistics,
                "Your $\\mu$ and $\\sigma$ come from both sets together, so the test set leaks "
                "into training. Compute them from `x_train` alone.",
            ),
            WrongTurn(
                "constant feature unguarded",
                _unguarded,
                "A feature that is constant in training has $\\sigma = 0$, and you divide by it. "
                "Divide by 1 there.",
            ),
            WrongTurn(
                "NaN turned into a number",
                _nan_to_num,
                "`np.nan_to_num` hides 0/0 in training, but in the test set the same column "
                "divides something by 0 and becomes huge. Divide by 1 there.",
            ),
            WrongTurn(
                "constant feature erased",
                _zeroed,
                "You set the constant feature to 0 in the test set as well, though it varies "
                "there. Divide by 1: $\\hat x$ is then $x - \\mu$.",
            ),
            WrongTurn(
                "eps inside the root",
                _eps,
                "You add a small number to the variance instead. A column that is constant in "
                "training is then blown up some 300 times in the test set; divide it by 1.",
            ),
            WrongTurn(
                "eps added to the deviation",
                _eps_outside,
                "You add a tiny number to $\\sigma$. A column that is constant in training then "
                "becomes huge in the test set; divide it by 1.",
            ),
            WrongTurn(
                "row by row",
                _rows,
                "You standardize each row by itself, across features of different units. Go down "
                "the columns, `axis=0`.",
            ),
        ],
    ),
    ValueExercise(
        id="2.4",
        title="What correlation leaves",
        solution=kappa,
        rtol=1e-3,
        hint=(
            "Multiply $H$ by $(1, 1)$ and by $(1, -1)$. What comes out?",
            "The eigenvalues are $1 + 0.8$ and $1 - 0.8$.",
        ),
        praise="$(1+\\rho)/(1-\\rho)$: at a correlation of 0.99 it would be 199.",
        note="$\\kappa = (1+\\rho)/(1-\\rho)$, whatever the units were: the explorer shows it.",
        wrong_turns=[
            WrongTurn(
                "1",
                1.0,
                "It would be 1 without correlation. Here the contours are tilted ellipses, and "
                "standardizing does not undo that.",
            ),
            WrongTurn(
                "λ_max only",
                1.8,
                "1.8 is the largest eigenvalue. Divide it by the smallest.",
            ),
            WrongTurn(
                "upside down",
                0.2 / 1.8,
                "Upside down: $\\kappa$ is the largest eigenvalue over the smallest.",
            ),
            WrongTurn(
                "1/(1 − ρ)",
                5.0,
                "You took 1 for the largest eigenvalue; $H$ stretches $(1, 1)$ by more.",
            ),
            WrongTurn(
                "1/(1 − ρ²)",
                1 / (1 - 0.64),
                "You divided by the determinant, $1 - 0.64$: that is the product of both "
                "eigenvalues, and $\\kappa$ wants their quotient.",
            ),
            WrongTurn(
                "entries instead of eigenvalues",
                1 / 0.8,
                "You divided the entries of $H$. Find its eigenvalues: try $(1, 1)$ and $(1, -1)$.",
            ),
            WrongTurn(
                "the root",
                3.0,
                "That is the ratio of the ellipses' axes, the root of $\\kappa$.",
            ),
        ],
    ),
    FunctionExercise(
        id="2.5",
        title="Weights for raw features",
        solution=for_raw_features,
        inputs=_a_model,
        returns=("w_raw", "b_raw"),
        hint=(
            "Write $p = \\sum (x-\\mu)/\\sigma \\cdot w + b$ and sort by what stands beside "
            "$x$ and what does not.",
            "`b_raw` is what the new model answers at $x = 0$, where $\\hat x = -\\mu/\\sigma$.",
        ),
        praise="Same function, other coordinates: standardizing took nothing away.",
        wrong_turns=[
            WrongTurn(
                "multiplied by σ",
                lambda w, b, mu, sigma: (w * sigma, b - mu @ (w * sigma)),
                "You multiply the weights by $\\sigma$. $\\hat x$ is $x - \\mu$ "
                "divided by $\\sigma$, so the weight beside $x$ is $w/\\sigma$.",
            ),
            WrongTurn(
                "bias kept",
                lambda w, b, mu, sigma: (w / sigma, b),
                "`w_raw` is right. Your bias is the old one: $-\\mu/\\sigma \\cdot w$ does not "
                "depend on $x$ and belongs to it.",
            ),
            WrongTurn(
                "μ not divided by σ",
                lambda w, b, mu, sigma: (w / sigma, b - mu @ w),
                "`w_raw` is right. In the bias, $\\mu$ is divided by $\\sigma$ as well: use "
                "`w_raw` there.",
            ),
            WrongTurn(
                "wrong sign",
                lambda w, b, mu, sigma: (w / sigma, b + mu @ (w / sigma)),
                "`w_raw` is right. The mean is *subtracted* from $x$: mind the sign in the bias.",
            ),
            WrongTurn(
                "old bias lost",
                lambda w, b, mu, sigma: (w / sigma, -mu @ (w / sigma)),
                "`w_raw` is right. The old bias, `b`, is missing from your new one.",
            ),
            WrongTurn(
                "not summed",
                lambda w, b, mu, sigma: (w / sigma, b - mu * (w / sigma)),
                "`w_raw` is right. `b_raw` is one number: sum over the features, as `@` does.",
            ),
        ],
    ),
    TestExercise(
        id="2.6",
        title="Write the test",
        solution=is_right,
        right={
            "the training set's mean and deviation": standardize,
            "one feature at a time": _feature_by_feature,
            "a linear map, slope and shift": _as_a_line,
        },
        wrong=[
            WrongTurn(
                "test by its own statistics",
                _own_statistics,
                "A function passes your test that measures the test set by its own mean and "
                "deviation. Do your two sets differ?",
            ),
            WrongTurn(
                "statistics of both together",
                _joint_statistics,
                "One passes your test that computes mean and deviation from both sets together. "
                "What "
                "would the training set's mean then no longer be?",
            ),
            WrongTurn(
                "row by row",
                _rows,
                "One passes your test that standardizes each row by itself.",
            ),
            WrongTurn(
                "only centred",
                _only_centred,
                "One passes your test that subtracts the mean and never divides.",
            ),
            WrongTurn(
                "constant feature unguarded",
                _unguarded,
                "One passes your test that divides by 0. Is one of your features constant in the "
                "training set?",
            ),
            WrongTurn(
                "constant feature erased",
                _zeroed,
                "One passes your test that sets a constant feature to 0 in the test set as well. "
                "Does that feature vary in your test set?",
            ),
        ],
        hint=(
            "Which inputs tell right from wrong? Choose the two sets so that each mistake of this "
            "notebook would show.",
            "The two sets need different means and deviations, and one feature should be constant "
            "in training and vary in the test set.",
            "What must hold: in training, mean 0 and deviation 1 for each feature that varies; for "
            "the test set, every feature is moved by the training set's mean and divided by its "
            "deviation, or by 1. `np.allclose` compares.",
        ),
        praise="Such a test is worth keeping: statistics of the wrong set raise no error.",
    ),
]

QUIZ = [
    Question(
        "The eigenvalues of $H$ are 0.5 and 8. Up to which learning rate is gradient descent "
        "stable?",
        {
            "4": "$2/0.5$ suits the flat direction. In the steep one the descent diverges.",
            "1/4": "$2/8$: the steepest direction decides.",
            "1/8": "That is $1/\\lambda_{\\max}$, a good choice, but the limit is twice as high.",
            "16": "That is $\\kappa$, which has no part in the limit.",
        },
        correct=1,
    ),
    Question(
        "Another data set has four times the $\\kappa$. At $\\eta = 1/\\lambda_{\\max}$, getting "
        "to 1 % takes …",
        {
            "twice the steps": "The number of steps grows with $\\kappa$ itself, not with its "
            "root (momentum would manage that).",
            "four times the steps": "$4.6\\,\\kappa$.",
            "the same, once the rate is tuned": "The rate already is; the flattest direction is "
            "what takes so long.",
        },
        correct=1,
    ),
    Question(
        "You feed pixels as bytes, 0 to 255, instead of 0 to 1. For a linear model without a "
        "bias, what changes?",
        {
            "$\\kappa$ becomes 255 times as large": "All eigenvalues grow alike, so their ratio "
            "stays.",
            "$\\kappa$ stays; the stable rate falls by 255": "$H$ holds squares of $x$.",
            "$\\kappa$ stays; the stable rate falls by 255²": "Every eigenvalue is 65,025 times "
            "as large.",
        },
        correct=2,
    ),
    Question(
        "A feature has mean 1,000 and deviation 1, and the model has a bias. What helps most?",
        {
            "dividing by 1,000": "The feature is then 1 give or take a thousandth: as good as "
            "equal to the bias.",
            "subtracting the mean": "Then it no longer looks like the bias. Its deviation was 1 "
            "already.",
            "a smaller learning rate": "It keeps the descent from diverging, and makes the flat "
            "direction even slower.",
        },
        correct=1,
    ),
    Question(
        "A model in use receives one example at a time. It is standardized with …",
        {
            "its own mean and deviation": "Each feature of a single example has spread 0.",
            "those of the last hundred examples": "The model learnt with another mean and "
            "deviation, and the same example would get another answer each time.",
            "those of the training set": "They belong to the model, like its weights.",
        },
        correct=2,
    ),
    Question(
        "Two standardized features have correlation 0.95. Gradient descent is …",
        {
            "fast, since both have $\\lambda = 1$": "Those are the entries of $H$. Its "
            "eigenvalues are 1.95 and 0.05.",
            "slow: κ is 39": "$1.95/0.05$; only whitening would undo that.",
            "unstable": "A rate below $2/1.95$ is stable.",
        },
        correct=1,
    ),
]
