"""What the Markdown files say holds: links lead somewhere, commands exist, and README is short."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from sweep.cli import app

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("", "analysis", "benchmarks", "clusters", "docs", "examples", "sweep", "trainables")
PAGES = sorted(
    file for place in PLACES for file in (ROOT / place).glob("**/*.md" if place else "*.md")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^\s*(?:\S+=\S+ )*(?:promptsweep|sweep) ([a-z][^\n]*)$", re.MULTILINE)
INLINE = re.compile(r"`(?:promptsweep|sweep) ([a-z][^`]*)`")
MOST_WORDS = 1200


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> Iterator[str]:
    """Targets of a page's links but those to other sites."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose)):
        if not re.match(r"[a-z]+:", target):
            yield target


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a page's headings are called in links, on GitHub and on the site."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE):
        text = re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        assert place.is_relative_to(ROOT), target
        if anchor:
            assert place.suffix == ".md" and anchor in anchors(place), target


def test_the_site_shows_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = set(re.findall(r": (\S+\.md)$", text, re.MULTILINE))
    assert shown >= {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").glob("*.md")}
    assert all((ROOT / "docs" / name).exists() or (ROOT / name).exists() for name in shown)


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def commands(text: str) -> Iterator[str]:
    """Lines of ``sweep`` in a text, without comments, what goes on in the next line, and pipes."""
    for line in COMMAND.findall(text.replace("\\\n", " ")):
        yield re.split(r"\s#|[|>;&…)]", line)[0].strip()


def shown() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        if page.name != "CHANGELOG.md":
            text = page.read_text(encoding="utf-8")
            for _, block in FENCE.findall(text):
                yield from ((name_of(page), line) for line in commands(block))
            yield from ((name_of(page), line) for line in INLINE.findall(FENCE.sub("", text)))
    for name in ("slurm.sh", "skypilot.yaml"):
        text = (ROOT / "clusters" / name).read_text(encoding="utf-8")
        yield from ((name, line) for line in commands(text))
    job = yaml.safe_load((ROOT / "clusters/kuberay.yaml").read_text(encoding="utf-8"))
    yield from (("kuberay.yaml", line) for line in commands(job["spec"]["entrypoint"]))


def test_commands_exist_with_their_options() -> None:
    group: Any = typer.main.get_command(app)
    known = {
        name: {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
        for name, command in group.commands.items()
    }
    lines = list(shown())
    assert len(lines) > 90
    assert {"run", "plan", "init", "report", "export", "ui"} <= {
        text.split()[0] for _, text in lines
    }
    for where, line in lines:
        name, *words = line.split()
        assert name in known, f"{where}: sweep {line}"
        options = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
        assert options <= {"-h", *known[name]}, f"{where}: sweep {line}"
