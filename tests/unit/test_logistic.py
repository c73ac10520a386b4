"""Logistic regression on pooled features, and the mean over backbones."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from covidcxr.classify import model
from covidcxr.classify.all_backbones import mean_of_backbones
from covidcxr.classify.ensemble import read_predictions
from covidcxr.classify.logistic import (
    TEST,
    Cohort,
    cross_validate,
    fit_predict,
    read_choice,
    read_pooled,
    standardisation,
    write_logistic,
)
from covidcxr.errors import InputError
from tests.unit.tiny import CLASSES, tiny_manifest


def cohort(n: int = 60, channels: int = 90, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 3
    features = rng.normal(size=(n, channels))
    features[:, :3] += 2 * np.eye(3)[classes]
    folds = np.arange(n) // 3 % 4 - 1
    return Cohort(features * 5 + 2, classes, folds)


def test_features_are_standardised_as_the_network_head_does() -> None:
    features = np.random.default_rng(0).normal(size=(20, 5)) * [1, 10, 0, 0.1, 3]
    mean, variance = model.standardisation(features.astype(np.float32))
    own_mean, spread = standardisation(features.astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(own_mean, mean)
    np.testing.assert_allclose(spread**2, variance)


@pytest.mark.parametrize("count", [2, 3])
def test_turned_features_and_warm_starts_give_scikit_learns_own_fit(count: int) -> None:
    data = cohort()
    rows = data.classes < count
    features, classes = data.features[rows], data.classes[rows]
    mean, spread = standardisation(features)
    scaled = (features - mean) / spread
    found = fit_predict(features, classes, features[:7] + 1, [0.01, 0.1], count=count)
    for penalty, probabilities in zip([0.01, 0.1], found, strict=True):
        plain = LogisticRegression(C=penalty, max_iter=5000, tol=1e-8).fit(scaled, classes)
        expected = plain.predict_proba((features[:7] + 1 - mean) / spread)
        np.testing.assert_allclose(probabilities, expected, atol=2e-3)


def test_a_fold_is_predicted_by_a_model_that_saw_neither_it_nor_the_test_images() -> None:
    data = cohort()
    fitted, choice = cross_validate(data, count=3, penalties=[0.01, 0.1])
    changed = data.classes.copy()
    held_out = np.isin(data.folds, [0, TEST])
    changed[held_out] = 0
    again, _ = cross_validate(
        Cohort(data.features, changed, data.folds),
        count=3,
        penalties=[choice.loc[choice["chosen"] == 1, "C"].item()],
    )
    unseen = data.features[held_out]
    np.testing.assert_allclose(
        again[0].probabilities(unseen), fitted[0].probabilities(unseen), atol=2e-3
    )


def test_the_penalty_of_lowest_validation_loss_is_chosen() -> None:
    data = cohort()
    fitted, choice = cross_validate(data, count=3)
    chosen = choice[choice["chosen"] == 1]
    assert len(chosen) == 1
    assert chosen["log_loss"].item() == choice["log_loss"].min()
    losses = [
        log_loss(
            data.classes[data.folds == k], fitted[k].probabilities(data.features[data.folds == k])
        )
        for k in range(3)
    ]
    assert chosen["log_loss"].item() == pytest.approx(np.mean(losses))


def test_features_of_an_inner_layer_are_averaged_over_the_image(tmp_path) -> None:
    values = np.random.default_rng(0).random((3, 2, 2, 5)).astype(np.float32)
    np.save(tmp_path / "clean.npy", values)
    pd.DataFrame({"image_id": ["a", "b", "c"], "clean_row": [0, 1, 2]}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    found = read_pooled(tmp_path / "clean.npy", tmp_path / "rows.csv", ["c", "a"])
    np.testing.assert_allclose(found, values[[2, 0]].mean(axis=(1, 2)), rtol=1e-6)
    with pytest.raises(InputError, match="lacks image d"):
        read_pooled(tmp_path / "clean.npy", tmp_path / "rows.csv", ["d"])


def test_written_predictions_are_those_of_a_fold_and_an_ensemble(tmp_path) -> None:
    labels = [i // 2 % 3 for i in range(48)]
    tiny_manifest(labels).to_csv(tmp_path / "manifest.csv", index=False)
    split = tiny_manifest(labels)[["image_id"]]
    split = split.assign(split="train", fold=pd.array([i // 6 % 2 for i in range(48)], "Int64"))
    split.loc[36:, "split"] = "test"
    split.loc[36:, "fold"] = pd.NA
    split.to_csv(tmp_path / "split.csv", index=False)
    features = np.random.default_rng(0).normal(size=(48, 6)) + np.eye(6)[labels]
    np.save(tmp_path / "clean.npy", features.astype(np.float32))
    split[["image_id"]].assign(clean_row=range(48)).to_csv(tmp_path / "rows.csv", index=False)
    folds = [tmp_path / f"fold{k}.csv" for k in (0, 1)]
    write_logistic(
        tmp_path / "clean.npy",
        tmp_path / "rows.csv",
        tmp_path / "manifest.csv",
        tmp_path / "split.csv",
        tmp_path / "models.joblib",
        folds,
        tmp_path / "ensemble.csv",
        tmp_path / "choice.csv",
        classes=CLASSES,
        class_weights=True,
        source_weights=False,
    )
    written = [read_predictions(path, CLASSES) for path in folds]
    for k, frame in enumerate(written):
        own = split[(split["split"] == "test") | (split["fold"] == k).fillna(False)]
        assert set(frame["image_id"]) == set(own["image_id"])
    assert len(read_predictions(tmp_path / "ensemble.csv", CLASSES)) == 48
    assert 1e-4 <= read_choice(tmp_path / "choice.csv") <= 1


def test_backbones_are_averaged_image_by_image_and_must_agree_on_the_images() -> None:
    first = pd.DataFrame(
        {"image_id": ["a", "b"], "patient_id": ["1", "2"], "label": ["x", "y"], "p_x": [0.9, 0.2]}
    ).assign(p_y=[0.1, 0.8])
    second = first.iloc[::-1].assign(p_x=[0.4, 0.5], p_y=[0.6, 0.5])
    mean = mean_of_backbones({"A": first, "B": second}, ["x", "y"])
    assert mean["image_id"].tolist() == ["a", "b"]
    np.testing.assert_allclose(mean["p_x"], [0.7, 0.3])
    with pytest.raises(InputError, match="B differs in 1, such as b"):
        mean_of_backbones({"A": first, "B": first.iloc[:1]}, ["x", "y"])
