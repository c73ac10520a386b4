"""Arms are compared fairly, and what can be known from so few images is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest

from covidcxr.classify.repeats import COPIES
from covidcxr.cyclegan import synthetic_effect
from covidcxr.cyclegan.synthetic_effect import (
    FEWEST,
    compare_arms,
    detectable,
    detectable_effects,
    mcnemar_p,
    mcnemar_power,
    read_repeats,
)
from covidcxr.errors import InputError
from covidcxr.report.section import read_section
from tests.unit.tiny import CLASSES


def test_mcnemar_is_the_binomial_test_of_the_discordant_images() -> None:
    assert mcnemar_p(7, 1) == pytest.approx(binomtest(7, 8).pvalue)
    assert mcnemar_p(0, 0) == 1
    assert mcnemar_p(FEWEST, 0) <= 0.05 < mcnemar_p(FEWEST - 1, 0)


@pytest.mark.parametrize(("gain", "loss"), [(0.06, 0.0), (0.10, 0.03), (0.05, 0.05)])
def test_power_is_that_of_simulated_studies(gain: float, loss: float) -> None:
    drawn = np.random.default_rng(0).multinomial(149, [gain, loss, 1 - gain - loss], size=4000)
    hits = [won > lost and mcnemar_p(won, lost) <= 0.05 for won, lost, _ in drawn]
    assert mcnemar_power(149, gain, loss) == pytest.approx(np.mean(hits), abs=0.025)


def test_what_can_be_detected_follows_from_the_power() -> None:
    best = detectable(149, 0.0)
    # Without losses the test rejects from six discordant images on.
    assert binom.sf(5, 149, best) == pytest.approx(0.8, abs=0.002)
    assert detectable(149, 0.1) > best
    assert detectable(1000, 0.1) < detectable(149, 0.1)
    assert np.isnan(detectable(5, 0.0))
    seen = detectable(149, 0.1)
    assert mcnemar_power(149, (0.1 + seen) / 2, (0.1 - seen) / 2) == pytest.approx(0.8, abs=0.01)


def table_of_repeats(lost: dict[str, set[int]], repeats: int = 4, n: int = 60) -> pd.DataFrame:
    """Arms that get all images right but those at the given positions, in every repeat."""
    labels = np.array([CLASSES[i % 3] for i in range(n)])
    rows = []
    for repeat in range(repeats):
        for arm, wrong in lost.items():
            for i, label in enumerate(labels):
                said = label if i not in wrong else CLASSES[(CLASSES.index(label) + 1) % 3]
                rows.append(
                    {
                        "repeat": repeat,
                        "arm": arm,
                        "image_id": f"i{i}",
                        "patient_id": f"p{i // 2}",
                        "label": label,
                        "split": "test",
                        **{f"p_{name}": 0.8 if name == said else 0.1 for name in CLASSES},
                    }
                )
    return pd.DataFrame(rows)


def compared(scored: pd.DataFrame) -> pd.DataFrame:
    table, _ = compare_arms(scored, CLASSES, "covid", ["v2"], np.random.default_rng(0))
    return table.set_index(["arm", "reference", "measure"])


def test_differences_are_counted_right() -> None:
    # v1 loses images 0 to 11, four of them covid; v2 loses image 1, which is normal.
    table = compared(table_of_repeats({"v1": set(range(12)), "v2": {1}, COPIES: {1, 2}}))
    row = table.loc[("v2", "v1", "accuracy")]
    assert row["difference"] == pytest.approx(11 / 60)
    assert (row["only_arm"], row["only_reference"], row["n"]) == (11, 0, 60)
    assert row["p"] == pytest.approx(2 * 0.5**11)
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert (row["better"], row["worse"], row["significant"]) == (4, 0, 4)
    assert table.loc[("v2", "v1", "sensitivity"), "difference"] == pytest.approx(4 / 20)
    assert table.loc[("v2", COPIES, "accuracy"), "difference"] == pytest.approx(1 / 60)


def test_equal_arms_show_no_difference() -> None:
    row = compared(table_of_repeats({"v1": {3}, "v2": {3}})).loc[("v2", "v1", "accuracy")]
    assert (row["difference"], row["low"], row["high"], row["p"]) == (0, 0, 0, 1)


def test_arms_on_different_images_are_refused(tmp_path: Path) -> None:
    table = table_of_repeats({"v1": {3}, "v2": {3}})
    table.iloc[:-1].to_csv(tmp_path / "repeats.csv", index=False)
    with pytest.raises(InputError, match="different images"):
        read_repeats(tmp_path / "repeats.csv", CLASSES)


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ({"v1": set(range(12)), "v2": {1}}, "Accuracy: higher with tiny"),
        ({"v1": {1}, "v2": set(range(12))}, "Accuracy: lower with tiny"),
        ({"v1": {1}, "v2": {2}}, "Accuracy: no change beyond chance (tiny"),
    ],
)
def test_the_report_states_the_finding_whichever_way_it_falls(
    lost: dict[str, set[int]], expected: str, tmp_path: Path
) -> None:
    table_of_repeats(lost | {COPIES: {5}}).to_csv(tmp_path / "tiny.csv", index=False)
    synthetic_effect.run(
        repeats=[tmp_path / "tiny.csv"],
        tables=[tmp_path / name for name in ("effect.csv", "each.csv", "reach.csv")],
        png=tmp_path / "f.png",
        svg=tmp_path / "f.svg",
        section=tmp_path / "section.json",
        weights={"tiny": "imagenet"},
        classes=CLASSES,
        target_class="covid",
        synthetic_arms=["v2"],
        seed=1,
    )
    shown = read_section(tmp_path / "section.json")
    assert expected in shown.paragraphs[0]
    (check,) = shown.checks
    assert (check.state == "pass") == ("higher" in expected)
    assert f"v2 against {COPIES}" in " ".join(shown.method)
    assert "60 images" in " ".join(shown.method)


def test_only_comparisons_with_synthetic_images_set_what_can_be_detected() -> None:
    table = compared(table_of_repeats({"v1": {0}, "v2": {2}, COPIES: {3}})).reset_index()
    found = detectable_effects(table.assign(backbone="tiny"), ["v2"])
    assert found["arm"].tolist() == ["v2", "v2"]
    assert found["n"].tolist() == [60, 20]
    assert found["discordance"].tolist() == [pytest.approx(2 / 60), pytest.approx(1 / 20)]
