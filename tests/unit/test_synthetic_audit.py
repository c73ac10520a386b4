"""The audit of synthetic images finds what was put into them, and nothing where nothing is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.cyclegan import audit_changes, audit_features
from covidcxr.cyclegan.audit_changes import decompose, per_image, shares, summary
from covidcxr.cyclegan.audit_features import (
    Sample,
    copying,
    kernel_distance,
    kernel_estimates,
    random_halves,
    two_sample,
)
from covidcxr.cyclegan.inputs import SEEN_COLUMNS
from covidcxr.errors import InputError
from covidcxr.report.section import read_section
from tests.unit.tiny import tiny_images, tiny_manifest


def sample(n: int, shift: float = 0.0, seed: int = 0, dimensions: int = 5, of: str = "a") -> Sample:
    features = np.random.default_rng(seed).normal(shift, 1, (n, dimensions))
    names = np.array([f"{of}{i}" for i in range(n)])
    return Sample(features, names, names)


def together(*samples: Sample) -> Sample:
    return Sample(*(np.concatenate([vars(s)[k] for s in samples]) for k in vars(samples[0])))


def kernel_estimate(first: Sample, second: Sample) -> float:
    in_first = np.arange(len(first.ids) + len(second.ids))[None] < len(first.ids)
    return float(kernel_estimates(together(first, second), in_first, ~in_first)[0])


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def distances(values: list[float], of: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"distance": values, "patient_id": [f"{of}{i}" for i in range(len(values))]}
    )


def test_kernel_distance_is_the_unbiased_estimate_of_the_paper() -> None:
    first, second = sample(6, of="a"), sample(4, 0.5, seed=2, of="b")

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
        kernel_estimate(sample(8, seed=k, of="a"), sample(8, seed=1000 + k, of="b"))
        for k in range(400)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / 20


def test_images_of_one_patient_are_no_pair() -> None:
    first, second = sample(6, of="a"), sample(6, 0.5, seed=2, of="b")
    doubled = Sample(*(np.repeat(part, 2, axis=0) for part in vars(first).values()))
    assert kernel_estimate(doubled, second) == pytest.approx(kernel_estimate(first, second))


def test_interval_of_the_kernel_distance_is_as_wide_as_its_spread_over_samples() -> None:
    pairs = [(sample(40, seed=k, of="a"), sample(40, 1, seed=1000 + k, of="b")) for k in range(60)]
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
    found = two_sample(sample(60, of="a"), sample(50, shift, seed=2, of="b"), rng())
    assert lowest <= found.estimate <= highest
    assert found.low < found.estimate or found.estimate == 1
    assert found.low < 1


def test_classifier_does_not_know_a_patient_again() -> None:
    # Each patient has features of his own, the same in both sets: only patients could be known.
    patients = np.random.default_rng(0).normal(size=(10, 30))
    names = np.array([f"p{i}" for i in range(10)]).repeat(6)
    noise = np.random.default_rng(1).normal(0, 0.01, (2, 60, 30))
    first, second = (Sample(patients.repeat(6, 0) + part, names, names) for part in noise)
    labels = np.arange(60) % 6 < 3
    a, b = first.of(labels), second.of(~labels)
    assert two_sample(a, b, rng()).estimate < 0.8


def test_one_patient_gives_no_classifier() -> None:
    lonely = Sample(np.zeros((3, 5)), np.array(["a"] * 3), np.array(["x", "y", "z"]))
    assert np.isnan(two_sample(lonely, sample(5, of="b"), rng()).estimate)
    halves = random_halves(lonely.patients, 3, rng())
    assert np.isnan(kernel_estimates(lonely, halves, ~halves)).all()


@given(st.integers(1, 9), st.integers(0, 100))
def test_halves_never_part_a_patient(patients: int, seed: int) -> None:
    names = np.array([f"p{i}" for i in range(patients)]).repeat(3)
    halves = random_halves(names, 4, np.random.default_rng(seed)).reshape(4, patients, 3)
    assert (halves.all(axis=2) == halves.any(axis=2)).all()
    assert (halves[..., 0].sum(axis=1) == patients // 2).all()


def test_copies_are_found_and_strangers_are_not() -> None:
    real = distances([2.0, 3.0, 4.0, 5.0] * 5, "r")
    copies = copying(distances([0.1] * 20, "s"), real, rng())
    assert copies == (1, 1, 1)
    assert copying(distances([9.0] * 20, "s"), real, rng()) == (0, 0, 0)
    same = copying(distances([2.0, 3.0, 4.0, 5.0] * 5, "s"), real, rng())
    assert same.estimate == 0.5
    assert same.low < 0.5 < same.high


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_parts_of_the_change_add_up_to_all_of_it(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    before, after = random.uniform(0, 255, (2, count, 6, 6))
    changes = decompose(before, after)
    np.testing.assert_allclose(changes.total, after - before, atol=1e-9)
    squares = sum(
        float((part**2).sum())
        for part in (changes.intensity, changes.individual, np.stack([changes.common] * count))
    )
    assert squares == pytest.approx(float(((after - before) ** 2).sum()))
    assert sum(shares(changes).values()) == pytest.approx(1)


def test_each_kind_of_change_is_told_from_the_others() -> None:
    before = np.random.default_rng(0).uniform(50, 200, (40, 8, 8))
    assert shares(decompose(before, 0.5 * before + 30))["intensity"] == pytest.approx(1)
    frame = np.zeros((8, 8))
    frame[:, 0] = 60
    assert shares(decompose(before, before + frame))["common"] > 0.75
    own = np.random.default_rng(1).permutation(np.eye(64) * 100)[:40].reshape(40, 8, 8)
    assert shares(decompose(before, before + own))["individual"] > 0.9


def test_change_in_the_lungs_only_is_found_there() -> None:
    before = np.random.default_rng(0).uniform(50, 200, (30, 8, 8))
    lungs = np.zeros((30, 8, 8), bool)
    lungs[:, 2:6, 2:6] = True
    spots = np.random.default_rng(1).uniform(0, 80, (30, 8, 8)) * lungs
    changes = decompose(before, before + spots)
    table = per_image(changes, lungs).assign(patient_id=[f"p{i}" for i in range(30)])
    found = summary(changes, table, np.eye(8), rng()).set_index("measure")
    assert found.loc["individual_in_lungs", "value"] > 0.9
    assert found.loc["enrichment", "low"] > 3
    assert found.loc["lungs", "value"] == pytest.approx(0.25)
    assert (found["low"].dropna() <= found["value"][found["low"].notna()] + 1e-9).all()


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
    fed = table[(np.array(split) == "train") & (table["label"] == "covid")]
    fed = fed.assign(domain="target", pixels="")[SEEN_COLUMNS]
    fed.to_csv(tmp_path / "inputs.csv", index=False)
    features = np.random.default_rng(0).normal(size=(24, 7)).astype(np.float32)
    np.save(tmp_path / "real_features.npy", features)
    np.save(tmp_path / "synthetic_features.npy", features[sources.index])
    return tmp_path


def audited(study: Path) -> None:
    """Write tables and sections of both audits."""
    audit_features.run(
        features=[study / "real_features.npy", study / "synthetic_features.npy"],
        manifest=study / "manifest.csv",
        holdout=study / "holdout.csv",
        synthetic=study / "synthetic.csv",
        tables=[study / "audit_features.csv", study / "audit_neighbours.csv"],
        png=study / "f.png",
        svg=study / "f.svg",
        section=study / "features.json",
        weights={"tiny": "random"},
        seed=1,
    )
    audit_changes.run(
        images=study / "images.npy",
        lungs=[study / "lungs.npy", study / "lungs.csv"],
        synthetic=[study / "synthetic.csv", study / "synthetic.npy"],
        seen=study / "inputs.csv",
        tables=[study / "audit_changes.csv", study / "audit_summary.csv"],
        png=study / "c.png",
        svg=study / "c.svg",
        section=study / "changes.json",
        size=8,
        seed=1,
    )


def test_a_run_is_audited_and_reported(study: Path) -> None:
    audited(study)
    # The "translations" have their sources' features, and half their grey values.
    neighbours = pd.read_csv(study / "audit_neighbours.csv")
    made = neighbours[neighbours["kind"] == "synthetic"]
    assert (made["nearest_is_source"] == "yes").all()
    found = pd.read_csv(study / "audit_summary.csv").set_index("measure")["value"]
    assert found["intensity"] > 0.99
    text = " ".join(read_section(study / "features.json").paragraphs)
    assert "tiny (random weights)" in text
    assert "5 of 5 (tiny)" in text
    text = " ".join(read_section(study / "changes.json").paragraphs)
    assert "% is one change of brightness and contrast of the whole image" in text


def test_an_audit_refuses_features_and_sources_that_do_not_belong(study: Path) -> None:
    np.save(study / "synthetic_features.npy", np.zeros((4, 7), np.float32))
    with pytest.raises(InputError, match=r"4 rows .*lists 5"):
        audited(study)
    table = pd.read_csv(study / "synthetic.csv")
    table.loc[2, "source_image_id"] = "stranger"
    table.to_csv(study / "synthetic.csv", index=False)
    with pytest.raises(InputError, match="source image stranger, which is not in"):
        audited(study)
    table.iloc[:0].to_csv(study / "synthetic.csv", index=False)
    with pytest.raises(InputError, match="lists no images"):
        audited(study)


def test_the_words_follow_the_intervals() -> None:
    rows = []
    for first, second, value in (("source", "target", 9.0), ("synthetic", "target", 2.0)):
        for measure in ("kernel_distance", "classifier"):
            rows.append(("b", measure, first, second, value, value - 1, value + 1))
    rows.append(("b", "copying", "synthetic", "test", 0.9, 0.8, 1.0))
    columns = ["backbone", "measure", "first", "second", "value", "low", "high"]
    text = audit_features.feature_texts(pd.DataFrame(rows, columns=columns), [])[0]
    assert "against the images that they were made from, nearer" in text
    assert "synthetic images lie nearer to training images than unseen real ones do" in text
