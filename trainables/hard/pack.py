"""Packs of the hard family: search prompts on a source as one stack, evaluate their texts anywhere.

A prompt is scored as text on every model, its source included: the text is what users copy. The
source also scores the very tokens that the search found; the two differ where the text does not
encode back to them.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from trainables.backbones import label_texts
from trainables.compute.process import now
from trainables.core.cells import Cell, content_hash
from trainables.core.frontier import Cost
from trainables.core.registries import METHODS
from trainables.core.settings import from_mapping
from trainables.core.settings.hard import DRAWN, WORDS, HardSettings
from trainables.core.texts import joined, listed
from trainables.errors import InputError
from trainables.files.cache import cache_folder
from trainables.hard.allowed import Allowed, allowed_tokens
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Rungs, TaskModel, search_of
from trainables.hard.readability import is_scored, log_perplexity
from trainables.hard.text import decode, encode, from_bytes, to_bytes
from trainables.packs.run import Progress, Run, layout_on
from trainables.packs.stacks import Prompts, Tell, in_stacks, stopping
from trainables.scoring.evaluate import Found, Numbers, no_number, together
from trainables.words.dictionary import dictionary_share

Ids = tuple[int, ...]

TOGETHER = 32
"""Texts evaluated at once: more gain nothing, fewer would fill no pass, and progress is told
between them."""

SEEDED = ("random", "common")
"""Vocabularies that are drawn anew for each seed."""


def tune_sources(
    run: Run, cells: Sequence[Cell], known: dict[str, torch.Tensor], progress: Progress | None
) -> None:
    """Search all prompts of the pack, those that differ only in words and seed as one stack."""
    stacks: dict[str, list[Cell]] = {}
    for cell in cells:
        way = {key: value for key, value in cell.settings.items() if key not in WORDS}
        stacks.setdefault(content_hash(way), []).append(cell)
    for stack in stacks.values():
        _Search(run, stack).run(known, progress)


class _Search:
    """One stack of searches on one source."""

    def __init__(self, run: Run, cells: Sequence[Cell]) -> None:
        self.pack = run
        self.cells = cells
        self.alias = cells[0].sources[0]
        self.settings: Any = from_mapping(METHODS[cells[0].method], cells[0].settings)
        self.layout = layout_on(run.backbone(self.alias), run.task, cells[0].settings)
        self._ks = {cell.settings["k"] for cell in cells if "k" in cell.settings}
        self._known_words: dict[tuple[Any, ...], Allowed] = {}

    def run(self, known: dict[str, torch.Tensor], progress: Progress | None) -> None:
        """Search, and put results, texts and failures into the run's outcome.

        Passes of a search are bounded by tokens, whatever the number of replicas: all of them make
        one stack unless the room says otherwise or memory is short.
        """
        size = self.pack.room.replicas or len(self.cells)
        key = ("hard", self.cells[0].method, self.pack.pack.models[self.alias].digest)
        lost = in_stacks(
            self.cells,
            size,
            (*key, self.pack.device),
            lambda part, tell: self._search(part, known, tell),
            progress,
        )
        for cell in lost:
            self.pack.outcome.failures[cell.id] = (
                f"out of memory: one search does not fit beside {self.alias} on"
                f" {self.pack.device}, a smaller batch_size or text_tokens takes less"
            )

    def _search(
        self,
        cells: Sequence[Cell],
        known: dict[str, torch.Tensor],
        tell: Tell | None,
    ) -> None:
        began = now()
        words = [self._allowed(cell) for cell in cells]
        self.pack.spend("vocabulary_seconds", began)

        began = now()
        found = search_of(self.settings)(
            self.problem,
            [self._replica(cell, allowed) for cell, allowed in zip(cells, words, strict=True)],
            self.settings,
            tell,
            self._rungs(cells),
        )
        share = self.pack.spend("train_seconds", began) / len(cells)
        halted = {
            cell.id: item.stopped
            for cell, item in zip(cells, found, strict=True)
            if item.stopped is not None and item.failed is None
        }
        left = [place for place, cell in enumerate(cells) if cell.id not in halted]
        measured = self._measured(
            [cells[place] for place in left],
            [found[place] for place in left],
            [words[place] for place in left],
        )
        self.pack.outcome.stopped |= halted
        for cell, evaluated, allowed, prompt in measured:
            row = together(evaluated, {**_told(allowed), "train_seconds": share})
            if self.pack.settle(cell, row, to_bytes(prompt)):
                known[cell.id] = torch.from_numpy(to_bytes(prompt))

    def _replica(self, cell: Cell, allowed: Allowed) -> HardReplica:
        judges = self.settings.judges(cell.counterparts)
        return HardReplica(
            cell.seed or 0,
            allowed.ids,
            next(iter(judges), None),
            tuple(judges[1:]),
            drawn=cell.row == DRAWN,
        )

    def _rungs(self, cells: Sequence[Cell]) -> Rungs | None:
        ask = stopping(self.pack.rungs, [(cell, place, 0) for place, cell in enumerate(cells)])
        if ask is None:
            return None
        return lambda step, values: ask(step, {place: [one] for place, one in values.items()})

    def _allowed(self, cell: Cell) -> Allowed:
        settings: HardSettings = from_mapping(METHODS[cell.method], cell.settings)
        asked: tuple[Any, ...] = (settings.vocabulary, settings.s, settings.k, cell.counterparts)
        if settings.vocabulary in SEEDED:
            asked += (cell.seed,)
        if asked not in self._known_words:
            models = [self.pack.backbone(alias) for alias in (self.alias, *cell.counterparts)]
            labels = label_texts(self.pack.labels(self.alias, self.layout)).tokens
            self._known_words[asked] = allowed_tokens(
                models, settings, cell.seed or 0, labels, cache_folder() / "agreement", self._ks
            )
        return self._known_words[asked]

    @cached_property
    def problem(self) -> HardProblem:
        """The task on the source, and on the models that judge; who helps."""
        judges = {alias for cell in self.cells for alias in self.settings.judges(cell.counterparts)}
        task, helper = self.pack.task, getattr(self.settings, "helper", None)
        return HardProblem(
            source=self._task_model(self.alias),
            class_ids=tuple(label_texts(self.pack.labels(self.alias, self.layout)).tokens),
            metric=self.pack.task.metric,
            evaluators={alias: self._task_model(alias) for alias in sorted(judges)},
            helper=None if helper is None else self.pack.backbone(helper),
            examples=[
                (joined(row.content), listed(task.label_words[row.label])[0])
                for row in (() if helper is None else task.rows("train"))
            ],
        )

    def _task_model(self, alias: str) -> TaskModel:
        backbone = self.pack.backbone(alias)
        # Models may differ in whether they have a chat template.
        layout = layout_on(backbone, self.pack.task, self.cells[0].settings)
        return TaskModel(
            backbone,
            self.pack.labels(alias, layout),
            self.pack.split(alias, "train", layout),
            self.pack.split(alias, "validation", layout),
        )

    def _measured(
        self, cells: Sequence[Cell], found: Sequence[HardFound], words: Sequence[Allowed]
    ) -> list[tuple[Cell, Found, Allowed, str]]:
        """Every search that did not fail, with what it was evaluated to and its text."""
        backbone = self.pack.backbone(self.alias)
        kept = []
        for cell, prompt, allowed in zip(cells, found, words, strict=True):
            if prompt.failed is None and prompt.unread is None:
                kept.append((cell, prompt, allowed, decode(backbone, prompt.ids)))
            elif prompt.failed is None:
                self.pack.outcome.failures[cell.id] = no_number(
                    str(prompt.unread), self.pack.task.name, "validation"
                )
            else:
                self.pack.outcome.failures[cell.id] = (
                    f"the loss was no longer a finite number at step {prompt.failed}"
                )
        as_ids = [prompt.ids for _, prompt, _, _ in kept]
        as_text = [tuple(encode(backbone, text)) for *_, text in kept]
        texts = [text for *_, text in kept]
        numbers = _evaluate(self.pack, self.alias, self.cells[0].settings, [*as_ids, *as_text])
        read = _read(self.pack, self.alias, texts, as_text, numbers[len(kept) :])
        measured = []
        for place, (cell, prompt, allowed, text) in enumerate(kept):
            exact = numbers[place]
            more = {
                "roundtrip_exact": as_text[place] == prompt.ids,
                "tuned_ids": list(prompt.ids),
                "score_as_ids": None if isinstance(exact, str) else exact.numbers["score"],
                "best_step": prompt.step,
                "steps": prompt.steps,
                "search_validation": prompt.validation,
                "rows_read": prompt.evaluated,
                "rows_saved": prompt.saved,
                "curve": list(prompt.curve),
                "product": "prompt",
                **prompt.told,
                **prompt.cost.numbers(),
            }
            row = together(numbers[len(kept) + place], read[place], more)
            measured.append((cell, row, allowed, text))
        return measured


def carried_with(run: Run, cell: Cell, known: Prompts) -> Hashable:
    """How the text is read."""
    return layout_on(run.backbone(cell.target), run.task, cell.settings, 0)


def carry_group(run: Run, cells: Sequence[Cell], known: Prompts) -> None:
    """Evaluate texts on a target."""
    target, began = cells[0].target, now()
    backbone = run.backbone(target)
    texts = [from_bytes(known[cell.inputs[0]].numpy()) for cell in cells]
    ids = [tuple(encode(backbone, text)) for text in texts]
    numbers = _evaluate(run, target, cells[0].settings, ids)
    read = _read(run, target, texts, ids, numbers)
    share = run.spend("transfer_seconds", began) / len(cells)
    for place, cell in enumerate(cells):
        more = {
            "roundtrip_exact": decode(backbone, ids[place]) == texts[place],
            "transfer_seconds": share,
            "product": "prompt",
            **Cost().numbers(),
        }
        run.settle(cell, together(numbers[place], read[place], more))


def _evaluate(
    run: Run, alias: str, settings: Mapping[str, Any], prompts: Sequence[Ids]
) -> list[Found]:
    """Every token sequence, of any length, evaluated on a model; each different one once."""
    by_length: dict[int, list[Ids]] = {}
    for ids in dict.fromkeys(prompts):
        by_length.setdefault(len(ids), []).append(ids)
    known: dict[Ids, Found] = {}
    backbone = run.backbone(alias)
    for length, same in by_length.items():
        vectors = backbone.embeddings[torch.tensor(same, device=run.device)] if length else None
        try:
            layout = layout_on(backbone, run.task, settings, length)
            found = run.evaluate(alias, layout, vectors)
        except InputError as error:  # no room: some other prompt may still fit
            found = [str(error)] * len(same)
        known |= dict(zip(same, found, strict=True))
    return [known[ids] for ids in prompts]


def _read(
    run: Run,
    alias: str,
    texts: Sequence[str],
    ids: Sequence[Ids],
    numbers: Sequence[Found],
) -> list[Numbers]:
    """What prompts look like on a model: their texts and tokens, and how well they read.

    Those that could not be evaluated there have no perplexity either; one whose perplexity is no
    finite number has a sentence instead.
    """
    backbone = run.backbone(alias)
    fit = [item for item, found in zip(ids, numbers, strict=True) if not isinstance(found, str)]
    perplexities: dict[Ids, float] = {}
    for length in sorted({len(item) for item in fit if item}):
        same = list(dict.fromkeys(item for item in fit if len(item) == length))
        values = log_perplexity(backbone, torch.tensor(same, device=run.device)).tolist()
        if is_scored(backbone, length):
            perplexities |= dict(zip(same, values, strict=True))
    broken = (
        f"model {alias!r}, task {run.task.name!r}: the log-perplexity of the prompt is not a finite"
        " number"
    )
    return [
        broken
        if not math.isfinite(perplexities.get(item, 0.0))
        else {
            "text": text,
            "ids": list(item),
            "n_tokens": len(item),
            "log_perplexity": perplexities.get(item),
            "dictionary_share": dictionary_share(text),
        }
        for text, item in zip(texts, ids, strict=True)
    ]


def _told(allowed: Allowed) -> dict[str, Any]:
    """What a search says of the words it was given."""
    return {
        "words_common": allowed.common,
        "words_available": allowed.available,
        "words_used": allowed.used,
        "effective_k": None if allowed.agreement is None else allowed.agreement.neighbours,
    }
