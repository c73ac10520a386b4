"""How sure each measure of each model is: intervals on the test set, spread over folds."""

from pathlib import Path

import pandas as pd

from covidcxr.classify.predictions import ENSEMBLE
from covidcxr.data.tables import write_table
from covidcxr.evaluate.models import KIND, ensembles, model_text, of_study
from covidcxr.evaluate.scores import BY_CLASS, NUMBERS, OVERALL, read_scores
from covidcxr.report.formats import THIN, heading, interval, ratio, some, table_of
from covidcxr.report.section import Section, SectionTable, write_section

COLUMNS = [*KIND, "model", "metric", "class", *NUMBERS, "method", "fold_mean", "fold_sd"]


def run(scores: str | Path, table: str | Path, section: str | Path) -> None:
    """Write the intervals of all of the run's models on the test set.

    Parameters
    ----------
    table
        CSV to write, see `with_folds`.
    """
    own = of_study(read_scores(scores))
    found = with_folds(own[(own["set"] == "test") & (own["group"] == "")])
    write_table(found, table)
    write_section(section, section_of(ensembles(found)))


def with_folds(scores: pd.DataFrame) -> pd.DataFrame:
    """Return `COLUMNS`: `scores` with the spread over the folds' models in the ensembles' rows.

    fold_mean and fold_sd are mean and standard deviation of the same measure over the folds.
    """
    key = [*KIND, "metric", "class"]
    single = scores[scores["model"] != ENSEMBLE]
    spread = single.groupby(key, sort=False)["estimate"].agg(fold_mean="mean", fold_sd="std")
    joined = scores.join(spread, on=key)
    joined.loc[joined["model"] != ENSEMBLE, ["fold_mean", "fold_sd"]] = float("nan")
    return joined[COLUMNS]


def section_of(found: pd.DataFrame) -> Section:
    """Show every measure of the ensembles with its interval.

    Parameters
    ----------
    found
        `with_folds` of the ensembles.
    """
    cells = found.assign(
        name=[model_text(*kind) for kind in found[KIND].itertuples(index=False)],
        text=[
            interval(*row) + ("*" if method == "exact" else "")
            for *row, method in found[["estimate", "low", "high", "method"]].itertuples(index=False)
        ],
        folds=[
            f"{ratio(mean)} ± {ratio(sd)}"
            for mean, sd in found[["fold_mean", "fold_sd"]].itertuples(index=False)
        ],
    )
    models = cells["name"].unique()
    overall = cells[cells["class"] == ""].pivot(
        index="name", columns="metric", values=["text", "folds"]
    )
    columns = {("text", metric): heading(metric) for metric in OVERALL}
    columns |= {("folds", metric): f"{heading(metric)}, folds" for metric in OVERALL}
    overall = overall.loc[models, list(columns)].set_axis(list(columns.values()), axis="columns")
    by_class = cells[cells["class"] != ""]
    rows = pd.MultiIndex.from_frame(by_class[["name", "class"]].drop_duplicates())
    by_class = by_class.pivot(index=["name", "class"], columns="metric", values="text")
    by_class = by_class.loc[rows, list(BY_CLASS)].reset_index()
    labels = {"name": "Model", "auc": "AUC"} | {str(name): str(name) for name in overall.columns}
    accuracy = found[found["metric"] == "accuracy"].iloc[0]
    return Section(
        ident="intervals",
        title="How sure the results are",
        part="performance",
        folded=True,
        method=(
            f"Intervals: the {some(accuracy['patients'], 'patient')} of the "
            f"{some(accuracy['n'], 'test image')} are resampled with replacement, each with all "
            f"images, and the central 95{THIN}% of the results are given; all models see the same "
            "resamples. Where all images are right (or none), resamples do not differ and the "
            "bootstrap would claim certainty: exact (Clopper–Pearson) bounds over patients stand "
            "there, marked by an asterisk, and no interval for an AUC of 1. The intervals say how "
            "far other patients of the same collections might move a result. They do not cover "
            "another hospital, nor the choice of the best model by the same test set.",
        ),
        tables=(
            SectionTable(
                "intervals_overall",
                f"Ensembles on the test set: each measure with its 95{THIN}% interval, and the "
                "mean ± standard deviation over the folds' models.",
                table_of(overall.reset_index(), labels),
            ),
            SectionTable(
                "intervals_by_class",
                "Ensembles on the test set, one class against the others: each measure with its 95"
                f"{THIN}% interval. An asterisk marks exact bounds.",
                table_of(by_class, labels),
            ),
        ),
    )
