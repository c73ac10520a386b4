"""Sections that the report still makes itself, until their steps write them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from covidcxr.report import content
from covidcxr.report.facts import Run
from covidcxr.report.section import Section, SectionFigure

PLACES = {
    "synthetic": ("fig2_synthetic", "cyclegan_samples"),
}


def made(run: Run, shown: Sequence[Path]) -> list[Section]:
    """Return what no step writes yet, of the tables and figures of a run."""
    csv = {path.stem: path for path in shown if path.suffix == ".csv"}
    moved = {figure.name for section in run.sections for figure in section.figures}
    png = {path.stem for path in shown if path.suffix == ".png"} - moved
    tables = {name: pd.read_csv(path) for name, path in csv.items()}
    empty = pd.DataFrame()
    run = replace(
        run,
        synthetic=tables.get("synthetic", empty),
        losses=tables.get("losses", empty),
    )
    captions, alts = content.figure_captions(run), content.FIGURE_ALTS
    return [
        Section(
            ident=f"{part}-figures",
            title="",
            part=part,
            figures=tuple(
                SectionFigure(name, captions[name], alts[name]) for name in names if name in png
            ),
        )
        for part, names in PLACES.items()
        if set(names) & png
    ]
