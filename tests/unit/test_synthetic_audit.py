"""The audit of synthetic images finds what was put into them, and nothing where nothing is."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.cyclegan.cycle_error import cycle_errors
from covidcxr.errors import InputError
from covidcxr.evaluate.audit_changes import (
    per_image,
    shares,
    summary,
    take_apart,
    write_audit_changes,
)
from covidcxr.evaluate.audit_features import (
    Cohort,
    copying,
    kernel_distance,
    kernel_estimate,
    over_halves,
    read_pooled,
    two_sample,
    write_audit_features,
)
from covidcxr.report.sections.synthetic_audit import section
from tests.unit.tiny import tiny_images, tiny_manifest


def cohort(n: int, shift: float = 0.0, seed: int = 0, dimensions: int = 5, of: str = "a") -> Cohort:
    features = np.random.default_rng(seed).normal(shift, 1, (n, dimensions))
    names = np.array([f"{of}{i}" for i in range(n)])
    return Cohort(features, names, names)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def distances(values: list[float], of: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"distance": values, "patient_id": [f"{of}{i}" for i in range(len(values))]}
    )


def test_kernel_distance_is_the_unbiased_estimate_of_the_paper() -> None:
    first, second = cohort(6, of="a"), cohort(4, 0.5, seed=2, of="b")

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 5 + 1) ** 3

    x, y = first.features, second.features
    expected = (
        sum(kernel(x[i], x[j]) for i in range(6) for j in range(6) if i != j) / 30
        + sum(kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j) / 12
        - 2 * sum(kernel(a, b) for a in x for b in y) / 24
    )
    assert kernel_estimate(first, second) == pytest.approx(expected)


def test_kernel_distance_of_equal_distributions_is_zero_on_average_however_few_the_images() -> None:
    found = [
        kernel_estimate(cohort(8, seed=k, of="a"), cohort(8, seed=1000 + k, of="b"))
        for k in range(400)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20


def test_images_of_one_patient_are_no_pair() -> None:
    first, second = cohort(6, of="a"), cohort(6, 0.5, seed=2, of="b")
    doubled = Cohort(*(np.repeat(part, 2, axis=0) for part in vars(first).values()))
    assert kernel_estimate(doubled, second) == pytest.approx(kernel_estimate(first, second))


def test_interval_of_the_kernel_distance_is_as_wide_as_its_spread_over_samples() -> None:
    pairs = [(cohort(40, seed=k, of="a"), cohort(40, 1, seed=1000 + k, of="b")) for k in range(60)]
    spread = np.std([kernel_estimate(*pair) for pair in pairs])
    widths = [
        (found.high - found.low) / 3.92
        for found in (kernel_distance(*pair, rng()) for pair in pairs[:10])
    ]
    assert np.mean(widths) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize(("shift", "lowest", "highest"), [(0.0, 0.3, 0.7), (4.0, 0.95, 1.0)])
def test_classifier_tells_apart_what_differs_only(
    shift: float, lowest: float, highest: float
) -> None:
    found = two_sample(cohort(60, of="a"), cohort(50, shift, seed=2, of="b"), rng())
    assert lowest <= found.estimate <= highest
    assert found.low < found.estimate or found.estimate == 1
    assert found.low < 1


def test_classifier_does_not_know_a_patient_again() -> None:
    # Each patient has features of his own, the same in both sets: only patients could be known.
    patients = np.random.default_rng(0).normal(size=(10, 30))
    names = np.array([f"p{i}" for i in range(10)]).repeat(6)
    noise = np.random.default_rng(1).normal(0, 0.01, (2, 60, 30))
    first, second = (Cohort(patients.repeat(6, 0) + part, names, names) for part in noise)
    labels = np.arange(60) % 6 < 3
    a = replace(first, features=first.features[labels], patients=names[labels], ids=names[labels])
    b = replace(
        second, features=second.features[~labels], patients=names[~labels], ids=names[~labels]
    )
    assert two_sample(a, b, rng()).estimate < 0.8


def test_one_patient_gives_no_classifier() -> None:
    lonely = Cohort(np.zeros((3, 5)), np.array(["a"] * 3), np.array(["x", "y", "z"]))
    assert np.isnan(two_sample(lonely, cohort(5, of="b"), rng()).estimate)
    assert np.isnan(over_halves(lonely, kernel_estimate, 3, rng()).estimate)


def test_copies_are_found_and_strangers_are_not() -> None:
    real = distances([2.0, 3.0, 4.0, 5.0] * 5, "r")
    copies, p = copying(distances([0.1] * 20, "s"), real, rng())
    assert copies.estimate == 1
    assert p < 1e-6
    far, p = copying(distances([9.0] * 20, "s"), real, rng())
    assert far.estimate == 0
    assert p > 0.99
    same, _ = copying(distances([2.0, 3.0, 4.0, 5.0] * 5, "s"), real, rng())
    assert same.estimate == 0.5
    assert same.low < 0.5 < same.high


def test_maps_are_averaged_over_their_area(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).random((3, 2, 2, 4), np.float32)
    np.save(tmp_path / "maps.npy", maps)
    pooled = read_pooled(tmp_path / "maps.npy", 3)
    np.testing.assert_allclose(pooled[1, 2], maps[1, :, :, 2].mean(), rtol=1e-6)
    with pytest.raises(InputError, match="3 images, not of 4"):
        read_pooled(tmp_path / "maps.npy", 4)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_parts_of_the_change_add_up_to_all_of_it(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    before, after = random.uniform(0, 255, (2, count, 6, 6))
    changes = take_apart(before, after)
    np.testing.assert_allclose(changes.total, after - before, atol=1e-9)
    squares = sum(
        float((part**2).sum())
        for part in (changes.intensity, changes.individual, np.stack([changes.common] * count))
    )
    assert squares == pytest.approx(float(((after - before) ** 2).sum()))
    assert sum(shares(changes).values()) == pytest.approx(1)


def test_each_kind_of_change_is_told_from_the_others() -> None:
    before = np.random.default_rng(0).uniform(50, 200, (40, 8, 8))
    assert shares(take_apart(before, 0.5 * before + 30))["intensity"] == pytest.approx(1)
    frame = np.zeros((8, 8))
    frame[:, 0] = 60
    assert shares(take_apart(before, before + frame))["common"] > 0.75
    own = np.random.default_rng(1).permutation(np.eye(64) * 100)[:40].reshape(40, 8, 8)
    assert shares(take_apart(before, before + own))["individual"] > 0.9


def test_change_in_the_lungs_only_is_found_there() -> None:
    before = np.random.default_rng(0).uniform(50, 200, (30, 8, 8))
    lungs = np.zeros((30, 8, 8), bool)
    lungs[:, 2:6, 2:6] = True
    spots = np.random.default_rng(1).uniform(0, 80, (30, 8, 8)) * lungs
    changes = take_apart(before, before + spots)
    table = per_image(changes, lungs).assign(patient_id=[f"p{i}" for i in range(30)])
    found = summary(changes, table, np.eye(8), rng()).set_index("measure")
    assert found.loc["individual_in_lungs", "value"] > 0.9
    assert found.loc["enrichment", "low"] > 3
    assert found.loc["lungs", "value"] == pytest.approx(0.25)
    assert (found["low"].dropna() <= found["value"][found["low"].notna()] + 1e-9).all()


def test_errors_there_and_back_are_those_of_the_networks() -> None:
    image = keras.Input((8, 8, 1))
    half = keras.Model(image, image / 2)
    double = keras.Model(image, image * 2)
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8)).astype(np.uint8)
    found = cycle_errors(half, double, images, rng())
    np.testing.assert_allclose(found["cycle_error"], 0, atol=1e-4)
    expected = np.abs(images.astype(float) - 127.5).mean(axis=(1, 2)) / 2
    np.testing.assert_allclose(found["change"], expected, rtol=1e-5)
    # Noise of 2 grey levels, doubled on the way back: mean absolute value 4 sqrt(2 / pi).
    assert found["cycle_error_noisy"].mean() == pytest.approx(4 * np.sqrt(2 / np.pi), rel=0.1)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Give a study with 24 images of 12 patients and five synthetic ones of covid."""
    labels = [0, 0, 1, 1, 2, 2] * 4
    table = tiny_manifest(labels)
    table.to_csv(tmp_path / "manifest.csv", index=False)
    split = ["train"] * 18 + ["test"] * 6
    table[["image_id"]].assign(split=split).to_csv(tmp_path / "holdout.csv", index=False)
    sources = table[table["label"] == "normal"].iloc[:5]
    pd.DataFrame(
        {
            "image_id": [f"synthetic-{k}" for k in range(5)],
            "label": "covid",
            "source_image_id": sources["image_id"].to_numpy(),
            "patient_id": sources["patient_id"].to_numpy(),
        }
    ).to_csv(tmp_path / "synthetic.csv", index=False)
    images = tiny_images(labels)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "synthetic.npy", images[sources.index] // 2)
    np.save(tmp_path / "lungs.npy", images > 100)
    table[["image_id"]].assign(origin="estimate").to_csv(tmp_path / "lungs.csv", index=False)
    features = np.random.default_rng(0).normal(size=(24, 7)).astype(np.float32)
    np.save(tmp_path / "real_features.npy", features)
    np.save(tmp_path / "synthetic_features.npy", features[sources.index])
    return tmp_path


