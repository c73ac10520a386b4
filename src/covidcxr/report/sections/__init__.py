"""Sections that the report still makes itself, until their steps write them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.errors import InputError
from covidcxr.report import content
from covidcxr.report.facts import Run
from covidcxr.report.section import Limit, Section, SectionFigure, SectionTable
from covidcxr.report.sections import (
    explanations,
    export,
)
from covidcxr.report.sections import section as old

Maker = Callable[[Run, Mapping[str, pd.DataFrame]], old.Section | None]

MAKERS: dict[Maker, str] = {
    explanations.section: "explanations",
    export.section: "methods",
}
FOLDED = {"export"}
PLACES = {
    "synthetic": ("fig2_synthetic", "cyclegan_samples"),
    "explanations": ("fig6_gradcam", "fig7_timeline"),
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
        explanations=_explanations([p for p in shown if p.suffix == ".npz"], run.classes),
        synthetic=tables.get("synthetic", empty),
        losses=tables.get("losses", empty),
    )
    captions, alts = content.figure_captions(run), content.figure_alts(run)
    found = [
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
    for make, part in MAKERS.items():
        section = make(run, tables)
        if section is not None:
            found.append(_moved(section, part))
    return found


def _moved(section: old.Section, part: str) -> Section:
    return Section(
        ident=section.ident,
        title=section.title,
        part=part,
        paragraphs=tuple(section.paragraphs[:1]),
        method=tuple(section.paragraphs[1:]),
        limits=tuple(Limit(notice.text) for notice in section.notices if notice.kind == "warning"),
        figures=tuple(SectionFigure(f.name, f.caption, f.alt) for f in section.figures),
        tables=tuple(SectionTable(t.name, t.caption, t.table, t.folded) for t in section.tables),
        folded=section.ident in FOLDED,
    )


def _explanations(paths: Sequence[Path], classes: list[str]) -> pd.DataFrame:
    """Return what was predicted for the images of figures 6 and 7, as `Run.explanations`."""
    figures = {"test": "fig6_gradcam", "timeline": "fig7_timeline"}
    parts = []
    for path in paths:
        try:
            with np.load(path) as arrays:
                scores = arrays["probabilities"]
                part = pd.DataFrame({name: arrays[name] for name in ("image_id", "label", "day")})
                part["figure"] = [figures[cohort] for cohort in arrays["cohort"]]
                part["explained"] = [classes[index] for index in arrays["class_index"]]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} cannot be read as Grad-CAM maps: {error}") from error
        part["predicted"] = [classes[index] for index in scores.argmax(axis=1)]
        parts.append(part.assign(backbone=path.parent.name, probability=scores.max(axis=1)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
