"""The command `covidcxr`: predictions equal the workflow's; what cannot be read is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from covidcxr import cli
from covidcxr.classify.card import ModelCard, add_card, read_card
from covidcxr.classify.model import build_head, complete_model
from covidcxr.classify.predictions import IDENTITY
from covidcxr.deploy.predict import describe, draw_overlay, find_images
from covidcxr.errors import InputError
from covidcxr.explain.committee import build_committee, consult
from covidcxr.explain.gradcam import grad_cam
from tests.unit.dicom_files import radiograph, write
from tests.unit.tiny import (
    CLASSES,
    SIZE,
    assemble_tiny,
    tiny_backbone,
    tiny_bank,
    tiny_images,
    tiny_study,
    train_tiny,
)

runner = CliRunner()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose folds 0 and 1 are trained, its test images as PNG files in `png/`."""
    folder = tiny_study(tmp_path_factory.mktemp("trained"))
    bank = tiny_bank(folder)
    for fold in (0, 1):
        head = train_tiny(
            folder, bank, folder / f"fold{fold}", fold=fold, epochs=3, learning_rate=0.01
        )
        (folder / "models").mkdir(exist_ok=True)
        assemble_tiny(folder, [head], folder / f"models/fold{fold}.keras")
        predictions = pd.read_csv(folder / f"fold{fold}/predictions.csv").drop(columns=IDENTITY)
        predictions.to_csv(folder / f"predictions{fold}.csv", index=False)
    (folder / "png").mkdir()
    manifest = pd.read_csv(folder / "manifest.csv")
    for name, pixels in zip(manifest["image_id"], np.load(folder / "images.npy"), strict=True):
        Image.fromarray(pixels).save(folder / "png" / f"{name}.png")
    return folder


