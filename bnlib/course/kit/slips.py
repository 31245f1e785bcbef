"""A solution with one slip in it: the mistakes that people make, planted in its source by rule.

slips(solution) runs over the source of a solution and returns it once for each place where a slip
is known: another axis, m − 1 for m, ε outside the root, a term lost, a factor twice, … . An answer
that gives the same numbers on fresh inputs has made that slip, and reads its sentence.
"""

import ast
import copy
import functools
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

MEAN_OF = {"mean": "average", "var": "average", "std": "average", "sum": "sum"}
LETTERS = {"mu_B", "var_B", "x_hat", "s", "c", "m", "y", "h"}  # names that the whole course uses
A_MEAN = re.compile(r"(mu|mean|centre|running_mean|batch_mean)(_\w+)?$")
BY_ZERO = " A feature that never varies would be divided by zero."
PAIRED = {"axis", "divisor", "eps", "root", "centre"}  # kinds worth trying two at a time


@dataclass(frozen=True)
class Slip:
    """kind: a word for tests; says: what a learner who made it reads; function: the solution with
    the slip in it (a class where the solution is one)."""

    kind: str
    says: str
    function: Callable


@functools.cache
def slips(solution):
    """The solution's slips, a tuple; empty where its source cannot be read."""
    found = []
    for kind, says, changes in _edits_of(solution):
        function = _built(solution, changes)
        if function is not None:
            found.append(Slip(kind, says, function))
    return tuple(found)


def pairs(solution):
    """Two slips at once, of different kinds, one after the other (a generator: there are many)."""
    common = [edit for edit in _edits_of(solution) if edit[0] in PAIRED]
    for (kind, says, one), (other, more, two) in itertools.combinations(common, 2):
        if kind != other and not one.keys() & two.keys():
            function = _built(solution, one | two)
            if function is not None:
                yield Slip(f"{kind} and {other}", f"Two things. {says} And: {more}", function)


def detached(solution):
    """For each named step of the solution: (name, the solution with that step out of the graph)."""
    tree = _tree(solution)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = {node.value.index: lambda v: _write("V.detach()", V=v)}
            function = _built(solution, value)
            if function is not None:
                yield node.targets[0].id, function


@functools.cache
def with_steps(solution):
    """The solution, returning (result, {name: value of each local}); None for classes."""
    tree = _tree(solution)
    if tree is None or not isinstance(tree.body[0], ast.FunctionDef):
        return None

    def returned(node):
        node.value = _write("(V, locals())", V=node.value)
        return node

    ends = [n for n in ast.walk(tree) if isinstance(n, ast.Return)]
    inner = [n for n in ast.walk(tree.body[0]) if isinstance(n, ast.FunctionDef)]
    nested = {id(n) for f in inner if f is not tree.body[0] for n in ast.walk(f)}
    return _built(solution, {n.index: returned for n in ends if id(n) not in nested})


# ── reading and writing source ──────────────────────────────────────────────────────────────────


@functools.cache
def _source(solution):
    try:
        return textwrap.dedent(inspect.getsource(solution))
    except (OSError, TypeError):
        return ""


def _tree(solution):
    """The solution's source as a new tree whose nodes carry an index, the same in each new tree;
    None where it cannot be read."""
    try:
        tree = ast.parse(_source(solution))
    except SyntaxError:
        return None
    if not (tree.body and isinstance(tree.body[0], ast.FunctionDef | ast.ClassDef)):
        return None
    shared = ast.operator | ast.unaryop | ast.boolop | ast.cmpop | ast.expr_context
    for index, node in enumerate(ast.walk(tree)):
        if not isinstance(node, shared):  # one object in all trees
            node.index = index
    return tree


class _Change(ast.NodeTransformer):
    def __init__(self, changes):
        self.changes = changes

    def visit(self, node):
        index = getattr(node, "index", None)
        node = self.generic_visit(node)
        return self.changes[index](node) if index in self.changes else node


def _built(solution, changes):
    """The solution with nodes {index: function of the node} changed; None if that is no program."""
    is_class = isinstance(solution, type)
    scope = vars(sys.modules[solution.__module__]) if is_class else solution.__globals__
    scope = scope | {"_unbiased": _unbiased, "_larger": _larger}
    try:
        tree = _Change(changes).visit(_tree(solution))
        exec(compile(ast.fix_missing_locations(tree), "<slip>", "exec"), scope)
        return scope[solution.__name__]
    except Exception:
        return None


