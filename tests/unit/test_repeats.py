"""Repeats train as the run does, compare fairly, and say what can be known from so few images."""

from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from covidcxr.classify import repeats as repeats_module
from covidcxr.classify import train as train_module
from covidcxr.classify.repeats import COPIES, PLAIN, WEIGHTS, arms, copies, write_repeats
from covidcxr.classify.train import Sample, train_fold
from covidcxr.data import split as split_step
from covidcxr.errors import InputError
from covidcxr.evaluate.synthetic_effect import (
    compare_arms,
    detectable,
    detectable_effects,
    fewest_discordant,
    mcnemar_p,
    mcnemar_power,
    read_repeats,
    write_synthetic_effect,
)
from covidcxr.features.features import write_features
from covidcxr.report.sections.synthetic_effect import section
from covidcxr.seeding import integer_seed
from tests.unit.tiny import CLASSES, TRANSFORM, tiny_images, tiny_study

SETTINGS = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.01,
    "dense_units": 8,
    "dropout": 0.5,
    "normalize_features": True,
    "class_weights": False,
    "source_weights": False,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study with pooled features, and six synthetic images of covid."""
    folder = tiny_study(tmp_path_factory.mktemp("study"))
    manifest = pd.read_csv(folder / "manifest.csv")
    pd.read_csv(folder / "split.csv")[["image_id", "split"]].to_csv(
        folder / "holdout.csv", index=False
    )
    sources = manifest.loc[manifest["label"] == "normal"].iloc[:6]
    pd.DataFrame(
        {
            "image_id": [f"synthetic-{k}" for k in range(6)],
            "label": "covid",
            "source_image_id": sources["image_id"].to_numpy(),
            "patient_id": sources["patient_id"].to_numpy(),
        }
    ).to_csv(folder / "synthetic.csv", index=False)
    np.save(folder / "synthetic.npy", tiny_images([0] * 6, seed=1))
    for cohort, images, table, holdout in (
        ("real", "images.npy", "manifest.csv", folder / "holdout.csv"),
        ("made", "synthetic.npy", "synthetic.csv", None),
    ):
        write_features(
            folder / "tiny.keras",
            folder / images,
            folder / table,
            holdout,
            folder / cohort / "clean.npy",
            folder / cohort / "views.npy",
            folder / cohort / "rows.csv",
            trainable="head",
            views=2,
            transform=TRANSFORM,
            seed=1,
            threads=1,
        )
    return folder


def repeated(study: Path, output: Path, repeats: int) -> pd.DataFrame:
    write_repeats(
        study / "real",
        study / "made",
        study / "manifest.csv",
        study / "holdout.csv",
        study / "synthetic.csv",
        output,
        classes=CLASSES,
        backbone="tiny",
        augmentations={"v1": 0, "v2": 6},
        settings=SETTINGS,
        unit="patient",
        folds=2,
        repeats=repeats,
        seed=7,
        threads=1,
    )
    return pd.read_csv(output)


@pytest.mark.parametrize(("arm", "count"), [("v1", 0), ("v2", 6)])
def test_a_repeat_is_the_run_itself_with_another_seed(
    arm: str, count: int, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Loading a backbone draws from Keras' global generator: seed anew where the heads are made.
    build = train_module.build_head

    def seeded(*given: object, **options: object) -> list[keras.Layer]:
        keras.utils.set_random_seed(3)
        return build(*given, **options)

    for module in (train_module, repeats_module):
        monkeypatch.setattr(module, "build_head", seeded)
    found = repeated(study, tmp_path / "repeats.csv", 1)
    found = found[found["arm"] == arm].set_index("image_id")

    seed = integer_seed(7, "repeats", 0)
    split_step.run(
        study / "manifest.csv",
        study / "holdout.csv",
        tmp_path / "split.csv",
        unit="patient",
        folds=2,
        seed=seed,
    )
    parts = []
    for fold in range(2):
        train_fold(
            study / "real",
            study / "tiny.keras",
            study / "manifest.csv",
            tmp_path / "split.csv",
            tmp_path / "model.keras",
            tmp_path / "history.csv",
            tmp_path / "predictions.csv",
            classes=CLASSES,
            fold=fold,
            backbone="tiny",
            augmentation=arm,
            seed=seed,
            threads=1,
            synthetic=study / "synthetic.csv",
            synthetic_features=study / "made",
            n_synthetic=count,
            **SETTINGS,
        )
        parts.append(pd.read_csv(tmp_path / "predictions.csv"))
    columns = [f"p_{name}" for name in CLASSES]
    expected = pd.concat(parts).groupby("image_id")[columns].mean()
    np.testing.assert_allclose(found[columns], expected.loc[found.index], atol=1e-5)


def test_repeats_differ_and_test_the_same_images(study: Path, tmp_path: Path) -> None:
    found = repeated(study, tmp_path / "repeats.csv", 2)
    assert list(dict.fromkeys(found["arm"])) == ["v1", "v2", COPIES, WEIGHTS]
    split = pd.read_csv(study / "holdout.csv").set_index("image_id")["split"]
    tested = found[found["split"] == "test"]
    for _, part in tested.groupby(["repeat", "arm"]):
        assert set(part["image_id"]) == set(split.index[split == "test"])
    first, second = (part["p_covid"].to_numpy() for _, part in found.groupby("repeat"))
    assert np.abs(first - second).max() > 1e-3
    read_repeats(tmp_path / "repeats.csv", CLASSES)


def test_arms_hold_the_run_s_augmentations_and_the_simpler_remedies() -> None:
    assert [arm.name for arm in arms({"v1": 0, "v2": 5, "v3": 9}, False)] == [
        *("v1", "v2", "v3"),
        *(COPIES, WEIGHTS),
    ]
    weighed = arms({"v2": 5}, True)
    assert [arm.name for arm in weighed] == [PLAIN, "v2", COPIES]
    assert all(arm.class_weights for arm in weighed)
    assert weighed[-1].copied == 5


@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 1000))
def test_copies_are_as_many_as_the_synthetic_images_and_of_their_class(
    own: int, wanted: int, seed: int
) -> None:
    training = Sample([f"a{i}" for i in range(own + 4)], np.array([0] * own + [1] * 4))
    usable = Sample([f"s{i}" for i in range(wanted)], np.zeros(wanted, np.int64))
    rounds = copies(training, usable, np.random.default_rng(seed))
    assert sum(len(part.ids) for part in rounds) == wanted
    for part in rounds:
        assert len(set(part.ids)) == len(part.ids)
        assert set(part.ids) <= set(training.ids[:own])
        assert not part.classes.any()
    taken = [image for part in rounds for image in part.ids]
    uses = [taken.count(image) for image in training.ids[:own]]
    assert max(uses) - min(uses) <= 1


def test_mcnemar_is_the_binomial_test_of_the_discordant_images() -> None:
    assert mcnemar_p(7, 1) == pytest.approx(binomtest(7, 8).pvalue)
    assert mcnemar_p(0, 0) == 1
    # 2 * 0.5^6 = 0.031, 2 * 0.5^5 = 0.0625.
    assert fewest_discordant() == 6


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
    table, _ = compare_arms(
        scored,
        classes=CLASSES,
        target_class="covid",
        synthetic_arms=["v2"],
        rng=np.random.default_rng(0),
    )
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
        ({"v1": set(range(12)), "v2": {1}}, "test accuracy: raised it with tiny"),
        ({"v1": {1}, "v2": set(range(12))}, "test accuracy: lowered it with tiny"),
        ({"v1": {1}, "v2": {2}}, "test accuracy: no change beyond chance with any backbone"),
    ],
)
def test_the_report_states_the_finding_whichever_way_it_falls(
    lost: dict[str, set[int]], expected: str, tmp_path: Path
) -> None:
    table_of_repeats(lost | {COPIES: {5}}).to_csv(tmp_path / "tiny.csv", index=False)
    write_synthetic_effect(
        {"tiny": tmp_path / "tiny.csv"},
        tmp_path / "synthetic_effect.csv",
        tmp_path / "each.csv",
        tmp_path / "detectable_effect.csv",
        tmp_path / "f.png",
        tmp_path / "f.svg",
        classes=CLASSES,
        target_class="covid",
        synthetic_arms=["v2"],
        seed=1,
    )
    run = SimpleNamespace(
        config={
            "cyclegan": {"target_class": "covid"},
            "augmentations": {"v1": {"synthetic": 0}, "v2": {"synthetic": 6}},
            "backbones": ["tiny"],
            "weights": {},
        }
    )
    tables = {
        name: pd.read_csv(tmp_path / f"{name}.csv")
        for name in ("synthetic_effect", "detectable_effect")
    }
    shown = section(run, tables)
    assert shown is not None
    assert expected in shown.paragraphs[0]
    assert f"v2 against {COPIES}" in shown.paragraphs[1]
    assert "60 images" in " ".join(shown.paragraphs)
    assert section(run, {}) is None


def test_only_comparisons_with_synthetic_images_set_what_can_be_detected() -> None:
    table = compared(table_of_repeats({"v1": {0}, "v2": {2}, COPIES: {3}})).reset_index()
    found = detectable_effects(table.assign(backbone="tiny"), ["v2"])
    assert found["arm"].tolist() == ["v2", "v2"]
    assert found["n"].tolist() == [60, 20]
    assert found["discordance"].tolist() == [pytest.approx(2 / 60), pytest.approx(1 / 20)]
