"""`covidcxr predict`: the workflow's predictions; every file has a row; nothing is lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from covidcxr import cli
from covidcxr.classify.card import ModelCard, add_card
from covidcxr.data.images import resize
from covidcxr.data.lung_shape import estimate_boxes
from covidcxr.deploy import predict as predicting
from covidcxr.deploy.predict import draw_overlay, predict
from covidcxr.deploy.request import check, printable
from covidcxr.deploy.severity import INK
from covidcxr.errors import InputError
from covidcxr.explain.drawing import Look
from covidcxr.severity import severity_features
from covidcxr.severity.regression import ScoredImages, fit
from covidcxr.severity.severity_model import SavedSeverity
from covidcxr.severity.zones import zone_boxes
from tests.unit.dicom_files import radiograph, write
from tests.unit.tiny import CLASSES, SIZE, tiny_ensemble, tiny_images

runner = CliRunner()
SCORES = [f"p_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two, with its card."""
    file = tmp_path_factory.mktemp("model") / "v1.keras"
    tiny_ensemble(2)[0].save(file)
    add_card(file, ModelCard(tuple(CLASSES), "study", "tiny", "v1", "ensemble"))
    return file


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder of six PNG files."""
    (tmp_path / "films").mkdir()
    for k, pixels in enumerate(tiny_images([0, 1, 2, 0, 1, 2])):
        Image.fromarray(pixels).save(tmp_path / f"films/film{k}.png")
    return tmp_path / "films"


def invoke(*arguments: Any) -> Any:
    return runner.invoke(cli.app, [str(argument) for argument in arguments])


def rows_of(out: Path) -> pd.DataFrame:
    table = pd.read_csv(out / "predictions.csv", keep_default_na=False, dtype=str)
    return table.set_index(table["file"].map(lambda file: Path(file).name))


@pytest.mark.parametrize("place", ["file", "folder"])
def test_predictions_are_those_of_the_ensemble(model: Path, films: Path, place: str) -> None:
    given = model if place == "file" else model.parent
    result = invoke("predict", given, films, "--out", films.parent / "out")
    assert result.exit_code == 0, result.output
    assert "No medical device" in result.output
    assert result.stdout.splitlines()[-1] == "6 of 6 files have a prediction"
    out = films.parent / "out"
    assert "No medical device" in (out / "NOTICE.txt").read_text()
    table = rows_of(out)
    images = tiny_images([0, 1, 2, 0, 1, 2])
    ensemble, members = tiny_ensemble(2)
    expected = ensemble.predict(images[..., None], verbose=0)
    np.testing.assert_allclose(table[SCORES].astype(float), expected, atol=1e-5)
    best = expected.argmax(axis=1)
    assert table["predicted"].tolist() == [CLASSES[k] for k in best]
    scores = np.array([member.predict(images[..., None], verbose=0) for member in members])
    spread = scores[:, range(6), best].std(axis=0)
    np.testing.assert_allclose(table["spread"].astype(float), spread, atol=1e-5)
    assert {Image.open(out / name).size for name in table["heatmap"]} == {(320, 364)}


def test_without_heat_maps_the_predictions_are_the_same(model: Path, films: Path) -> None:
    for name, flags in (("with", []), ("without", ["--no-heatmaps", "--quiet"])):
        result = invoke("predict", model, films, "--out", films / name, *flags)
        assert result.exit_code == 0
        assert bool(result.stdout) == (name == "with")
    one, other = rows_of(films / "with"), rows_of(films / "without")
    np.testing.assert_allclose(one[SCORES].astype(float), other[SCORES].astype(float), atol=1e-6)
    assert (other["heatmap"] == "").all()
    assert not (films / "without/heatmaps").exists()


def test_dicom_and_png_of_the_same_values_get_the_same_prediction(
    model: Path, tmp_path: Path
) -> None:
    wide = tiny_images([0])[0].astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "a.png")
    write(radiograph(wide, 16), tmp_path / "b.dcm")
    inverted = radiograph(65535 - wide, 16, PhotometricInterpretation="MONOCHROME1")
    write(inverted, tmp_path / "1.2.826.0.1.36.5")
    result = invoke("predict", model, tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = rows_of(tmp_path / "out")
    assert len(table) == 3
    assert table["p_covid"].nunique() == 1


def test_every_file_of_a_folder_has_a_row_whatever_it_is_called(model: Path, films: Path) -> None:
    pixels = Image.fromarray(tiny_images([1])[0])
    readable = ["deep/a.tif", "b.bmp", "c.webp", "d.jfif", "noname", "f.PNG", "g.ima"]
    (films / "deep").mkdir()
    for name in readable:
        kind = {"tif": "TIFF", "bmp": "BMP", "webp": "WEBP", "jfif": "JPEG"}
        pixels.save(films / name, format=kind.get(name[-4:].split(".")[-1], "PNG"))
    good = (films / "film0.png").read_bytes()
    (films / "truncated.png").write_bytes(good[: len(good) // 2])
    (films / "notes.txt").write_text("no image")
    (films / "empty").touch()
    (films / "nothing.png").symlink_to(films / "nowhere.png")
    (films / "around").symlink_to(films)
    os.mkfifo(films / "pipe.png")
    Image.new("L", (64, 64), 90).save(films / "blank.png")
    (films / ".hidden.png").write_bytes(good)
    result = invoke("predict", model, films, "--out", films.parent / "out", "--no-heatmaps")
    assert result.exit_code == cli.SOME_UNREADABLE
    total = 6 + len(readable) + 6
    assert f"{6 + len(readable)} of {total} files have" in result.stdout.splitlines()[-1]
    table = rows_of(films.parent / "out")
    assert len(table) == total
    problems = table.loc[table["problem"] != "", "problem"]
    for name, word in {
        "truncated.png": "decoded",
        "notes.txt": "decoded",
        "empty": "decoded",
        "nothing.png": "no file",
        "pipe.png": "no file",
        "blank.png": "blank",
    }.items():
        assert word in problems[name]
        assert (table.loc[name, ["predicted", "p_covid", "heatmap"]] == "").all()
    assert set(table.index[table["problem"] == ""]) >= {Path(name).name for name in readable}
    log = (films.parent / "out/predict.log").read_text()
    assert "blank" in log
    assert "hidden" in result.output


def test_damaged_files_have_a_row_and_a_reason_each(model: Path, films: Path) -> None:
    """200 files made from good ones of five formats: bytes flipped, cut off, headers swapped."""
    rng = np.random.default_rng(5)
    wide = tiny_images([1])[0].astype(np.uint16) * 257
    picture = Image.fromarray(tiny_images([1])[0]).resize((64, 64))
    for name in ("a.png", "a.jpg", "a.tif", "a.jp2"):
        picture.save(films / name)
    Image.fromarray(wide).save(films / "wide.png")
    write(radiograph(wide, 16), films / "a.dcm")
    good = [path.read_bytes() for path in sorted(films.iterdir())]
    for k in range(200):
        content = bytearray(good[k % len(good)])
        if k % 3 == 0:
            for place in rng.integers(0, len(content), 1 + k % 20):
                content[place] = rng.integers(256)
        elif k % 3 == 1:
            del content[rng.integers(len(content)) :]
        else:
            content[: 8 + k % 200] = good[rng.integers(len(good))][: 8 + k % 200]
        (films / f"damaged{k:03d}").write_bytes(content)
    begun = time.monotonic()
    result = invoke("predict", model, films, "--out", films.parent / "out", "--no-heatmaps")
    assert time.monotonic() - begun < 60
    assert result.exit_code == cli.SOME_UNREADABLE
    assert "Traceback" not in result.output
    table = rows_of(films.parent / "out")
    assert len(table) == 200 + len(good)
    assert ((table["problem"] == "") == (table["predicted"] != "")).all()


def test_files_without_any_image_are_named_and_tensorflow_is_not_asked(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_text("no image")
    result = invoke("predict", model, tmp_path / "in", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "0 of 1 files have a prediction" in result.output
    assert "decoded" in rows_of(tmp_path / "out").loc["a.png", "problem"]


def test_what_an_earlier_call_wrote_is_no_input_and_its_overlays_go(
    model: Path, films: Path
) -> None:
    for out in (films / "predicted", films / "predicted", films / "again", films, films):
        result = invoke("predict", model, films, "--out", out)
        assert result.exit_code == 0, result.output
        assert sorted(rows_of(out).index) == [f"film{k}.png" for k in range(6)]
    (films / "film5.png").unlink()
    assert invoke("predict", model, films, "--out", films / "predicted").exit_code == 0
    table = rows_of(films / "predicted")
    kept = {path.name for path in (films / "predicted/heatmaps").iterdir()}
    assert kept == {Path(name).name for name in table["heatmap"]}
    assert len(kept) == 5
    copied = films / "copied.png"
    copied.write_bytes((films / "predicted" / table["heatmap"].iloc[0]).read_bytes())
    assert invoke("predict", model, copied, "--out", films.parent / "out").exit_code == 1
    assert "overlay" in rows_of(films.parent / "out").loc["copied.png", "problem"]


def test_files_of_the_user_are_never_overwritten_nor_results_for_wrong_input(
    model: Path, films: Path, tmp_path: Path
) -> None:
    (films / "heatmaps").mkdir()
    with pytest.raises(InputError, match="heatmaps is there"):
        check(model, [films], films)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/predictions.csv").write_text("mine")
    assert invoke("predict", model, films, "--out", tmp_path / "mine").exit_code == 1
    assert (tmp_path / "mine/predictions.csv").read_text() == "mine"
    out = tmp_path / "out"
    assert invoke("predict", model, films, "--out", out).exit_code == 0
    before = (out / "predictions.csv").read_bytes()
    damaged = tmp_path / "damaged.keras"
    with zipfile.ZipFile(model) as whole, zipfile.ZipFile(damaged, "w") as part:
        for name in ("metadata.json", "config.json", "covidcxr.json"):
            part.writestr(name, whole.read(name))
    assert invoke("predict", damaged, films, "--out", out).exit_code == 1
    assert (out / "predictions.csv").read_bytes() == before
    assert len(list((out / "heatmaps").iterdir())) == 6


def test_names_that_cannot_be_written_are_escaped_or_shortened(model: Path, films: Path) -> None:
    good = (films / "film0.png").read_bytes()
    odd = os.fsencode(films) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(good)
    Path(os.fsdecode(os.fsencode(films) + b"/bro\xffken")).write_text("no image")
    long = "ü" * 120 + ".png"
    (films / long).write_bytes(good)
    (films / 'a "quoted", name\n.png').write_bytes(good)
    result = invoke("predict", model, films, "--out", films.parent / "out")
    assert result.exit_code == cli.SOME_UNREADABLE
    table = rows_of(films.parent / "out")
    assert {r"caf\xe9.png", long, 'a "quoted", name\n.png'} < set(table.index)
    assert r"bro\xffken" in table.loc[r"bro\xffken", "problem"]
    drawn = table.loc[table["problem"] == "", "heatmap"]
    assert len(drawn) == 9
    assert all((films.parent / "out" / name).is_file() for name in drawn)
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\xe9"


def test_an_overlay_that_fails_is_a_problem_of_its_row_and_the_prediction_stays(
    model: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(picture: Image.Image, path: Path) -> None:
        if "film3" in path.name:
            raise OSError("No space left on device")
        path.parent.mkdir(exist_ok=True)
        picture.save(path)

    monkeypatch.setattr(predicting, "_save", fail)
    result = invoke("predict", model, films, "--out", films.parent / "out")
    assert result.exit_code == cli.SOME_UNREADABLE
    assert "6 of 6 files have a prediction, 1 a problem" in result.output
    row = rows_of(films.parent / "out").loc["film3.png"]
    assert "No space left" in row["problem"]
    assert row["predicted"] in CLASSES
    assert row["heatmap"] == ""


def test_rows_stand_in_the_file_before_the_next_is_made_and_survive_ctrl_c(
    model: Path, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def draw(*_: Any) -> Image.Image:
        seen.append((films.parent / "out/predictions.csv").read_text().count("\n"))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return Image.new("L", (8, 8))

    monkeypatch.setattr(predicting, "draw_overlay", draw)
    result = invoke("predict", model, films, "--out", films.parent / "out")
    assert result.exit_code == cli.STOPPED
    assert seen == [1, 2, 3, 4]
    assert result.stdout.splitlines()[-1] == "Stopped: 3 of 6 files have a prediction"
    assert len(rows_of(films.parent / "out")) == 3


def test_models_are_found_and_hold_their_classes_or_need_them_named(
    model: Path, films: Path, tmp_path: Path
) -> None:
    assert check(model.parent, [films], tmp_path / "out").classes == tuple(CLASSES)
    with pytest.raises(InputError, match="covid, normal"):
        check(model, [films], tmp_path / "out", classes=["a", "b", "c"])
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"two/{name}.keras").write_bytes(model.read_bytes())
    with pytest.raises(InputError, match="2 models"):
        check(tmp_path / "two", [films], tmp_path / "out")
    bare = tmp_path / "bare.keras"
    tiny_ensemble(1)[1][0].save(bare)
    with pytest.raises(InputError, match="--classes"):
        check(bare, [films], tmp_path / "out")
    named = ["ill", "well", "other"]
    outcome = predict(check(bare, [films], tmp_path / "out", classes=named), threads=1)
    assert set(outcome.classes) <= set(named)
    assert set(rows_of(tmp_path / "out")["spread"]) == {""}
    with pytest.raises(InputError, match="3 outputs"):
        predict(check(bare, [films], tmp_path / "out", classes=["a"]), threads=1)


def test_models_of_others_are_taken_or_refused_in_words(films: Path, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 1))
    scores = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(image))
    keras.Model(image, scores).save(tmp_path / "own.keras")
    request = check(tmp_path / "own.keras", [films], tmp_path / "out", classes=["a", "b"])
    with pytest.raises(InputError, match="--no-heatmaps"):
        predict(request, threads=1)
    assert predict(request, heatmaps=False, threads=1).classes.total() == 6
    colour = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(colour))
    keras.Model(colour, scores).save(tmp_path / "colour.keras")
    with pytest.raises(InputError, match="one channel"):
        predict(check(tmp_path / "colour.keras", [films], tmp_path / "out", classes=["a", "b"]))


def test_wrong_models_and_places_are_named(model: Path, films: Path, tmp_path: Path) -> None:
    (tmp_path / "no.keras").write_text("no")
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("a", "b")
    for name, words in (("no.keras", r"no\.keras"), ("zip.keras", "network"), ("none", "neither")):
        with pytest.raises(InputError, match=words):
            check(tmp_path / name, [films], tmp_path / "out")
    with pytest.raises(InputError, match="nowhere"):
        check(model, [tmp_path / "nowhere"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in"):
        check(model, [tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(InputError, match="written"):
        check(model, [films], tmp_path / "no.keras/out")


def test_a_file_of_keras_2_is_refused_with_both_versions_and_the_way_out(
    films: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "old.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "Functional"}))
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Own", "config": {}})
    words = rf"(?s)2\.15\.0.*{keras.__version__}.*model\.save"
    with pytest.raises(InputError, match=words):
        check(tmp_path / "old.keras", [films], tmp_path / "out")
    with pytest.raises(InputError, match=words):
        predict(check(tmp_path / "old.h5", [films], tmp_path / "out", classes=["a", "b"]))
    assert not (tmp_path / "out/predictions.csv").exists()


@pytest.mark.parametrize(("height", "width"), [(2000, 1500), (64, 64), (100, 3000)])
def test_an_overlay_keeps_proportions_and_colours_hot_places(height: int, width: int) -> None:
    heat = np.zeros((SIZE, SIZE), np.float32)
    heat[:, : SIZE // 2] = 1
    gray = np.full((height, width), 100, np.uint8)
    picture = np.asarray(draw_overlay(gray, heat, "covid 0.9", Look("jet", 1.0)))
    shown = picture[:-44]
    assert shown.shape[0] / shown.shape[1] == pytest.approx(height / width, rel=0.02)
    assert shown[0, 0, 0] > 100 > shown[0, 0, 2]
    assert shown[-1, -1, 2] > 100 > shown[-1, -1, 0]


COMMAND = [sys.executable, "-m", "covidcxr"]


def test_wrong_input_is_told_within_a_second_and_before_tensorflow_is_loaded(
    model: Path, tmp_path: Path
) -> None:
    command = [*COMMAND, "predict", str(model), str(tmp_path / "nowhere"), "--out", str(tmp_path)]
    # Processor time, as the processor may be busy with others' work.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    script = (
        "import sys; from covidcxr.deploy.request import check\n"
        f"check({str(model)!r}, [{str(model)!r}], {str(tmp_path / 'out')!r})\n"
        "print({'tensorflow', 'keras', 'pandas', 'matplotlib', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_the_users_settings_change_no_prediction_and_only_our_lines_are_shown(
    model: Path, films: Path
) -> None:
    home = films.parent / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras/keras.json").write_text(json.dumps({"floatx": "float16"}))
    odd = {
        "HOME": str(home),
        "KERAS_BACKEND": "jax",
        "LC_ALL": "de_DE.ISO-8859-1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONWARNINGS": "error",
        "TF_CPP_MIN_LOG_LEVEL": "0",
        "TF_NUM_INTRAOP_THREADS": "1",
    }
    tables = []
    for name, variables in (("plain", {}), ("odd", odd)):
        out = films.parent / name
        command = [*COMMAND, "predict", str(model), str(films), "--out", str(out)]
        done = subprocess.run(
            [*command, "--threads", "2"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stderr.splitlines() if line and "%|" not in line]
        assert all(line[9:].startswith("INFO") for line in lines), done.stderr
        tables.append((out / "predictions.csv").read_text())
    assert tables[0] == tables[1]


def test_a_kill_keeps_the_rows_written_so_far(model: Path, films: Path) -> None:
    good = (films / "film0.png").read_bytes()
    for k in range(300):
        (films / f"more{k:03d}.png").write_bytes(good)
    out = films.parent / "out"
    command = [*COMMAND, "predict", str(model), str(films), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        table = out / "predictions.csv"
        while process.poll() is None and not (table.exists() and table.read_text().count("\n") > 9):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    rows = rows_of(out)
    assert 9 <= len(rows) < 306
    assert (rows["predicted"] != "").all()


@pytest.fixture(scope="module")
def severity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of severity in the folders of a run, beside the network that it reads."""
    run = tmp_path_factory.mktemp("run")
    image = keras.Input((32, 32, None))
    gray = keras.ops.mean(image, axis=-1, keepdims=True)
    inner = keras.layers.Conv2D(4, 3, strides=4, name="inner")(gray)
    last = keras.layers.Conv2D(2, 3, name="last")(inner)
    (run / "backbones").mkdir()
    keras.Model(image, last).save(run / "backbones/Small.keras")
    rng = np.random.default_rng(0)
    zones = rng.uniform(0, 3, (20, 6))
    films = ScoredImages(rng.normal(size=(20, 6, 4)), np.arange(20), zones.sum(axis=1), zones, True)
    fitted = replace(fit(films, (0, 18), (0, 3), 1), half_width=2.0)
    file = run / "severity/Small/extent.joblib"
    file.parent.mkdir(parents=True)
    joblib.dump(SavedSeverity("extent", "Small", "inner", 32, 20, 20, fitted), file)
    return file


