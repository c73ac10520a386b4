"""The workflow in a copy of the repository, sent to a SLURM of the tests' own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import Workflow, copy_repository

from .cluster import PARTITION, Cluster, why_not

# What this cluster needs and a real one does not: it has no accounting database, which the plugin
# would ask, and nothing here takes the 40 seconds that the plugin waits before it looks.
OVERLAY: dict[str, Any] = {
    "slurm-status-command": "squeue",
    "slurm-no-account": True,
    "slurm-init-seconds-before-status-checks": 3,
}


@dataclass(frozen=True)
class SlurmWorkflow(Workflow):
    """A copy of the repository whose SLURM profile has its lines edited as a user edits them."""

    def start(self, config: dict[str, Any], *flags: str) -> subprocess.Popen[str]:
        """Start Snakemake with the SLURM profile; its output goes to `run.log`."""
        (self.folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        command = [sys.executable, "-m", "snakemake", *flags, "--configfile", "run.yaml"]
        command += ["--profile", "overlay", "--workflow-profile", "profiles/slurm"]
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | {"COLUMNS": "200"},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def submit(self, config: dict[str, Any], *flags: str) -> tuple[int, str]:
        """Run to the end, and return Snakemake's status and output."""
        running = self.start(config, *flags)
        try:
            status = running.wait(timeout=600)
        finally:
            running.kill()
        return status, self.output()

    def output(self) -> str:
        return (self.folder / "run.log").read_text()


def copy_for_slurm(folder: Path) -> SlurmWorkflow:
    folder = copy_repository(folder).folder
    profile = folder / "profiles/slurm/config.yaml"
    lines = profile.read_text().splitlines()
    edited = [
        f"  slurm_partition: {PARTITION}" if line.startswith("  slurm_partition:") else line
        for line in lines
        if not line.startswith("  slurm_account:")  # no accounts on this cluster
    ]
    assert len(edited) == len(lines) - 1
    profile.write_text("\n".join(edited) + "\n")
    (folder / "overlay").mkdir()
    (folder / "overlay/config.yaml").write_text(yaml.safe_dump(OVERLAY))
    return SlurmWorkflow(folder)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a running cluster of one node with one GPU (of paper: /dev/null)."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    running = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def slurm_workflow(cluster: Cluster, tmp_path: Path) -> SlurmWorkflow:
    """A fresh copy in which nothing has run."""
    return copy_for_slurm(tmp_path)
