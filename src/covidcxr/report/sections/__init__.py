"""The sections of the report that stand on a table of their own, in reading order.

Each module beside this one has a function `section(run, tables)`; it returns None where the run has
not made what the section shows.
"""

from collections.abc import Callable, Mapping

import pandas as pd

from covidcxr.report.facts import Run
from covidcxr.report.sections import (
    calibration,
    checklist,
    explanations,
    export,
    external,
    intervals,
    leakage,
    matrix,
    operating_point,
    run_times,
    shortcuts,
    split_comparison,
)
from covidcxr.report.sections.section import Section

Maker = Callable[[Run, Mapping[str, pd.DataFrame]], Section | None]

BODY: tuple[Maker, ...] = (
    explanations.section,
    matrix.section,
    external.section,
    leakage.section,
    shortcuts.section,
    intervals.section,
    calibration.section,
    operating_point.section,
    export.section,
    split_comparison.section,
    run_times.section,
)
"""Between the explanations and the limits."""
CLOSING: tuple[Maker, ...] = (checklist.section,)
"""After licences and works to cite."""


def made(makers: tuple[Maker, ...], run: Run, tables: Mapping[str, pd.DataFrame]) -> list[Section]:
    """Return the sections for which the run has tables.

    Parameters
    ----------
    makers
        `BODY` or `CLOSING`.
    run
        The tables that every run has.
    tables
        Every table handed to the report, by the stem of its file, numbers as numbers.
    """
    found = (maker(run, tables) for maker in makers)
    return [section for section in found if section is not None]
