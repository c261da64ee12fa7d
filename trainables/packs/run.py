"""One pack on its way: what is loaded, what is found, what it cost."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trainables.backbones import (
    LAYERS,
    Backbone,
    Encoded,
    Labels,
    Layout,
    Reader,
    judged_by,
    load_backbone,
    reads_of,
)
from trainables.compute.memory import Resident, Room
from trainables.compute.process import Moment, now
from trainables.core.cells import Cell, Pack, PackOutcome, processor_time
from trainables.core.contents import start_digest
from trainables.core.settings.base import CHAT
from trainables.core.texts import ONCE, Passes, Text, joined
from trainables.dynamic.guide import Guide
from trainables.dynamic.telling import decisions
from trainables.errors import InputError
from trainables.files.cache import cache_folder
from trainables.models.chats import unframed
from trainables.scoring.calibration import CALIBRATIONS, content_free_texts
from trainables.scoring.evaluate import Found, Numbers, measure, unreadable
from trainables.scoring.free_text import answers_of
from trainables.scoring.nearest_words import finite_reading, read_prompts
from trainables.scoring.open_vocabulary import OPEN, open_numbers
from trainables.scoring.unprompted import kept_states
from trainables.tasks import Task, load_task
from trainables.tasks.shots import few_shot
from trainables.words.kept_grams import kept_grams
from trainables.words.relative import Grams, gram_matrices, normalised_anchors
from trainables.words.vocabulary import Anchors, check_shared

Progress = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""

Rungs = Callable[[int, Mapping[str, float]], Collection[str]]
"""Called after an evaluation with the step and, per ``source`` cell still in training, the metric
on its source's validation split so far; gives the ids of cells whose training is to stop. A prompt
tuned for several sources stops as a whole where one of its cells is named."""

_GRAMS_SHARE = 0.1
"""Part of a device's memory that Gram matrices may take between packs."""

_resident_grams: Resident[tuple[object, ...], Grams] = Resident(
    _GRAMS_SHARE, lambda grams: sum(gram.nbytes for gram in grams.values())
)
"""Gram matrices by device, model digests and anchors, kept for the next packs of this process."""

ALL = Anchors()
"""Every word that the models at hand share."""

_CONTENT_FREE = "content-free inputs"
"""Stands where the name of a split stands; no split is called so."""

PLAIN = Layout()

_LAYOUT = ("prompt_length", "position", "text_tokens", "seam", "bos", "answer")


