"""Outcomes: what is known of them, who trains whose model, and measures against scikit-learn."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from threadpoolctl import threadpool_limits

from covidcxr.classify import classifiers
from covidcxr.config import complete, read_schema
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import estimate_of
from covidcxr.report.section import read_section
from covidcxr.severity import outcomes
from covidcxr.severity.scores import read_outcome
from covidcxr.severity.severity_images import SCORE_COLUMNS

from ..workflow.conftest import DEMO, REPOSITORY

N = 120


def _rows(seed: int = 0) -> pd.DataFrame:
    """Images of 60 patients of two sources; patient 0 is of both."""
    rng = np.random.default_rng(seed)
    patients = np.arange(N) // 2
    source = np.where(patients < 40, "one", "two")
    source[1] = "two"
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(N)],
            "path": "x.png",
            "label": "covid",
            "patient_id": [f"a:{p}" for p in patients],
            "source": source,
            "site": [f"site{p % 7}" for p in patients],
            "view": rng.choice(["AP", "PA"], N),
            "day": np.where(np.arange(N) % 3 == 0, np.nan, 1.0),
            "age": rng.integers(20, 90, N).astype(float),
            "sex": rng.choice(["F", "M", ""], N),
            "subtype": "",
            "license": "",
            "sha256": "0" * 64,
        }
    )


def _scored(rows: pd.DataFrame, features: np.ndarray, answers: np.ndarray) -> list[outcomes.Tested]:
    return list(outcomes.predict(rows, outcomes.predictors(rows, features), answers, 1))


def _estimates(tested: outcomes.Tested) -> dict[tuple[str, str, str, str], float]:
    fixed = {outcomes.ONE_VIEW: tested.rows["view"]}
    return {
        key: estimate_of(statistic, len(chosen)).item()
        for key, statistic, chosen in outcomes.measures(tested, fixed)
    }


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One division into folds, a fixed penalty, and no threads that wait for each other."""
    monkeypatch.setattr(outcomes, "REPEATS", 1)
    monkeypatch.setattr(outcomes, "logistic", lambda folds: classifiers.regression(0.01))
    with threadpool_limits(1):
        yield


def test_measures_are_those_of_scikit_learn_and_tell_a_view_from_a_disease() -> None:
    """What the view alone tells is found over all images, and gone within one view."""
    rows = _rows()
    rng = np.random.default_rng(1)
    in_bed = (rows["view"] == "AP").to_numpy()
    answers = np.where(rng.random(N) < 0.9, in_bed, ~in_bed)
    features = rng.normal(size=(N, 3))
    features[:, 0] += 3 * in_bed
    first = _scored(rows, features, answers)[0]
    found = _estimates(first)
    assert first.name == "one"
    for one in (outcomes.CLINICAL, outcomes.WITH_VIEW, outcomes.IMAGE, outcomes.ALL):
        [scores] = first.scored[one]
        areas, pairs = [], []
        for model in np.unique(first.models[0]):
            truth, own = (x[first.models[0] == model] for x in (first.answers, scores))
            areas.append(roc_auc_score(truth, own))
            pairs.append(truth.sum() * (~truth).sum())
        assert found["", one, "", "auc"] == pytest.approx(np.average(areas, weights=pairs))
        brier = brier_score_loss(first.answers, scores)
        assert found["", one, "", "brier"] == pytest.approx(brier)
    gain = found["", outcomes.IMAGE, "", "auc"] - found["", outcomes.WITH_VIEW, "", "auc"]
    compared = found["", outcomes.IMAGE, outcomes.WITH_VIEW, "auc"]
    assert compared == pytest.approx(gain)
    assert found["", outcomes.IMAGE, "", "auc"] > 0.8
    assert found[outcomes.ONE_VIEW, outcomes.IMAGE, "", "auc"] < 0.7


