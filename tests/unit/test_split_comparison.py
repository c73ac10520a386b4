"""Leakage through patients: planted and found, absent and not found."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from covidcxr.classify.classifiers import Examples, fit, logistic
from covidcxr.evaluate.split_comparison import (
    Division,
    matched,
    random_splits,
    run,
    section_of,
    shared,
    summary,
)
from tests.unit.tiny import CLASSES, tiny_manifest


def manifest(patients_images: int, n: int = 90) -> pd.DataFrame:
    """Classes in turn, each patient with so many images, all of one class."""
    return tiny_manifest([k // patients_images % 3 for k in range(n)]).assign(
        patient_id=[f"s:{k // patients_images}" for k in range(n)]
    )


def test_splits_of_both_kinds_have_the_same_sizes_and_only_one_shares_patients() -> None:
    images = manifest(2)
    patients = images["patient_id"].to_numpy()
    for by_image, by_patient in random_splits(images, test=0.2, repeats=3, seed=1):
        assert len(by_image.test) == len(by_patient.test) == 18
        assert not shared(by_patient, patients).any()
        assert shared(by_image, patients).any()
        assert not np.isin(by_image.test, by_image.training).any()


def test_matched_training_sets_differ_in_the_tested_patients_only() -> None:
    images = manifest(2)
    patients = images["patient_id"].to_numpy()
    truth = np.array([CLASSES.index(label) for label in images["label"]])
    [(by_image, _)] = random_splits(images, test=0.2, repeats=1, seed=2)
    both, without = matched(by_image, patients, truth, np.random.default_rng(0))
    np.testing.assert_array_equal(np.bincount(truth[both.training]),
                                  np.bincount(truth[without.training]))  # fmt: skip
    assert not shared(without, patients).any()
    assert shared(both, patients).sum() == shared(by_image, patients).sum()
    assert set(both.training) | set(without.training) <= set(by_image.training)


def test_a_class_of_tested_patients_only_keeps_an_image_to_train_on() -> None:
    patients = np.array(["a", "a", "b", "c"])
    division = Division(np.array([0, 2]), np.array([1, 3]))
    both, _ = matched(division, patients, np.array([0, 0, 0, 1]), np.random.default_rng(0))
    assert both.training.tolist() == [0, 2]


def compared(folder, patients_images: int, features: np.ndarray) -> pd.DataFrame:
    images = manifest(patients_images, len(features))
    images.to_csv(folder / "manifest.csv", index=False)
    np.save(folder / "clean.npy", features.astype(np.float32))
    rows = images[["image_id"]].assign(clean_row=range(len(images)))
    rows.to_csv(folder / "rows.csv", index=False)
    classes = images["label"].map(CLASSES.index).to_numpy()
    examples = Examples(features, classes, images["image_id"].to_numpy(str))
    joblib.dump({"fold0": fit(logistic, examples)}, folder / "logistic.joblib")
    run(
        [folder / "clean.npy"],
        [folder / "rows.csv"],
        [folder / "logistic.joblib"],
        folder / "manifest.csv",
        folder / "summary.csv",
        folder / "draws.csv",
        folder / "section.json",
        settings={
            "backbones": ["A"], "classes": CLASSES, "test": 0.2, "comparisons": 6,
            "class_weights": False, "source_weights": False, "seed": 1,
        },
    )  # fmt: skip
    return pd.read_csv(folder / "summary.csv").set_index("comparison")


def test_features_that_know_the_patient_alone_gain_by_leakage(tmp_path) -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(rng.normal(size=(60, 80)), 3, axis=0)
    found = compared(tmp_path, 3, person + 0.05 * rng.normal(size=(180, 80)))
    for comparison in ("splits", "matched"):
        assert found.loc[comparison, "difference"] > 0.3
        assert found.loc[comparison, "low"] > 0
    assert found.loc["splits", "shared"] > 0.8


def test_a_patient_with_one_image_leaks_nothing(tmp_path) -> None:
    found = compared(tmp_path, 1, np.random.default_rng(0).normal(size=(90, 20)))
    assert found.loc["matched", ["difference", "low", "high", "shared"]].eq(0).all()


def test_interval_is_students_over_the_draws() -> None:
    rng = np.random.default_rng(0)
    names = ("image_split", "patient_split", "with_patients", "without")
    table = pd.DataFrame({name: rng.random(9) for name in names})
    table = table.assign(backbone="A", n=20, shared=5)
    row = summary(table).iloc[0]
    difference = table["image_split"] - table["patient_split"]
    expected = stats.t.interval(0.95, 8, difference.mean(), stats.sem(difference))
    assert (row["low"], row["high"]) == pytest.approx(expected)
    assert row["difference"] == pytest.approx(difference.mean())


def test_section_tells_what_leakage_adds_and_on_how_many_images_it_can() -> None:
    table = pd.DataFrame(
        {
            "backbone": ["VGG16", "VGG16", "ResNet50", "ResNet50"],
            "comparison": ["splits", "matched"] * 2,
            "repeats": 20,
            "leaky": 0.95,
            "clean": 0.94,
            "difference": [0.01, 0.008, 0.0, 0.0],
            "low": [-0.001, 0.002, -0.004, -0.002],
            "high": [0.02, 0.014, 0.004, 0.002],
            "shared": 0.08,
        }
    )
    images = manifest(2)
    part = section_of(table, images, CLASSES)
    found, patients = part.paragraphs
    assert "over 20 splits: VGG16 +0.008 (+0.002 to +0.014) and ResNet50 0.000" in found
    assert "above 0 for VGG16." in found
    assert "45 of 45 patients have several images, 90 of 90 images" in patients
    assert "8.0\u202f% of the test images" in patients
    assert part.tables[0].table is not None
    assert len(part.tables[0].table.rows) == 4
