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

from . import forked

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "src", "workflow", "config", "profiles", "envs")

Config = dict[str, Any]

TINY: Config = yaml.safe_load((REPOSITORY / ".test/config/config.yaml").read_text())

DEMO: Config = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())


@dataclass(frozen=True)
class Workflow:
    """A copy of the repository, and how to run Snakemake in it."""

    folder: Path

    def configured(self, config: Config) -> list[str]:
        """Return the flags of a configuration, which is written to a file."""
        (self.folder / "run.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return ["--configfile", "run.yaml"]

    def snakemake(
        self, config: Config, *flags: str, python: str | Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake, forked from this process' Python or as a command of another one."""
        environment = os.environ | {"COLUMNS": "200"}
        arguments = [*flags, *self.configured(config)]
        if python is None:
            return forked.snakemake(self.folder, arguments, environment)
        return subprocess.run(
            [str(python), "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
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
            done = begun.snakemake(TINY, "--verbose", python=sys.executable)
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / "printed.txt").write_text(done.stdout + done.stderr)
            begun.folder.rename(original)
    own = tmp_path_factory.mktemp("finished")
    shutil.copytree(original, own, symlinks=True, dirs_exist_ok=True)
    return Workflow(own)
