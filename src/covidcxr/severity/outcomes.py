"""What images say of outcomes, beside what is known without them: table and section.

Logistic regression on clinical data, with the view, on the image, and on all of it, by the same
folds of patients. View and tube are shortcuts: who lies in intensive care is imaged in bed, and the
tube is seen. So the AUC is also taken over pairs of images of one view, and of one state of another
outcome. Trained on one source and tested on another it shows what holds elsewhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline

from covidcxr.array_types import Floats, Integers, Mask
from covidcxr.arrays import open_rows
from covidcxr.classify.classifiers import Examples, Folds, fit, logistic, probabilities
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import Statistic, difference_of, interval, mean_of
from covidcxr.logs import log, progress
from covidcxr.report.formats import MINUS, MISSING, listing, table_of, two
from covidcxr.report.section import Limit, Section, SectionTable, write_section
from covidcxr.seeding import generator, integer_seed
from covidcxr.severity.agreement import auc, mean_over, texts_of
from covidcxr.severity.regression import lungs
from covidcxr.severity.severity_images import SCORE_COLUMNS

FOLDS, REPEATS = 5, 3
CLINICAL, WITH_VIEW, IMAGE, ALL = "age, sex, day", "with view", "image", "all"
"""Predictors; the image is compared with `WITH_VIEW`, what is known without it."""
ONE_VIEW = "one view"
MEASURED = ["estimate", "low", "high", "yes", "no", "patients"]
COLUMNS = ["outcome", "tested", "held_fixed", "predictor", "compared", "metric", *MEASURED]


@dataclass(frozen=True)
class Tested:
    """Images scored by models that saw no image of their patients.

    Attributes
    ----------
    name
        Source, or training and test source.
    rows
        The images, as in the manifest.
    answers
        bool [n].
    scored
        Of each predictor the probabilities [n], once for each division into folds.
    models
        Number of the model that scored each image, int64 [n], for each division.
    """

    name: str
    rows: pd.DataFrame
    answers: Mask
    scored: Mapping[str, list[Floats]]
    models: list[Integers]


def run(
    features: str | Path,
    images: str | Path,
    scores: str | Path,
    table: str | Path,
    section: str | Path,
    *,
    held_fixed: Mapping[str, str | None],
    seed: int,
) -> None:
    """Predict every outcome, measure it, and write the table and the section of the report.

    Parameters
    ----------
    features
        float32 [n, 6, channels] of the images' zones.
    images, scores
        As `covidcxr.severity.severity_images` writes them.
    table
        CSV to write, `COLUMNS`: tested is the source, out of fold, or `<source> to <source>`;
        held_fixed `view`, another outcome or ""; metric `auc` or `brier`; with `compared` the
        difference from that predictor on the same images; the interval is 95 % by patient.
    held_fixed
        Of each outcome another one, or None.

    Raises
    ------
    InputError
        No source has five patients of each answer to an outcome.
    """
    rows = read_manifest(images)
    values = lungs(np.asarray(open_rows(features, images, len(rows))))
    known = read_table(scores, SCORE_COLUMNS, ["value"]).set_index("image_id")
    states = {
        name: known.loc[known["score"] == name, "value"].reindex(rows["image_id"]).to_numpy()
        for name in {*held_fixed, *filter(None, held_fixed.values())}
    }
    found = []
    for name, other in progress(held_fixed.items(), desc="outcomes"):
        answered = np.flatnonzero(np.isfinite(states[name]))
        part, answers = rows.iloc[answered], states[name][answered] == 1
        data = predictors(part, values[answered])
        for tested in predict(part, data, answers, integer_seed(seed, "outcomes", name)):
            places = part.index.get_indexer(tested.rows.index)
            fixed = {ONE_VIEW: tested.rows["view"].replace("", np.nan)}
            if other:
                fixed[other] = pd.Series(states[other][answered][places], tested.rows.index)
            for key, statistic, chosen in measures(tested, fixed):
                patients, yes = tested.rows["patient_id"].to_numpy(str), tested.answers[chosen]
                bounds = interval(statistic, patients[chosen], generator(seed, "outcomes", name))
                sizes = (yes.sum(), (~yes).sum(), len(np.unique(patients[chosen])))
                found.append((name, tested.name, *key, *bounds, *sizes))
        if not found or found[-1][0] != name:
            raise InputError(f"outcome {name!r}: no source has {FOLDS} patients of each answer")
    results = pd.DataFrame(found, columns=COLUMNS)
    write_table(results, table)
    write_section(section, section_of(results))


def predictors(rows: pd.DataFrame, features: Floats) -> dict[str, Floats]:
    """Return what each predictor sees, [n, columns]; NaN where unknown.

    Parameters
    ----------
    rows
        age, sex, day, view of each image.
    features
        [n, channels].
    """
    sex = rows["sex"].str.upper().str[:1].map({"F": 1.0, "M": 0.0})
    clinical = np.column_stack([rows["age"], sex, rows["day"]]).astype(np.float64)
    with_view = np.column_stack([clinical, pd.get_dummies(rows["view"]).astype(np.float64)])
    everything = np.column_stack([with_view, features])
    return {CLINICAL: clinical, WITH_VIEW: with_view, IMAGE: features, ALL: everything}


def classifier(folds: Folds) -> Pipeline:
    """Return logistic regression; what is unknown becomes the mean, which tells nothing."""
    return make_pipeline(SimpleImputer(keep_empty_features=True), logistic(folds))


def predict(
    rows: pd.DataFrame, data: Mapping[str, Floats], answers: Mask, seed: int
) -> Iterator[Tested]:
    """Yield the images of each source out of fold, and of each by the model of each other one.

    Sources with fewer than `FOLDS` patients of an answer are left out. A patient of both sources
    does not train the model that is tested on the other, nor does anybody else of his site.
    """
    patients, source, site = (rows[c].to_numpy(str) for c in ("patient_id", "source", "site"))

    def probability(
        one: str, training: npt.NDArray[np.intp], held_out: npt.NDArray[np.intp]
    ) -> Floats:
        examples = Examples(data[one], answers.astype(np.int64), patients).rows(training)
        return probabilities(fit(classifier, examples), data[one][held_out], 2)[:, 1]

    def enough(chosen: Mask) -> bool:
        counts = [len(np.unique(patients[chosen & (answers == side)])) for side in (True, False)]
        return min(counts) >= FOLDS

    usable = [name for name in np.unique(source) if enough(source == name)]
    for name in usable:
        own = np.flatnonzero(source == name)
        scored: dict[str, list[Floats]] = {one: [] for one in data}
        models = [np.empty(len(own), np.int64) for _ in range(REPEATS)]
        for repeat in range(REPEATS):
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
            splits = list(folds.split(own, answers[own], patients[own]))
            for number, (_, held_out) in enumerate(splits):
                models[repeat][held_out] = number
            for one, several in scored.items():
                several.append(np.empty(len(own)))
                for training, held_out in splits:
                    several[-1][held_out] = probability(one, own[training], own[held_out])
        yield Tested(name, rows.iloc[own], answers[own], scored, models)
    for first, other in permutations(usable, 2):
        own = source == other
        shared = (source == first) & np.isin(patients, patients[own])
        training = (source == first) & ~shared & ~np.isin(site, site[shared])
        if not enough(training):
            log.warning("%s without the patients of %s is too small to train on", first, other)
            continue
        places = np.flatnonzero(training), np.flatnonzero(own)
        scored = {one: [probability(one, *places)] for one in data}
        one_model = [np.zeros(own.sum(), np.int64)]
        yield Tested(f"{first} to {other}", rows[own], answers[own], scored, one_model)


def measures(
    tested: Tested, fixed: Mapping[str, "pd.Series[Any]"]
) -> Iterator[tuple[tuple[str, str, str, str], Statistic, npt.NDArray[np.intp]]]:
    """Yield (held fixed, predictor, compared, metric), the statistic, and which images it is of.

    Parameters
    ----------
    fixed
        By name the group of each image, NaN where unknown: pairs of one group count. They must be
        scored by one model, too: a model's base rate is lower the more positives it has not seen,
        so that AUC over the models of several folds comes out too low.
    """
    every = pd.Series(0, tested.rows.index)
    for held, groups in {"": every, **fixed}.items():
        chosen = np.flatnonzero(groups.notna())
        answers = tested.answers[chosen]
        codes = groups.iloc[chosen].factorize()[0]
        if not any(len(set(answers[codes == code])) == 2 for code in codes):
            continue
        found: dict[tuple[str, str], Statistic] = {}
        for one, several in tested.scored.items():
            parts = [each[chosen] for each in several]
            pairs = [codes * FOLDS + model[chosen] for model in tested.models]
            found[one, "auc"] = mean_over(
                [auc(part, answers, pair) for part, pair in zip(parts, pairs, strict=True)]
            )
            if not held:
                found[one, "brier"] = mean_over([mean_of((p - answers) ** 2) for p in parts])
        for (one, metric), statistic in found.items():
            yield (held, one, "", metric), statistic, chosen
            if one in (IMAGE, ALL):
                base = found[WITH_VIEW, metric]
                yield (held, one, WITH_VIEW, metric), difference_of(statistic, base), chosen


def section_of(results: pd.DataFrame) -> Section:
    """Return the section of the report."""
    shown = results[results["metric"] == "auc"]
    gains = shown["compared"] != ""
    texts = texts_of(shown[~gains], COLUMNS[:5])
    texts |= texts_of(shown[gains], COLUMNS[:5], lambda value: f"{value:+.2f}".replace("-", MINUS))
    rows, sentences = [], []
    groups = shown.groupby(["outcome", "tested", "held_fixed"], sort=False)
    for names, part in groups:
        outcome, tested, held = key = tuple(map(str, names))
        first = part.iloc[0]
        rows.append(
            {"outcome": outcome, "tested": tested, "held_fixed": held or MISSING}
            | {"yes": int(first["yes"]), "no": int(first["no"])}
            | {one: texts[*key, one, ""] for one in (CLINICAL, WITH_VIEW, IMAGE, ALL)}
            | {"gain": texts[*key, ALL, WITH_VIEW]}
        )
        if not held:
            alone = part[part["compared"] == ""].set_index("predictor")["estimate"].map(two)
            sentences.append(
                f"{outcome} ({tested}) {alone[IMAGE]} against {alone[WITH_VIEW]}, both {alone[ALL]}"
            )
    text = f"AUC of the image, against age, sex, day and view: {'; '.join(sentences)}."
    gain = shown[(shown["compared"] == WITH_VIEW) & (shown["predictor"] == ALL)]
    lost = gain[(gain["held_fixed"] != "") & (gain["low"] <= 0)]["outcome"].unique()
    if len(lost):
        text += f" With the shortcuts held fixed the image's gain is not sure for {listing(lost)}."
    return Section(
        ident="outcomes",
        title="Outcomes",
        part="performance",
        folded=True,
        paragraphs=(
            text,
            "This tells what these images share with the state that was written down beside them. "
            "It is no prognosis for anybody.",
        ),
        method=(
            "Logistic regression on the mean features of the lungs' zones and on clinical data, "
            f"{REPEATS} times {FOLDS} folds by patient; from one source to another without the "
            "sites of patients of both. AUC over pairs of images that one model scored, with its "
            "95 % interval by patient. Held fixed: only pairs of images of one view, or of one "
            "state of another outcome, are compared.",
        ),
        limits=(
            Limit(
                "Outcomes: who is imaged when, and in which view, depends on how ill a patient is."
            ),
        ),
        tables=(
            SectionTable(
                "outcomes",
                "AUC of outcomes; the file has Brier scores and differences too",
                table_of(pd.DataFrame(rows), {"gain": "Gain by the image", ALL: "All of it"}),
                folded=True,
            ),
        ),
    )
