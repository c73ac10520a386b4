"""McNemar's test with Holm's correction, against the binomial test and a step-down by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from covidcxr.evaluate.comparisons import COLUMNS, FIRST, SECOND, compare, section_of
from tests.unit.statistics_inputs import few


def models(seed: int, count: int = 3, n: int = 80):
    rng = np.random.default_rng(seed)
    return {(f"m{k}", "v1", "network"): rng.random(n) < 0.5 + 0.15 * k for k in range(count)}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000))
def test_p_is_the_binomial_test_of_the_discordant_images_and_holm_steps_down(seed: int) -> None:
    correct = models(seed)
    table = few(50, compare, correct, np.arange(80), seed=1)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 3
    for row in table.itertuples():
        a = correct[row.first_backbone, "v1", "network"]
        b = correct[row.second_backbone, "v1", "network"]
        assert row.only_first == (a & ~b).sum()
        assert row.only_second == (b & ~a).sum()
        assert row.both_right + row.only_first == a.sum()
        assert row.difference == pytest.approx(a.mean() - b.mean())
        expected = binomtest(row.only_first, row.only_first + row.only_second).pvalue
        assert row.p == pytest.approx(expected)
    ordered = table.sort_values("p")
    adjusted = np.minimum(1, np.maximum.accumulate(ordered["p"] * [3, 2, 1]))
    np.testing.assert_allclose(ordered["p_holm"], adjusted)


def test_models_of_the_same_answers_do_not_differ() -> None:
    correct = np.random.default_rng(0).random(40) < 0.7
    row = compare(
        {("a", "", ""): correct, ("b", "", ""): correct.copy()}, np.arange(40), seed=1
    ).iloc[0]
    assert (row["p"], row["p_holm"], row["difference"], row["low"], row["high"]) == (1, 1, 0, 0, 0)


def test_paired_intervals_are_narrower_than_those_of_unpaired_models_would_be() -> None:
    base = np.random.default_rng(0).random(400) < 0.8
    better = base.copy()
    better[np.flatnonzero(~base)[:8]] = True
    row = compare({("a", "", ""): better, ("b", "", ""): base}, np.arange(400), seed=1).iloc[0]
    assert row["difference"] == pytest.approx(0.02)
    assert 0 < row["low"] < 0.02 < row["high"] < 0.04


def test_a_single_model_has_nothing_to_be_compared_with() -> None:
    assert compare({("a", "", ""): np.ones(4, bool)}, np.arange(4), seed=1).empty


def pair(second: tuple[str, str, str], difference: float, p: float, p_holm: float) -> dict:
    """A row in which A v1 comes first."""
    first = ("A", "v1", "network")
    return dict(zip([*FIRST, *SECOND], [*first, *second], strict=True)) | {
        "only_first": 9, "only_second": 1, "difference": difference, "low": difference - 0.1,
        "high": difference + 0.1, "p": p, "p_holm": p_holm,
    }  # fmt: skip


def test_section_says_of_each_model_what_the_test_says_and_shows_the_interval() -> None:
    pairs = pd.DataFrame(
        [
            pair(("B", "v1", "network"), 0.4, 0.0001, 0.004),
            pair(("C", "v1", "network"), 0.288, 0.002, 0.107),
            pair(("A", "none", "logistic"), 0.02, 0.6, 1.0),
        ]
    )
    found = section_of(pairs, ("A", "v1", "network"))
    [text] = found.paragraphs
    assert "Of 3 pairs of ensembles, 1 differ in accuracy" in text
    assert "The most accurate on the test set is A v1. It differs from B v1." in text
    doubt = "difference +0.288 (+0.188 to +0.388), p 0.002, Holm 0.107"
    assert f"Before the correction only, it differs from C v1 ({doubt})." in text
    assert "The test finds no difference from A logistic regression, which does not show" in text
    assert "in 0 of 1 comparison." in text
    assert [(item.name, item.table) for item in found.tables] == [("comparisons", None)]


def test_the_difference_is_told_from_the_side_of_the_best() -> None:
    pairs = pd.DataFrame([pair(("C", "v1", "network"), -0.288, 0.002, 0.107)])
    [text] = section_of(pairs, ("C", "v1", "network")).paragraphs
    assert "from A v1 (difference +0.288 (+0.188 to +0.388)" in text
