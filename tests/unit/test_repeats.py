"""Repeats train as the run does, compare fairly, and say what can be known from so few images."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.classify import fitting
from covidcxr.classify import repeats as repeats_module
from covidcxr.classify.fitting import copies
from covidcxr.classify.repeats import COPIES, PLAIN, WEIGHTS, arms
from covidcxr.classify.samples import Sample
from covidcxr.cyclegan.synthetic_effect import read_repeats
from covidcxr.data import split as split_step
from covidcxr.seeding import integer_seed
from tests.unit.tiny import CLASSES, synthetic_of, tiny_bank, tiny_study, train_tiny

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
    pd.read_csv(folder / "split.csv")[["image_id", "split"]].to_csv(
        folder / "holdout.csv", index=False
    )
    tiny_bank(folder, "real", views=2)
    synthetic_of(folder, name="made")
    return folder


def bank_of(study: Path, name: str) -> list[Path]:
    return [study / name / file for file in ("clean.npy", "views.npy", "rows.csv")]


def repeated(study: Path, output: Path, repeats: int) -> None:
    repeats_module.run(
        bank_of(study, "real"),
        [study / "manifest.csv", study / "holdout.csv"],
        [study / "synthetic.csv", *bank_of(study, "made")],
        output,
        settings={
            "classes": CLASSES,
            "unit": "patient",
            "folds": 2,
            "repeats": repeats,
            "seed": 7,
            **SETTINGS,
        },
        augmentations={"v1": 0, "v2": 6},
        backbone="tiny",
        threads=1,
    )


@pytest.fixture(scope="module")
def seeded_heads() -> Iterator[None]:
    """Let every head begin with the same weights."""
    # Loading a backbone draws from Keras' global generator: seed again where the heads are made.
    build = fitting.build_head

    def seeded(*given: object, **options: object) -> list[keras.Layer]:
        keras.utils.set_random_seed(3)
        return build(*given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "build_head", seeded)
        yield


@pytest.fixture(scope="module")
def two(study: Path, seeded_heads: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the table of two repeats."""
    file = tmp_path_factory.mktemp("two") / "repeats.csv"
    repeated(study, file, 2)
    return file


@pytest.mark.parametrize(("arm", "count"), [("v1", 0), ("v2", 6)])
def test_a_repeat_is_the_run_itself_with_another_seed(
    arm: str, count: int, study: Path, two: Path, tmp_path: Path
) -> None:
    found = pd.read_csv(two)
    found = found[(found["arm"] == arm) & (found["repeat"] == found["repeat"].min())]
    found = found.set_index("image_id")

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
        train_tiny(
            study,
            bank_of(study, "real"),
            tmp_path,
            fold=fold,
            augmentation=arm,
            split=tmp_path / "split.csv",
            made=[study / "synthetic.csv", *bank_of(study, "made")],
            **SETTINGS | {"synthetic": count, "seed": seed},
        )
        parts.append(pd.read_csv(tmp_path / "predictions.csv"))
    columns = [f"p_{name}" for name in CLASSES]
    expected = pd.concat(parts).groupby("image_id")[columns].mean()
    np.testing.assert_allclose(found[columns], expected.loc[found.index], atol=1e-5)


def test_repeats_differ_and_test_the_same_images(study: Path, two: Path) -> None:
    found = pd.read_csv(two)
    assert list(dict.fromkeys(found["arm"])) == ["v1", "v2", COPIES, WEIGHTS]
    split = pd.read_csv(study / "holdout.csv").set_index("image_id")["split"]
    tested = found[found["split"] == "test"]
    for _, part in tested.groupby(["repeat", "arm"]):
        assert set(part["image_id"]) == set(split.index[split == "test"])
    first, second = (part["p_covid"].to_numpy() for _, part in found.groupby("repeat"))
    assert np.abs(first - second).max() > 1e-3
    read_repeats(two, CLASSES)


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
