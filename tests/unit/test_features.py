"""The feature bank: what stands in which row, and that it is what the network gives."""

from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest

from covidcxr.data.tables import read_table
from covidcxr.errors import InputError
from covidcxr.features import features
from covidcxr.features.augment import augmented_view, magnified
from covidcxr.features.backbone import split_backbone
from tests.unit.tiny import SIZE, TRANSFORM, tiny_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_study(tmp_path_factory.mktemp("study"))


def write(study: Path, out: Path, **changes: object) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Write a bank of the study; return clean, views and rows."""
    inputs = {
        "network": study / "tiny.keras",
        "images": study / "images.npy",
        "table": study / "manifest.csv",
        "holdout": study / "split.csv",
    }
    settings = {"trainable": "head", "views": 2, "transform": TRANSFORM, "seed": 1}
    names = [out / "clean.npy", out / "views.npy", out / "rows.csv"]
    chosen = {**inputs, **settings, "batch_size": 7, **changes}
    with mock.patch.object(features, "BATCH", chosen.pop("batch_size")):
        features.run(*(chosen.pop(key) for key in inputs), *names, threads=1, settings=chosen)
    rows = read_table(names[2], ["image_id"], ["clean_row", "view_row"])
    return np.load(names[0]), np.load(names[1]), rows


@pytest.mark.parametrize("trainable", ["head", "last_block", "all"])
def test_the_bank_holds_what_the_extractor_gives_for_each_image_and_view(
    trainable: str, study: Path, tmp_path: Path
) -> None:
    clean, views, rows = write(study, tmp_path, trainable=trainable)
    images = np.load(study / "images.npy")
    extractor, _ = split_backbone(keras.models.load_model(study / "tiny.keras"), trainable)
    np.testing.assert_allclose(clean, extractor.predict(images[..., None], verbose=0), atol=1e-5)
    assert clean.dtype == views.dtype == (np.uint8 if trainable == "all" else np.float32)
    assert len(views) == 48
    name, clean_row, view_row = rows.loc[rows["image_id"] == "s-047"].iloc[0]
    view = augmented_view(magnified(images[int(clean_row)]), name, 1, TRANSFORM, 1)
    expected = extractor.predict(view[None, ..., None], verbose=0)[0]
    np.testing.assert_allclose(views[int(view_row), 1], expected, atol=1e-5)
    assert rows["view_row"].isna().tolist() == [False] * 48 + [True] * 12


def test_the_batch_size_changes_nothing(study: Path, tmp_path: Path) -> None:
    first = write(study, tmp_path / "a", batch_size=7)
    second = write(study, tmp_path / "b", batch_size=64)
    np.testing.assert_allclose(first[0], second[0], atol=1e-6)
    np.testing.assert_allclose(first[1], second[1], atol=1e-6)


def test_features_of_an_image_do_not_depend_on_the_others(study: Path, tmp_path: Path) -> None:
    _, views, _ = write(study, tmp_path / "all")
    np.save(tmp_path / "few.npy", np.load(study / "images.npy")[10:12])
    pd.read_csv(study / "manifest.csv").iloc[10:12].to_csv(tmp_path / "few.csv", index=False)
    _, few, _ = write(
        study,
        tmp_path / "few",
        images=tmp_path / "few.npy",
        table=tmp_path / "few.csv",
        holdout=None,
    )
    np.testing.assert_allclose(few, views[10:12], atol=1e-6)


def test_half_precision_agrees_to_its_own_accuracy(study: Path, tmp_path: Path) -> None:
    full, _, _ = write(study, tmp_path / "full")
    half, _, _ = write(study, tmp_path / "half", mixed_precision=True)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=5e-3)
    assert np.abs(half - full).max() > 0


def test_an_empty_cohort_gives_an_empty_bank(study: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, SIZE, SIZE), np.uint8))
    (tmp_path / "none.csv").write_text("image_id\n")
    clean, views, rows = write(
        study,
        tmp_path,
        images=tmp_path / "none.npy",
        table=tmp_path / "none.csv",
        holdout=None,
    )
    assert (clean.shape, views.shape, len(rows)) == ((0, 8), (0, 2, 8), 0)


def test_images_that_do_not_belong_to_the_table_are_refused(study: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "short.npy", np.load(study / "images.npy")[:-1])
    with pytest.raises(InputError, match=r"short\.npy"):
        write(study, tmp_path, images=tmp_path / "short.npy")
    (tmp_path / "split.csv").write_text("image_id,split\nother,train\n")
    with pytest.raises(InputError, match="other"):
        write(study, tmp_path, holdout=tmp_path / "split.csv")
    assert not (tmp_path / "clean.npy").exists()