def _write(text, **parts):
    """The expression `text`, with nodes in place of the names in capitals."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node):
            return copy.deepcopy(parts[node.id]) if node.id in parts else node

    return Fill().visit(ast.parse(text, mode="eval").body)


def _unbiased(whole, over_m, power=1.0):
    """A mean over m values as one over m − 1."""
    size = [v.numel() if hasattr(v, "numel") else getattr(v, "size", 1) for v in (whole, over_m)]
    m = size[0] / size[1]
    return over_m * (m / (m - 1)) ** power


def _larger(a, b):
    return a * (a > b) + b * (a <= b)


# ── what can slip ───────────────────────────────────────────────────────────────────────────────


def _edits_of(solution):
    """All single slips: (kind, sentence, {index: change of that node})."""
    tree = _tree(solution)
    if tree is None:
        return []
    parent = {c.index: n for n in ast.walk(tree) for c in ast.iter_child_nodes(n)
              if hasattr(c, "index")}  # fmt: skip
    nodes = [n for n in ast.walk(tree) if hasattr(n, "index")]
    edits = [*_axes(tree, nodes)]
    for node in nodes:
        for kind, says, change in _at(node, parent):
            edits.append((kind, says, {node.index: change}))
    edits += _together(edits)
    edits += _renamed(tree, nodes)
    own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if not divides_by_eps(solution):
        edits = [(kind, says.removesuffix(BY_ZERO), change) for kind, says, change in edits]
    return [(kind, _explained(says, own - LETTERS), change) for kind, says, change in edits]


@functools.cache
def divides_by_eps(solution):
    """Does the solution divide by what holds `eps`, so that without it 0 may stand below? (To undo
    the layer one multiplies by the same root.)"""
    tree = _tree(solution)
    nodes = list(ast.walk(tree)) if tree else []

    def holds_it(node):
        return any(_is_eps(n) or getattr(n, "id", None) in names for n in ast.walk(node))

    names = set()  # of the roots, such as s
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            under = _root_argument(node.value)
            if under is not None and holds_it(under):
                names.add(node.targets[0].id)
    for node in nodes:
        inverse = _root_argument(node) is not None and _is_inverse(node)
        below = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if (below and holds_it(node.right)) or (inverse and holds_it(_root_argument(node))):
            return True
    return False


def _explained(says, own):
    """A sentence that names a step of the solution by a word which the course does not use: whose
    word it is."""
    for name in own:
        says = re.sub(rf"^`{name}`", f"What the solution calls `{name}`", says)
        says = re.sub(rf"(?<!calls )`{name}`", f"what the solution calls `{name}`", says)
    return says


def _together(edits):
    """The same slip in every place at once, as when a habit is wrong."""
    groups = {}
    for kind, says, changes in edits:
        if kind in ("divisor", "centre", "eps", "root", "rows"):
            groups.setdefault((kind, says), []).append(changes)
    for (kind, says), places in groups.items():
        if len(places) > 1:
            yield kind, says, {i: change for place in places for i, change in place.items()}


def _axes(tree, nodes):
    """Another axis, in all places at once and in each alone; with the axis kept, and lost."""
    literal = {}  # name: node of its literal axes, as in axes = (0, 2, 3)
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if _axis(node.value) is not None:
                literal[node.targets[0].id] = node.value
    sites = []  # (axes, the node to change, the call, what it does)
    for node in nodes:
        verb = MEAN_OF.get(getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else None
        for word in node.keywords if verb else ():
            if word.arg in ("axis", "dim"):
                value = word.value
                value = literal.get(value.id) if isinstance(value, ast.Name) else value
                if value is not None and _axis(value) is not None:
                    sites.append((_axis(value), value, node, verb))
    norm = any(_root_argument(node) is not None for node in nodes)
    for right in dict.fromkeys(site[0] for site in sites):
        here = [site for site in sites if site[0] == right]
        groups = [here, *([s] for s in here if len(here) > 1 and s[1] is not here[0][1])]
        if len(here) > 1:
            groups.append([here[0]])
        for wrong in _OTHER_AXES.get(right, ()):
            for group in groups:
                says = _axis_says(group[0][3], right, wrong, norm)
                axis = {s[1].index: lambda _, w=wrong: _write(repr(w)) for s in group}
                yield "axis", says, axis
                open_calls = [s[2] for s in group if not _keeps(s[2])]
                if open_calls:
                    yield "axis", says, axis | {c.index: _keep for c in open_calls}
        kept = {s[2].index: _unkeep for s in here if _keeps(s[2])}
        if kept:
            word = "keepdim" if "keepdim=" in ast.unparse(tree) else "keepdims"
            yield "keepdims", _KEEPDIMS.format(word), kept


_OTHER_AXES = {
    (0,): (1, None),
    (1,): (0, None),
    (0, 2, 3): (0, (2, 3), (1, 2, 3), (0, 1, 2, 3), (0, 1), (0, 2), (0, 3), 1),
    (0, 2): (0, 2, (1, 2), (0, 1, 2), (0, 1), 1),
}
_KEEPDIMS = (
    "Your statistics have lost their axes, and are laid along the *last* axis of `x`: shapes are "
    "lined up from the right. Keep the axes, `{}=True`."
)


def _axis(node):
    """The axes that a literal names, as a tuple, or None."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    value = (value,) if isinstance(value, int) and not isinstance(value, bool) else value
    whole = isinstance(value, tuple) and value and all(isinstance(v, int) for v in value)
    return value if whole else None