class Run:
    """One pack on its way: what is loaded, what is found, what it cost."""

    def __init__(
        self, pack: Pack, device: str, room: Room | None = None, rungs: Rungs | None = None
    ) -> None:
        """Read the task; models are loaded when they are asked for."""
        self.pack = pack
        self.device = device
        self.room = room or Room()
        self.rungs = rungs
        self.task: Task = load_task(pack.task)
        self.outcome = PackOutcome(results={}, prompts={}, failures={}, cost={})
        self._splits: dict[tuple[str, str, Layout], Encoded] = {}
        self._labels: dict[tuple[str, bool], Labels] = {}

    def few(self, shots: int | None, seed: int) -> "Run":
        """This run with few labelled examples, see :func:`trainables.tasks.shots.few_shot`.

        What it finds and costs goes where this one's does.
        """
        if shots is None:
            return self
        other = copy(self)
        other.task, other._splits = few_shot(self.task, shots, seed), {}
        return other

    def of(self, task: str) -> "Run":
        """This run on another task of ``pack.texts``."""
        other = copy(self)
        other.task, other._splits, other._labels = load_task(self.pack.texts[task]), {}, {}
        return other

    def backbone(self, alias: str) -> Backbone:
        return load_backbone(self.pack.models[alias], self.device, self.pack.precision)

    def labels(self, alias: str, layout: Layout) -> Labels:
        """What rows are compared by on a model under a layout: label words, texts, free text."""
        key = (alias, layout.chat)
        if key not in self._labels:
            backbone = self.backbone(alias)
            self._labels[key] = answers_of(backbone, self.task, self.device, layout.chat)
        return self._labels[key]

    def read(
        self, alias: str, texts: Sequence[Text], gold: Sequence[int], layout: Layout, task: str
    ) -> Encoded:
        """Texts as a model reads them, with room for the answers."""
        spare = judged_by(self.labels(alias, layout)).longest
        backbone = self.backbone(alias)
        found = backbone.read(texts, gold, layout, task, spare)
        if found.guided is None or not found.guided.guide.reads:
            return found
        bare = replace(layout, prompt_length=0, guide=None, template="", chat=False)
        # Of an empty text some models have nothing at all to read.
        known = [text if joined(text).strip() else "." for text in texts]
        plain = backbone.read(known, gold, bare, task)
        states = kept_states(backbone, plain, self.pack.models[alias].digest)
        return replace(found, guided=replace(found.guided, states=states))

    def open(self, labels: Any) -> bool:
        """Whether the best of all other words is asked for beside label words.

        Only words of one token, ids [C], compare with all the others at the answer.
        """
        return OPEN in self.pack.evaluation and isinstance(labels, torch.Tensor)

    def start_file(self, alias: str) -> Path | None:
        """The file that a source's prompts start from; None where there is none.

        Raises:
            InputError: it has changed since it was planned.
        """
        if alias not in self.pack.files:
            return None
        path, planned = Path(self.pack.files[alias]), self.pack.file_digests.get(alias)
        try:
            same = planned is None or start_digest(path) == planned
        except OSError as error:
            raise InputError(f"init_file {path}: cannot be read ({error.strerror})") from None
        if not same:
            raise InputError(f"init_file {path}: has changed since the sweep was planned")
        return path

    def split(self, alias: str, name: str, layout: Layout) -> Encoded:
        """A split as a model reads it under a layout, read once a pack."""
        key = (alias, name, layout)
        if key not in self._splits:
            rows = self.task.rows(name)
            contents, gold = [row.content for row in rows], [row.label for row in rows]
            self._splits[key] = self.read(alias, contents, gold, layout, self.task.name)
        return self._splits[key]

    def texts(self, alias: str, layout: Layout, task: str | None = None) -> Encoded:
        """The texts of a training split as a model reads them, without labels (-1 each).

        ``task``: another task that they are of, by its name.
        """
        if task is None:
            known = self.split(alias, "train", layout)
            return replace(known, gold=torch.full_like(known.gold, -1))
        key = (alias, f"texts of {task}", layout)
        if key not in self._splits:
            contents = [row.content for row in load_task(self.pack.texts[task]).rows("train")]
            self._splits[key] = self.read(alias, contents, [-1] * len(contents), layout, task)
        return self._splits[key]

    def content_free(self, alias: str, layout: Layout) -> Encoded:
        """The content-free inputs of a model, their labels mean nothing."""
        key = (alias, _CONTENT_FREE, layout)
        if key not in self._splits:
            texts = content_free_texts(self.backbone(alias), layout, self.task.pair is not None)
            self._splits[key] = self.read(alias, texts, [0] * len(texts), layout, self.task.name)
        return self._splits[key]

    def grams(self, aliases: Sequence[str], anchors: Anchors = ALL) -> Grams:
        """Gram matrices over the common vocabulary of these models, in their order."""
        digests = [
            tuple(self.pack.models[alias].digest for alias in names)
            for names in (aliases, anchors.beside)
        ]
        key = (self.device, *digests, anchors.sample, anchors.seed)

        def make() -> Grams:
            models, beside = (
                [self.backbone(alias) for alias in names] for names in (aliases, anchors.beside)
            )
            digests = [self.pack.models[alias].digest for alias in aliases]
            return _gram_table(models, beside, anchors, digests)

        return _resident_grams.get(key, self.device, make)

    def spend(self, name: str, since: Moment) -> float:
        """Add the seconds since a moment to the pack's costs; how many they were.

        Those of the processor go beside them: on a busy machine they are what the work takes.
        """
        passed, cost = since.passed(), self.outcome.cost
        for key, seconds in ((name, passed.wall), (processor_time(name), passed.processor)):
            cost[key] = cost.get(key, 0.0) + seconds
        return passed.wall

    def evaluate(
        self,
        alias: str,
        layout: Layout,
        prompts: torch.Tensor | None,
        on_validation: torch.Tensor | None = None,
    ) -> list[Found]:
        """Numbers and predictions of each prompt [R, m, d] (or of no prompt) on one model.

        A prompt with logits that are not finite has none, but a sentence that names the split;
        those beside it are as they would be alone.

        ``on_validation``: its validation logits [R, v, C], where tuning has them already. With
        ``evaluation: open`` they have the rivals beside them, or validation is read once more.
        """
        began = now()
        backbone, labels = self.backbone(alias), self.labels(alias, layout)
        wide, count = self.open(labels), len(labels)
        if on_validation is None or on_validation.shape[-1] < count + wide:
            data = self.split(alias, "validation", layout)
            read = backbone.split_logits(data, labels, prompts, rival=wide)
            known = read[..., :count] if on_validation is None else on_validation
            on_validation = torch.cat([known, read[..., count:]], dim=-1)
        free = None
        calibrations = () if self.task.free else self.pack.calibration
        if any(CALIBRATIONS[name].content_free for name in calibrations):
            free = backbone.split_logits(self.content_free(alias, layout), labels, prompts)
        data = self.split(alias, "test", layout)
        on_test = backbone.split_logits(data, labels, prompts, rival=wide)
        found = self.scored(alias, on_test, on_validation, free)
        self.spend("evaluate_seconds", began)
        return found

    def scored(
        self,
        alias: str,
        on_test: torch.Tensor,
        on_validation: torch.Tensor,
        free: torch.Tensor | None = None,
    ) -> list[Found]:
        """Numbers and predictions of label-word logits [R, n, C] of both splits.

        With rivals beside them [R, n, C + 1], also what they say about all words.

        ``free``: of content-free inputs; without them, calibrations that read them are left out.
        """
        both = {"test": on_test, "validation": on_validation}
        count = on_test.shape[-1] if self.task.free else self.task.num_classes
        on_test, on_validation = on_test[..., :count], on_validation[..., :count]
        gold = {
            name: torch.tensor([row.label for row in self.task.rows(name)], device=self.device)
            for name in ("test", "validation")
        }
        known = [
            name
            for name in self.pack.calibration
            if free is not None or self.task.free or not CALIBRATIONS[name].content_free
        ]
        found = measure(
            on_test,
            gold["test"],
            on_validation,
            gold["validation"],
            self.task.metric,
            known,
            free,
            self.pack.predictions,
        )
        if OPEN in self.pack.evaluation:
            more = open_numbers(both, gold, count, self.task.metric)
            found = [each.plus(numbers) for each, numbers in zip(found, more, strict=True)]
        read = {"test": on_test, "validation": on_validation, _CONTENT_FREE: free}
        broken = unreadable(alias, self.task.name, read)
        return [why or evaluated for why, evaluated in zip(broken, found, strict=True)]

    def readings(
        self, alias: str, prompts: torch.Tensor, layout: Layout = PLAIN
    ) -> Sequence[Numbers]:
        """What prompts [R, m, d] are nearest to on a model; of matrices with heads the vectors.

        In layers there are no words.
        """
        if layout.position == LAYERS:
            return [{}] * len(prompts)
        if layout.guide is not None:
            prompts = prompts[:, : layout.guide.vectors]
        return [
            found
            if finite_reading(found)
            else f"model {alias!r}, task {self.task.name!r}: the cosines of the prompt and the word"
            " embeddings are not all finite numbers"
            for found in read_prompts(self.backbone(alias), prompts)
        ]

    def decisions(self, alias: str, layout: Layout, prompts: torch.Tensor) -> list[dict[str, Any]]:
        """What prompts with heads decide about the texts of the test split; empty of others."""
        guided = self.split(alias, "test", layout).guided
        if guided is None:
            return [{} for _ in prompts]
        return decisions(guided, prompts)

    def settle(self, cell: Cell, found: Found, prompt: Any = None, readout: Any = None) -> bool:
        """Make this the result of a cell, with its predictions and prompt, or say why it has none.

        Args:
            found: what it was evaluated to, or the sentence that fails it; then nothing is kept.
            prompt: as it goes into the outcome, where the cell has one of its own.
            readout: likewise.

        Returns:
            Whether the cell has a result.
        """
        if isinstance(found, str):
            self.outcome.failures[cell.id] = found
            return False
        more = {**self._frame(cell), **self._readings(cell)}
        self.outcome.results[cell.id] = {**found.numbers, **more}
        if found.predictions:
            self.outcome.predictions[cell.id] = found.predictions
        if prompt is not None:
            self.outcome.prompts[cell.id] = prompt
        if readout is not None:
            self.outcome.readouts[cell.id] = readout
        return True

    def twins(self) -> dict[str, str]:
        """By id, cells of the pack that are the same as another one of it, and which.

        Those under ``template: chat`` whose models have no chat template, beside the same without.
        """
        there, found = {cell.id for cell in self.pack.cells}, {}
        for cell in self.pack.cells:
            same = unframed(cell)
            if same is not None and same.id in there:
                read = (self.backbone(name) for name in cell.sources or (cell.target,))
                if not any(in_chat(reader, cell.settings) for reader in read):
                    found[cell.id] = same.id
        return found

    def repeat(self, twins: Mapping[str, str]) -> None:
        """Give cells what their twins have come to."""
        told = self.outcome
        every: tuple[dict[str, Any], ...] = (
            *(told.results, told.prompts, told.failures, told.stopped),
            *(told.predictions, told.readouts),
        )
        for cell in self.pack.cells:
            same = twins.get(cell.id)
            if same is None:
                continue
            for found in every:
                if same in found:
                    found[cell.id] = found[same]
            if same in told.results:
                told.results[cell.id] = {**told.results[same], **self._frame(cell)}

    def _readings(self, cell: Cell) -> dict[str, int]:
        """How often an answer has each row read, in training and in scoring, where not once."""
        chat = in_chat(self.backbone(cell.target), cell.settings)
        labels = self.labels(cell.target, Layout(chat=chat))
        found = Passes(reads_of(labels).rows, judged_by(labels).rows)
        told = {f"{name}_passes": rows for name, rows in found._asdict().items()}
        return {} if found == ONCE else told

    def _frame(self, cell: Cell) -> dict[str, str]:
        """Whether a model read in its chat template, where that was asked for."""
        if cell.settings.get("template") != CHAT:
            return {}
        return {"frame": CHAT if in_chat(self.backbone(cell.target), cell.settings) else "plain"}


