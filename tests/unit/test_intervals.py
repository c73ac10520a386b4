"""Weighted measures against scikit-learn, and the table of intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from covidcxr.evaluate import metrics
from covidcxr.evaluate.intervals import COLUMNS, measured, write_intervals

CLASSES = ["ill", "well", "other"]


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


def predictions(n: int = 60, seed: int = 0, skill: float = 1.0) -> pd.DataFrame:
    """Images of n/2 patients, two each, of one class a patient."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(n // 2) % 3, 2)
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[truth] * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(scores, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "image_id", [f"i{k:03d}" for k in range(n)])
    frame.insert(1, "patient_id", [f"s:{k // 2}" for k in range(n)])
    frame.insert(2, "label", [CLASSES[k] for k in truth])
    return frame


def called(frame: pd.DataFrame) -> pd.DataFrame:
    scores = frame[[f"p_{name}" for name in CLASSES]].to_numpy()
    return frame.assign(predicted=[CLASSES[k] for k in scores.argmax(axis=1)])


def test_every_measure_stands_within_its_interval_and_counts_its_own_images() -> None:
    table = measured(called(predictions()), CLASSES, np.random.default_rng(1), replicates=400)
    rows = table.set_index(["metric", "class"])
    assert len(rows) == 3 + 4 * 3
    assert ((rows["low"] < rows["estimate"]) & (rows["estimate"] < rows["high"])).all()
    assert rows.loc[("accuracy", ""), ["n", "patients"]].tolist() == [60, 30]
    assert rows.loc[("sensitivity", "ill"), ["n", "patients"]].tolist() == [20, 10]
    assert rows.loc[("specificity", "ill"), ["n", "patients"]].tolist() == [40, 20]


def test_a_faultless_model_gets_exact_bounds_or_none_and_never_certainty() -> None:
    table = measured(
        called(predictions(skill=50)), CLASSES, np.random.default_rng(1), replicates=50
    )
    rows = table.set_index(["metric", "class"])
    assert (rows["estimate"] == 1).all()
    assert rows.loc[("sensitivity", "ill"), "method"] == "exact"
    assert rows.loc[("sensitivity", "ill"), "low"] == pytest.approx(0.025 ** (1 / 10))
    assert rows.loc[("auc", "ill"), ["low", "high"]].isna().all()
    assert (rows["low"] < 1).sum() == 1 + 3 * 3


def test_ensembles_carry_the_spread_over_their_folds_and_models_share_resamples(tmp_path) -> None:
    frame = predictions()
    ids = frame["image_id"]
    split = pd.DataFrame({"image_id": ids, "split": "train", "fold": [k % 2 for k in range(60)]})
    split.loc[30:, "split"] = "test"
    split["fold"] = split["fold"].astype("Int64").where(split["split"] == "train")
    split.to_csv(tmp_path / "split.csv", index=False)
    records = []
    for backbone in ("A", "B"):
        for model, seed in (("fold0", 1), ("fold1", 2), ("ensemble", 3)):
            path = tmp_path / f"{backbone}{model}.csv"
            own = (split["split"] == "test") | (model == "ensemble")
            own |= (split["fold"] == int(model[-1])).fillna(False) if model != "ensemble" else False
            predictions(seed=seed)[own].to_csv(path, index=False)
            records.append((backbone, "v1", model, path))
    output = tmp_path / "intervals.csv"
    write_intervals(records, tmp_path / "split.csv", output, classes=CLASSES, seed=1, replicates=50)
    table = pd.read_csv(output, keep_default_na=False, na_values=[""])
    assert tuple(table.columns) == COLUMNS
    rows = table[(table["backbone"] == "A") & (table["metric"] == "accuracy")].set_index("model")
    folds = rows.loc[["fold0", "fold1"], "estimate"]
    assert rows.loc["ensemble", "fold_mean"] == pytest.approx(folds.mean())
    assert rows.loc["ensemble", "fold_sd"] == pytest.approx(folds.std())
    assert rows.loc["fold0", ["fold_mean", "fold_sd"]].isna().all()
    same = table[table["backbone"] == "B"].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        table[table["backbone"] == "A"].drop(columns="backbone").reset_index(drop=True),
        same.drop(columns="backbone"),
    )