def _keeps(call):
    return any(word.arg in ("keepdims", "keepdim") for word in call.keywords)


def _keep(call):
    torch_word = any(word.arg == "dim" for word in call.keywords)
    word = ast.keyword("keepdim" if torch_word else "keepdims", ast.Constant(True))
    return ast.Call(call.func, call.args, [*call.keywords, word])


def _unkeep(call):
    rest = [word for word in call.keywords if word.arg not in ("keepdims", "keepdim")]
    return ast.Call(call.func, call.args, rest)


def _axis_says(verb, right, wrong, norm):
    layer = " (which would be *layer* normalization)" if norm else ""
    wrong = (wrong,) if isinstance(wrong, int) else wrong
    if right == (0,):
        if wrong == (1,):
            return (
                f"You {verb} over the features of each example{layer}. Each feature is to be taken "
                f"over the examples: `axis=0`."
            )
        return (
            f"You {verb} over everything at once. Each feature has its own: {verb} over the "
            "examples, `axis=0`."
        )
    if right == (0, 2, 3):
        known = {
            (0,): f"You {verb} over the examples only, and leave the places of the picture apart. "
            f"A channel is one feature wherever it is: {verb} over `(0, 2, 3)`.",
            (2, 3): f"You {verb} within each image"
            + (" (that is *instance* normalization)" if norm else "")
            + ". The batch, axis 0, belongs to it as well.",
            (1, 2, 3): f"You {verb} over the channels and keep the examples"
            + (" (that is *layer* normalization)" if norm else "")
            + ". Keep axis 1, and take all others.",
            (0, 1, 2, 3): f"You {verb} over everything, the channels too. Each channel has its "
            "own: keep axis 1.",
        }
        if wrong in known:
            return known[wrong]
    over = "everything" if wrong is None else f"axes {wrong}" if len(wrong) > 1 else (
        f"axis {wrong[0]}")  # fmt: skip
    wish = f"axes {right}" if len(right) > 1 else f"axis {right[0]}"
    return f"You {verb} over {over}; it is {wish} that must go."


def _at(node, parent):
    """The slips at one node: (kind, sentence, change of the node)."""
    yield from _calls(node, parent)
    yield from _roots(node)
    if isinstance(node, ast.BinOp):
        yield from _sums(node, parent)
        yield from _products(node)
    if _counts_a_channel(node):
        yield (
            "count",
            "You count the examples, `len(x)`. In images each channel has "
            "$m = N \\cdot H \\cdot W$ values: divide `x.size` by the number of channels.",
            lambda n: _write("len(X)", X=n.left.value),
        )
        yield (
            "count",
            "You count the values of all channels together; $m$ is how many *each* channel has.",
            lambda n: n.left,
        )
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        turned = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Gt, ast.GtE: ast.Lt}
        other = turned.get(type(node.ops[0]))
        if other:
            yield (
                "compare",
                "Your comparison is the wrong way round.",
                lambda n: ast.Compare(n.left, [other()], n.comparators),
            )