def invoke(*arguments: Any) -> Any:
    return runner.invoke(cli.app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("model", ["fold0.keras", ""])
def test_predictions_are_the_workflows_for_a_model_and_for_the_ensemble(
    trained: Path, model: str, tmp_path: Path
) -> None:
    result = invoke("predict", trained / "models" / model, trained / "png", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "No medical device" in result.output
    assert "No medical device" in (tmp_path / "NOTICE.txt").read_text()
    table = pd.read_csv(tmp_path / "predictions.csv")
    table.index = pd.Index([Path(file).stem for file in table["file"]])
    scores = [f"p_{name}" for name in CLASSES]
    folds = [pd.read_csv(trained / f"predictions{k}.csv", index_col=0) for k in (0, 1)]
    test = [name for name in folds[0].index if name in folds[1].index]
    expected = folds[0].loc[test, scores]
    if not model:
        expected = (expected + folds[1].loc[test, scores]) / 2
    np.testing.assert_allclose(table.loc[test, scores], expected, atol=1e-5)
    best = [CLASSES[k] for k in expected.to_numpy().argmax(axis=1)]
    assert table.loc[test, "predicted"].tolist() == best
    assert table["spread"].isna().all() == bool(model)
    drawn = [Image.open(tmp_path / name).size for name in table["heatmap"]]
    assert set(drawn) == {(320, 364)}


def test_dicom_and_png_of_the_same_values_get_the_same_prediction(
    trained: Path, tmp_path: Path
) -> None:
    pixels = tiny_images([0])[0]
    wide = pixels.astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "a.png")
    write(radiograph(wide, 16), tmp_path / "b.dcm")
    inverted = radiograph(65535 - wide, 16, PhotometricInterpretation="MONOCHROME1")
    write(inverted, tmp_path / "c")
    result = invoke("predict", trained / "models", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert len(table) == 3
    assert (table["p_covid"] == table["p_covid"].iloc[0]).all()


def test_files_that_cannot_be_read_are_told_and_the_others_predicted(
    trained: Path, tmp_path: Path
) -> None:
    good = trained / "png/s-000.png"
    (tmp_path / "broken.png").write_bytes(good.read_bytes()[:60])
    Image.new("L", (64, 64), 90).save(tmp_path / "blank.png")
    (tmp_path / "notes.dcm").write_text("no image")
    result = invoke(
        *("predict", trained / "models/fold0.keras", good, tmp_path),
        *("--out", tmp_path / "out", "--no-heatmaps"),
    )
    assert result.exit_code == cli.SOME_UNREADABLE
    table = pd.read_csv(tmp_path / "out/predictions.csv").set_index("file")
    assert pd.isna(table.loc[str(good), "problem"])
    for name, word in (("broken", "decoded"), ("blank", "blank"), ("notes", "none")):
        row = table.filter(like=name, axis=0).iloc[0]
        assert word in row["problem"]
        assert row[["predicted", "p_covid", "heatmap"]].isna().all()
    assert table["heatmap"].isna().all()
    assert (
        invoke(
            "predict", trained / "models", tmp_path / "blank.png", "--out", tmp_path / "none"
        ).exit_code
        == 1
    )


def test_a_model_tells_its_classes_and_one_that_does_not_needs_them_named(
    trained: Path, tmp_path: Path
) -> None:
    assert read_card(trained / "models/fold1.keras") == ModelCard(
        tuple(CLASSES), "study", "tiny", "v1", "fold0"
    )
    with pytest.raises(InputError, match="covid, normal"):
        describe(trained / "models", ["a", "b", "c"])
    bare = tmp_path / "bare.keras"
    complete_model(tiny_backbone(), build_head(2)).save(bare)
    with pytest.raises(InputError, match="--classes"):
        describe(bare)
    assert describe(bare, ["ill", "well"]).classes == ("ill", "well")
    result = invoke("predict", bare, trained / "png/s-000.png", "--out", tmp_path, "--classes", "a")
    assert result.exit_code == 1
    result = invoke(
        *("predict", bare, trained / "png/s-000.png", "--out", tmp_path, "--classes", "ill, well")
    )
    assert result.exit_code == 0, result.output
    assert {"p_ill", "p_well"} < set(pd.read_csv(tmp_path / "predictions.csv").columns)
    add_card(bare, ModelCard(("x", "y"), "study", "tiny", "v1", "fold0"))
    keras.models.load_model(bare)
    for fold in (0, 1):
        (tmp_path / f"mixed/fold{fold}.keras").parent.mkdir(exist_ok=True)
    (tmp_path / "mixed/a.keras").write_bytes(bare.read_bytes())
    (tmp_path / "mixed/b.keras").write_bytes((trained / "models/fold0.keras").read_bytes())
    with pytest.raises(InputError, match="different classes"):
        describe(tmp_path / "mixed")


def test_wrong_models_and_places_are_named(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "no.keras").write_text("no")
    with pytest.raises(InputError, match=r"no\.keras"):
        describe(tmp_path / "no.keras")
    with pytest.raises(InputError, match="neither"):
        describe(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere"):
        find_images([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="no image"):
        find_images([trained / "models"])


def test_a_committee_of_equal_backbones_runs_them_once_and_averages_maps(trained: Path) -> None:
    models = [keras.models.load_model(trained / f"models/fold{k}.keras") for k in (0, 1)]
    committee = build_committee(models)
    assert [len(scores) for _, scores in committee.groups] == [2]
    images = np.load(trained / "images.npy")[:20]
    verdict = consult(committee, images)
    scores = np.array([model.predict(images[..., None], verbose=0) for model in models])
    np.testing.assert_allclose(verdict.probabilities, scores, atol=1e-5)
    assert verdict.class_index.tolist() == scores.mean(axis=0).argmax(axis=1).tolist()
    maps = [grad_cam(model, images, verdict.class_index) for model in models]
    np.testing.assert_allclose(verdict.maps, maps, atol=1e-4)
    last = models[1].get_layer("second")
    last.kernel.assign(last.kernel * 2)
    apart = build_committee([*models, models[0]])
    assert [len(scores) for _, scores in apart.groups] == [2, 1]
    scores[1] = models[1].predict(images[..., None], verbose=0)
    np.testing.assert_allclose(consult(apart, images).probabilities, scores[[0, 1, 0]], atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(2000, 1500), (64, 64), (100, 3000)])
def test_an_overlay_keeps_proportions_and_colours_hot_places(height: int, width: int) -> None:
    heat = np.zeros((SIZE, SIZE), np.float32)
    heat[:, : SIZE // 2] = 1
    gray = np.full((height, width), 100, np.uint8)
    picture = np.asarray(draw_overlay(gray, heat, "covid 0.9", "jet", 1.0))
    shown = picture[:-44]
    assert shown.shape[0] / shown.shape[1] == pytest.approx(height / width, rel=0.02)
    assert shown[0, 0, 0] > 100 > shown[0, 0, 2]
    assert shown[-1, -1, 2] > 100 > shown[-1, -1, 0]


def test_the_workflows_calls_are_printed_and_their_status_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def record(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(cli.subprocess, "run", record)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    config = tmp_path / "c.yaml"
    config.write_text("run: mine\n")
    result = invoke("run", config, "--cores", 3, "-n", "tables", "--quiet")
    assert result.exit_code == 5
    assert commands[-1] == [
        *("snakemake", "--cores", "3", "--dry-run", "tables", "--quiet"),
        *("--configfile", str(config)),
    ]
    assert "+ snakemake --cores 3" in result.output
    result = invoke("status", config)
    assert "report is not there yet" in result.output
    assert commands[-1][1] == "--dry-run"
    assert invoke("report", config).exit_code == 1
    (tmp_path / "results/mine").mkdir(parents=True)
    (tmp_path / "results/mine/report.html").touch()
    assert "results/mine/report.html" in invoke("report", config).output
    assert invoke("report", config, "--archive", "r.zip").exit_code == 5
    assert commands[-1][1:3] == ["--report", "r.zip"]
    config.write_text("- nothing\n")
    assert invoke("status", config).exit_code == 1


@pytest.mark.parametrize("command", ["predict", "run", "status", "report"])
def test_help_names_every_argument_and_starts_without_tensorflow(command: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys\nfrom covidcxr.cli import app\n"
            f"try: app(['{command}', '--help'])\n"
            "finally: print('tensorflow' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
    words = {"predict": ["--out", "--classes", "Exit status", "PNG, JPEG"], "run": ["--dry-run"]}
    for word in words.get(command, ["Configuration"]):
        assert word in done.stdout
