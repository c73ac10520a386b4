"""The workflow in a copy of the repository, sent to a SLURM of the tests' own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.conftest import Config, Workflow, copy_repository

from .cluster import ACCOUNT, PARTITION, Cluster, why_not

# What this cluster needs and a real one does not: it has no accounting database, which the plugin
# would ask.
OVERLAY: dict[str, Any] = {"slurm-status-command": "squeue"}
# Nothing here takes the 40 seconds and more that the plugin waits between its looks at the queue.
START = """
import asyncio
from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor
Executor.sleep = lambda self: asyncio.sleep(1)
main()
"""
# The largest run takes some two minutes of two idle cores, many times that of busy ones.
LIMIT_SECONDS = 1200
# Stands for the accounting database, which the plugin asks whether the account is the user's. That
# the jobs carry it is read from the real `squeue`.
SACCTMGR = f"#!/bin/sh\necho {ACCOUNT}\n"


@dataclass(frozen=True)
class SlurmWorkflow(Workflow):
    """A copy of the repository whose SLURM profile has its lines edited as a user edits them."""

    def start(self, config: Config, *flags: str) -> subprocess.Popen[str]:
        """Start Snakemake with the SLURM profile; its output goes to `run.log`."""
        command = [sys.executable, "-c", START, *flags, *self.configured(config)]
        command += ["--profile", "overlay", "--workflow-profile", "profiles/slurm"]
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ
                | {"COLUMNS": "200", "PATH": f"{self.folder}/bin:{os.environ['PATH']}"},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def submit(self, config: Config, *flags: str) -> tuple[int, str]:
        """Run to the end, and return Snakemake's status and output."""
        running = self.start(config, *flags)
        try:
            status = running.wait(timeout=LIMIT_SECONDS)
        finally:
            running.kill()
        return status, self.output()

    def output(self) -> str:
        return (self.folder / "run.log").read_text()


def copy_for_slurm(folder: Path) -> SlurmWorkflow:
    folder = copy_repository(folder).folder
    profile = folder / "profiles/slurm/config.yaml"
    text = profile.read_text()
    for name, value in (("slurm_partition", PARTITION), ("slurm_account", ACCOUNT)):
        text, edited = re.subn(rf"^(  {name}:) \S+", rf"\1 {value}", text, flags=re.MULTILINE)
        assert edited == 1
    profile.write_text(text)
    (folder / "bin").mkdir()
    (folder / "bin/sacctmgr").write_text(SACCTMGR)
    (folder / "bin/sacctmgr").chmod(0o755)
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
