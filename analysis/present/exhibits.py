"""What a report shows: sections of parts, whose tables and figures are files as well.

There is one list of them. The page, the files of tables and the files of figures are three loops
over it.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from analysis.present.drawing import New, drawing, encoded
from analysis.present.grid import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: what its files are called, without their ending.
        title: what it shows.
        grid: as people read it.
        numbers: what stands behind it, one line a number or group of numbers.
        on_page: whether the page shows it; else a figure stands there for it.
    """

    name: str
    title: str
    grid: Grid
    numbers: pd.DataFrame
    on_page: bool = True


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when it is asked for.

    Attributes:
        name: what its files are called, without their ending.
        alt: what it shows, for those who cannot see it.
        caption: what stands below it.
        draw: makes it with a maker of figures; None where there is nothing to draw.
        narrow: likewise, for a narrow screen; None where the same one does.
    """

    name: str
    alt: str
    caption: str
    draw: Callable[[New], "Drawn | None"]
    narrow: Callable[[New], "Drawn | None"] | None = None

    def image(self, fmt: str = "svg", ground: str = "white") -> bytes | None:
        """Its file, ``svg`` or ``png``, on a ground; None where there is nothing to draw."""
        with drawing() as new:
            drawn = self.draw(new)
            return None if drawn is None else encoded(drawn, fmt, ground)

    @cached_property
    def uri(self) -> str:
        """The figure as a data URI; empty where there is nothing to draw."""
        return _uri(self.image(ground="none"))

    @cached_property
    def narrow_uri(self) -> str:
        """The same for a narrow screen; empty where the wide one does."""
        return _uri(replace(self, draw=self.narrow).image(ground="none")) if self.narrow else ""


def _uri(image: bytes | None) -> str:
    if image is None:
        return ""
    # A fifth of what matplotlib writes is comments and line breaks.
    small = re.sub(rb"\s+", b" ", re.sub(rb"<!--.*?-->", b"", image, flags=re.DOTALL))
    small = small.replace(b"> <", b"><")
    return f"data:image/svg+xml;base64,{base64.b64encode(small).decode()}"


Exhibit = Table | Figure
Kind = TypeVar("Kind", Table, Figure)


@dataclass(frozen=True)
class Part:
    """A heading with what is said and shown below it.

    Attributes:
        title: the heading; empty where there is none.
        texts: paragraphs.
        note: a paragraph in small print.
        terms: words and what they mean.
        exhibits: tables and figures.
        folded: what one clicks at to see all this; empty where it is open.
    """

    title: str = ""
    texts: Sequence[str] = ()
    note: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)
    exhibits: Sequence[Exhibit] = ()
    folded: str = ""

    @property
    def shown(self) -> bool:
        """Whether there is anything to see; a part whose figures draw nothing has nothing."""
        drawn = [item.uri for item in self.exhibits if isinstance(item, Figure)]
        tables = any(item.on_page for item in self.exhibits if isinstance(item, Table))
        said = any(self.texts) or self.note or self.terms or tables
        return any(drawn) if drawn else bool(said)


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: its id.
        title: its heading.
        parts: what it is made of.
        link: how the table of contents calls it.
        template: what renders it.
        content: what a template of its own is given.
    """

    anchor: str
    title: str
    parts: Sequence[Part] = ()
    link: str = ""
    template: str = "section.html.j2"
    content: Any = None

    @property
    def shown(self) -> bool:
        return bool(self.content) or any(part.shown for part in self.parts)


def exhibits(sections: Iterable[Section], kind: type[Kind]) -> Iterator[Kind]:
    """Tables or figures in the order of the page, each with a name of its own.

    A number is put behind a name that is there already in any case of letters.
    """
    seen: dict[str, int] = {}
    for section in sections:
        for item in (item for part in section.parts for item in part.exhibits):
            if isinstance(item, kind):
                key = item.name.casefold()
                seen[key] = seen.get(key, 0) + 1
                many = f"-{seen[key]}" if seen[key] > 1 else ""
                yield replace(item, name=f"{item.name}{many}")


def file_name(*parts: str) -> str:
    """A file's name from names of models and tasks: letters, digits, dots, hyphens, ``_``.

    Empty parts are left out.
    """
    each = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") or "x" for part in parts if part)
    return "_".join(each)
