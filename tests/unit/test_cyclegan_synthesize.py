from dataclasses import astuple

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from covidcxr.cyclegan.frames import COLUMNS, whole
from covidcxr.cyclegan.inputs import SEEN_COLUMNS
from covidcxr.cyclegan.networks import build_generator
from covidcxr.cyclegan.synthesize import run, translate
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError


@pytest.fixture(params=[40])
def inputs(tmp_path, request):
    """Twelve images of 40 px: 8 `well` (two of them not trained on), 4 `ill`."""
    ids = [f"a-{i:02d}" for i in range(12)]
    size = request.param
    images = np.random.default_rng(0).integers(0, 256, (12, size, size), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    frames = [(name, *astuple(whole(image)[0])) for name, image in zip(ids, images, strict=True)]
    write_table(pd.DataFrame(frames, columns=COLUMNS), tmp_path / "frames.csv")
    seen = [
        ("source" if i < 8 else "target", name, f"a:p{i // 2}", "well" if i < 8 else "ill", "")
        for i, name in enumerate(ids)
        if i not in (2, 5)
    ]
    write_table(pd.DataFrame(seen, columns=SEEN_COLUMNS), tmp_path / "inputs.csv")
    build_generator(32, 4, 1, seed=1).save(tmp_path / "generator.keras")
    return tmp_path


def synthesize(inputs, count, seed=5):
    folder = inputs / f"out{count}-{seed}"
    run(
        generator=inputs / "generator.keras",
        seen=inputs / "inputs.csv",
        frames=[inputs / "images.npy", inputs / "frames.csv"],
        images=inputs / "images.npy",
        table=folder / "synthetic.csv",
        synthetic=folder / "synthetic.npy",
        pictures=folder / "png",
        number=count,
        seed=seed,
        threads=1,
    )
    return pd.read_csv(folder / "synthetic.csv", dtype=str), np.load(folder / "synthetic.npy")


def test_made_from_training_images_of_the_source_class_without_repetition(inputs):
    table, images = synthesize(inputs, 6)
    assert set(table["source_image_id"]) == {f"a-0{i}" for i in (0, 1, 3, 4, 6, 7)}
    assert list(table["image_id"]) == [f"synthetic-{i}" for i in table["source_image_id"]]
    assert set(table["label"]) == {"ill"}
    patients = [f"a:p{int(i[-2:]) // 2}" for i in table["source_image_id"]]
    assert list(table["patient_id"]) == patients
    assert images.shape == (6, 40, 40)
    assert images.dtype == np.uint8


def test_array_rows_and_pictures_are_the_rows_of_the_table(inputs):
    table, images = synthesize(inputs, 4)
    for path, image in zip(table["path"], images, strict=True):
        np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_GRAYSCALE), image)


@pytest.mark.parametrize("inputs", [32], indirect=True)
def test_image_is_the_translation_of_its_source(inputs):
    table, images = synthesize(inputs, 3)
    model = build_generator(32, 4, 1, seed=1)
    originals = np.load(inputs / "images.npy")
    for image_id, image in zip(table["source_image_id"], images, strict=True):
        original = originals[int(image_id[-2:])]
        out = np.asarray(model(original[None, ..., None] / np.float32(127.5) - 1))[0, ..., 0]
        np.testing.assert_allclose(image, (out + 1) * 127.5, atol=0.51)


def test_an_unchanged_image_stays_as_sharp_as_it_was(tmp_path):
    """A generator that changes nothing gives back the original, not its small copy enlarged."""
    inputs = keras.Input((32, 32, 1))
    identity = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96), dtype=np.uint8)
    where = [whole(image)[0] for image in images]
    np.testing.assert_array_equal(translate(identity, images, images, where), images)


def test_fewer_images_are_the_first_of_more(inputs):
    few, few_images = synthesize(inputs, 2)
    many, many_images = synthesize(inputs, 5)
    assert list(few["image_id"]) == list(many["image_id"][:2])
    np.testing.assert_array_equal(few_images, many_images[:2])


def test_another_seed_samples_other_images(inputs):
    one, other = (synthesize(inputs, 6, seed)[0]["image_id"].tolist() for seed in (0, 1))
    assert one != other
    assert set(one) == set(other)


def test_none_asked_gives_valid_empty_files(inputs):
    table, images = synthesize(inputs, 0)
    assert len(table) == 0
    assert list(table.columns) == ["image_id", "path", "label", "source_image_id", "patient_id"]
    assert images.shape == (0, 40, 40)
    assert images.dtype == np.uint8
    assert list((inputs / "out0-5" / "png").iterdir()) == []


def test_more_than_there_are_is_an_error_with_both_numbers(inputs):
    with pytest.raises(InputError, match=r"7 synthetic images.*6 training images"):
        synthesize(inputs, 7)
