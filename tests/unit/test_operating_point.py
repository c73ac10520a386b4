"""Thresholds and predictive values, against counting and Bayes' rule in numbers of people."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.errors import InputError
from covidcxr.evaluate.operating_point import (
    PREVALENCES,
    applied,
    predictive_values,
    run,
    section_of,
    threshold_for,
    threshold_of_specificity,
)
from tests.unit.statistics_inputs import CLASSES, few, predicted, write_predictions

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


def test_a_threshold_is_applied_to_the_images_of_a_set() -> None:
    frame = predicted(0, 1)[60:]
    point, values = few(50, applied, frame, "ill", 0.4, seed=1)
    called, ill = frame["p_ill"] >= 0.4, frame["label"] == "ill"
    assert point["sensitivity"] == pytest.approx((called & ill).sum() / ill.sum())
    assert point["specificity"] == pytest.approx((~called & ~ill).sum() / (~ill).sum())
    assert (point["sensitivity_n"], point["sensitivity_patients"]) == (10, 5)
    assert [row["prevalence"] for row in values] == list(PREVALENCES)
    for row in values:
        assert row["ppv_low"] <= row["ppv"] <= row["ppv_high"]
        assert row["npv_low"] <= row["npv"] <= row["npv_high"]


def test_a_set_without_the_class_has_no_sensitivity() -> None:
    frame = predicted(0, 1)
    point, _ = few(50, applied, frame[frame["label"] != "ill"], "ill", 0.4, seed=1)
    assert np.isnan([point[f"sensitivity{end}"] for end in ("", "_low", "_high")]).all()
    assert point["sensitivity_n"] == 0
    assert point["specificity_n"] == 60


def write(folder, target: str, test_seed: int = 0, **goal) -> pd.DataFrame:
    path = write_predictions(folder, test_seed)
    frame = pd.read_csv(path)
    external = frame[frame["set"] == "test"].assign(set="hospital")
    pd.concat([frame, external]).to_csv(path, index=False)
    run(
        path,
        folder / "operating_point.csv",
        folder / "predictive_values.csv",
        folder / "figure.png",
        folder / "figure.svg",
        folder / "section.json",
        classes=CLASSES,
        target=target,
        goal={"sensitivity": 0.9} | goal,
        seed=1,
    )
    return pd.read_csv(folder / "operating_point.csv")


def test_tables_and_figure_are_written_for_the_class_asked(tmp_path) -> None:
    table = write(tmp_path, "other")
    assert table["backbone"].tolist() == ["A", "A", "B", "B", "all", "all"]
    assert table["set"].tolist() == ["test", "hospital"] * 3
    assert set(table["class"]) == {"other"}
    assert (table["validation_sensitivity"] >= 0.9).all()
    assert len(pd.read_csv(tmp_path / "predictive_values.csv")) == 3 * len(PREVALENCES)
    assert "share of other images called other" in (tmp_path / "figure.svg").read_text()


def test_threshold_is_chosen_without_the_test_set(tmp_path) -> None:
    first, second = (write(tmp_path, "ill", seed) for seed in (1, 2))
    assert first["threshold"].tolist() == second["threshold"].tolist()
    assert first["specificity"].tolist() != second["specificity"].tolist()


def test_a_specificity_can_be_asked_instead(tmp_path) -> None:
    table = write(tmp_path, "ill", specificity=0.9)
    assert set(table["asked_of"]) == {"specificity"}
    assert (table["validation_specificity"] >= 0.9).all()
    assert (table["asked"] == 0.9).all()


def test_unknown_class_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match="'flu' is no class; they are ill, well, other"):
        write(tmp_path, "flu")


def test_section_gives_the_best_network_and_every_prevalence() -> None:
    key = {"backbone": ["VGG16"], "augmentation": ["v1"], "classifier": ["network"]}
    key |= {"class": ["normal"]}
    point = {"asked": 0.95, "asked_of": "sensitivity", "threshold": 0.4}
    point |= {"validation_sensitivity": 0.96, "validation_specificity": 0.97}
    for name, value in (("sensitivity", 1.0), ("specificity", 0.9)):
        point |= {name: value, f"{name}_low": value - 0.2, f"{name}_high": 1.0}
        point |= {f"{name}_n": 10, f"{name}_patients": 5}
    values = pd.concat(
        pd.DataFrame(key).assign(
            prevalence=prevalence,
            **{"ppv": 0.5, "ppv_low": 0.1, "ppv_high": 0.9},
            **{"npv": np.nan, "npv_low": np.nan, "npv_high": 1.0},
        )
        for prevalence in PREVALENCES
    )
    points = pd.DataFrame(key).assign(**point)
    part = section_of(points, values, ("VGG16", "v1", "network"))
    assert part.title == "Operating point for normal"
    assert "sensitivity 1.000 (0.800–1.000) (10 images of 5 patients)" in part.paragraphs[0]
    assert "between 10.0\u202f% and 90.0\u202f%" in part.paragraphs[0]
    table = part.tables[1].table
    assert table is not None
    assert table.rows == [["VGG16 v1", *["0.500 (0.100–0.900)"] * 3, *["–"] * 3]]
    assert table.columns[1].label == "PPV at 1\u202f%"
    points = points.assign(asked=0.995, asked_of="specificity")
    asked = section_of(points, values, ("VGG16", "v1", "network"))
    assert "no more than 0.5\u202f% of the images of other classes" in asked.method[0]