def _counts_a_channel(node):
    """x.size // x.shape[1]: how many values a channel has, in rows or in images."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.FloorDiv)
        and getattr(node.left, "attr", "") == "size"
        and ast.unparse(node.right).endswith(".shape[1]")
    )


def _calls(node, parent):
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    does, thing = node.func.attr, node.func.value
    if does in ("mean", "sum"):
        other = "sum" if does == "mean" else "mean"
        yield (
            "mean or sum",
            "You take a sum where a mean belongs: the factor $1/m$ is missing."
            if does == "mean"
            else "You take a mean where a sum belongs: the effects of all add up.",
            lambda n: ast.Call(
                ast.Attribute(n.func.value, other, ast.Load()), n.args, _plain(n.keywords)
            ),
        )
    squares = isinstance(thing, ast.BinOp) and isinstance(thing.op, ast.Pow)
    if does in ("var", "std") or (does == "mean" and squares):
        power = 0.5 if does == "std" else 1.0
        yield (
            "divisor",
            "Your variance divides by $m-1$; here it must divide by $m$.",
            lambda n: _write(f"_unbiased(W, M, {power})", W=n.func.value, M=n),
        )
    if does in ("var", "std"):
        other = "std" if does == "var" else "var"
        says = (
            "You take the standard deviation where the variance belongs; the variance is its "
            "square."
            if does == "var"
            else "You take the variance where the standard deviation belongs, its root."
        )
        yield (
            "root",
            says,
            lambda n: ast.Call(ast.Attribute(n.func.value, other, ast.Load()), n.args, n.keywords),
        )
    if does == "mean" and squares:
        yield (
            "root",
            "You take the standard deviation where the variance belongs; the variance is its "
            "square.",
            lambda n: _write("V ** 0.5", V=n),
        )
        yield (
            "absolute",
            "You average the distances; for the variance, average their *squares*.",
            lambda n: ast.Call(
                ast.Attribute(_write("abs(V)", V=n.func.value.left), "mean", ast.Load()),
                n.args,
                n.keywords,
            ),
        )
    if does in ("transpose", "permute", "swapaxes", "moveaxis", "movedim"):
        inner = node.args[0] if getattr(thing, "id", "") in ("np", "torch") else thing
        shaped = parent.get(parent.get(node.index, node).index)  # x.transpose(…).reshape(…)
        if isinstance(shaped, ast.Call) and getattr(shaped.func, "attr", "") == "reshape":
            yield (
                "rows",
                _RESHAPE,
                lambda n: n.args[0] if inner is not thing else n.func.value,
            )
    if does in ("maximum", "relu", "clamp", "clip") and (node.args or does != "maximum"):
        yield (
            "activation",
            "The activation is missing: negative values are to become 0.",
            lambda n: n.args[0] if n.args and not _is_number(n.args[0]) else n.func.value,
        )
    if does in ("abs", "fabs") and node.args:
        yield (
            "absolute",
            "The sign counts in your result; take the absolute value.",
            lambda n: n.args[0],
        )


def _is_number(node):
    return isinstance(node, ast.Constant)


_RESHAPE = (
    "`reshape` alone mixes the channels: it cuts the numbers as they lie in memory. Move the "
    "channel axis to the end first (`np.moveaxis`, `transpose`), then reshape."
)


def _plain(keywords):
    return [word for word in keywords if word.arg not in ("correction", "ddof")]


def _root_argument(node):
    """What stands under a root, or None: np.sqrt(a), a.sqrt(), a ** 0.5."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
        "sqrt", "rsqrt",
    ):  # fmt: skip
        return node.args[0] if node.args else node.func.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = ast.unparse(node.right)
        return node.left if power in ("0.5", "-0.5", "1 / 2") else None
    return None


def _is_inverse(root):
    """Is this root one over it: rsqrt(a), a ** -0.5?"""
    if isinstance(root, ast.BinOp):
        return ast.unparse(root.right).startswith("-")
    return getattr(root.func, "attr", "") == "rsqrt"


def _rooted(node, argument):
    """The root `node`, of another argument."""
    if isinstance(node, ast.BinOp):
        return ast.BinOp(argument, node.op, node.right)
    if node.args:
        return ast.Call(node.func, [argument], node.keywords)
    return ast.Call(ast.Attribute(argument, node.func.attr, ast.Load()), [], node.keywords)


