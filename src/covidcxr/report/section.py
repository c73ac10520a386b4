"""A section of the report: what a step says of its own results, as a file that the report reads.

The step that makes a table or a figure writes its section beside it (`write_section`); the report
takes the sections of a run as they come and knows nothing of what made them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.report.formats import Table

PARTS = {
    "data": "Data",
    "performance": "Performance",
    "validity": "Validity",
    "synthetic": "Synthetic images",
    "explanations": "Explanations",
    "limits": "Limits",
    "methods": "Methods",
    "card": "Model card and checklist",
}
"""The report's parts in reading order, and their headings.

Within one, sections keep the order of the rules that write them.
"""


@dataclass(frozen=True)
class Check:
    """One of the checks on the first screen, which links to its section.

    `title` is one or two words ("Leakage"), `text` one line with the number behind the state.
    """

    title: str
    state: Literal["pass", "warning", "not run"]
    text: str


@dataclass(frozen=True)
class Limit:
    """What the run cannot show, in one sentence; `first` shows it on the first screen too."""

    text: str
    first: bool = False


@dataclass(frozen=True)
class KeyRow:
    """A row of the first screen's table: what was measured, its value, and on what."""

    what: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class FlowBox:
    """A box of a flow diagram: what is in it, how many images, and of what they are.

    `kind` is `step` for a box further on, `left out` for images that go no further, `branch` for a
    part beside the last step; these two stand below the step before them.
    """

    title: str
    images: int
    details: tuple[str, ...] = ()
    kind: Literal["step", "left out", "branch"] = "step"


@dataclass(frozen=True)
class SectionFigure:
    """A figure of a section: the stem of its file, its caption, and its finding in words.

    `alt` is for who cannot see it; `folded` hides the figure behind its caption.
    """

    name: str
    caption: str
    alt: str
    folded: bool = False


@dataclass(frozen=True)
class SectionTable:
    """A table of a section; `folded` hides it behind its caption.

    `name` is unique in the page; where it is the stem of a CSV file of the step, the file is
    offered beside the table. `table` is None where the file alone is offered.
    """

    name: str
    caption: str
    table: Table | None = None
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes
    ----------
    ident
        Anchor, unique in the page.
    title
        Heading.
    part
        A key of `PARTS`.
    paragraphs
        Plain text: what was found, in one or two short paragraphs.
    method
        Plain text: how it was measured. It is folded.
    finding
        Of the main result only: a clause for the first screen's sentence, without a full stop.
    checks, key_rows
        What the first screen shows of it.
    limits
        What the run cannot show, as far as this section can tell.
    flow, figures, tables
        Shown after the paragraphs, in this order.
    folded
        Whether only the heading and the first paragraph are open.
    """

    ident: str
    title: str
    part: str
    paragraphs: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    finding: str = ""
    checks: tuple[Check, ...] = ()
    key_rows: tuple[KeyRow, ...] = ()
    limits: tuple[Limit, ...] = ()
    flow: tuple[FlowBox, ...] = ()
    figures: tuple[SectionFigure, ...] = ()
    tables: tuple[SectionTable, ...] = ()
    folded: bool = False

    @property
    def lead(self) -> str:
        """The first sentence, which stands beside the heading of a folded section."""
        return first_sentence(self.paragraphs[0]) if self.paragraphs else ""

    @property
    def rest(self) -> "Section":
        """The section without what `lead` says already."""
        return replace(self, paragraphs=self.paragraphs[self.paragraphs[:1] == (self.lead,) :])


def first_sentence(text: str) -> str:
    """Return a text up to its first full stop before a capital letter."""
    return re.split(r"(?<=[.?!]) (?=[A-Z])", text, maxsplit=1)[0]


_SECTION = TypeAdapter(Section)


def write_section(path: str | Path, section: Section) -> None:
    """Write a section as JSON."""
    with atomic(path) as temporary:
        temporary.write_bytes(_SECTION.dump_json(section, indent=1) + b"\n")


def read_section(path: str | Path) -> Section:
    """Read what `write_section` wrote.

    Raises
    ------
    InputError
        If the file cannot be read, is no section, or names a part that the report does not have.
    """
    try:
        section = _SECTION.validate_json(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"section {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is no section of the report: {place}: {first['msg']}; delete the file, and "
            "its step writes it again"
        ) from error
    if section.part not in PARTS:
        raise InputError(
            f"{path} belongs to part {section.part!r}; the report's parts are {', '.join(PARTS)}"
        )
    return section


def in_order(sections: Iterable[Section]) -> list[Section]:
    """Return sections by part, within a part in the order given."""
    places = list(PARTS)
    return sorted(sections, key=lambda section: places.index(section.part))
