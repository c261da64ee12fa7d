"""How much work packs are, counted from their cells alone: steps, texts and tokens."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sweep.planning.twins import computed
from trainables.core.cells import Cell, Pack, content_hash
from trainables.core.frontier import work
from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import of_one_run
from trainables.core.texts import ONCE, Passes

TEXTS = 300
"""Texts a prompt is scored on, of a task that nobody has counted."""
TOKENS = 32
"""Tokens of a text that nothing cuts: a tweet, a sentence of a review, a headline."""
_TRAINING_ROWS = 8000
"""Training examples of a task whose size is not known: between MRPC's 3,700 and SST-2's 67,000."""
_EVALUATION = 10
"""Steps that evaluating one cell is worth: some 300 texts forwards against 8 forwards and back."""
_OWN_BATCH = 16
"""Texts a step of a way through the target that has no setting for it (``projector``)."""

Readings = Callable[[Cell], Passes]
"""How often an answer has its model read a text, of a cell."""


def once(cell: Cell) -> Passes:
    """Of an answer that is one token."""
    del cell
    return ONCE


def cost(pack: Pack) -> int:
    """Work in a pack, in training steps of one replica on one backbone.

    Exact where steps are given; under epochs an estimate, as nobody has read the task yet.
    """
    cells = computed(pack.cells)
    steps = sum(training_steps(cell.settings) for cell in cells if cell.kind == "source")
    steps += sum(run.steps for run in runs_of(cells) if run.trained)
    return steps + _EVALUATION * len(cells)


class TargetRun(NamedTuple):
    """One run of a way of transfer.

    Attributes:
        target: the model it is for.
        digest: of that model.
        method: what tuned the prompts that it carries.
        solver: the way.
        forward: texts that are read and not learnt from, by the target or by what teaches it.
        trained: texts forward and backward through the target.
        steps: optimisation steps.
    """

    target: str
    digest: str
    method: str
    solver: str
    forward: int
    trained: int
    steps: int

    @property
    def units(self) -> float:
        """What its time grows with: rows of a way that reads texts, or steps, or the run itself."""
        return self.units_of(1)

    def units_of(self, passes: int) -> float:
        """The same where an answer has each row read several times."""
        rows = passes * work(self.forward + self.trained, self.trained)
        return rows or float(max(self.steps, 1))


def runs_of(cells: Iterable[Cell]) -> list[TargetRun]:
    """The runs that transfers are taken from, each once, as far as it goes."""
    longest: dict[str, TargetRun] = {}
    for cell in cells:
        if cell.kind != "transfer" or "solver" not in cell.settings:
            continue
        key = content_hash([cell.target, cell.inputs, cell.seed, of_one_run(cell.settings)])
        run = _run(cell)
        longest[key] = max(longest.get(key, run), run)
    return list(longest.values())


def _run(cell: Cell) -> TargetRun:
    settings = cell.settings
    steps = int(settings.get("steps") or 0)
    through = SOLVERS[settings["solver"]].through
    size = int(settings.get("batch_size") or _OWN_BATCH) if through else 0
    texts = int(settings.get("texts") or 0)
    forward = int(settings.get("budget") or (settings.get("tries") or 1) * texts)
    digest = str(cell.digests[cell.target])
    solver = str(settings["solver"])
    return TargetRun(cell.target, digest, cell.method, solver, forward, steps * size, steps)


def training_steps(settings: Mapping[str, Any]) -> int:
    """Training steps of a tuning with these settings; under epochs an estimate."""
    if settings.get("steps"):
        return int(settings["steps"])
    if not settings.get("epochs"):
        return 1
    steps = int(settings["epochs"]) * -(-_TRAINING_ROWS // int(settings["batch_size"]))
    return min(steps, int(settings.get("max_steps", steps)))


def backwards(method: str) -> bool:
    """Whether a method differentiates through the texts that it reads to find prompts."""
    return bool(getattr(METHODS.get(method), "backwards", True))


def training_texts(settings: Mapping[str, Any], steps: int | None = None) -> int:
    """Texts that one prompt's tuning reads on each of its models.

    Of a search that scores prompts on some texts, those that it reads where no prompt is proposed
    twice.

    Args:
        settings: of a ``source`` cell.
        steps: those that were done; None takes those that are planned.
    """
    planned = training_steps(settings) if steps is None else steps
    scored = int(settings.get("reward_texts") or 1) * int(settings.get("prompts") or 1)
    return max(planned, 1) * int(settings.get("batch_size") or scored)


class Work(NamedTuple):
    """What packs do.

    Attributes:
        steps: optimisation steps; one of a joint tuning is one, however many models it reads.
        texts: times that a model reads a text, to train, to carry over or to score.
        backward: those of them that are differentiated through.
        tokens: of all these texts and of the prompts before them. Of a text that the settings cut,
            the most it can be; of any other, :data:`TOKENS`.
    """

    steps: int
    texts: int
    backward: int
    tokens: int


def work_of(
    packs: Iterable[Pack],
    scored: Callable[[Cell], int] = lambda cell: TEXTS,
    passes: Readings = once,
) -> Work:
    """The work of packs.

    What a search of hard prompts reads besides the texts of its steps is not counted: how many
    candidates it scores is its own business.

    Args:
        scored: how many texts a cell's prompt is scored on.
        passes: how often an answer has its model read a text.
    """
    steps = texts = backward = tokens = 0
    for pack in packs:
        longest: dict[tuple[Any, ...], int] = {}
        for cell in computed(pack.cells):
            times = passes(cell)
            read = scored(cell) * times.judged
            if cell.kind == "source":
                key = (cell.row, cell.counterparts, content_hash(cell.settings), cell.tuning)
                longest[key] = training_steps(cell.settings)
                trained = training_texts(cell.settings) * times.trained
                read += trained
                backward += trained * backwards(cell.method)
            texts, tokens = texts + read, tokens + read * _length(cell)
        steps += sum(longest.values())
        # All runs of a pack are of one method, and read texts of one length.
        length = max((_length(cell) for cell in pack.cells if cell.kind == "transfer"), default=0)
        times = passes(pack.cells[0])
        for run in runs_of(pack.cells):
            trained = run.trained * times.trained
            read = run.forward * times.judged + trained
            steps, backward = steps + run.steps, backward + trained
            texts, tokens = texts + read, tokens + read * length
    return Work(steps, texts, backward, tokens)


def _length(cell: Cell) -> int:
    """Tokens of a text with the cell's prompt; a reference row has a prompt of no length."""
    settings = cell.settings
    return int(settings.get("text_tokens") or TOKENS) + int(settings.get("prompt_length") or 0)
