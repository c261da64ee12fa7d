"""Every claim about speed against its peer, as one table: ``python -m benchmarks``.

    python -m benchmarks                    # all, at most 20 minutes on two cores
    python -m benchmarks --only transfer    # some; the others stay as they were measured last
    python -m benchmarks --markdown         # only write the tables, from what is kept

Findings are kept as JSON. Each claim runs in a process of its own, contestants in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.table import as_text, write_pages

RESULTS = Path("benchmarks/results/claims.json")
README = Path("README.md")
PAGE = Path("docs/speed.md")


def measured(name: str) -> list[dict[str, Any]]:
    """One measurement in a process of its own; a line that says why where it failed."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks", "--measure", name, str(out)]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            return [{"claim": name, "skipped": f"failed, {lines[-1]}", "failed": True}]
        found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
        return found


def measure_here(name: str, out: Path) -> None:
    """One measurement in this process, its records into a file."""
    from benchmarks.claims import MEASURES

    records = [finding.record() for finding in MEASURES[name]()]
    out.write_text(json.dumps(records), encoding="utf-8")


def machine() -> dict[str, Any]:
    """What everything ran on."""
    from benchmarks.machine import describe, rates

    return describe() | {"rates": rates(1).record()}


def main() -> int:
    """Exit code 1 where a measurement failed; a target not met is no failure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measurements to run")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--markdown", action="store_true", help="write the tables, only")
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if options.measure:
        measure_here(options.measure[0], Path(options.measure[1]))
        return 0
    kept: dict[str, Any] = {"machine": {}, "claims": {}}
    if options.json.is_file():
        kept = json.loads(options.json.read_text(encoding="utf-8"))
    if not options.markdown:
        _run(options.only, kept, options.json)
    write_pages(kept, options.readme, options.page)
    records = [record for found in kept["claims"].values() for record in found]
    print(as_text(records, kept["machine"]))
    return int(any(record.get("failed") for record in records))


def _run(only: list[str] | None, kept: dict[str, Any], file: Path) -> None:
    """Measure what is asked for, and keep it after each claim."""
    from benchmarks.claims import MEASURES

    unknown = sorted(set(only or ()) - set(MEASURES))
    if unknown:
        sys.exit(f"--only: found {', '.join(unknown)}; allowed: {', '.join(MEASURES)}")
    began, found = time.perf_counter(), dict(kept["claims"])
    kept["machine"] = machine()
    for name in MEASURES:
        if only is None or name in only:
            since = time.perf_counter()
            found[name] = measured(name)
            now = time.perf_counter()
            print(f"{name}: {now - since:.0f} s", file=sys.stderr, flush=True)
        kept["claims"] = {each: found[each] for each in MEASURES if each in found}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(f"all: {(time.perf_counter() - began) / 60:.1f} min", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
