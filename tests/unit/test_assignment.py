import itertools
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data.assignment import choose_groups, partition_groups

CLASSES = ["covid", "normal", "pneumonia"]


def table(rows: list[tuple[int, ...]]) -> pd.DataFrame:
    return pd.DataFrame(
        np.array(rows, int).reshape(len(rows), len(rows[0])),
        index=[f"p{i:03d}" for i in range(len(rows))],
        columns=CLASSES[: len(rows[0])],
    )


def distance(counts: pd.DataFrame, targets: dict[str, int], chosen: set) -> int:
    reached = counts.loc[sorted(chosen)].sum()
    return sum(abs(int(reached[c]) - targets[c]) for c in counts)


def unevenness(counts: pd.DataFrame, fold_of: dict, folds: int) -> int:
    """Images beyond floor..ceil per fold and class or size, plus one per fold without a class."""
    columns = counts.assign(all=counts.sum(axis=1))
    sums = np.zeros((folds, columns.shape[1]), int)
    for group, fold in fold_of.items():
        sums[fold] += columns.loc[group].to_numpy()
    total = sums.sum(axis=0)
    low, high = total // folds, -(-total // folds)
    beyond = np.maximum(sums - high, 0) + np.maximum(low - sums, 0)
    return int(beyond.sum() + ((sums == 0) & (low > 0)).sum())


groups_of_two_classes = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8
)


@settings(max_examples=40, deadline=None)
@given(groups_of_two_classes, st.integers(0, 12), st.integers(0, 12), st.integers(0, 99))
def test_choice_is_as_near_to_the_targets_as_exhaustive_search(rows, first, second, seed):
    counts = table(rows)
    targets = {"covid": first, "normal": second}
    best = min(
        distance(counts, targets, set(subset))
        for size in range(len(counts) + 1)
        for subset in itertools.combinations(counts.index, size)
    )
    chosen = choose_groups(counts, targets, np.random.default_rng(seed))
    assert distance(counts, targets, chosen) == best


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6),
    st.sampled_from([2, 3]),
    st.integers(0, 99),
)
def test_partition_is_as_even_as_exhaustive_search(rows, folds, seed):
    counts = table(rows)
    best = min(
        unevenness(counts, dict(zip(counts.index, assigned, strict=True)), folds)
        for assigned in itertools.product(range(folds), repeat=len(counts))
    )
    fold_of = partition_groups(counts, folds, np.random.default_rng(seed))
    assert set(fold_of) == set(counts.index)
    assert unevenness(counts, fold_of, folds) == best


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=0, max_size=20
    ),
    st.integers(2, 6),
    st.integers(0, 99),
)
def test_partition_is_exactly_even_when_single_image_groups_can_fill_up(rows, folds, seed):
    singles = [tuple(int(c == k) for c in range(3)) for k in range(3)] * 20
    counts = table(rows + singles)
    fold_of = partition_groups(counts, folds, np.random.default_rng(seed))
    assert unevenness(counts, fold_of, folds) == 0


def test_order_of_rows_does_not_change_the_draw():
    counts = table([(i % 3, i % 2, 1) for i in range(40)])
    targets = {"covid": 9, "normal": 5, "pneumonia": 8}
    shuffled = counts.sample(frac=1, random_state=1)
    assert choose_groups(counts, targets, np.random.default_rng(3)) == choose_groups(
        shuffled, targets, np.random.default_rng(3)
    )
    assert partition_groups(counts, 4, np.random.default_rng(3)) == partition_groups(
        shuffled, 4, np.random.default_rng(3)
    )


def test_every_patient_is_equally_likely_to_be_tested_whatever_its_number_of_images():
    """20 % of the images: each patient, of one image or of six, is drawn in about 20 % of draws."""
    counts = table([(1,)] * 60 + [(2,)] * 10 + [(3,)] * 5 + [(4,), (5,), (6,)])
    drawn = pd.Series(0, counts.index)
    draws = 120
    for seed in range(draws):
        chosen = choose_groups(counts, {"covid": 22}, np.random.default_rng(seed))
        drawn[sorted(chosen)] += 1
    share = (drawn / draws).groupby(counts["covid"]).mean()
    # Standard error of the share of a single patient: sqrt(0.2 * 0.8 / 120) = 0.037.
    assert share.between(0.09, 0.31).all(), share


def test_signatures_are_spread_over_the_folds():
    counts = table([(1,)] * 50 + [(3,)] * 10)
    fold_of = pd.Series(partition_groups(counts, 5, np.random.default_rng(0)))
    threes = fold_of[counts["covid"] == 3].value_counts()
    assert threes.to_dict() == dict.fromkeys(range(5), 2)


def test_seeds_give_different_draws():
    counts = table([(1,)] * 50)
    draws = {
        frozenset(choose_groups(counts, {"covid": 10}, np.random.default_rng(s))) for s in range(20)
    }
    assert len(draws) == 20


def test_unreachable_target_gives_the_nearest_and_says_so(caplog):
    counts = table([(4,), (4,), (4,)])
    chosen = choose_groups(counts, {"covid": 5}, np.random.default_rng(0))
    assert len(chosen) == 1
    assert "5 images of class covid asked, 4 taken" in caplog.text


def test_uneven_folds_are_told(caplog):
    partition_groups(table([(4,), (1,), (1,)]), 2, np.random.default_rng(0))
    assert "class covid where 3 to 3 were asked" in caplog.text


def test_a_fold_is_not_left_without_a_class_when_patients_allow():
    counts = table([(10,), (1,), (1,), (1,), (1,)])
    fold_of = partition_groups(counts, 5, np.random.default_rng(0))
    assert sorted(fold_of.values()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("mean_images", [2, 8])
def test_hundred_thousand_patients_take_seconds(mean_images):
    rng = np.random.default_rng(1)
    rows = np.zeros((100_000, 3), int)
    rows[np.arange(len(rows)), rng.integers(0, 3, len(rows))] = rng.geometric(
        1 / mean_images, len(rows)
    )
    counts = pd.DataFrame(rows, columns=CLASSES, index=[f"p{i}" for i in range(len(rows))])
    targets = {c: int(counts[c].sum()) // 5 for c in CLASSES}
    began = time.monotonic()
    chosen = choose_groups(counts, targets, rng)
    fold_of = partition_groups(counts.drop(index=list(chosen)), 5, rng)
    assert time.monotonic() - began < 30  # measured: about 2 s on two busy cores
    assert distance(counts, targets, chosen) == 0
    training = counts.loc[list(fold_of)]
    sums = training.groupby(training.index.map(fold_of)).sum()
    assert (sums.max() - sums.min()).max() <= 1
