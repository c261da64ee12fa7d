"""The two files that are written, as texts with comments."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.commands.init.files import split_section
from sweep.commands.init.look import Look
from sweep.commands.init.words import NAME, Proposal
from trainables.files.strict_yaml import NumberLoader, WordLoader, load_yaml
from trainables.files.text_files import one_line
from trainables.tasks import SPLITS

TASK, SPEC = "task.yaml", "spec.yaml"
_MOST = {"train": 2000, "validation": 200, "test": 500}
"""Rows of a first sweep."""
_TEXTS = 200
_BATCH, _PASSES, _STEPS = 8, 3, (24, 80)
_TOKENS_A_WORD, _TOKENS = 1.4, (16, 64)
_MOST_UNLIKE = 1.5
"""How many times as large as the smallest class the largest may be, for accuracy to do."""
_PLAIN = re.compile(r"[A-Za-z_][\w ./@-]*", re.ASCII)

_NUMBERED = "  # names in their place read better: [negative, positive]"


def task_text(name: str, seen: Look, words: Sequence[Proposal], out: Path, models: int) -> str:
    """The task file, with comments."""
    files = {role: relative(path, out) for role, path in seen.files.items()}
    sizes = seen.sizes
    even = max(sizes.values()) <= _MOST_UNLIKE * min(sizes.values())
    limit = {role: most for role, most in _MOST.items() if len(seen.examples[role]) > most}
    numbered = list(seen.classes) == [str(place) for place in range(len(seen.classes))]
    held = [role for role in SPLITS if role not in files]
    lines = [
        f"# Made by sweep init from {one_line(seen.data.name)}. Look at label_words first.",
        f"name: {flow(name)}",
        "version: 1  # raise it when the data or this file mean something else",
        f"data:\n  files: {flow(files)}  # from this file's folder",
        f'text: {flow(f"{{{seen.text.column.name}}}")}  # more columns: "{{title}} {{body}}"',
        f"label: {flow(seen.label.column.name)}",
        f"classes: {flow(list(seen.classes))}" + (_NUMBERED if numbered else ""),
        f"# One word a class, in that order; each is a single token on all {models} models.",
        f"label_words: {flow([word for word, _ in words])}",
        *(
            f"#   {one_line(label)}: {word}, {why}"
            + ("" if why == NAME else "; is there a better one?")
            for label, (word, why) in zip(seen.classes, words, strict=True)
        ),
        "#   sweep label-words spec.yaml --words A,B compares choices without tuning.",
        "manual: It was  # what the row Manual puts between text and answer",
        f"metric: {'accuracy' if even else 'macro_f1'}"
        f"  # classes are of {'like' if even else 'unlike'} sizes",
        "splits:",
        *(f"  {role}: {flow(part)}" for role, part in split_section(seen.files).items()),
        *(
            [f"# {' and '.join(held[-2:])}: held out in the class proportions; seed says which."]
            if held
            else []
        ),
        *(
            [f"limit: {flow(limit)}  # most rows of a first sweep; without it, all of them"]
            if limit
            else []
        ),
    ]
    return "\n".join(lines) + "\n"


def spec_text(name: str, seen: Look, sources: Sequence[str], targets: Sequence[str]) -> str:
    """The spec, with comments; as large as the data is worth and a laptop can."""
    train = min(len(seen.examples["train"]), _MOST["train"])
    texts = min(_TEXTS, train)
    steps = _within(_PASSES * train // _BATCH, *_STEPS)
    lengths = sorted(len(row.text.split()) for row in seen.examples["train"])
    tokens = _TOKENS_A_WORD * lengths[9 * len(lengths) // 10]
    cut = _within(-(-int(tokens) // 8) * 8, *_TOKENS)
    shorter = "longer texts are cut" if tokens > cut else "nine texts in ten are shorter"
    pairs = "all" if len(sources) > 1 else "[]"
    return f"""\
# Made by sweep init from {one_line(seen.data.name)}: a first sweep, of minutes on two CPU cores.
name: {flow(name)}
sources: {flow(list(sources))}  # prompts are tuned on these
pairs: {pairs}  # which of them are tuned together
targets: {flow(list(targets))}  # and carried to these, which stay as they are
tasks: [{TASK}]
seeds: 2  # 5 for a result that is to be believed
methods:
  soft:
    lambda: [0, 0.5]  # weight of the loss that aligns prompts tuned together; more: 0.1, 0.9, …
    steps: {steps}  # more steps, better prompts
    batch_size: {_BATCH}
    learning_rate: 0.05
    evaluations: 4
    text_tokens: {cut}  # {shorter}
transfer:
  - {{solver: closed_form}}  # without a look through the target
  - {{solver: readout, texts: {texts}, rows: [single]}}  # reads unlabelled texts through it
  - {{solver: distil, texts: {texts}, rows: [single]}}  # trains on what the source says
direct: true  # a prompt tuned on the target itself, to compare with
calibration: [batch]
resources: {{cpu: 1}}  # of each pack; {{cpu: 4, gpu: 0.5}} on a machine with a card
"""


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def flow(value: Any) -> str:
    """YAML in one line that reads back as ``value``: text, numbers, lists and mappings of them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and value == value.strip()
    if plain and all(
        load_yaml(value, "", loader) == value for loader in (NumberLoader, WordLoader)
    ):
        return value
    # Quoted as JSON does, which is YAML; what YAML takes in no other form is escaped.
    return json.dumps(value, ensure_ascii=not value.isprintable()).replace("\x7f", "\\u007f")


def relative(path: Path, out: Path) -> str:
    """``path`` as a file in the folder ``out`` names it; whole where they share no folder."""
    place, start = path.parent.resolve() / path.name, out.resolve()
    apart = Path(os.path.commonpath([place, start])) == Path(place.anchor)
    return (place if apart else Path(os.path.relpath(place, start))).as_posix()
