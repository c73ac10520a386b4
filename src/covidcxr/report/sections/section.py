"""What a section of the report consists of."""

from collections.abc import Sequence
from dataclasses import dataclass

from covidcxr.report.content import Notice
from covidcxr.report.formats import Table


@dataclass(frozen=True)
class SectionFigure:
    """A figure of a section: the stem of its file, caption, and a text for who cannot see it."""

    name: str
    caption: str
    alt: str


@dataclass(frozen=True)
class SectionTable:
    """A table of a section. `name` is unique in the page; `folded` hides it behind its caption."""

    name: str
    caption: str
    table: Table
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
    paragraphs
        Plain text; what was found comes first.
    notices
        What a reader must know before any number; they go to the top of the page.
    figures, tables
        Shown after the paragraphs, in this order.
    """

    ident: str
    title: str
    paragraphs: Sequence[str] = ()
    notices: Sequence[Notice] = ()
    figures: Sequence[SectionFigure] = ()
    tables: Sequence[SectionTable] = ()
