"""What a CycleGAN saw is known by the pixels that it was fed, and a planted leak is found."""

from dataclasses import astuple

import cv2
import numpy as np
import pandas as pd
import pytest

from covidcxr.cyclegan import cyclegan as training
from covidcxr.cyclegan import inputs, lineage, synthesize
from covidcxr.cyclegan.frames import COLUMNS, whole
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.errors import InputError

SETTINGS = {
    "source_class": "well",
    "target_class": "ill",
    "image_size": 32,
    "iterations": 1,
    "decay_from": 0.5,
    "filters": 4,
    "residual_blocks": 1,
    "learning_rate": 2e-4,
    "cycle_weight": 10.0,
    "identity_weight": 5.0,
    "pool_size": 2,
    "ema_decay": 0.999,
    "checkpoint_every": 9,
    "seed": 7,
}


def film(rng):
    """Smooth noise of 48 px: no two alike to a perceptual hash."""
    return cv2.resize(rng.integers(0, 256, (12, 12), dtype=np.uint8), (48, 48))


@pytest.fixture(autouse=True)
def no_arithmetic(monkeypatch):
    """Leave out the steps' arithmetic and the samples: what is fed is under test."""
    monkeypatch.setattr(training, "write_samples", lambda *_: None)
    monkeypatch.setattr(training, "advance", lambda *_: np.zeros(len(training.LOSSES), np.float32))


