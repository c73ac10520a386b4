"""LiteRT files against the Keras model they were made from."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from covidcxr.classify.predictions import scored
from covidcxr.data.tables import read_images
from covidcxr.deploy import export_table
from covidcxr.deploy.export_model import FORMATS, compare, convert, litert_runner, run
from covidcxr.errors import InputError
from covidcxr.report.section import read_section
from covidcxr.runtime import frozen
from tests.unit.statistics_inputs import identified
from tests.unit.tiny import CLASSES, tiny_ensemble, tiny_study


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_study(tmp_path_factory.mktemp("exported"))
    ensemble, members = tiny_ensemble(2)
    ensemble.save(folder / "v1.keras")
    study = [folder / name for name in ("manifest.csv", "split.csv", "images.npy")]
    tests = read_images(*study[:2]).query("split == 'test'")
    folds = []
    for k, member in enumerate(members):
        said = member.predict(np.load(study[2])[tests.index][..., None], verbose=0)
        folds.append(folder / f"fold{k}.csv")
        # In another order than the manifest's.
        identified(scored(tests, said, CLASSES)[::-1], model=f"fold{k}").to_csv(folds[-1])
    run(
        folder / "v1.keras",
        study,
        folds,
        [folder / f"{name}.tflite" for name in FORMATS],
        folder / "measured.csv",
        classes=CLASSES,
        seed=1,
        threads=1,
        backbone="tiny",
        augmentation="v1",
    )
    return folder


@pytest.mark.parametrize(("precision", "atol"), [("float32", 1e-5), ("float16", 5e-3)])
def test_exported_models_give_the_probabilities_of_the_keras_model(
    exported: Path, precision: str, atol: float
) -> None:
    images = np.load(exported / "images.npy")
    run = litert_runner((exported / f"{precision}.tflite").read_bytes(), 1)
    expected = keras.models.load_model(exported / "v1.keras").predict(images[..., None], verbose=0)
    np.testing.assert_allclose([run(image) for image in images], expected, atol=atol)


def test_int8_gives_probabilities_and_is_the_smallest(exported: Path) -> None:
    run = litert_runner((exported / "int8.tflite").read_bytes(), 1)
    assert run(np.load(exported / "images.npy")[0]).sum() == pytest.approx(1, abs=0.02)
    table = pd.read_csv(exported / "measured.csv").set_index("format")
    assert list(table.index) == ["keras", *FORMATS]
    assert (table["n"] == 12).all()
    assert table.loc["int8", "size_mb"] < table.loc["float32", "size_mb"]
    assert (table["milliseconds"] > 0).all()
    assert table.loc["float32", "largest_difference"] < 1e-5
    assert (table.loc[["keras", "float32"], "agreement"] == 1).all()


def test_a_precision_that_does_not_exist_is_refused(exported: Path) -> None:
    graph = frozen(keras.models.load_model(exported / "v1.keras"), 1, tf.float32)
    with pytest.raises(InputError, match="float16"):
        convert(graph, "int4", np.zeros((1, 16, 16), np.uint8))


def test_a_change_of_accuracy_beyond_the_interval_is_marked_and_a_small_one_is_not() -> None:
    truth = np.arange(200) % 2
    right = np.eye(2, dtype=np.float32)[truth]
    reference = right.copy()
    reference[:20] = 1 - reference[:20]
    nearly = reference.copy()
    nearly[20:22] = 1 - nearly[20:22]
    broken = np.tile(np.float32([0.9, 0.1]), (200, 1))
    patients = [str(k) for k in range(200)]
    table = compare(
        {"keras": reference, "float16": nearly, "int8": broken},
        truth,
        patients,
        lambda: np.random.default_rng(0),
    ).set_index("format")
    assert table["changed"].to_dict() == {"keras": 0, "float16": 0, "int8": 1}
    assert table["accuracy"].tolist() == pytest.approx([0.9, 0.89, 0.5])
    assert table.loc["float16", "agreement"] == pytest.approx(0.99)
    assert table.loc["int8", "largest_difference"] == pytest.approx(0.9)


def test_the_table_has_published_sizes_where_there_are_some_and_the_section_marks_changes(
    exported: Path,
) -> None:
    (exported / "published.csv").write_text("backbone,size_mb\nA,\nA,57\n")
    measured = pd.read_csv(exported / "measured.csv")
    files = []
    for name in ("A", "B"):
        measured["changed"] = [0, 0, 0, int(name == "B")]
        files.append(exported / f"{name}.csv")
        measured.assign(backbone=name).to_csv(files[-1], index=False)
    out = [exported / f"export.{kind}" for kind in ("csv", "json")]
    export_table.run(files, exported / "published.csv", *out)
    table = pd.read_csv(out[0])
    assert table["backbone"].tolist() == ["A"] * 4 + ["B"] * 4
    assert table.loc[table["backbone"] == "A", "published_mb"].tolist() == [57] * 4
    assert table.loc[table["backbone"] == "B", "published_mb"].isna().all()
    section = read_section(out[1])
    assert "B int8" in section.paragraphs[0]
    shown = section.tables[0].table
    assert shown is not None
    marked = [export_table.CHANGED in row[2] for row in shown.rows]
    assert marked == [False] * 7 + [True]
