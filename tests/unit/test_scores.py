"""Weighted measures against scikit-learn, and the long table of all scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from covidcxr.classify.predictions import read_predictions
from covidcxr.data.tables import class_positions, write_table
from covidcxr.evaluate import metrics
from covidcxr.evaluate.scores import COLUMNS, cells, measured, read_scores, scores
from tests.unit.statistics_inputs import CLASSES, few, predictions, write_predictions


def drawn(seed: int, n: int = 60, count: int = 3):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(count), rng.integers(0, count, n - count)])
    called = np.concatenate([np.arange(count), rng.integers(0, count, n - count)])
    return truth, called, rng.integers(0, 4, (3, n)).astype(float), np.round(rng.random(n), 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_weighted_measures_are_scikit_learns(seed: int, count: int) -> None:
    truth, called, weights, scores = drawn(seed, count=count)
    weights[:, :count] += 1  # every class occurs and is called
    matrices = metrics.confusions(weights, truth, called, count)
    for k, weight in enumerate(weights):
        options = {"sample_weight": weight}
        assert metrics.accuracy(matrices)[k] == pytest.approx(
            reference.accuracy_score(truth, called, **options)
        )
        assert metrics.balanced_accuracy(matrices)[k] == pytest.approx(
            reference.balanced_accuracy_score(truth, called, **options)
        )
        assert metrics.macro_f1(matrices)[k] == pytest.approx(
            reference.f1_score(truth, called, average="macro", **options)
        )
        assert metrics.sensitivity(matrices)[k] == pytest.approx(
            reference.recall_score(truth, called, average=None, **options)
        )
        assert metrics.precision(matrices)[k] == pytest.approx(
            reference.precision_score(truth, called, average=None, **options)
        )
        assert metrics.f1(matrices)[k] == pytest.approx(
            reference.f1_score(truth, called, average=None, **options)
        )
        assert metrics.specificity(matrices)[k] == pytest.approx(
            [reference.recall_score(truth != c, called != c, **options) for c in range(count)]
        )
        assert metrics.auc(weights, scores, truth == 0)[k] == pytest.approx(
            reference.roc_auc_score(truth == 0, scores, **options)
        )


def test_what_has_no_images_is_undefined() -> None:
    matrices = np.array([[[2.0, 0, 0], [1, 3, 0], [0, 0, 0]]])
    np.testing.assert_allclose(metrics.sensitivity(matrices), [[1, 0.75, np.nan]])
    np.testing.assert_allclose(metrics.precision(matrices), [[2 / 3, 1, np.nan]])
    assert metrics.balanced_accuracy(matrices) == pytest.approx(0.875)
    assert np.isnan(metrics.auc(np.ones((1, 2)), np.array([0.1, 0.2]), np.array([True, True])))


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    """`measured` on the test images of the ensemble of backbone A."""
    own = frame.query("backbone == 'A' and model == 'ensemble' and set == 'test'")
    probabilities = own[[f"p_{name}" for name in CLASSES]].to_numpy()
    return measured(
        class_positions(own["label"], CLASSES),
        probabilities.argmax(axis=1),
        own["patient_id"].to_numpy(),
        np.random.default_rng(1),
        classes=CLASSES,
        probabilities=probabilities,
    )


def test_every_measure_stands_within_its_interval_and_counts_its_own_images() -> None:
    rows = few(400, scored, predictions(skill=0.3)).set_index(["metric", "class"])
    assert len(rows) == 3 + 5 * 3
    sure = rows["method"] == "bootstrap"
    assert sure.sum() >= 15
    inside = (rows["low"] <= rows["estimate"]) & (rows["estimate"] <= rows["high"])
    assert inside[sure].all()
    assert rows.loc[("accuracy", ""), ["n", "patients"]].tolist() == [30, 15]
    assert rows.loc[("sensitivity", "ill"), ["n", "patients"]].tolist() == [10, 5]
    assert rows.loc[("specificity", "ill"), ["n", "patients"]].tolist() == [20, 10]


def test_a_faultless_model_gets_exact_bounds_or_none_and_never_certainty() -> None:
    rows = few(50, scored, predictions(skill=50)).set_index(["metric", "class"])
    assert (rows["estimate"] == 1).all()
    assert rows.loc[("sensitivity", "ill"), "method"] == "exact"
    assert rows.loc[("sensitivity", "ill"), "low"] == pytest.approx(0.025 ** (1 / 5))
    assert rows.loc[("auc", "ill"), ["low", "high"]].isna().all()
    assert (rows["low"] < 1).sum() == 1 + 3 * 3


def test_a_class_without_images_has_no_sensitivity_and_others_count_as_ever() -> None:
    frame = predictions()
    rows = few(50, scored, frame[frame["label"] != "ill"]).set_index(["metric", "class"])
    for metric in ("sensitivity", "auc"):
        assert np.isnan(rows.loc[(metric, "ill"), "estimate"])
        assert rows.loc[(metric, "ill"), "method"] == ""
    assert rows.loc[("specificity", "ill"), "n"] == 20
    expected = rows.loc["sensitivity", "estimate"].drop("ill").mean()
    assert rows.loc[("balanced_accuracy", ""), "estimate"] == pytest.approx(expected)


def test_models_of_a_set_share_resamples_and_groups_are_parts_of_the_test_set() -> None:
    frame = predictions()
    copy = frame[frame["backbone"] == "A"].assign(backbone="copy")
    everything = pd.concat([frame, copy], ignore_index=True)
    everything["predicted"] = predictions_of(everything)
    ill = set(frame.loc[frame["label"] == "ill", "image_id"])
    table = few(50, scores, everything, CLASSES, seed=1, groups={"ill (s)": ill})
    assert list(table.columns) == COLUMNS
    parts = [
        table[table["backbone"] == name].drop(columns="backbone").reset_index(drop=True)
        for name in ("A", "copy")
    ]
    pd.testing.assert_frame_equal(*parts)
    group = table[table["group"] == "ill (s)"]
    assert set(group["model"]) == {"ensemble"}
    assert set(group["set"]) == {"test"}
    accuracy = group[group["metric"] == "accuracy"].set_index("backbone")
    assert (accuracy["n"] == 10).all()
    whole = table.query("metric == 'sensitivity' and `class` == 'ill' and group == ''")
    whole = whole.query("model == 'ensemble' and set == 'test'").set_index("backbone")
    pd.testing.assert_series_equal(accuracy["estimate"], whole["estimate"])
    sets = table.query("group == ''").groupby(["backbone", "model"])["set"].agg(set)
    assert all(found == {"validation", "test"} for found in sets)


def predictions_of(frame: pd.DataFrame) -> np.ndarray:
    return np.array(CLASSES)[frame[[f"p_{name}" for name in CLASSES]].to_numpy().argmax(axis=1)]


def test_cells_are_the_populations_and_each_class_of_each_source() -> None:
    manifest = pd.DataFrame(
        {"image_id": list("abcd"), "label": ["ill", "well", "well", "ill"], "source": list("stst")}
    )
    found = cells(manifest, {"both": ["s", "t"], "one": ["s"]}, ["ill", "well"])
    assert found == {
        "both": set("abcd"), "one": set("ac"), "ill (s)": {"a"}, "ill (t)": {"d"},
        "well (s)": {"c"}, "well (t)": {"b"},
    }  # fmt: skip
    assert cells(manifest, {}, ["ill", "well"]) == {}


def test_the_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_predictions(tmp_path)
    table = few(20, scores, read_predictions(path, CLASSES), CLASSES, seed=1)
    write_table(table, tmp_path / "scores.csv")
    pd.testing.assert_frame_equal(
        read_scores(tmp_path / "scores.csv"), table, check_dtype=False, rtol=1e-9
    )
