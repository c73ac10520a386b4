"""What was measured of the Grad-CAM maps, and the patients who were followed over days."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import (
    MISSING,
    THIN,
    Column,
    Table,
    listing,
    ratio,
    sample,
    share,
    some,
)
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

CORRELATIONS = {"head": "head", "last_block": "and last block", "all": "all of it"}


def section(_: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has measured no maps."""
    if "explanations" not in tables or tables["explanations"].empty:
        return None
    measured = records(tables["explanations"])
    followed = tables.get("timelines", pd.DataFrame())
    patients = 0 if followed.empty else followed["patient_id"].nunique()
    figures = [
        SectionFigure(
            "explanations",
            "What was measured of the Grad-CAM maps. Grey bars are what chance gives: the region's "
            "share of the image, or maps of smooth noise. Lines are 95"
            f"{THIN}% intervals over patients. Last panel: rank correlation of a map with that of "
            "the same network with shuffled weights; near 0, the map rests on what was learnt.",
            _figure_alt(measured),
        ),
        SectionFigure(
            "timelines",
            "Patients with three or more dated images: Grad-CAM by the first backbone, the "
            "probability of the class by day, and the map's extent (share of the image above "
            "half the map's maximum). Training images are explained by the fold's model that "
            "did not train on them.",
            f"Panels of up to ten of {some(patients, 'patient')} over days, with curves of "
            "probability and extent of the map.",
        ),
    ]
    return Section(
        ident="explanation-measures",
        title="Where the models look, measured",
        paragraphs=[_finding(measured, "lungs"), _lesions(measured), _curves_text(measured)],
        figures=figures,
        tables=[
            SectionTable(
                "explanation_regions",
                "Share of the map's energy inside the lungs (and inside the lesion, on phantoms), "
                "mean over the test images, each image explained for its own class by the "
                "ensemble; beside it the region's share of the image.",
                _region_table(measured),
            ),
            SectionTable(
                "explanation_curves",
                "Mean probability of the class while the map's pixels are deleted or inserted, "
                "most important first, beside the same with random maps; and the rank correlation "
                "of maps after randomising the network from the output downwards.",
                _curve_table(measured),
            ),
        ],
    )


def _name(row: Row) -> str:
    return f"{row['backbone']} {row['augmentation']}"


def _finding(rows: list[Row], region: str) -> str:
    known = [row for row in rows if row[f"{region}_images"] > 0]
    above = [_name(row) for row in known if row[f"{region}_low"] > row[f"{region}_area"]]
    if not known:
        return f"No test image has a known region of the {region}."
    verdict = (
        f"Of {some(len(known), 'ensemble')}, {listing(above)} look{'s' if len(above) == 1 else ''} "
        f"at the {region} more than a map without any preference would."
        if above
        else f"None of {some(len(known), 'ensemble')} looks at the {region} more than a map "
        "without any preference would."
    )
    spread = sorted(row[f"{region}_share"] for row in known)
    return (
        f"{verdict} Between {share(spread[0])} and {share(spread[-1])} of the maps' energy lies "
        f"inside; the {region} take{'s' if region == 'lesion' else ''} "
        f"{share(known[0][f'{region}_area'])} of the image "
        f"({sample(known[0][f'{region}_images'])})."
    )


def _lesions(rows: list[Row]) -> str:
    if not any(row["lesion_images"] > 0 for row in rows):
        return (
            "Lungs are masks, radiologists' boxes or an estimate, as the data allow. "
            "A map inside the lungs does not show that the evidence is disease."
        )
    return _finding(rows, "lesion")


def _curves_text(rows: list[Row]) -> str:
    better = [
        _name(row)
        for row in rows
        if row["deletion"] < row["deletion_random"] and row["insertion"] > row["insertion_random"]
    ]
    text = (
        f"Deleting what the map marks lowers the probability faster, and inserting it raises it "
        f"faster, than random maps do: in {listing(better)}"
        if better
        else "In no ensemble does the map beat random maps in both deletion and insertion"
    )
    return f"{text} ({sample(rows[0]['curve_images'])} test images)."


def _figure_alt(rows: list[Row]) -> str:
    parts = [f"{_name(row)} {share(row['lungs_share'])}" for row in rows if row["lungs_images"] > 0]
    return f"Dot plots of the measures of the tables below. Map in the lungs: {listing(parts)}."


def _number(value: float) -> str:
    return MISSING if pd.isna(value) else ratio(value)


def _region_table(rows: list[Row]) -> Table:
    regions = [
        name for name in ("lungs", "lesion") if any(row[f"{name}_images"] > 0 for row in rows)
    ]
    columns = [Column("Backbone"), Column("Augmentation")]
    for name in regions:
        columns += [
            Column("n", name, True),
            Column("map inside", name, True),
            Column("region", name, True),
        ]
    columns.append(Column("maps of zeros", "", True))
    cells = []
    for row in rows:
        line = [row["backbone"], row["augmentation"]]
        for name in regions:
            line += [
                f"{row[f'{name}_images']:.0f}",
                MISSING
                if pd.isna(row[f"{name}_share"])
                else f"{ratio(row[f'{name}_share'])} "
                f"({ratio(row[f'{name}_low'])}–{ratio(row[f'{name}_high'])})",
                _number(row[f"{name}_area"]),
            ]
        cells.append([*line, f"{row['empty']:.0f}"])
    return Table(columns, cells)


def _curve_table(rows: list[Row]) -> Table:
    columns = [Column("Backbone"), Column("Augmentation")]
    for name in ("deletion", "insertion"):
        columns += [Column("map", name, True), Column("random", name, True)]
    columns += [Column(label, "randomised", True) for label in CORRELATIONS.values()]
    cells = [
        [
            row["backbone"],
            row["augmentation"],
            *(
                _number(row[f"{name}{kind}"])
                for name in ("deletion", "insertion")
                for kind in ("", "_random")
            ),
            *(_number(row[f"correlation_{stage}"]) for stage in CORRELATIONS),
        ]
        for row in rows
    ]
    return Table(columns, cells)
