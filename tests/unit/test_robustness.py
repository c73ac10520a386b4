"""Whatever files a folder holds: each is an image or has a reason, soon, and in little memory."""

import json
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from covidcxr import cli
from covidcxr.classify.card import ModelCard, add_card
from covidcxr.data.decode import decode_gray
from tests.unit.odd_files import PNG_KINDS, copy_pydicoms, png, write_fuzzed, write_pngs
from tests.unit.tiny import CLASSES, SIZE

MOST_SECONDS = 10
MOST_MEGABYTES = 1000
EXAMINE = """
import json, sys, time
from pathlib import Path
from covidcxr.data import examination, manifest
from covidcxr.data.examination import examine_image
from covidcxr.logs import peak_memory

folder = Path(sys.argv[1])
times = {}

def timed(path):
    start = time.monotonic()
    found = examine_image(path)
    times[path] = time.monotonic() - start
    return found

examination.examine_image = timed
names = ("manifest", "quarantine", "timeline", "collections")
manifest.run(
    [],
    *(folder / f"data/{name}.csv" for name in names),
    sources={"own": {"type": "csv", "table": str(folder / "images.csv")}},
    classes={"any": [{"source": "own"}]},
    followed=None,
    seed=1,
)
print(json.dumps({"slowest": max(times.values()), "megabytes": peak_memory()}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of odd files, each a row of `images.csv`."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "films").mkdir()
    counts = [make(folder / "films") for make in (write_pngs, copy_pydicoms, write_fuzzed)]
    files = sorted((folder / "films").iterdir())
    assert len(files) == sum(counts)
    rows = [f"films/{file.name},any,{number}" for number, file in enumerate(files)]
    (folder / "images.csv").write_text("\n".join(["path,label,patient_id", *rows]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("colour", "bits"),
    [(colour, bits) for colour, all_bits in PNG_KINDS.items() for bits in all_bits],
)
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_every_kind_decodes_to_the_same_picture(
    tmp_path: Path, colour: int, bits: int, interlaced: bool
) -> None:
    levels = np.random.default_rng(1).integers(0, 2**bits, (29, 37))
    levels[0, :2] = 0, 2**bits - 1
    (tmp_path / "a.png").write_bytes(png(levels, colour, bits, interlaced=interlaced))
    expected = levels * 255 / (2**bits - 1)
    np.testing.assert_allclose(decode_gray(tmp_path / "a.png"), expected, atol=1)


def test_every_file_of_a_table_is_an_image_or_has_a_reason(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMINE, str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    took = json.loads(done.stdout)
    assert took["slowest"] < MOST_SECONDS
    assert took["megabytes"] < MOST_MEGABYTES
    images = pd.read_csv(folder / "data/manifest.csv")["path"]
    left_out = pd.read_csv(folder / "data/quarantine.csv").set_index("path")
    listed = [str(path) for path in sorted((folder / "films").iterdir())]
    assert sorted([*images, *left_out.index]) == listed
    assert left_out["detail"].str.len().min() > 0
    assert not left_out["detail"].str.contains("\n").any()
    # Not all are refused, and not all that is damaged passes for an image.
    whole = left_out.index.str.contains("type") & ~left_out["reason"].str.startswith("duplicate")
    assert not whole.any()
    damaged = left_out[left_out.index.str.contains("fuzzed")]
    assert (damaged["reason"] == "undecodable").sum() > 80
    assert (damaged["reason"] != "undecodable").sum() + images.str.contains("fuzzed").sum() > 20


def test_every_file_of_a_folder_has_a_prediction_or_a_problem(folder: Path, tmp_path: Path) -> None:
    image = keras.Input((SIZE, SIZE, 1))
    maps = keras.layers.Conv2D(4, 3, strides=4, name="maps")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled))
    network.save(tmp_path / "v1.keras")
    add_card(tmp_path / "v1.keras", ModelCard(tuple(CLASSES), "study", "tiny", "v1", "ensemble"))
    start = time.monotonic()
    arguments = ["predict", tmp_path / "v1.keras", folder / "films", "--out", tmp_path / "out"]
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--no-heatmaps"])
    assert result.exit_code == cli.SOME_UNREADABLE, result.output
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert time.monotonic() - start < MOST_SECONDS * 6
    listed = [str(path) for path in sorted((folder / "films").iterdir())]
    assert sorted(table["file"]) == listed
    assert (table["predicted"].notna() != table["problem"].notna()).all()
    assert table["predicted"].notna().sum() > 40
