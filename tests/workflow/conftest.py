"""A copy of the repository in which one small workflow has run to its end."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "src", "workflow", "config", "profiles", "envs")

Config = dict[str, Any]

TINY: Config = {
    "run": "tiny",
    "image_size": 32,
    "sources": {
        "phantoms": {
            "type": "phantom",
            "patients": {"normal": 8, "pneumonia": 8, "COVID-19": 8},
            "image_size": 64,
        }
    },
    "classes": {
        "covid": [{"source": "phantoms", "count": 8, "where": {"diagnosis": ["COVID-19"]}}],
        "normal": [{"source": "phantoms", "count": 8, "where": {"diagnosis": ["normal"]}}],
        "pneumonia": [{"source": "phantoms", "count": 8, "where": {"diagnosis": ["pneumonia"]}}],
    },
    "timeline": {"source": "phantoms", "where": {"patient_id": ["timeline"]}},
    "split": {"test": 0.25, "folds": 2},
    "backbones": ["MobileNet"],
    "weights": {"MobileNet": "random"},
    "views": 2,
    "augmentations": {"v1": {"synthetic": 0}, "v2": {"synthetic": 2}},
    "training": {"epochs": 2},
    "explain": {"images": 2},
    "repeats": 1,
    "scores": {
        "extent": {
            "source": "phantoms",
            "readers": {"truth": "extent"},
            "range": [0, 6],
            "zones": {"truth": [f"zone_{k}" for k in range(1, 7)]},
            "zone_range": [0, 1],
        }
    },
    "severity": {"layers": {"MobileNet": "conv_pw_3_relu"}},
    "performance": {"threads": 1},
    "cyclegan": {
        "image_size": 32,
        "iterations": 4,
        "filters": 4,
        "residual_blocks": 1,
        "checkpoint_every": 2,
    },
}

DEMO: Config = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())


@dataclass(frozen=True)
class Workflow:
    """A copy of the repository, and how to run Snakemake in it."""

    folder: Path

    def configured(self, config: Config) -> list[str]:
        """Return the flags of a configuration, which is written to a file."""
        (self.folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return ["--configfile", "run.yaml"]

    def snakemake(self, config: Config, *flags: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "200"}
        command = [sys.executable, "-m", "snakemake", *flags, *self.configured(config)]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def planned(self, config: Config, *flags: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans."""
        done = self.snakemake(config, *flags, "--dry-run", "--quiet", "rules")
        assert done.returncode == 0, done.stdout + done.stderr
        lines = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in lines if rule not in ("total", "all", "data")}


def copy_repository(folder: Path) -> Workflow:
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return Workflow(folder)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A fresh copy in which nothing has run."""
    return copy_repository(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Workflow:
    """A copy in which the tiny configuration has run; tests must leave it as they found it.

    It runs once; each process of pytest-xdist has its own copy, as tests edit code there.
    """
    original = tmp_path_factory.getbasetemp().parent / f"finished-{testrun_uid}"
    with FileLock(f"{original}.lock"):
        if not original.exists():
            folder = original.with_suffix(".begun")
            folder.mkdir()
            begun = copy_repository(folder)
            done = begun.snakemake(TINY)
            assert done.returncode == 0, done.stdout + done.stderr
            begun.folder.rename(original)
    own = tmp_path_factory.mktemp("finished")
    shutil.copytree(original, own, symlinks=True, dirs_exist_ok=True)
    return Workflow(own)
