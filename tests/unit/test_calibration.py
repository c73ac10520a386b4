"""Calibration against scikit-learn, a search by brute force, and models calibrated by design."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import brier_score_loss, log_loss

from covidcxr.evaluate.calibration import (
    BINS,
    bins_of,
    brier,
    calibration,
    calibration_error,
    errors_if_calibrated,
    fit_temperature,
    reliability,
    run,
    scaled,
    scaled_ensemble,
    section_of,
)
from tests.unit.statistics_inputs import CLASSES, few, write_predictions


def calibrated(n: int, seed: int = 0, spread: float = 2.0):
    """Logits, and labels drawn from the probabilities that they stand for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, 3))
    return logits, (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


@given(st.floats(0.1, 10), st.integers(0, 99))
def test_scaling_divides_the_logits(temperature: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (2, 5, 3))
    found = scaled(softmax(logits, axis=-1), temperature)
    np.testing.assert_allclose(found, softmax(logits / temperature, axis=-1), atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_calibrated_probabilities_is_found(temperature: float) -> None:
    logits, truth = calibrated(20_000)
    spoiled = softmax(logits * temperature, axis=1)
    assert fit_temperature(spoiled, truth) == pytest.approx(temperature, rel=0.05)


def test_no_temperature_of_a_fine_grid_has_a_lower_loss_than_the_fitted_one() -> None:
    logits, truth = calibrated(150, seed=3)
    probabilities = softmax(2.5 * logits, axis=1)

    def loss(temperature: float) -> float:
        return log_loss(truth, scaled(probabilities, temperature))

    best = loss(fit_temperature(probabilities, truth))
    assert best <= min(loss(value) for value in np.geomspace(0.1, 10, 400)) + 1e-6


def test_zero_probabilities_can_be_scaled() -> None:
    certain = np.eye(3)[[0, 1, 2, 0]]
    found = scaled(certain, 2.0)
    assert np.isfinite(found).all()
    assert np.isfinite(fit_temperature(certain, np.array([0, 1, 2, 1])))


def test_models_are_scaled_before_their_mean() -> None:
    folds = np.array([[[0.9, 0.1]], [[0.2, 0.8]]])
    expected = (scaled(folds[0], 2.0) + scaled(folds[1], 2.0)) / 2
    np.testing.assert_allclose(scaled_ensemble(folds, 2.0), expected)


def test_brier_score_is_scikit_learns() -> None:
    logits, truth = calibrated(50)
    probabilities = softmax(logits, axis=1)
    expected = brier_score_loss(truth, probabilities, scale_by_half=False)
    assert brier(probabilities, truth).mean() == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(0, 99))
def test_bins_hold_equally_many_images_in_order_of_confidence(n: int, seed: int) -> None:
    confidence = np.random.default_rng(seed).random(n)
    bins = bins_of(confidence)
    sizes = np.bincount(bins)
    assert len(sizes) == min(BINS, n)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(bins[np.argsort(confidence)]) >= 0).all()


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    rng = np.random.default_rng(0)
    confidence, correct = rng.random(95), rng.random(95) < 0.5
    frame = pd.DataFrame({"c": confidence, "r": correct, "b": bins_of(confidence)})
    gaps = frame.groupby("b").apply(lambda g: len(g) * abs(g["c"].mean() - g["r"].mean()))
    assert calibration_error(confidence, correct) == pytest.approx(gaps.sum() / 95)


def test_calibrated_model_is_not_suspected_and_an_overconfident_one_is() -> None:
    logits, truth = calibrated(1500, seed=1)
    patients = np.arange(1500)
    good = few(300, calibration, softmax(logits, axis=1), truth, patients, seed=1)
    bad = few(300, calibration, softmax(4 * logits, axis=1), truth, patients, seed=1)
    assert good["p_calibrated"] > 0.05
    assert good["ece"] == pytest.approx(good["ece_if_calibrated"], abs=0.02)
    assert bad["p_calibrated"] < 0.01
    assert bad["ece"] > 3 * bad["ece_if_calibrated"]
    assert bad["confidence"] > bad["accuracy"] + 0.1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(12, 60))