@pytest.fixture
def run(tmp_path):
    """Twelve patients, two images each: the first six are well; folds 0 and 1, and tests."""
    rng = np.random.default_rng(3)
    films = np.stack([film(rng) for _ in range(24)])
    np.save(tmp_path / "images.npy", films)
    np.save(tmp_path / "frames.npy", films[:, ::-1])
    ids = [f"a-{i:02d}" for i in range(24)]
    frames = [(name, *astuple(whole(image)[0])) for name, image in zip(ids, films, strict=True)]
    write_table(pd.DataFrame(frames, columns=COLUMNS), tmp_path / "frames.csv")
    table = pd.DataFrame(
        {
            "image_id": ids,
            "path": ids,
            "label": ["well"] * 12 + ["ill"] * 12,
            "patient_id": [f"a:p{i // 2}" for i in range(24)],
            "source": "a",
            "site": "a",
            "sha256": "0" * 64,
        },
        columns=MANIFEST_COLUMNS,
    )
    table.to_csv(tmp_path / "manifest.csv", index=False)
    third = [i // 2 % 3 for i in range(24)]
    split = pd.DataFrame(
        {
            "image_id": ids,
            "split": ["test" if t == 2 else "train" for t in third],
            "fold": pd.array([None if t == 2 else t for t in third], "Int64"),
        }
    )
    split.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def make(run, fold=None):
    """Train and synthesise without `fold`, then check; return the table of the check."""
    training.run(
        images=run / "frames.npy",
        manifest=run / "manifest.csv",
        split=run / "split.csv",
        generators=[run / "generator.keras", run / "backward.keras"],
        losses_table=run / "losses.csv",
        seen=run / "inputs.csv",
        samples=run / "samples.png",
        settings=SETTINGS,
        left_out_fold=fold,
        threads=1,
    )
    synthesize.run(
        generator=run / "generator.keras",
        seen=run / "inputs.csv",
        frames=[run / "frames.npy", run / "frames.csv"],
        images=run / "images.npy",
        table=run / "synthetic.csv",
        synthetic=run / "synthetic.npy",
        pictures=run / "png",
        number=4,
        seed=7,
        threads=1,
    )
    return verdict(run, fold)


def verdict(run, fold=None, *, by_patient=True):
    lineage.run(
        images=run / "images.npy",
        frames=run / "frames.npy",
        manifest=run / "manifest.csv",
        split=run / "split.csv",
        seen=[run / "inputs.csv"],
        synthetic=[run / "synthetic.csv"],
        table=run / "lineage.csv",
        section=run / "lineage.json",
        names=["all" if fold is None else f"fold{fold}"],
        by_patient=by_patient,
    )
    return pd.read_csv(run / "lineage.csv")


@pytest.mark.parametrize("fold", [None, 1])
def test_a_generator_saw_the_training_images_and_without_a_fold_those_of_the_others(run, fold):
    found = make(run, fold)
    assert (found["found"] == 0).all()
    assert set(found["compared"]) == {4, 16 if fold is None else 8}
    split = pd.read_csv(run / "split.csv").set_index("image_id")
    seen = pd.read_csv(run / "inputs.csv", dtype=str)
    allowed = split[(split["split"] == "train") & (split["fold"] != fold)].index
    assert set(seen["image_id"]) == set(allowed)


def everything(images, manifest, split, label, left_out_fold=None):
    """Read every image of the class, whatever the split: the leak to be found."""
    table = pd.read_csv(manifest, dtype=str)
    chosen = table["label"] == label
    return np.load(images)[chosen.to_numpy()], table[chosen].reset_index(drop=True)


def test_a_test_image_among_the_training_images_is_found(run, monkeypatch):
    monkeypatch.setattr(inputs, "training_rows", everything)
    with pytest.raises(InputError, match="8 of 24 images are a held-out image"):
        make(run)


def test_a_test_image_that_is_fed_under_a_training_images_name_is_found(run, monkeypatch):
    """The record names training images only, as intended; the pixels tell."""
    read = inputs.training_rows

    def disguised(images, manifest, split, label, left_out_fold=None):
        films, rows = read(images, manifest, split, label, left_out_fold)
        films[0] = np.load(images)[{"well": 4, "ill": 16}[label]]
        return films, rows

    monkeypatch.setattr(inputs, "training_rows", disguised)
    with pytest.raises(InputError, match="another image than named, such as a-00"):
        make(run)


def test_an_image_of_the_fold_left_out_is_found(run, monkeypatch):
    read = inputs.training_rows

    def all_folds(images, manifest, split, label, left_out_fold=None):
        return read(images, manifest, split, label)

    monkeypatch.setattr(inputs, "training_rows", all_folds)
    with pytest.raises(InputError, match="'fold1': 8 of 16 images are a held-out image"):
        make(run, 1)


def test_a_translated_test_image_is_found(run):
    make(run)
    table = pd.read_csv(run / "synthetic.csv", dtype=str)
    table.loc[2, ["source_image_id", "patient_id"]] = "a-05", "a:p2"
    table.to_csv(run / "synthetic.csv", index=False)
    with pytest.raises(InputError, match="1 of 4 images are a held-out image, such as a-05"):
        verdict(run)


def test_another_image_of_a_test_patient_is_found_unless_the_split_is_by_image(run):
    make(run)
    table = pd.read_csv(run / "manifest.csv", dtype=str)
    table.loc[4, "patient_id"] = "a:p0"
    table.to_csv(run / "manifest.csv", index=False)
    with pytest.raises(InputError, match="2 of 16 images are a patient of one"):
        verdict(run)
    found = verdict(run, by_patient=False).set_index(["images", "check"])["found"]
    assert found["fed", "a patient of one"] == 2
    assert found["fed", "a held-out image"] == 0


def test_a_brightened_copy_of_a_test_image_is_found_and_so_are_pixels_of_no_image(run):
    make(run)
    films = np.load(run / "images.npy")
    films[4] = np.clip(films[0].astype(float) * 0.9 + 10, 0, 255).astype(np.uint8)
    np.save(run / "images.npy", films)
    with pytest.raises(InputError, match="1 of 16 images are a near copy of one, such as a-00"):
        verdict(run)
    frames = np.load(run / "frames.npy")
    frames[0] = film(np.random.default_rng(9))
    np.save(run / "frames.npy", frames)
    with pytest.raises(InputError, match="1 of 16 images are no image of the run, such as a-00"):
        verdict(run)