def test_severity_its_interval_and_zones_stand_beside_the_probabilities(
    model: Path, severity: Path, films: Path
) -> None:
    out, plain = films.parent / "out", films.parent / "plain"
    arguments = ("predict", model, films, "--out")
    assert invoke(*arguments, plain).exit_code == 0
    result = invoke(*arguments, out, "--severity", severity)
    assert result.exit_code == 0, result.output
    table = rows_of(out)
    pixels = np.array([resize(one, 32) for one in tiny_images([0, 1, 2, 0, 1, 2])])
    network = keras.models.load_model(severity.parents[2] / "backbones/Small.keras")
    inner = severity_features.up_to(network, "inner")
    saved = joblib.load(severity).model
    expected = saved.predict(severity_features.features_of(inner, pixels))
    assert expected.zones is not None
    found = table.filter(regex="^extent").astype(float)
    assert found["extent"].to_numpy() == pytest.approx(expected.totals, abs=1e-4)
    assert found["extent_left_lower"].to_numpy() == pytest.approx(expected.zones[:, 5], abs=1e-4)
    low, high = saved.interval(expected.totals)
    bounds = found[["extent_low", "extent_high"]].to_numpy().T
    assert bounds == pytest.approx(np.array([low, high]), abs=1e-4)
    assert table[SCORES].equals(rows_of(plain)[SCORES])
    one, other = (np.array(Image.open(f / table["heatmap"].iloc[0])) for f in (out, plain))
    left, top, right, bottom = zone_boxes(estimate_boxes(pixels[0]))[0] * 319
    edges = (one[round(top), round(left + 9)], one[round(bottom), round(right - 9)])
    assert np.all(edges == np.array(INK)), "the first zone is framed"
    assert (one != other).any(axis=2).mean() < 0.2


def test_a_model_of_severity_that_cannot_be_used_is_refused_in_words(
    model: Path, severity: Path, films: Path
) -> None:
    alone = films.parent / "elsewhere/severity/Small/extent.joblib"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(severity.read_bytes())
    for file, reason in (
        (films.parent / "none.joblib", "no model of severity"),
        (films / "film0.png", "is no model of severity"),
        (alone, "side by side"),
    ):
        result = invoke("predict", model, films, "--out", films / "out", "--severity", file)
        assert result.exit_code == 1
        assert reason in " ".join(result.output.split())