def test_every_interval_holds_its_estimate(seed: int, n: int) -> None:
    logits, truth = calibrated(n, seed=seed)
    found = few(100, calibration, softmax(logits, axis=1), truth, np.arange(n) // 2, seed=1)
    for name in found:
        if f"{name}_low" in found:
            assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]


def test_small_samples_of_calibrated_models_show_an_error_by_chance_alone() -> None:
    confidence = np.full(100, 0.8)
    by_chance = errors_if_calibrated(confidence, np.random.default_rng(0), 4000)
    # Ten bins of ten: the mean absolute deviation of a binomial share from 0.8.
    shares = np.random.default_rng(1).binomial(10, 0.8, 100_000) / 10
    assert by_chance.mean() == pytest.approx(np.abs(shares - 0.8).mean(), rel=0.02)


def test_reliability_counts_every_image_once() -> None:
    logits, truth = calibrated(43)
    table = reliability(softmax(logits, axis=1), truth)
    assert table["n"].sum() == 43
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()


def test_temperature_comes_from_validation_and_not_from_the_test_set(tmp_path) -> None:
    def temperatures(test_seed: int) -> list[float]:
        run(
            write_predictions(tmp_path, test_seed=test_seed),
            tmp_path / "calibration.csv",
            tmp_path / "reliability.csv",
            tmp_path / "figure.png",
            tmp_path / "figure.svg",
            tmp_path / "section.json",
            classes=CLASSES,
            seed=1,
        )
        return pd.read_csv(tmp_path / "calibration.csv")["temperature"].tolist()

    first = temperatures(1)
    table = pd.read_csv(tmp_path / "calibration.csv")
    assert table[["backbone", "augmentation", "scaling"]].to_numpy().tolist() == [
        [backbone, "v1", scaling]
        for backbone in ("A", "B", "all")
        for scaling in ("none", "temperature")
    ]
    bins = pd.read_csv(tmp_path / "reliability.csv")
    assert bins.groupby(["backbone", "scaling"])["n"].sum().eq(30).all()
    brier_before = table["brier"].tolist()
    assert temperatures(2) == first
    assert pd.read_csv(tmp_path / "calibration.csv")["brier"].tolist() != brier_before


def test_section_judges_the_recommended_network_and_names_the_worst_model() -> None:
    shared = {"n": 20, "accuracy": 0.9, "brier_low": 0.1, "brier_high": 0.3, "log_loss": 0.4}
    shared |= {"ece_if_calibrated": 0.05, "augmentation": "v1", "classifier": "network"}
    rows = [
        ("VGG16", "none", 1.0, 0.95, 0.2, 0.05, 0.4),
        ("VGG16", "temperature", 1.5, 0.9, 0.18, 0.02, 0.9),
        ("all", "none", 1.0, 0.7, 0.3, 0.2, 0.001),
        ("all", "temperature", 0.5, 0.88, 0.31, 0.03, 0.8),
    ]
    names = ["backbone", "scaling", "temperature", "confidence", "brier", "ece", "p_calibrated"]
    table = pd.DataFrame(rows, columns=names).assign(**shared)
    part = section_of(table, ("VGG16", "v1", "network"))
    text = part.paragraphs[0]
    assert "Of 2 ensembles, 1 as trained and 0 after temperature scaling" in text
    assert "lowered the Brier score of 1." in text
    assert "all backbones v1, ECE 0.200, underconfident by 0.200 on average; scaled 0.030" in text
    [check] = part.checks
    assert (check.state, check.text) == (
        "pass",
        "Expected calibration error of VGG16 v1 0.050, by chance 0.050 (p 0.400).",
    )
    assert section_of(table, ("all", "v1", "network")).checks[0].state == "warning"
    assert part.tables[0].table is not None
    assert [row[:2] for row in part.tables[0].table.rows[:2]] == [
        ["VGG16 v1", "–"],
        ["VGG16 v1", "1.500"],
    ]
