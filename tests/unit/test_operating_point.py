"""Thresholds and predictive values, against counting and Bayes' rule in numbers of people."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from covidcxr.errors import InputError
from covidcxr.evaluate.operating_point import (
    PREVALENCES,
    applied,
    curve,
    predictive_values,
    threshold_for,
    threshold_of_specificity,
    write_operating_point,
)
from tests.unit.statistics_inputs import CLASSES, predicted, write_predictions

scores = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60)


@given(scores, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_threshold_is_the_highest_that_reaches_the_sensitivity(pairs, wanted: float) -> None:
    values = np.array([value for value, _ in pairs]) / 20
    positive = np.array([kind for _, kind in pairs])
    positive[0] = True
    found = threshold_for(values, positive, wanted)
    reached = {t: (values[positive] >= t).mean() for t in set(values)}
    assert found == max(t for t, share in reached.items() if share >= wanted - 1e-9)


def test_threshold_of_a_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no validation image"):
        threshold_for(np.array([0.5]), np.array([False]), 0.9)


@given(scores, st.sampled_from([0.5, 0.8, 0.95, 0.995, 1.0]))
def test_threshold_of_a_specificity_is_the_lowest_that_keeps_it(pairs, wanted: float) -> None:
    values = np.array([value for value, _ in pairs]) / 20
    positive = np.array([kind for _, kind in pairs])
    positive[0] = False
    found = threshold_of_specificity(values, positive, wanted)
    kept = {t: (values[~positive] < t).mean() >= wanted - 1e-9 for t in [*set(values), found]}
    assert kept[found]
    assert not any(good for t, good in kept.items() if t < found and (values[~positive] >= t).any())


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_predictive_values_are_those_of_a_counted_population(se, sp, prevalence) -> None:
    people = 1e6
    ill = people * prevalence
    called = ill * se + (people - ill) * (1 - sp)
    found = predictive_values((se, se, se), (sp, sp, sp), prevalence)
    assert found["ppv"] == pytest.approx(ill * se / called)
    assert found["npv"] == pytest.approx((people - ill) * sp / (people - called))


def test_a_faultless_specificity_does_not_promise_faultless_calls() -> None:
    found = predictive_values((1, 0.83, 1), (1, 0.97, 1), 0.01)
    assert found["ppv"] == found["ppv_high"] == 1
    assert found["ppv_low"] == pytest.approx(0.0083 / (0.0083 + 0.0297))
    nothing = predictive_values((0, 0, 0.1), (1, 0.9, 1), 0.05)
    assert math.isnan(nothing["ppv"])


def frame_of(test_seed: int) -> pd.DataFrame:
    return predicted(0, test_seed).assign(split=["validation"] * 60 + ["test"] * 30)


def test_threshold_is_chosen_without_the_test_set_and_applied_to_it() -> None:
    frame = frame_of(1)
    point, values = applied(frame, "ill", 0.9, seed=1, replicates=50)
    again, _ = applied(frame_of(2), "ill", 0.9, seed=1, replicates=50)
    assert point["threshold"] == again["threshold"]
    assert point["validation_sensitivity"] >= 0.9
    test = frame[frame["split"] == "test"]
    called, ill = test["p_ill"] >= point["threshold"], test["label"] == "ill"
    assert point["sensitivity"] == pytest.approx((called & ill).sum() / ill.sum())
    assert point["specificity"] == pytest.approx((~called & ~ill).sum() / (~ill).sum())
    assert (point["sensitivity_n"], point["sensitivity_patients"]) == (10, 5)
    assert [row["prevalence"] for row in values] == list(PREVALENCES)
    for row in values:
        assert row["ppv_low"] <= row["ppv"] <= row["ppv_high"]
        assert row["npv_low"] <= row["npv"] <= row["npv_high"]


def test_curve_encloses_the_area_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values, positive = rng.random(50).round(1), rng.random(50) < 0.4
    false, true = curve(values, positive)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(positive, values))


def write(folder, target: str, **options) -> pd.DataFrame:
    records = [(b, a, path) for b, a, m, path in write_predictions(folder) if m == "ensemble"]
    write_operating_point(
        records,
        folder / "split.csv",
        folder / "operating_point.csv",
        folder / "predictive_values.csv",
        folder / "figure.png",
        folder / "figure.svg",
        classes=CLASSES,
        target=target,
        sensitivity=0.9,
        seed=1,
        replicates=20,
        **options,
    )
    return pd.read_csv(folder / "operating_point.csv")


def test_tables_and_figure_are_written_for_the_class_asked(tmp_path) -> None:
    table = write(tmp_path, "other")
    assert table["backbone"].tolist() == ["A", "B"]
    assert set(table["class"]) == {"other"}
    assert len(pd.read_csv(tmp_path / "predictive_values.csv")) == 2 * len(PREVALENCES)
    assert "share of other images called other" in (tmp_path / "figure.svg").read_text()


def test_a_specificity_can_be_asked_instead(tmp_path) -> None:
    table = write(tmp_path, "ill", specificity=0.9)
    assert set(table["asked_of"]) == {"specificity"}
    assert (table["validation_specificity"] >= 0.9).all()
    assert (table["asked"] == 0.9).all()


def test_unknown_class_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="'flu' is no class; they are ill, well, other"):
        write(tmp_path, "flu")
