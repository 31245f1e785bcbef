"""The twenty questions by name, and for each symptom what to look at, cheapest first."""

from typing import NamedTuple


class Look(NamedTuple):
    """One thing to look at: a question that yes or no answers, the cause if yes, where it stands.

    check      what to look at, as a question
    cause      what is wrong when the answer is yes
    questions  the numbers of the notebook's questions that explain it
    """

    check: str
    cause: str
    questions: tuple


QUESTIONS = {  # number -> its name in figures
    1: "worse in eval()",
    2: "one value per channel",
    3: "freezing",
    4: "momentum",
    5: "which variance",
    6: "parts of a batch",
    7: "before or after",
    8: "range of values",
    9: "γ and β undo it?",
    10: "which axes",
    11: "useless bias",
    12: "weight decay",
    13: "NaN",
    14: "checkpoints",
    15: "Dropout",
    16: "the batch leaks",
    17: "1 × 1 maps",
    18: "half precision",
    19: "exporting",
    20: "averaged weights",
}

STEPS = 4  # things to look at for each symptom
SYMPTOMS = {
    "worse in eval() than in train()": (
        Look("Is a running mean all 0, or NaN?", "never loaded, or spoiled", (14, 13)),
        Look("Does a Dropout stand before a BN?", "running variance too large", (15,)),
        Look("Is the training set read badly in eval()?", "late, or of other weights", (1, 4, 20)),
        Look("Is the test set read well in train()?", "the data have shifted", (1,)),
    ),
    "error: more than 1 value per channel": (
        Look("Is it the last batch of an epoch?", "one example was left over", (2,)),
        Look("Are the maps of 1 × 1?", "one value an image", (17,)),
        Look("Was it no training at all?", "eval() is missing", (2,)),
        Look("Does a device get one example?", "each normalizes its own", (6,)),
    ),
    "NaN": (
        Look("Is it in eval() alone?", "one batch spoiled the statistics", (13,)),
        Look("Is there NaN or infinity in the input?", "the data", (13,)),
        Look("Are the statistics in 16 bits?", "sums overflow", (18,)),
        Look("Is the layer written by hand?", "one value, or E[x²] − E[x]²", (2, 13)),
    ),
    "a frozen layer changes": (
        Look("Does its running mean move?", "it is in train()", (3,)),
        Look("Is train() called after eval()?", "it set every mode again", (3,)),
        Look("Does the output follow the batch?", "momentum=0 freezes too little", (3,)),
        Look("Do γ and β shrink?", "weight decay", (12,)),
    ),
    "two frameworks disagree": (
        Look("Is one momentum near 0, one near 1?", "old value, new value", (4,)),
        Look("Is ε 1e-5 in one, 1e-3 in the other?", "another default", (5,)),
        Look("Is running_var off by m/(m−1)?", "biased, unbiased", (5,)),
        Look("Do the channels lie elsewhere?", "axis 1, last axis", (10,)),
    ),
    "a checkpoint reads badly": (
        Look("Are keys missing?", "strict=False says it in silence", (14,)),
        Look("Were parameters() saved, or averaged?", "statistics are buffers", (14, 20)),
        Look("Is BN on the other side of the ReLU?", "same keys, another net", (7,)),
        Look("Was it converted to 16 bits?", "statistics rounded", (18,)),
    ),
    "worse with several devices or parts": (
        Look("Are there fewer than 8 examples a part?", "small batches", (6,)),
        Look("Is the last part tiny?", "statistics of a few", (2,)),
        Look("Do the parts hold other classes?", "what is common is taken out", (16,)),
        Look("Does only eval() suffer?", "one part's statistics", (6, 1)),
    ),
    "the exported net answers otherwise": (
        Look("Does a row's answer depend on the batch?", "exported in train()", (19,)),
        Look("Is the input prepared in another way?", "the data have shifted", (1,)),
        Look("Was BN folded into a layer after it?", "a padded border differs", (19,)),
        Look("Does the export use 16 bits?", "statistics rounded", (18,)),
    ),
}
