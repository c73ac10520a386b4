"""Classifiers on pooled features: the registry, weights by class and source, external sets."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from covidcxr.classify import classifier, classifiers, score
from covidcxr.classify.classifiers import (
    CLASSIFIERS,
    MARGIN_PENALTY,
    PENALTIES,
    TEST,
    Examples,
    Folds,
    chosen_penalty,
    fit,
    fit_folds,
    fitted,
    logistic,
    probabilities,
    regression,
    support_vector,
)
from covidcxr.classify.predictions import read_file
from covidcxr.classify.transformers import Standardise, signed_root
from covidcxr.classify.weights import sample_weights
from covidcxr.errors import InputError
from covidcxr.features.bank import read_pooled, standardisation
from tests.unit.tiny import CLASSES, tiny_manifest


def apart(n: int = 60, channels: int = 90, seed: int = 0) -> Examples:
    """Classes that a straight boundary separates, more channels than images; two of a patient."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) // 2 % 3
    features = rng.normal(size=(n, channels))
    features[:, :3] += 2 * np.eye(3)[classes]
    return Examples(features * 5 + 2, classes, (np.arange(n) // 2).astype(str))


def rings(n: int, seed: int) -> Examples:
    """Classes by distance from a centre, which no straight boundary separates; two of a patient."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) // 2 % 3
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = classes + 0.15 * rng.normal(size=n)
    plane = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Examples(plane, classes, (np.arange(n) // 2).astype(str))


@pytest.mark.parametrize("count", [2, 3])
def test_turned_features_give_scikit_learns_own_fit(count: int) -> None:
    data = apart()
    data = data.rows(data.classes < count)
    mean, variance = standardisation(data.features)
    others = data.features[:7] + 1
    for penalty in (0.01, 0.1):
        plain = LogisticRegression(C=penalty, max_iter=5000, tol=1e-8)
        plain.fit((data.features - mean) / np.sqrt(variance), data.classes)
        expected = plain.predict_proba((others - mean) / np.sqrt(variance))
        found = probabilities(fitted(regression(penalty), data), others, count)
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_penalty_of_lowest_loss_on_patients_left_out_is_chosen() -> None:
    data = apart()
    model = fit(logistic, data)
    search = model.steps[-1][1]
    for training, left_out in search.cv:
        assert not set(data.patients[training]) & set(data.patients[left_out])
    losses = []
    for penalty in PENALTIES:
        parts = [
            log_loss(
                data.classes[left_out],
                probabilities(
                    fitted(regression(penalty), data.rows(training)), data.features[left_out], 3
                ),
                labels=[0, 1, 2],
            )
            for training, left_out in search.cv
        ]
        losses.append(np.mean(parts))
    assert chosen_penalty([model]) == PENALTIES[int(np.argmin(losses))]


@pytest.mark.parametrize("count", [2, 3])
def test_a_machine_s_calls_are_those_of_scikit_learns_on_the_same_features(count: int) -> None:
    data, others = rings(180, 0), rings(90, 1)
    data, others = data.rows(data.classes < count), others.rows(others.classes < count)
    mean, variance = standardisation(signed_root(data.features))
    scaled = (signed_root(data.features) - mean) / np.sqrt(variance)
    plain = SVC(C=MARGIN_PENALTY, decision_function_shape="ovr").fit(scaled, data.classes)
    expected = plain.predict((signed_root(others.features) - mean) / np.sqrt(variance))
    found = probabilities(fit(support_vector, data), others.features, count)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == expected).mean() > 0.95
    assert (found.argmax(axis=1) == others.classes).mean() > 0.9


def test_a_machine_learns_from_so_many_images_at_most_and_from_rare_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classifiers, "MOST_FOR_KERNEL", 90)
    monkeypatch.setattr(classifiers, "FEWEST", 12)
    data = rings(300, 0)
    data = data.rows((data.classes > 0) | (np.arange(300) < 60))
    machine = fit(support_vector, data).steps[-1][1].calibrated_classifiers_[0].estimator
    assert machine.shape_fit_[0] == 12 + 2 * 41
    monkeypatch.setattr(classifiers, "MOST_FOR_KERNEL", len(data.classes))
    machine = fit(support_vector, data).steps[-1][1].calibrated_classifiers_[0].estimator
    assert machine.shape_fit_[0] == len(data.classes)


def test_a_machine_s_probabilities_are_calibrated_where_it_is_unsure() -> None:
    """Random labels: a machine that went by its own training scores would be sure of them."""
    rng = np.random.default_rng(0)
    data = Examples(rng.normal(size=(300, 20)), rng.integers(0, 2, 300), np.arange(300).astype(str))
    found = probabilities(fit(support_vector, data), rng.normal(size=(200, 20)), 2)
    assert log_loss(rng.integers(0, 2, 200), found) < 0.75
    assert found.max() < 0.75


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_a_class_without_a_training_image_gets_no_probability(name: str) -> None:
    data = rings(90, 0)
    model = fit(CLASSIFIERS[name], data.rows(data.classes != 1))
    found = probabilities(model, data.features, 3)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_a_class_of_one_patient_is_refused(name: str) -> None:
    data = rings(90, 0)
    data.patients[data.classes == 1] = "same"
    with pytest.raises(InputError, match="one patient only"):
        fit(CLASSIFIERS[name], data)


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_a_fold_s_model_saw_neither_the_fold_nor_the_test_images(name: str) -> None:
    data = rings(120, 0)
    folds = np.arange(120) // 6 % 4 - 1
    first = fit_folds(CLASSIFIERS[name], data, folds)[1]
    changed = data.classes.copy()
    changed[np.isin(folds, [1, TEST])] = 0
    again = fit_folds(CLASSIFIERS[name], Examples(data.features, changed, data.patients), folds)[1]
    np.testing.assert_array_equal(
        probabilities(first, data.features, 3), probabilities(again, data.features, 3)
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


@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_weights_change_the_model(name: str) -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], [20, 100])
    features = rng.normal(size=(120, 4)) + 0.7 * classes[:, None]
    weights = sample_weights(classes, classes, by_class=True, by_source=False)
    plain, weighed = (
        probabilities(
            fit(CLASSIFIERS[name], Examples(features, classes, np.arange(120).astype(str), w)),
            features,
            2,
        )[:, 0]
        for w in (None, weights)
    )
    assert weighed.mean() > plain.mean() + 0.1


def test_features_of_an_inner_layer_are_averaged_over_the_image(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 2, 2, 5)).astype(np.float32)
    np.save(tmp_path / "clean.npy", values)
    pd.DataFrame({"image_id": ["a", "b", "c"], "clean_row": [0, 1, 2]}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    found = read_pooled(tmp_path / "clean.npy", tmp_path / "rows.csv", ["c", "a"])
    np.testing.assert_allclose(found, values[[2, 0]].mean(axis=(1, 2)), rtol=1e-6)
    with pytest.raises(InputError, match="such as d"):
        read_pooled(tmp_path / "clean.npy", tmp_path / "rows.csv", ["d"])


def neighbours(folds: Folds) -> Pipeline:
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}, cv=folds)
    return make_pipeline(Standardise(), search)


@pytest.mark.parametrize("name", [*CLASSIFIERS, "neighbours"])
def test_an_entry_of_the_registry_predicts_the_run_s_own_and_external_images_alike(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(classifiers.CLASSIFIERS, "neighbours", neighbours)
    labels = [i // 2 % 3 for i in range(72)]
    manifest = tiny_manifest(labels)
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    split = manifest[["image_id"]].assign(
        split="train", fold=pd.array([i // 6 % 2 for i in range(72)], "Int64")
    )
    split.loc[60:, ["split", "fold"]] = ["test", pd.NA]
    split.to_csv(tmp_path / "split.csv", index=False)
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(72, 6)) + 3 * np.eye(6)[labels]).astype(np.float32)
    np.save(tmp_path / "clean.npy", features)
    split[["image_id"]].assign(clean_row=range(72)).to_csv(tmp_path / "rows.csv", index=False)
    models = tmp_path / f"{name}.joblib"
    classifier.run(
        tmp_path / "clean.npy", tmp_path / "rows.csv",
        [tmp_path / "manifest.csv", tmp_path / "split.csv"], models, tmp_path / "predictions.csv",
        classes=CLASSES, by_class=True, by_source=True,
        wildcards={"population": "study", "backbone": "tiny", "classifier": name},
    )  # fmt: skip
    own = read_file(tmp_path / "predictions.csv", CLASSES)
    for k in (0, 1):
        wanted = split[(split["split"] == "test") | (split["fold"] == k).fillna(False)]
        assert set(own.loc[own["model"] == f"fold{k}", "image_id"]) == set(wanted["image_id"])
    scores = own[[f"p_{label}" for label in CLASSES]].to_numpy()
    assert (scores.argmax(axis=1) == own["label"].map(CLASSES.index)).mean() > 0.5

    np.save(tmp_path / "external.npy", features[60:, None])
    manifest.iloc[60:].to_csv(tmp_path / "external.csv", index=False)
    places = [[], [models], [tmp_path / "external.npy"], [tmp_path / "external.csv"]]
    options = {"classes": CLASSES, "sets": ["outside"], "population": "study", "backbone": "tiny"}
    score.run(*places, tmp_path / "scores.csv", **options, threads=1)
    found = read_file(tmp_path / "scores.csv", CLASSES)
    expected = own[own["set"] == "test"].assign(set="outside").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)

    np.save(tmp_path / "external.npy", features[:5])
    with pytest.raises(InputError, match="holds 5 rows"):
        score.run(*places, tmp_path / "scores.csv", **options, threads=1)
