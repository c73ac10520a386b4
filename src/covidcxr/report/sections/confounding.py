"""The report's section on what predicts the label without disease: the confounding audit."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.evaluate.audit import EVERYTHING, SOURCE_AND_AGE, Gain, gain
from covidcxr.report import facts
from covidcxr.report.content import Notice
from covidcxr.report.facts import Run
from covidcxr.report.formats import Table, listing, ratio, share, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

NAME = "confounding"
TELLS = 0.95
"""Balanced accuracy from which one attribute is said to tell a class from the rest."""
WHERE_TO_LOOK = (
    "How models trained on children, on adults and on both fare on each other's films is measured "
    "by: snakemake matrix --configfile config/matrix.yaml"
)


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has no audit."""
    audit = tables.get(NAME)
    if audit is None:
        return None
    told, everything = gain(audit, SOURCE_AND_AGE), gain(audit, EVERYTHING)
    return Section(
        ident=NAME,
        title="What predicts the label without disease",
        paragraphs=[
            gain_text(told, everything),
            *telling_texts(audit, run.classes),
            "Each attribute alone, and several together, predict the label by a random forest that "
            "is fitted on other patients (five folds). An image model that is no better has not "
            "been shown to see disease; one that is better may still use them. What is not told of "
            "an image counts as a value, since it gives its source away. Margins, intensities, "
            "sharpness and marks (small bright things: letters, arrows, wires, edges) are measured "
            "on the picture as the network sees it; intensity and sharpness can carry disease too.",
        ],
        notices=notices(run, audit),
        figures=[
            SectionFigure(
                NAME,
                "Balanced accuracy with which attributes that are not the disease, and the image "
                "models, predict the label of patients whom they have not seen; bars are 95 % "
                "intervals by resampled patients, the dashed line is chance.",
                f"Dot plot: all attributes together {ratio(everything.alone)} accurate, the best "
                f"image model {ratio(everything.model)}.",
            )
        ],
        tables=[
            SectionTable(
                NAME,
                "The confounding audit. 'Apart' is the balanced accuracy of telling one class from "
                "the rest (0.5 by chance).",
                audit_table(audit),
                folded=True,
            )
        ],
    )


def gain_text(told: Gain, everything: Gain) -> str:
    """Say what share of the best model's accuracy could come from source and age, and from all."""
    return (
        f"Source and age group alone, without a look at any picture, give accuracy "
        f"{ratio(told.alone)}; naming the largest class every time gives {ratio(told.chance)}, the "
        f"best image model {ratio(told.model)} (each image by a model that did not train on it). "
        f"So {_at_most(told.share)} of what the model gains over chance could come from source and "
        f"age; all attributes together give {ratio(everything.alone)}, "
        f"{_at_most(everything.share)} of it."
    )


def _at_most(value: float) -> str:
    if value != value:
        return "no share"
    return "all" if value >= 1 else share(max(value, 0.0))


def telling_texts(audit: pd.DataFrame, classes: list[str]) -> list[str]:
    """Return a sentence for each class that one attribute tells from the rest."""
    found = []
    for label in classes:
        column = f"apart_{label}"
        singles = audit[(audit["kind"] == "attribute") & (audit[column] >= TELLS)]
        if len(singles):
            ranked = singles.sort_values(column, ascending=False, kind="stable")
            names = listing(
                f"{name} ({ratio(value)})"
                for name, value in zip(ranked["predictor"], ranked[column], strict=True)
            )
            found.append(
                f"Told from the rest by one attribute alone: {label}, by {names}; by the best "
                f"image model {ratio(audit.loc[audit['kind'] == 'model', column].max())}."
            )
    return found


def notices(run: Run, audit: pd.DataFrame) -> list[Notice]:
    """Return what stands at the top of the report."""
    if facts.only_phantoms(run):
        return []
    source = audit[audit["predictor"] == "source"]
    told, everything = gain(audit, SOURCE_AND_AGE), gain(audit, EVERYTHING)
    models = audit[audit["kind"] == "model"]
    found = []
    for label in run.classes:
        alone = float(source[f"apart_{label}"].iloc[0])
        if alone >= TELLS:
            found.append(
                f"The source alone tells {label} from the rest with balanced accuracy "
                f"{ratio(alone)}; the best image model reaches "
                f"{ratio(models[f'apart_{label}'].max())}. "
            )
    text = (
        f"{''.join(found)}Of the {ratio(told.model)} accuracy of the best image model, source and "
        f"age group alone give {ratio(told.alone)} and all that is not the picture's disease "
        f"{ratio(everything.alone)} ({ratio(told.chance)} by chance): {_at_most(told.share)} and "
        f"{_at_most(everything.share)} of what it gains over chance. {WHERE_TO_LOOK}"
    )
    return [Notice("warning" if found else "note", text)]


def audit_table(audit: pd.DataFrame) -> Table:
    """Set the table of the audit."""
    frame = audit.drop(columns=["kind"]).rename(columns={"predictor": "predicted_from"})
    labels = {
        f"{name}_{bound}": f"{bound} (95 %)"
        for name in ("accuracy", "balanced_accuracy")
        for bound in ("low", "high")
    }
    return table_of(frame, labels)
