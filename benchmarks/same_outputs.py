"""Whether two versions of the program say the same of a finished sweep, number by number.

    python -m benchmarks.same_outputs make SWEEP_FOLDER... --to BEFORE
    (change the program)
    python -m benchmarks.same_outputs make SWEEP_FOLDER... --to AFTER
    python -m benchmarks.same_outputs compare BEFORE AFTER

`make` writes report, tables, figures and exports of copies of the folders. `compare` reads them:
tables column by column, the report and every other text word by word, other files byte by byte. It
prints each difference and ends with exit code 1 if there is one.
"""

import argparse
import difflib
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

COMMANDS = (
    ("report",),
    ("report", "--csv", "--markdown", "--latex", "--figures"),
    ("export", "--top", "2"),
)
# What a sweep's folder holds already.
LEFT_OUT = (
    "ledger",
    "prompts",
    "mlartifacts",
    "mlflow.db",
    "driver.lock",
    "spec.yaml",
    "sweep.json",
)
TABLES = (".csv", ".parquet")
TEXTS = (".html", ".svg", ".md", ".tex", ".json", ".txt", ".yaml")
SHOWN = 20


def make(folders: list[Path], to: Path) -> None:
    """Write into `to` what the commands make of a copy of each folder, and what they print."""
    for folder in folders:
        with tempfile.TemporaryDirectory() as room:
            copy = Path(room) / folder.name
            shutil.copytree(folder, copy)
            kept = to / folder.name
            kept.mkdir(parents=True)
            for command in COMMANDS:
                done = subprocess.run(
                    [sys.executable, "-m", "sweep.cli", command[0], str(copy), *command[1:]],
                    capture_output=True,
                    text=True,
                )
                printed = (done.stdout + done.stderr).replace(room, "")
                (kept / f"{'_'.join(command)}.txt").write_text(f"{printed}exit {done.returncode}\n")
            shutil.copytree(
                copy, kept, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True
            )


def compare(before: Path, after: Path) -> list[str]:
    """One line for each file that differs, with the first places in it."""
    names = {p.relative_to(r) for r in (before, after) for p in r.rglob("*") if p.is_file()}
    lines = []
    for name in sorted(names):
        missing = [str(r) for r in (before, after) if not (r / name).exists()]
        if missing:
            lines.append(f"{name}: not in {missing[0]}")
        elif (before / name).read_bytes() != (after / name).read_bytes():
            lines += [f"{name}: {d}" for d in _differences(before / name, after / name)]
    return lines


def _differences(one: Path, other: Path) -> list[str]:
    if one.suffix in TABLES:
        return _of_tables(one, other)
    if one.suffix in TEXTS:
        return _of_words(_words(one), _words(other))
    return ["differs"]


def _of_tables(one: Path, other: Path) -> list[str]:
    read = pd.read_csv if one.suffix == ".csv" else pd.read_parquet
    before, after = read(one), read(other)
    lines = [
        f"column {c} is in one of them" for c in before.columns.symmetric_difference(after.columns)
    ]
    if len(before) != len(after):
        return [*lines, f"{len(before)} and {len(after)} rows"]
    for column in before.columns.intersection(after.columns):
        a, b = before[column], after[column]
        same = (a == b) | (a.isna() & b.isna())
        if not same.all():
            row = int((~same).idxmax())
            lines.append(f"{column}: {int((~same).sum())} rows, first {row}: {a[row]} and {b[row]}")
    return lines


def _words(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        text = json.dumps(json.loads(text), indent=1, sort_keys=True)
    if path.suffix in (".html", ".svg"):
        # Figures are embedded as data, and matplotlib numbers and dates its elements anew.
        text = re.sub(r"<(style|script|metadata)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
        text = html.unescape(text)
    return text.split()


def _of_words(before: list[str], after: list[str]) -> list[str]:
    lines = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            lines.append(f"word {a}: {' '.join(before[a:b])!r} is now {' '.join(after[c:d])!r}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("make")
    making.add_argument("folders", nargs="+", type=Path)
    making.add_argument("--to", required=True, type=Path)
    comparing = actions.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.action == "make":
        make(given.folders, given.to)
        return 0
    lines = compare(given.before, given.after)
    for line in lines[:SHOWN]:
        print(line[:400])
    if len(lines) > SHOWN:
        print(f"and {len(lines) - SHOWN} more")
    print(f"{len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
