"""The patient-clustered bootstrap against closed forms and SciPy's bootstrap of single images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from covidcxr.evaluate import bootstrap
from covidcxr.evaluate.bootstrap import (
    exact_bounds,
    interval,
    patient_weights,
    percentile_bounds,
    resampled,
    share_interval,
)
from tests.unit.statistics_inputs import few


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30), st.integers(0, 99))
def test_a_resample_draws_as_many_patients_as_there_are_each_with_all_images(patients, seed):
    weights = patient_weights(patients, 5, rng(seed))
    assert weights.shape == (5, len(patients))
    first = [patients.index(name) for name in sorted(set(patients))]
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    for name in set(patients):
        same = weights[:, [p == name for p in patients]]
        assert (same == same[:, :1]).all()


def test_one_image_a_patient_gives_scipys_percentile_interval():
    values = rng(1).exponential(size=80)
    found = few(20000, interval, mean_of(values), np.arange(80), rng(2))
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=rng(3)
    )
    assert found.estimate == pytest.approx(values.mean())
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.01)


def test_spread_of_a_mean_over_patients_is_that_of_the_patients_means():
    patients = np.repeat(np.arange(50), 4)
    values = np.repeat(rng(4).normal(size=50), 4) + 0.1 * rng(5).normal(size=200)
    drawn = few(20000, resampled, mean_of(values), patients, rng(6))
    means = values.reshape(50, 4).mean(axis=1)
    assert drawn.std() == pytest.approx(means.std() / np.sqrt(50), rel=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 99))
def test_copies_of_a_patients_image_make_the_interval_no_narrower(copies, seed):
    correct = rng(seed).random(30) < 0.8
    once = few(200, share_interval, correct, np.arange(30), rng(1))
    patients = np.repeat(np.arange(30), copies)
    copied = few(200, share_interval, np.repeat(correct, copies), patients, rng(1))
    assert copied == pytest.approx(once)


def test_intervals_cover_the_truth_as_often_as_they_say_while_image_wise_ones_do_not():
    covered = {"patient": 0, "image": 0}
    for trial in range(200):
        source = rng(trial)
        patients = np.repeat(np.arange(60), 3)
        correct = np.repeat(source.random(60) < 0.8, 3)
        for unit, clusters in (("patient", patients), ("image", np.arange(180))):
            found = few(300, share_interval, correct, clusters, source)
            covered[unit] += found.low <= 0.8 <= found.high
    assert 0.90 <= covered["patient"] / 200 <= 0.99
    assert covered["image"] / 200 < 0.85


def test_share_among_a_class_is_the_share_of_its_images_and_undefined_where_it_is_not_drawn():
    hits = np.array([True, False, True, True])
    among = np.array([True, True, False, False])
    weights = np.array([[1, 1, 1, 1], [3, 1, 0, 0], [0, 0, 2, 2]], float)
    np.testing.assert_allclose(bootstrap.mean_of(hits, among)(weights), [0.5, 0.75, np.nan])
    low, high = percentile_bounds(np.array([[0.2, np.nan], [np.nan, np.nan], [0.4, np.nan]]))
    np.testing.assert_allclose(low, [0.205, np.nan])
    np.testing.assert_allclose(high, [0.395, np.nan])


def test_all_right_is_not_certain_and_counts_patients_not_images():
    patients = np.repeat(np.arange(20), 2)
    found = share_interval(np.ones(40, bool), patients, rng())
    assert found.estimate == found.high == 1
    # Twenty of twenty: the lower bound solves p**20 = 0.025.
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    assert exact_bounds(0, 20) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))


def test_large_samples_are_resampled_in_pieces_with_the_same_seed_and_number(monkeypatch):
    monkeypatch.setattr("covidcxr.evaluate.bootstrap.CHUNK", 50)
    values = rng(1).random(20)
    drawn = few(7, resampled, mean_of(values), np.arange(20), rng(2))
    assert drawn.shape == (7,)
    np.testing.assert_array_equal(drawn, few(7, resampled, mean_of(values), np.arange(20), rng(2)))
