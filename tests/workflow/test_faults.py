"""What bad input does to a workflow: one clear message, and finished results untouched."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from .conftest import TINY, Workflow
from .test_staleness import own_images

Config = dict[str, Any]


def results(folder: Path) -> dict[str, str]:
    """Digest of every finished result (logs and benchmarks are of the last attempt)."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts)
    }


def too_many_covid(config: Config, folder: Path) -> None:
    config["classes"]["covid"][0]["count"] = 5000


def wrong_type(config: Config, folder: Path) -> None:
    config["training"]["epochs"] = "many"


def unknown_key(config: Config, folder: Path) -> None:
    config["trainig"] = {}


def missing_mirror(config: Config, folder: Path) -> None:
    config["mirror"] = "nowhere"


def weights_of_another_network(config: Config, folder: Path) -> None:
    import h5py

    with h5py.File(folder / "other.h5", "w") as file:
        file.create_group("block1_conv1").create_dataset("kernel", data=[0.0])
    config["weights"]["MobileNet"] = str(folder / "other.h5")


def missing_column(config: Config, folder: Path) -> None:
    (folder / "table.csv").write_text("path,label\na.png,normal\n")
    config["sources"]["phantoms"] = {"type": "csv", "table": str(folder / "table.csv")}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (too_many_covid, "covid"),
        (wrong_type, "config key 'training.epochs': 'many' is not of type 'integer'"),
        (unknown_key, "config key 'trainig' is unknown; did you mean 'training'?"),
        (missing_mirror, "config key 'mirror': there is no folder 'nowhere'"),
        (weights_of_another_network, "other.h5"),
        (missing_column, "has no column 'patient_id'"),
    ],
)
def test_bad_input_stops_with_a_clear_message_and_spares_finished_results(
    finished: Workflow, tmp_path: Path, fault: Callable[[Config, Path], None], message: str
) -> None:
    before = results(finished.folder / "results/tiny")
    config = copy.deepcopy(TINY)
    fault(config, tmp_path)
    for _ in range(2):  # what failed must not count as done
        done = finished.snakemake(config)
        assert done.returncode != 0
        assert message in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert results(finished.folder / "results/tiny") == before
    assert finished.planned(TINY) == {}


def test_a_truncated_image_is_quarantined_and_the_run_goes_on(
    finished: Workflow, tmp_path: Path
) -> None:
    config = own_images(finished, tmp_path)
    config["run"] = "truncated"
    for parts in config["classes"].values():
        parts[0]["count"] = None
    damaged = sorted(tmp_path.glob("*.png"))[0]
    damaged.write_bytes(damaged.read_bytes()[:2000])
    done = finished.snakemake(config, "data")
    assert done.returncode == 0, done.stdout + done.stderr
    quarantine = pd.read_csv(finished.folder / "results/truncated/data/quarantine.csv")
    reasons = dict(
        zip(quarantine["path"].map(lambda p: Path(p).name), quarantine["reason"], strict=True)
    )
    assert reasons[damaged.name] == "undecodable"


def number_for_a_class(config: Config, table: Path) -> str:
    config["classes"] = dict(enumerate(config["classes"].values()))
    return "config key 'classes': the name 0 is read as a number; write it in quotes: '0'"


def impossible_age(config: Config, table: Path) -> str:
    rows = pd.read_csv(table, dtype=str)
    rows.assign(age=["50"] * (len(rows) - 1) + ["999"]).to_csv(table, index=False)
    return f"{table}, row {len(rows) + 1}: age is '999', not from 0 to 120"


def excel_called_csv(config: Config, table: Path) -> str:
    table.write_bytes(b"PK\x03\x04")
    return f"{table} is an Excel file"


def table_elsewhere(config: Config, table: Path) -> str:
    config["sources"]["phantoms"]["table"] = "elsewhere.csv"
    return "there is no file 'elsewhere.csv' (looked for /"


def transform_that_is_no_python(config: Config, table: Path) -> str:
    (table.parent / "mine.py").write_text("def f(:")
    config["transform"] = {"function": f"{table.parent / 'mine.py'}:f"}
    return "mine.py' is no Python code: invalid syntax"


@pytest.mark.parametrize(
    "fault",
    [
        number_for_a_class,
        impossible_age,
        excel_called_csv,
        table_elsewhere,
        transform_that_is_no_python,
    ],
)
def test_what_is_wrong_with_own_images_is_one_line_before_anything_runs(
    finished: Workflow, tmp_path: Path, fault: Callable[[Config, Path], str]
) -> None:
    config = own_images(finished, tmp_path)
    message = fault(config, Path(config["sources"]["phantoms"]["table"]))
    done = finished.snakemake(config, "data", "--dry-run")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert len([line for line in said.splitlines() if message in line]) == 1
    assert "Traceback" not in said


def test_paths_that_lead_nowhere_are_shown_and_an_image_under_two_labels_trains_under_none(
    finished: Workflow, tmp_path: Path
) -> None:
    config = own_images(finished, tmp_path) | {"run": "lost"}
    for parts in config["classes"].values():
        parts[0]["count"] = None
    table = Path(config["sources"]["phantoms"]["table"])
    rows = pd.read_csv(table, dtype=str)
    rows.assign(path="elsewhere/" + rows["path"]).to_csv(table, index=False)
    done = finished.snakemake(config, "data")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Looked for " in said
    assert "Cannot restore" not in said
    run = finished.folder / "results/lost"
    assert set(pd.read_csv(run / "logs/quarantine.csv")["reason"]) == {"missing"}

    labels = rows["label"].unique()
    twin = rows.iloc[[0]].assign(path="twin.png", patient_id="another")
    other = next(label for label in labels if label != rows["label"][0])
    (tmp_path / "twin.png").write_bytes((tmp_path / rows["path"][0]).read_bytes())
    pd.concat([rows, twin.assign(label=other)]).to_csv(table, index=False)
    done = finished.snakemake(config, "data")
    assert done.returncode == 0, done.stdout + done.stderr
    quarantine = pd.read_csv(run / "data/quarantine.csv")
    conflicting = quarantine[quarantine["reason"] == "conflicting_labels"]
    assert {Path(path).name for path in conflicting["path"]} == {rows["path"][0], "twin.png"}
    manifest = pd.read_csv(run / "data/manifest.csv")
    assert not set(conflicting["path"]) & set(manifest["path"])
