"""One class against the others at a threshold, and what a call would be worth."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import MISSING, THIN, Table, ratio, share, some, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has no operating points."""
    if not {"operating_point", "predictive_values"} <= set(tables):
        return None
    points, values = tables["operating_point"], tables["predictive_values"]
    target, asked = str(points["class"].iloc[0]), float(points["asked"].iloc[0])
    asked_of = str(points["asked_of"].iloc[0])
    return Section(
        ident="operating-point",
        title=f"Operating point for {target}",
        paragraphs=[_found(run, points, values, target), _method(target, asked, asked_of)],
        figures=[
            SectionFigure(
                "operating_point",
                f"Sensitivity for {target} against 1 − specificity on the test set, and the "
                f"threshold chosen on out-of-fold predictions with its 95{THIN}% intervals.",
                f"ROC curves for {target} of every ensemble with the chosen operating points, "
                "which stand as numbers in the table of this section.",
            )
        ],
        tables=[
            SectionTable(
                "operating_point",
                f"The threshold of each ensemble: chosen for a {asked_of} of {ratio(asked)} on "
                "the out-of-fold predictions, applied once to the test set.",
                _points_table(points),
            ),
            SectionTable(
                "predictive_values",
                f"What a call of {target} (positive predictive value) or of another class "
                "(negative) is worth at these thresholds, by prevalence, if sensitivity and "
                f"specificity stayed as on the test set; intervals of at least 95{THIN}%.",
                _values_table(values),
            ),
        ],
    )


def _found(run: Run, points: pd.DataFrame, values: pd.DataFrame, target: str) -> str:
    best = facts.test_ensembles(run.classification)
    if best.empty:
        return ""
    top = (best["backbone"].iloc[0], best["augmentation"].iloc[0])
    [point] = records(_of(points, top))
    rarest = records(_of(values, top))[0]
    wrong: str = (
        "no value is defined"
        if pd.isna(rarest["ppv"])
        else f"between {share(rarest['ppv_low'])} and {share(rarest['ppv_high'])} of those called "
        f"{target} would have it"
    )
    return (
        f"{facts.model_text(*top)}, the most accurate of the study's ensembles: sensitivity "
        f"{_bounded(point, 'sensitivity')} "
        f"({some(point['sensitivity_n'], 'image')} of "
        f"{some(point['sensitivity_patients'], 'patient')}), specificity "
        f"{_bounded(point, 'specificity')} ({some(point['specificity_n'], 'image')} of "
        f"{some(point['specificity_patients'], 'patient')}). Were {share(rarest['prevalence'])} of "
        f"those examined {target}, {wrong}: so wide is what this test set leaves open, even if "
        "everything else were as in it."
    )


def _method(target: str, asked: float, asked_of: str) -> str:
    rule = (
        f"The threshold is the highest on the probability of {target} at which {share(asked)} of "
        f"the {target} images"
        if asked_of == "sensitivity"
        else f"The threshold is the lowest on the probability of {target} at which no more than "
        f"{share(1 - asked)} of the images of other classes"
    )
    return (
        f"{rule} among the training images are called by the models that did not "
        "train on them. Those are single models; on the test set their mean is held against the "
        "same threshold. The specificity is that against the other classes of these collections: "
        "where they differ in more than disease (age, hospital, framing), it says nothing about "
        "patients whom anyone would examine, and neither do the predictive values."
    )


def _of(table: pd.DataFrame, model: tuple[str, str]) -> pd.DataFrame:
    return table[(table["backbone"] == model[0]) & (table["augmentation"] == model[1])]


def _bounded(row: Row, name: str) -> str:
    if pd.isna(row[name]):
        return MISSING
    return f"{ratio(row[name])} ({ratio(row[f'{name}_low'])}–{ratio(row[f'{name}_high'])})"


def _points_table(points: pd.DataFrame) -> Table:
    rows = [
        {
            "backbone": facts.backbone_text(row["backbone"]),
            "augmentation": facts.augmentation_text(row["augmentation"]),
            "threshold": row["threshold"],
            "validation_sensitivity": row["validation_sensitivity"],
            "validation_specificity": row["validation_specificity"],
            "sensitivity": _bounded(row, "sensitivity"),
            "specificity": _bounded(row, "specificity"),
        }
        for row in records(points)
    ]
    labels = {
        "validation_sensitivity": "Validation, sensitivity",
        "validation_specificity": "Validation, specificity",
        "sensitivity": f"Test, sensitivity (95{THIN}%)",
        "specificity": f"Test, specificity (95{THIN}%)",
    }
    return table_of(pd.DataFrame(rows), labels)


def _values_table(values: pd.DataFrame) -> Table:
    rows = []
    for _, part in values.groupby(["backbone", "augmentation"], sort=False):
        found = records(part)
        rows.append(
            {
                "backbone": facts.backbone_text(found[0]["backbone"]),
                "augmentation": facts.augmentation_text(found[0]["augmentation"]),
            }
            | {f"ppv_{row['prevalence']}": _bounded(row, "ppv") for row in found}
            | {f"npv_{row['prevalence']}": _bounded(row, "npv") for row in found}
        )
    labels = {
        f"{name}_{prevalence}": f"{name.upper()} at {100 * prevalence:g}{THIN}%"
        for name in ("ppv", "npv")
        for prevalence in values["prevalence"].unique()
    }
    return table_of(pd.DataFrame(rows), labels)