def test_no_patient_trains_the_model_that_scores_him_in_his_source_or_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers that are known of the patient alone cannot be predicted."""
    rows = _rows()
    rng = np.random.default_rng(2)
    answers = np.repeat(rng.random(N // 2) < 0.5, 2)
    seen: list[set[str]] = []

    def watched(build: object, examples: outcomes.Examples) -> object:
        seen.append(set(examples.patients))
        return fit(build, examples)  # type: ignore[arg-type]

    fit = outcomes.fit
    monkeypatch.setattr(outcomes, "fit", watched)
    features = np.repeat(rng.normal(size=(N // 2, 20)), 2, axis=0)
    data = {outcomes.IMAGE: features}
    found = {tested.name: tested for tested in outcomes.predict(rows, data, answers, 1)}
    assert list(found) == ["one", "two", "one to two", "two to one"]
    [scores] = found["one"].scored[outcomes.IMAGE]
    assert roc_auc_score(found["one"].answers, scores) < 0.7
    for patients, name in zip(seen[-2:], ("one to two", "two to one"), strict=True):
        assert not patients & set(found[name].rows["patient_id"])
        assert "a:0" not in patients, "he is of both sources"
        assert name == "two to one" or "a:7" not in patients, "she is of his site"


def test_the_step_writes_table_and_section_and_refuses_too_few_patients(tmp_path: Path) -> None:
    rows = _rows()
    rows.to_csv(tmp_path / "images.csv", index=False)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(N, 6, 4))
    icu = features.mean(axis=(1, 2)) + 0.05 * rng.normal(size=N) > 0
    known = pd.DataFrame({"image_id": rows["image_id"], "reader": "x", "zone": "total"})
    tube = known.assign(score="tube", value=rng.integers(0, 2, N)).iloc[: N // 2]
    table = pd.concat([known.assign(score="icu", value=icu.astype(int)), tube])
    table[SCORE_COLUMNS].to_csv(tmp_path / "scores.csv", index=False)
    np.save(tmp_path / "zones.npy", features.astype(np.float32))
    names = ("zones.npy", "images.csv", "scores.csv", "table.csv", "section.json")
    files = [tmp_path / name for name in names]
    outcomes.run(*files, held_fixed={"icu": "tube"}, seed=1)
    found = pd.read_csv(tmp_path / "table.csv", keep_default_na=False)
    of_image = found[(found["predictor"] == "image") & (found["compared"] == "")]
    assert set(of_image["held_fixed"]) == {"", "one view", "tube"}
    assert (of_image[["low", "high"]].astype(float).diff(axis=1)["high"] >= 0).all()
    text = read_section(tmp_path / "section.json").paragraphs
    assert "no prognosis for anybody" in text[1]
    value = of_image[(of_image["metric"] == "auc") & (of_image["held_fixed"] == "")].iloc[0]
    assert f"{float(value['estimate']):.2f} against" in text[0]
    few = pd.concat([table[table["score"] == "icu"].iloc[:6], tube])
    few[SCORE_COLUMNS].to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(InputError, match="'icu': no source has 5 patients of each answer"):
        outcomes.run(*files, held_fixed={"icu": "tube"}, seed=1)


def test_answers_are_read_whatever_their_case_and_others_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("path,icu,age\na,Y,60\nb,no,\nc,,50\nd,Would have been stated,40\ne,?,\n")
    found = read_outcome(path, "path", "icu")
    assert dict(zip(found["key"], found["value"], strict=True)) == {"a": 1, "b": 0}
    assert "'Would have been stated' of 1 image" in caplog.text
    with pytest.raises(InputError, match="no row of age holds Y or N"):
        read_outcome(path, "path", "age")
    with pytest.raises(InputError, match="no column 'died'"):
        read_outcome(path, "path", "died")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"columns": {"elsewhere": "icu"}}, "no source is called 'elsewhere'"),
        ({"columns": {"ward": "icu"}, "held_fixed": "tube"}, "that of another outcome"),
        ({"columns": {}}, "outcomes.icu.columns"),
    ],
)
def test_an_outcome_that_does_not_fit_the_config_is_refused(
    spec: dict[str, object], problem: str
) -> None:
    config = DEMO | {"outcomes": {"icu": spec}}
    with pytest.raises(InputError, match=problem):
        complete(config, read_schema(REPOSITORY / "workflow/schemas/config.schema.yaml"))