def _gram_table(
    models: Sequence[Backbone],
    beside: Sequence[Backbone],
    anchors: Anchors,
    digests: Sequence[str],
) -> Grams:
    shared = anchors.among(models, beside)
    check_shared(len(shared), [model.alias for model in (*models, *beside)])
    return kept_grams(
        lambda: gram_matrices(normalised_anchors(models, shared), torch.float64),
        digests,
        [model.embeddings.shape[1] for model in models],
        shared,
        str(models[0].embeddings.device),
        cache_folder() / "grams",
    )


def layout_on(
    reader: Reader, task: Task, settings: Mapping[str, Any], length: int | None = None
) -> Layout:
    """How a model reads a prompt, the task's template in it where asked for.

    ``length``: vectors or tokens of the prompt there, where it is not that of the settings.
    """
    guide = Guide.of(settings, reader.family)
    if guide is not None:
        length = guide.length
    if length is not None:
        settings = {**settings, "prompt_length": length}
    wanted = settings.get("template")
    # Hard prompts have it or not, on every model alike.
    templated = wanted in ("all", True, CHAT) or (wanted == "causal" and reader.family.causal)
    template = task.manual if templated else ""
    chat = in_chat(reader, settings)
    return layout_of(settings, template=template, chat=chat, guide=guide)


def plain_layout(reader: Reader, settings: Mapping[str, Any], template: str = "") -> Layout:
    """How a text is read without a prompt, in the chat template where that is asked for."""
    cut = {"text_tokens": settings.get("text_tokens")}
    return layout_of(cut, template=template, chat=in_chat(reader, settings))


def in_chat(reader: Reader, settings: Mapping[str, Any]) -> bool:
    """Whether a model reads in its own chat template: where that is asked for and it has one."""
    return settings.get("template") == CHAT and reader.chat is not None


def layout_of(settings: Mapping[str, Any], **more: Any) -> Layout:
    return Layout(**{key: settings[key] for key in _LAYOUT if key in settings}, **more)