def _roots(node):
    under = _root_argument(node)
    if under is None:
        return
    inverse = _is_inverse(node)
    if not inverse:
        yield (
            "root",
            "The square root is missing: you use the variance as it is.",
            _root_argument,
        )
    if isinstance(under, ast.BinOp) and isinstance(under.op, ast.Add) and _is_eps(under.right):
        texts = {
            "Your `eps` stands outside the root: it must be added to the variance, before the root "
            "is taken.": "R + E" if not inverse else "1 / (1 / R + E)",
            "You add `eps` outside the root as well as inside: once is enough.": "R2 + E",
        }
        for says, text in texts.items():
            yield (
                "eps",
                says,
                lambda n, text=text: _write(
                    text,
                    R=_rooted(n, _root_argument(n).left),
                    R2=n,
                    E=_root_argument(n).right,
                ),
            )


def _is_eps(node):
    return getattr(node, "id", getattr(node, "attr", None)) in ("eps", "epsilon")


def _sums(node, parent):
    """a + b and a − b."""
    left, right, op = node.left, node.right, node.op
    if isinstance(op, ast.Add) and _is_eps(right):
        for says, text in (
            (f"`eps` is not added here.{BY_ZERO}", "V"),
            (
                "You take the larger of the variance and `eps`; `eps` must be *added*.",
                "_larger(V, E)",
            ),
            ("You add `eps` twice; once is enough.", "V + 2 * E"),
            ("You subtract `eps`; add it.", "V - E"),
            ("You square `eps`: it has the units of a variance already.", "V + E ** 2"),
        ):
            yield "eps", says, lambda n, text=text: _write(text, V=n.left, E=n.right)
        return
    if not isinstance(op, ast.Add | ast.Sub):
        return
    one, other = spoken(left), spoken(right)
    if isinstance(op, ast.Sub):
        squared = isinstance(parent.get(node.index), ast.BinOp) and isinstance(
            parent[node.index].op, ast.Pow
        )
        if _a_mean(right) and squared:
            says = "Your variance is measured from 0; it must be measured from the mean."
        elif _a_mean(right):
            says = "The mean was not subtracted."
        else:
            says = f"{_capital(other)} is not subtracted." if other else "One term is missing."
            if isinstance(left, ast.Constant) and other:
                says = f"You use {left.value} where `{left.value} - {other.strip('`')}` belongs."
        yield "centre" if _a_mean(right) else "term", says, lambda n: n.left
        yield (
            "sign",
            f"You add {other or 'a term'} where it must be subtracted: mind the sign.",
            lambda n: ast.BinOp(n.left, ast.Add(), n.right),
        )
    else:
        says = f"{_capital(other)} is not added." if other else "One term is missing."
        yield "term", says, lambda n: n.left
        says = f"{_capital(one)} is missing." if one else "One term of the sum is missing."
        yield "term", says, lambda n: n.right
        yield (
            "sign",
            f"You subtract {other or 'a term'} where it must be added: mind the sign.",
            lambda n: ast.BinOp(n.left, ast.Sub(), n.right),
        )
    if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult) and isinstance(op, ast.Add):
        g, b = spoken(left.left), spoken(right)
        if (g, b) == ("`gamma`", "`beta`"):
            says = (
                "You shift first and then scale, $\\gamma(\\hat{x}+\\beta)$, so $\\gamma$ scales "
                "$\\beta$ as well. It must be $\\gamma\\hat{x}+\\beta$."
            )
        else:
            says = f"You add {b or 'a term'} before you multiply; it must come after."
        yield "place", says, lambda n: _write("G * (X + B)", G=n.left.left, X=n.left.right,
                                              B=n.right)  # fmt: skip


