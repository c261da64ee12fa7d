"""The report's section on soft prompts where they stand, after Lester et al. (2021)."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.present.exhibits import Figure, Part, Section, Table
from analysis.tuned import label_words, length_and_start, open_answers
from analysis.tuned.ensemble_table import ensemble_grid, ensemble_table, summary
from analysis.tuned.widths import widths_of

ANCHOR = "tuned"
_SCORES = {
    "score": ("length_and_start", "Score among label words"),
    "score_open": ("length_and_start_open", "Score among all words"),
}
_CAPTION = (
    "Mean over tasks on test, on the model that the prompt was tuned on; bars are 95 % t-intervals"
    " over seeds, the dotted line is Empty. Below each length m stand the trained parameters, m"
    " times the width of the model's embeddings."
)


def tuned_section(
    frame: pd.DataFrame,
    examples: Examples | None = None,
    folder: Path | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Section:
    """Length and start, open answers, ensembles and label words, as far as a sweep tells of them.

    Args:
        frame: results of soft prompts, see :func:`analysis.load`.
        examples: reads the kept predictions; without it there are no ensembles.
        folder: the sweep's, whose prompts tell their width.
        meta: of the sweep, which tells the label words.
    """
    rows = length_and_start.tuned_alone(frame)
    parts = [
        *_lengths(frame, rows, folder),
        *_open(frame, rows),
        *_ensembles(frame, examples),
        *_words(rows, meta or {}),
    ]
    return Section(ANCHOR, "Prompts where they were tuned", parts, link="Length, start, ensembles")


def _lengths(frame: pd.DataFrame, rows: pd.DataFrame, folder: Path | None) -> Iterator[Part]:
    if not length_and_start.varied(rows):
        return
    widths = widths_of(folder, rows)
    figures: list[Figure] = []
    tables: list[Table] = []
    for value, (name, title) in _SCORES.items():
        table = length_and_start.ablation_table(rows[rows[value].notna()], widths, value)
        if table.empty:
            continue
        empty = frame[frame["row"] == "empty"].groupby("target")[value].mean()
        levels = {str(target): 100 * float(level) for target, level in empty.items()}
        draw = partial(length_and_start.ablation_figure, table=table, empty=levels)
        alt = f"{title} by length and start of the prompt, a line a start, a panel a model."
        narrow = partial(draw, across=1)
        figures.append(Figure(name, alt, f"{title}. {_CAPTION}", draw, narrow))
        grid = length_and_start.ablation_grid(table)
        tables.append(Table(name, f"{title} by length and start", grid, table))
    yield Part("Length and start", exhibits=figures)
    yield Part(
        folded="Length and start as numbers",
        note="Points, mean over tasks ± half of the 95 % t-interval over seeds. Point at a number"
        " for its parameters and seeds.",
        exhibits=tables,
    )


def _open(frame: pd.DataFrame, rows: pd.DataFrame) -> Iterator[Part]:
    if not open_answers.measured(frame):
        return
    table, pairs = open_answers.open_table(frame), open_answers.model_pairs(rows)
    shown = [Table("open_answers", "Answers among all words", open_answers.open_grid(table), table)]
    if len(pairs):
        grid = open_answers.pair_grid(pairs)
        shown.append(Table("model_pairs", "Models compared on both scores", grid, pairs))
    yield Part(
        "Answers among all words",
        texts=[open_answers.pair_sentence(pairs)],
        note="An answer is illegal where some other word of the whole vocabulary is likelier than"
        " every label word; the open score counts it as wrong. Means over tasks of means over"
        " everything else. Models are paired on task, start, length and seed; 95 % intervals over"
        " tasks and seeds, not over test examples. Bold: the interval excludes 0.",
        exhibits=shown,
    )


def _ensembles(frame: pd.DataFrame, examples: Examples | None) -> Iterator[Part]:
    table = None if examples is None else ensemble_table(frame, examples)
    if table is None or table.empty:
        return
    numbers = summary(table)
    yield Part(
        folded="Ensembles of prompts",
        note="From the predictions that were kept, without another pass. Vote: the class that most"
        " members give, of several the one with the larger summed log-probability. Mean: of the"
        " members' probabilities. An ensemble of N prompts costs N passes an example wherever it is"
        " used; the best member, chosen on validation, costs one. 95 % intervals over tasks, source"
        " models and test examples, as far as there are several. Bold: the interval excludes 0.",
        exhibits=[
            Table("ensembles", "Ensembles of prompts", ensemble_grid(numbers), numbers),
            Table("ensembles_each", "Every ensemble", ensemble_grid(numbers), table, on_page=False),
        ],
    )


def _words(rows: pd.DataFrame, meta: Mapping[str, Any]) -> Iterator[Part]:
    table = label_words.label_word_table(rows, label_words.label_words_of(meta))
    if table.empty:
        return
    yield Part(
        folded="Label words among the nearest words",
        note="Of the five whole words nearest to each vector by cosine. Prompts that start from"
        " label words have them from the beginning; a label word that is no whole word of the"
        " vocabulary is never among them.",
        exhibits=[
            Table(
                "label_words",
                "Label words among the nearest",
                label_words.label_word_grid(table),
                table,
            )
        ],
    )
