"""The image builds on a bare Debian, and what is in it predicts and runs."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from covidcxr.classify.card import ModelCard, add_card
from tests.unit.tiny import CLASSES, tiny_ensemble, tiny_images

from .conftest import REPOSITORY, TINY, Workflow

DEBIAN = os.environ.get("COVIDCXR_DEBIAN", "")
APPTAINER = """#!/bin/sh
# Stands in for Apptainer: keeps what it was called with, and runs the command where it is.
[ "$1" = --version ] && echo "apptainer version 1.3.6" && exit
echo "$*" >> asked.txt
while [ "$1" != c.sif ]; do shift; done
shift
exec "$@"
"""


def buildah(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["buildah", "--storage-driver", "vfs", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """Give a container of the image, built on the Debian in the folder `COVIDCXR_DEBIAN`."""
    if shutil.which("buildah") is None or not Path(DEBIAN).is_dir() or not DEBIAN:
        pytest.skip("needs buildah and COVIDCXR_DEBIAN, a folder that debootstrap made")
    bare = buildah("from", "scratch")
    buildah("copy", "--quiet", bare, DEBIAN, "/")
    buildah("commit", "--quiet", "--rm", bare, "localhost/debian-bare")
    flags = shlex.split(os.environ.get("COVIDCXR_BUILD_FLAGS", ""))
    flags += ["--isolation", "chroot", "--layers", "--build-arg", "BASE=localhost/debian-bare"]
    buildah("build", *flags, "-t", "localhost/covidcxr", REPOSITORY)
    made = buildah("from", "localhost/covidcxr")
    yield made
    buildah("rm", made)


def test_the_image_predicts_and_runs(container: str, tmp_path: Path) -> None:
    tiny_ensemble(2)[0].save(tmp_path / "v1.keras")
    add_card(tmp_path / "v1.keras", ModelCard(tuple(CLASSES), "study", "tiny", "v1", "ensemble"))
    Image.fromarray(tiny_images([0])[0]).save(tmp_path / "a.png")
    shutil.copy2(REPOSITORY / ".test/config/config.yaml", tmp_path / "tiny.yaml")
    run = ["run", "--isolation", "chroot", "-v", f"{tmp_path}:/work", container, "--", "covidcxr"]
    assert buildah(*run, "--version").startswith("covidcxr ")
    buildah(*run, "predict", "v1.keras", "a.png", "--out", "predicted")
    assert (tmp_path / "predicted/predictions.csv").read_text().count("\n") == 2
    buildah(*run, "run", "tiny.yaml", "results/tiny/data/split.csv")
    assert (tmp_path / "results/tiny/data/split.csv").is_file()


def test_a_job_runs_in_the_container_of_the_config(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workflow.folder / "apptainer").write_text(APPTAINER)
    (workflow.folder / "apptainer").chmod(0o755)
    (workflow.folder / "c.sif").touch()
    # The stand-in runs what is asked of it here, so its `python` is the tests' own.
    own = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{workflow.folder}:{own}:{os.environ['PATH']}")
    config = TINY | {"container": "c.sif"}
    done = workflow.snakemake(config, "--sdm", "apptainer", "--until", "phantoms")
    assert done.returncode == 0, done.stdout + done.stderr
    asked = (workflow.folder / "asked.txt").read_text().splitlines()
    assert len(asked) == len(TINY["sources"])
    assert all(" c.sif " in line and ".run.py" in line for line in asked)
