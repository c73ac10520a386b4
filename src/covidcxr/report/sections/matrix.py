"""The report's section on models of one population tested on another's films."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Run
from covidcxr.report.formats import ratio, share, some, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

NAME = "matrix"


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has no cross-population matrix."""
    matrix = tables.get(NAME)
    if matrix is None:
        return None
    target = run.config["cyclegan"]["target_class"]
    first = matrix[matrix["backbone"] == matrix["backbone"].iloc[0]]
    texts = [
        text(rows, str(name), target)
        for _, rows in first.groupby("augmentation", sort=False)
        for name in dict.fromkeys(rows["trained_on"])
    ]
    bounds = {
        f"{name}_{bound}": f"{bound} (95 %)"
        for name in ("accuracy", "balanced_accuracy", "sensitivity", "false_target")
        for bound in ("low", "high")
    }
    return Section(
        ident=NAME,
        title="Trained on one population, tested on another",
        paragraphs=[
            *texts,
            "All populations share one split, so no patient trains and tests, and one set of "
            "cached features; each model is the ensemble of its folds. Populations differ in "
            "size, too.",
        ],
        figures=[
            SectionFigure(
                NAME,
                "The first backbone's models, block by block. Left: balanced accuracy of models "
                "(rows) on the test films of each population. "
                f"Right: what share of each kind of film they call {target}. The darker a cell, "
                "the more is wrong.",
                " ".join(texts),
            )
        ],
        tables=[
            SectionTable(
                NAME,
                f"The matrix. Sensitivity is the share of {target} films called so, false target "
                "the share of other films called so.",
                table_of(
                    matrix.assign(augmentation=matrix["augmentation"].map(facts.augmentation_text)),
                    bounds,
                ),
                folded=True,
            )
        ],
    )


def text(matrix: pd.DataFrame, trained_on: str, target: str) -> str:
    """Say how one kind of model, trained on a population, fares on its own and on other films."""
    rows = matrix[matrix["trained_on"] == trained_on]
    model = facts.model_text(rows["backbone"].iloc[0], rows["augmentation"].iloc[0])
    populations = rows[rows["kind"] == "population"]
    own = populations[populations["tested_on"] == trained_on].iloc[0]
    groups = rows[(rows["kind"] != "population") & rows["false_target"].notna()]
    worst = groups.nlargest(1, "false_target").iloc[0]
    return (
        f"Trained on {trained_on} ({model}): balanced accuracy "
        f"{ratio(own['balanced_accuracy'])} on its own test films, "
        f"{ratio(populations['balanced_accuracy'].min())} on the least like them; sensitivity "
        f"{ratio(own['sensitivity'])}; most often called {target} without being it: "
        f"{worst['tested_on']}, {share(worst['false_target'])} of {some(worst['n'], 'film')}."
    )
