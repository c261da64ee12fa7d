"""The table of all claims: for a terminal, for docs/speed.md, and in short for the README."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
HEAD = ("claim", "peer", "ours", "peer's", "ratio", "target", "met", "floor", "reached")
SHORT = ("claim", "peer", "ratio")
"""Columns of the README's table."""
SHORT_CLAIMS = ("tuning_MiniLM-L6", "whole_sweep", "engine")
"""The README's claims, each against its first peer: PEFT on a model of usual size, a sweep by hand,
and Ray Tune with Optuna and MLflow."""


def number(value: float) -> str:
    """Three digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.995 else f"{value:.3g}"


def cells(record: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table."""
    if "skipped" in record:
        return (record["claim"], f"not measured: {record['skipped']}", *[""] * 7)
    unit = record["unit"]
    estimated = " (estimated)" if record["estimated"] else ""
    floor = f"{number(record['floor'])} {unit}" if "floor" in record else ""
    reached = f"{record['floor_reached']:.1%}" if "floor" in record else ""
    return (
        record["claim"],
        record["peer"],
        f"{number(record['ours'])} {unit}",
        f"{number(record['theirs'])} {unit}{estimated}",
        f"{number(record['ratio'])}×",
        _target(record),
        {True: "met", False: "**not met**", None: ""}[record["met"]],
        floor,
        reached,
    )


def _target(record: Mapping[str, Any]) -> str:
    if record["at_most"] is not None:
        return f"≤ {record['at_most']:g}"
    return "" if record["target"] is None else f"≥ {record['target']:g}×"


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine in a sentence."""
    rates = machine.get("rates", {})
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB,"
        f" {rates.get('matrix_gflops', 0):.0f} GFLOP/s a core in matrix products,"
        f" {rates.get('memory_gb_per_second', 0):.1f} GB/s in copies; torch {machine['torch']},"
        f" transformers {machine['transformers']}, peft {machine['peft']}, ray {machine['ray']}"
    )


def as_text(records: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """For a terminal: a few lines a claim, so that nothing is cut."""
    lines = []
    for record in records:
        claim, peer, ours, theirs, ratio, target, met, floor, reached = cells(record)
        lines += [claim, f"    against {peer}" if ours else f"    {peer}"]
        if not ours:
            continue
        verdict = f" (target {target}: {met.strip('*')})" if target else ""
        lines.append(f"    {ours} against {theirs}: {ratio}{verdict}")
        if floor:
            lines.append(f"    floor {floor}, of which {reached} is reached")
        lines.append(f"    same: {record['same']}")
        if record["estimated"]:
            lines.append(f"    estimated: {record['estimated']}")
    return "\n".join([*lines, "", machine_line(machine)])


def as_markdown(
    records: Sequence[Mapping[str, Any]],
    machine: Mapping[str, Any],
    columns: Sequence[str] = HEAD,
) -> str:
    """A page's block, without its markers."""
    shown = [HEAD.index(column) for column in columns]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(cells(record)[index] for index in shown)} |" for record in records]
    return "\n".join([*lines, "", f"Measured on {machine_line(machine)}."])


def write_pages(kept: Mapping[str, Any], readme: Path, page: Path) -> None:
    """Put all claims into the block of ``page``, :data:`SHORT_CLAIMS` into the README's."""
    claims, machine = kept["claims"], kept["machine"]
    records = [record for found in claims.values() for record in found]
    write_block(page, as_markdown(records, machine))
    short = [claims[name][0] for name in SHORT_CLAIMS if name in claims]
    write_block(readme, as_markdown(short, machine, SHORT))


def write_block(file: Path, text: str) -> None:
    """Put ``text`` between the two markers of a file.

    Raises:
        ValueError: the file does not have the two markers once each, in order.
    """
    content = file.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(content)) != 1:
        raise ValueError(f"{file}: found no block between {BEGIN} and {END}; allowed: just one")
    block = f"{BEGIN}\n{text}\n{END}"
    file.write_text(pattern.sub(lambda _: block, content), encoding="utf-8")
