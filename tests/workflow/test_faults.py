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