def test_a_run_is_audited_and_reported(study: Path) -> None:
    write_audit_features(
        {"tiny": (study / "real_features.npy", study / "synthetic_features.npy")},
        study / "manifest.csv",
        study / "holdout.csv",
        study / "synthetic.csv",
        study / "audit_features.csv",
        study / "audit_neighbours.csv",
        study / "f.png",
        study / "f.svg",
        seed=1,
    )
    write_audit_changes(
        study / "manifest.csv",
        study / "holdout.csv",
        study / "images.npy",
        study / "synthetic.csv",
        study / "synthetic.npy",
        study / "lungs.npy",
        study / "lungs.csv",
        study / "audit_changes.csv",
        study / "audit_summary.csv",
        study / "c.png",
        study / "c.svg",
        size=8,
        seed=1,
    )
    # The "translations" have their sources' features, and half their grey values.
    neighbours = pd.read_csv(study / "audit_neighbours.csv")
    made = neighbours[neighbours["kind"] == "synthetic"]
    assert (made["nearest_is_source"] == "yes").all()
    found = pd.read_csv(study / "audit_summary.csv").set_index("measure")["value"]
    assert found["intensity"] > 0.99
    names = ("audit_features", "audit_neighbours", "audit_summary")
    run = SimpleNamespace(config={"backbones": ["tiny"], "weights": {"tiny": "random"}})
    shown = section(run, {name: pd.read_csv(study / f"{name}.csv") for name in names})
    assert shown is not None
    text = " ".join(shown.paragraphs)
    assert "tiny (random weights)" in text
    assert "5 of 5 (tiny)" in text
    assert section(run, {}) is None


@pytest.mark.parametrize("said", ["kernel", "copying"])
def test_the_words_follow_the_intervals(said: str) -> None:
    rows = []
    for first, second, value in (("source", "target", 9.0), ("synthetic", "target", 2.0)):
        for measure in ("kernel_distance", "kernel_distance_standardised", "classifier"):
            rows.append(("b", measure, first, second, 9, 9, value, value - 1, value + 1, np.nan))
    rows.append(("b", "copying", "synthetic", "test", 9, 9, 0.9, 0.8, 1.0, 0.01))
    columns = ["backbone", "measure", "first", "second", "n_first", "n_second"]
    table = pd.DataFrame(rows, columns=[*columns, "value", "low", "high", "p"])
    run = SimpleNamespace(config={"backbones": ["b"], "weights": {}})
    shown = section(run, {"audit_features": table})
    assert shown is not None
    expected = {
        "kernel": "nearer (raw features) and nearer (standardised features)",
        "copying": "synthetic images lie nearer to training images than unseen real ones do",
    }
    assert expected[said] in shown.paragraphs[0]