def _products(node):
    """a · b and a / b, and (a − b) · c."""
    left, right, op = node.left, node.right, node.op
    if not isinstance(op, ast.Mult | ast.Div):
        return
    one, other = spoken(left), spoken(right)
    if isinstance(op, ast.Mult):
        if other:
            yield "factor", f"The factor {other} is missing.", lambda n: n.left
            yield "twice", f"{_capital(other)} is in it twice.", lambda n: _write(
                "A * B * B", A=n.left, B=n.right)  # fmt: skip
        if one:
            yield "factor", f"The factor {one} is missing.", lambda n: n.right
            yield "twice", f"{_capital(one)} is in it twice.", lambda n: _write(
                "A * A * B", A=n.left, B=n.right)  # fmt: skip
        if other:
            yield "inverse", _on_the_wrong_side(other), lambda n: _write(
                "A / B", A=n.left, B=n.right)  # fmt: skip
    else:
        by = other or _named(right)
        if other:
            yield "factor", f"You do not divide by {by}.", lambda n: n.left
        says = f"You divide by {by} once too often."
        if _root_argument(right) is not None:
            says = "You divide by the variance; divide by its square root."
        yield "twice", says, lambda n: _write(
            "A / B / B", A=n.left, B=n.right)  # fmt: skip
        yield "inverse", _on_the_wrong_side(by), lambda n: _write(
            "A * B", A=n.left, B=n.right)  # fmt: skip
        if one and not isinstance(left, ast.Constant):
            yield "factor", f"The factor {one} is missing.", lambda n: _write("1 / B", B=n.right)
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mult):
            m = ast.unparse(left.right)
            if ast.unparse(right).replace("(", "").replace(")", "") == f"{m} - 1":
                says = "You take in the biased variance, which divides by $m$; divide by $m-1$."
                yield "divisor", says, lambda n: n.left.left
    difference = isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub)
    if difference:
        a, b = spoken(left.left) or "the first term", spoken(left.right) or "the second term"
        verb = "multiplied" if isinstance(op, ast.Mult) else "divided"
        yield (
            "place",
            f"Only {b} is {verb} in yours: {a} must be, too.",
            lambda n: ast.BinOp(n.left.left, n.left.op, ast.BinOp(n.left.right, n.op, n.right)),
        )
        yield (
            "place",
            f"Only {a} is {verb} in yours: {b} must be, too.",
            lambda n: ast.BinOp(ast.BinOp(n.left.left, n.op, n.right), n.left.op, n.left.right),
        )


def _on_the_wrong_side(what):
    """Said of a factor in a denominator, too, where to divide is to multiply."""
    return f"Look at {what}: you multiply by it where you should divide, or the reverse."


def _named(node):
    text = ast.unparse(node)
    return f"`{text}`" if len(text) <= 30 else "what stands last"


def _renamed(tree, nodes):
    """Two arguments exchanged, or momentum taken for the weight of the other value."""
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef):
        named = ["momentum"]
    else:
        named = [a.arg for a in function.args.args]
        for a, b in itertools.combinations(named, 2):
            uses = [n for n in nodes if isinstance(n, ast.Name) and n.id in (a, b)]
            other = {a: b, b: a}
            yield (
                "swapped",
                f"You have exchanged `{a}` and `{b}`.",
                {n.index: lambda n, to=other: ast.Name(to[n.id], ast.Load()) for n in uses},
            )
    if "momentum" in named:
        asked = {id(c) for n in nodes if isinstance(n, ast.Compare) for c in ast.walk(n)}
        read = [n for n in nodes if isinstance(getattr(n, "ctx", None), ast.Load)
                and id(n) not in asked]  # fmt: skip
        uses = [n for n in read if getattr(n, "attr", "") == "momentum"]
        uses = uses or [n for n in read if getattr(n, "id", "") == "momentum"]
        yield (
            "swapped",
            "Your `momentum` weighs the old value, as in Keras and Flax. Here it weighs the new "
            "one.",
            {n.index: lambda n: _write("1 - V", V=n) for n in uses},
        )


# ── an expression, in words ─────────────────────────────────────────────────────────────────────


def spoken(node):
    """`name`, "the mean of `x`", "the root"; None for what has no short name."""
    if isinstance(node, ast.Name):
        return f"`{node.id}`"
    if isinstance(node, ast.Attribute):
        return f"`{node.attr}`"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return f"`{node.slice.value}`"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        does, thing = node.func.attr, node.func.value
        if does == "reshape":
            return spoken(thing)
        what = {"mean": "the mean of", "sum": "the sum of", "var": "the variance of"}.get(does)
        return f"{what} {spoken(thing)}" if what and spoken(thing) else None
    if _root_argument(node) is not None:
        return "the root"
    return None


def _a_mean(node):
    name = getattr(node, "id", getattr(node, "attr", None))
    if name:
        return bool(A_MEAN.match(name))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr == "mean" or (
            node.func.attr == "reshape" and _a_mean(node.func.value)
        )
    return False


def _capital(text):
    return text[:1].upper() + text[1:] if text else text
