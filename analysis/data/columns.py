"""The columns of :func:`analysis.load`: name, type, unit, how each is read, and what it means."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trainables.core.frontier import ACCESS, BACKWARD, LEAST_GAP
from trainables.scoring.calibration import CALIBRATIONS

STARTED = ("embedding", "mixture", "continued", "restarted", "refined", "cross_task")
"""Rows of task transfer: of a few steps, of several tasks, those that start elsewhere, and
prompts as they are on other tasks."""
SOFT_ROWS = (
    *("empty", "manual", "constant", "independent", "joint", "single", "baseline", "ours"),
    *("own", *STARTED),
)
HARD_ROWS = ("random", "drawn", "all", "common", "agreement")
ROWS = (*SOFT_ROWS, *HARD_ROWS)
"""Every row name, in the order of the tables."""
SWEEP = "sweep"
"""Column that tells several sweeps apart; there where more than one was asked for."""


class Column(NamedTuple):
    """One column.

    Attributes:
        name: of the column.
        type: ``text``, ``number``, ``integer``, ``true/false`` or ``JSON``.
        unit: of its values; empty where there is none.
        read: where a record says it under the same name: its ``cell``, a ``setting`` of the cell,
            the ``result`` or the ``record`` itself; empty where it is worked out.
        meaning: in words.
    """

    name: str
    type: str
    unit: str
    read: str
    meaning: str


# fmt: off
_TABLE = (
    ("cell", "text", "", "", "content hash of the cell; names its record and its prompt file"),
    ("kind", "text", "", "cell",
     "source (on one of its own sources), transfer (on a target), crossed (a prompt as it is on "
     "another task) or reference (no prompt)"),
    ("row", "text", "", "cell",
     f"{', '.join(SOFT_ROWS[:-1])} or {SOFT_ROWS[-1]}; of hard prompts "
     f"{', '.join(HARD_ROWS[:-1])} or {HARD_ROWS[-1]}"),
    ("method", "text", "", "cell", "how the prompt was found; none for references"),
    ("family", "text", "", "", "soft (vectors) or hard (tokens); empty for references"),
    ("task", "text", "", "cell", "task name"),
    ("target", "text", "", "cell", "model it was evaluated on"),
    ("sources", "text", "", "", "models it was tuned on, joined by +"),
    ("source_1", "text", "", "", "first source (further sources in source_2, source_3, …)"),
    ("source_2", "text", "", "", "second source"),
    ("seed", "integer", "", "cell", "seed of initialisation and data order; empty for references"),
    ("lambda", "number", "", "",
     "weight λ of the alignment loss; 0 for independent tuning; empty under annealing"),
    ("schedule", "text", "", "", "constant, annealing or none"),
    ("weight_label", "text", "", "", "λ as text, or annealing; empty for references"),
    ("prompt_length", "integer", "vectors or tokens", "setting", "number of prompt vectors"),
    ("position", "text", "", "", "where the prompt stands: prefix, infix, suffix or layers"),
    ("init", "text", "", "",
     "how the tuned prompt started (of one that was carried or continued: its first source's)"),
    ("origin", "text", "", "",
     "task transfer: tasks of the prompts that it started from, joined by +; of a crossed one the "
     "task it was tuned on, empty where it is of random numbers"),
    ("draw", "integer", "", "setting",
     "row restarted: which further draw of words it started from; 0 is the seed's own"),
    ("top", "integer", "tasks", "setting",
     "task transfer: of an average start, how many of the most similar tasks are in it"),
    ("retrieval", "text", "", "setting",
     "task transfer: the similarity of tasks that retrieved them"),
    ("start_tasks", "JSON", "", "result", "JSON: of an average start, the tasks retrieved"),
    ("start_shares", "JSON", "", "result", "JSON: their shares in it"),
    ("likeness", "JSON", "", "result",
     "JSON: of a crossed prompt, how like it and the task's own are: cosines of tokens, overlap of "
     "activated neurons of all layers and of windows of layers"),
    ("combination", "text", "", "",
     "settings in which this sweep's tuned prompts differ; empty if in none"),
    ("settings", "text", "", "",
     "JSON: the same by name, and of references those that they depend on"),
    ("way", "text", "", "",
     "of transfer rows: the solver and those settings of the transfer in which this sweep's ways "
     "with that solver differ; hard prompts are carried over as text"),
    ("solver", "text", "", "setting", "solver of the transfer"),
    ("start", "text", "", "setting",
     "where a prompt that is trained on the target begins; empty where nothing is"),
    ("teacher", "text", "", "setting", "whose label probabilities the target is taught"),
    ("texts", "integer", "texts", "setting", "texts that were asked for to be taught with"),
    ("features", "text", "", "setting", "what a readout reads: states or words"),
    ("subspace", "text", "", "setting", "directions that a search moves a prompt in"),
    ("adapt", "text", "", "setting",
     "dynamic prompts: what is decided, position, length, representation, two of them or unified"),
    ("level", "text", "", "setting",
     "dynamic prompts: task or instance, or one of the controls fixed and parameters"),
    ("behind", "integer", "vectors", "setting",
     "dynamic prompts, of a control: how many vectors stand behind the text"),
    ("parameters", "integer", "numbers", "result",
     "dynamic prompts: numbers trained, of vectors and heads together"),
    ("vectors_behind", "number", "vectors", "result",
     "dynamic prompts: mean over test texts of the vectors behind the text"),
    ("positions", "JSON", "", "result",
     "dynamic prompts, JSON: test texts with 0, 1, … m vectors chosen to stand behind them"),
    ("lengths", "JSON", "", "result",
     "dynamic prompts, JSON: test texts for which 1, 2, … m vectors were kept"),
    ("pool_shares", "JSON", "", "result",
     "dynamic prompts, JSON: mean share of each prompt of the pool"),
    *(
        (f"agreement_{part}", "number", "share", "result",
         f"dynamic prompts, way decisions: share of texts about whose {part} heads that have not "
         "seen them decide as the source does")
        for part in ("position", "length", "representation")
    ),
    ("shots", "integer", "a class", "setting",
     "labelled examples of the target's that were asked for; empty: all, or no use of any"),
    ("budget", "integer", "rows", "setting", "rows forward that a search was given"),
    ("selection", "text", "", "result",
     "how one of the solver's candidates was chosen: none, source_validation, agreement or "
     "target_validation"),
    ("candidates", "integer", "", "result", "candidates the solver offered"),
    ("chosen", "number", "", "result",
     "γ, step or budget of the chosen candidate; empty where the solver has none of these"),
    ("product", "text", "", "result",
     "what is kept: prompt, readout or none; empty in older records, which keep a prompt"),
    ("target_work", "number", "rows forward", "",
     "what it took on the target until the prompt was final: target_forward_rows and "
     f"{BACKWARD} times target_backward_rows; the evaluation that gives the scores is not in it. "
     "Costs are empty in older records, where they are not known"),
    ("target_forward_rows", "integer", "rows", "result", "texts that the target read for it"),
    ("target_backward_rows", "integer", "rows", "result",
     "texts of these that the target was differentiated through"),
    ("target_forward_tokens", "integer", "tokens", "result",
     "tokens of the texts read, prompts included"),
    ("target_labels", "integer", "labels", "result",
     "labels of distinct examples that were read for it on the target, those of a choice on the "
     "target's validation split included"),
    ("unlabelled_texts", "integer", "texts", "result",
     "distinct texts that were used without their labels"),
    ("source_rows", "integer", "rows", "result",
     "texts that other models read for it: sources beyond their own tuning, or a judge"),
    ("source_at_inference", "true/false", "", "result",
     "whether the sources have to run wherever it is used"),
    ("access", "text", "", "result",
     f"what the target must give away: {', '.join(ACCESS[:-1])} or {ACCESS[-1]}"),
    ("teacher_agreement", "number", "share", "result",
     "share of the texts held out that the teacher and the target's calibrated Empty give the "
     "same class"),
    ("teacher_misfit", "number", "nats", "result",
     "mean cross-entropy of the result against the teacher on the texts held out, both calibrated"),
    ("teacher_degenerate", "true/false", "", "result",
     "whether the teacher gives all texts one class"),
    ("metric", "text", "", "result", "name of the task's metric"),
    ("score", "number", "0 to 1", "", "metric on the test split, 0 to 1"),
    ("validation_score", "number", "0 to 1", "result",
     "metric on the validation split, 0 to 1; all choices rest on it"),
    ("gain_over_empty", "number", "-1 to 1", "",
     "score minus the Empty score of the same target, task and settings"),
    ("gap_recovered", "number", "share", "",
     "transfer rows: (score − Empty) / (Direct − Empty) on the same target and task, Direct "
     "being the mean over seeds; empty where Direct is not at least "
     f"{100 * LEAST_GAP:g} points above Empty"),
    ("direct", "true/false", "", "",
     "whether the prompt was tuned on this target of the sweep itself (the report's row "
     "Direct; its cell is an ordinary independent one)"),
    *(
        (f"{split}_{name}", "number", "0 to 1", "result",
         f"{split} after {item.title} calibration, which subtracts {item.meaning}; empty where it "
         "was not computed")
        for name, item in CALIBRATIONS.items()
        for split in ("score", "validation_score")
    ),
    ("illegal_share", "number", "share", "result",
     "share of test examples whose best word of the whole vocabulary is no label word; empty where "
     "it was not measured"),
    ("score_open", "number", "0 to 1", "result",
     "score with those examples counted as wrong"),
    ("validation_illegal_share", "number", "share", "result",
     "illegal_share of the validation split"),
    ("validation_score_open", "number", "0 to 1", "result",
     "score_open of the validation split"),
    ("similarity", "number", "cosine", "result", "mean achieved similarity of the transfer"),
    ("alignment", "number", "1 - cosine", "result",
     "alignment loss at the checkpoint (joint tuning only)"),
    ("degenerate", "true/false", "", "result",
     "whether every test example was given the same class"),
    ("histogram", "JSON", "", "result",
     "JSON: how often each class was predicted on the test split"),
    ("n_test", "integer", "examples", "result", "test examples"),
    ("n_validation", "integer", "examples", "result", "validation examples"),
    ("loss", "number", "nats", "result", "cross-entropy on the test split, in nats"),
    ("best_step", "integer", "steps", "result", "step of the checkpoint kept"),
    ("steps", "integer", "steps", "",
     "steps trained; of a transfer those that its solver was given"),
    ("train_seconds", "number", "seconds", "result",
     "this cell's share of the training time, in seconds"),
    ("nearest", "JSON", "", "result",
     "JSON: per prompt vector, the nearest tokens of the model's vocabulary"),
    ("nearest_cosine", "JSON", "", "result", "JSON: their cosines with the vector"),
    ("nearest_words", "JSON", "", "result",
     "JSON: per prompt vector, the nearest whole words of the vocabulary"),
    ("nearest_words_cosine", "JSON", "", "result", "JSON: their cosines with the vector"),
    ("counterparts", "text", "", "",
     "hard prompts: models whose vocabulary was shared with the source's, joined by +"),
    ("vocabulary", "text", "", "setting",
     "hard prompts: the words allowed: all, random, common or agreement"),
    ("s", "integer", "words", "setting",
     "hard prompts: how many words were kept; means nothing for vocabulary all"),
    ("k", "integer", "words", "setting",
     "hard prompts: neighbours K compared; means nothing but for vocabulary agreement"),
    ("state", "text", "", "setting",
     "hard prompts: what PEZ keeps between steps, continuous or projected"),
    ("template", "true/false", "", "",
     "hard prompts: whether the task's template stands after the text"),
    ("frame", "text", "", "result",
     "under template: chat, whether the model read in its own chat template (chat) or has none "
     "(plain); empty where it was not asked for"),
    ("text", "text", "", "result", "hard prompts: the prompt, as text"),
    ("ids", "JSON", "", "result",
     "hard prompts, JSON: its token ids on the model it was evaluated on"),
    ("n_tokens", "integer", "tokens", "result", "hard prompts: how many they are"),
    ("prompts_scored", "integer", "prompts", "result",
     "rlprompt and proposals: how many different prompts were scored on training examples; of row "
     "drawn, as many as the search beside it"),
    ("prompts_offered", "integer", "prompts", "result",
     "rlprompt and proposals: how many of them were offered for the choice on validation"),
    ("roundtrip_exact", "true/false", "", "result",
     "hard prompts: whether the text encodes to exactly the tuned ids on the source"),
    ("score_as_ids", "number", "0 to 1", "result",
     "hard prompts on their source: score with the tuned ids instead of the text"),
    ("log_perplexity", "number", "nats", "result",
     "hard prompts: mean negative log-likelihood per token of the prompt alone, in nats, on "
     "the model it was evaluated on (models that fill in: pseudo-log-likelihood)"),
    ("dictionary_share", "number", "share", "result",
     "hard prompts: share of its words that are English dictionary words"),
    ("gain_over_no_prompt", "number", "-1 to 1", "",
     "hard prompts: score minus that of the same input without the prompt (Manual, or Empty "
     "where there is no template) on the same target and task"),
    ("prompt_file", "text", "", "", "prompt file, relative to the sweep's folder"),
    ("pack", "text", "", "record", "pack (trial) that computed the cell"),
    ("finished", "text", "ISO 8601", "record", "when it was finished, ISO 8601"),
    ("inputs", "JSON", "", "",
     "JSON: the source cells whose prompts were carried over or started from; of a crossed one the "
     "cell of its prompt and that of the task's own"),
    (SWEEP, "text", "", "", "name of the sweep; only where several were loaded together"),
)
# fmt: on
DICTIONARY = {row[0]: Column(*row) for row in _TABLE}
"""Every column by name. A set of n sources has further columns ``source_3`` to ``source_n``."""
COLUMNS = {name: column.meaning for name, column in DICTIONARY.items() if name != SWEEP}
"""What the columns of one sweep mean."""
TEXT = pd.StringDtype(na_value=np.nan)
_DTYPES: dict[str, Any] = {
    "integer": "Int64",
    "number": "float64",
    "true/false": "boolean",
    "text": TEXT,
    "JSON": TEXT,
}


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """A table's columns in the types of the dictionary; further sources are text."""
    known = {name: _DTYPES[column.type] for name, column in DICTIONARY.items()}
    return table.astype({name: known.get(str(name), TEXT) for name in table.columns})
