"""The support vector machine on pooled features, weights by class and source, external scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from covidcxr.classify.ensemble import read_predictions
from covidcxr.classify.logistic import TEST, Cohort, write_logistic
from covidcxr.classify.score_baseline import write_baseline_scores
from covidcxr.classify.support_vector import (
    PENALTY,
    fit,
    fit_folds,
    rooted,
    write_support_vector,
)
from covidcxr.classify.weights import sample_weights
from covidcxr.errors import InputError
from tests.unit.tiny import CLASSES, tiny_manifest


def rings(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes by distance from a centre, which no straight boundary tells apart; two films each."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) // 2 % 3
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = classes + 0.15 * rng.normal(size=n)
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return plane, classes, (np.arange(n) // 2).astype(str)


@pytest.mark.parametrize("count", [2, 3])
def test_its_calls_are_those_of_scikit_learns_machine_on_the_same_features(count: int) -> None:
    features, classes, patients = rings(180, 0)
    kept = classes < count
    features, classes, patients = features[kept], classes[kept], patients[kept]
    others, truth, _ = rings(90, 1)
    model = fit(features, classes, patients, count=count)
    scaled = (rooted(features) - model.mean) / model.spread
    plain = SVC(C=PENALTY, decision_function_shape="ovr").fit(scaled, classes)
    expected = plain.predict((rooted(others) - model.mean) / model.spread)
    found = model.probabilities(others)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == expected)[truth < count].mean() > 0.95
    assert (found.argmax(axis=1) == truth)[truth < count].mean() > 0.9


def test_its_probabilities_are_calibrated_where_it_is_unsure() -> None:
    """Random labels: a machine that told its own training scores would be sure of them."""
    rng = np.random.default_rng(0)
    features, classes = rng.normal(size=(300, 20)), rng.integers(0, 2, 300)
    model = fit(features, classes, np.arange(300).astype(str), count=2)
    found = model.probabilities(rng.normal(size=(200, 20)))
    assert log_loss(rng.integers(0, 2, 200), found) < 0.75
    assert found.max() < 0.75


def test_a_class_without_a_training_image_gets_no_probability() -> None:
    features, classes, patients = rings(90, 0)
    found = fit(features[classes != 1], classes[classes != 1], patients[classes != 1], count=3)
    probabilities = found.probabilities(features)
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_a_class_of_one_patient_is_refused() -> None:
    features, classes, patients = rings(90, 0)
    patients[classes == 1] = "same"
    with pytest.raises(InputError, match="one patient only"):
        fit(features, classes, patients, count=3)


def test_a_fold_is_predicted_by_a_machine_that_saw_neither_it_nor_the_test_images() -> None:
    features, classes, patients = rings(120, 0)
    folds = np.arange(120) // 6 % 4 - 1
    models = fit_folds(Cohort(features, classes, folds), patients, count=3)
    changed = classes.copy()
    unseen = np.isin(folds, [1, TEST])
    changed[unseen] = 0
    again = fit_folds(Cohort(features, changed, folds), patients, count=3)
    np.testing.assert_array_equal(
        models[1].probabilities(features), again[1].probabilities(features)
    )


def test_class_weights_are_scikit_learns() -> None:
    labels = np.array(list("aaaaabbc"))
    found = sample_weights(labels, labels, by_class=True, by_source=False)
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels))


@pytest.mark.parametrize("by_class", [False, True])
def test_source_weights_make_the_sources_of_a_class_count_alike(by_class: bool) -> None:
    images = pd.DataFrame({"label": list("aaaaaabbbc"), "source": list("xxxxyzxxyx")})
    weights = sample_weights(
        images["label"].to_numpy(),
        images["source"].to_numpy(),
        by_class=by_class,
        by_source=True,
    )
    totals = images.assign(w=weights).groupby(["label", "source"])["w"].sum()
    for label in "ab":
        np.testing.assert_allclose(totals[label], totals[label].mean())
    classes = totals.groupby("label").sum()
    expected = [10 / 3] * 3 if by_class else [6, 3, 1]
    np.testing.assert_allclose(classes, expected)


def test_weights_change_the_machine() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], [20, 100])
    features = rng.normal(size=(120, 4)) + 0.7 * classes[:, None]
    patients = np.arange(120).astype(str)
    weights = sample_weights(classes, classes, by_class=True, by_source=False)
    plain, weighed = (
        fit(features, classes, patients, count=2, weights=w).probabilities(features)[:, 0]
        for w in (None, weights)
    )
    assert weighed.mean() > plain.mean() + 0.1


@pytest.mark.parametrize("kind", ["logistic", "support_vector"])
def test_an_external_set_is_scored_as_the_run_s_own_test_images_are(
    tmp_path: Path, kind: str
) -> None:
    labels = [i // 2 % 3 for i in range(72)]
    manifest = tiny_manifest(labels)
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    split = manifest[["image_id"]].assign(
        split="train", fold=pd.array([i // 6 % 2 for i in range(72)], "Int64")
    )
    split.loc[60:, "split"] = "test"
    split.loc[60:, "fold"] = pd.NA
    split.to_csv(tmp_path / "split.csv", index=False)
    features = np.random.default_rng(0).normal(size=(72, 6)) + 2 * np.eye(6)[labels]
    # Cut inside the backbone: pooled first.
    features = np.repeat(features[:, None], 3, axis=1) + np.array([[[-1], [0], [1]]])
    np.save(tmp_path / "clean.npy", features[:, None].astype(np.float32))
    split[["image_id"]].assign(clean_row=range(72)).to_csv(tmp_path / "rows.csv", index=False)
    places = [tmp_path / name for name in ("clean.npy", "rows.csv", "manifest.csv", "split.csv")]
    folds = [tmp_path / f"fold{k}.csv" for k in (0, 1)]
    outputs = [tmp_path / "models.joblib", folds, tmp_path / "ensemble.csv"]
    options = {"classes": CLASSES, "class_weights": True, "source_weights": True}
    if kind == "logistic":
        write_logistic(*places, *outputs, tmp_path / "choice.csv", **options)
    else:
        write_support_vector(*places, *outputs, **options)

    np.save(tmp_path / "external.npy", features[60:, None].astype(np.float32))
    manifest.iloc[60:].to_csv(tmp_path / "external.csv", index=False)
    scores = {name: tmp_path / f"x_{name}.csv" for name in ("fold0", "fold1", "ensemble")}
    write_baseline_scores(
        tmp_path / "models.joblib",
        tmp_path / "external.npy",
        tmp_path / "external.csv",
        scores,
        classes=CLASSES,
        identity=dict.fromkeys(["population", "backbone", "classifier", "set"], "x"),
    )
    for name, path in scores.items():
        own = read_predictions(tmp_path / f"{name}.csv", CLASSES).set_index("image_id")
        found = read_predictions(path, CLASSES).set_index("image_id")
        assert len(found) == 12
        pd.testing.assert_frame_equal(found, own.loc[found.index])
    np.save(tmp_path / "external.npy", features[:5])
    with pytest.raises(InputError, match="holds 5 rows"):
        write_baseline_scores(
            tmp_path / "models.joblib",
            tmp_path / "external.npy",
            tmp_path / "external.csv",
            scores,
            classes=CLASSES,
            identity=dict.fromkeys(["population", "backbone", "classifier", "set"], "x"),
        )
