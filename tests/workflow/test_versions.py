"""The tiny run gives the same tables on every supported Python."""

from pathlib import Path

import pytest

from .conftest import REPOSITORY, TINY, Workflow, copy_repository

TABLES = ["data/manifest.csv", "data/split.csv", "predictions/predictions.csv", "tables/scores.csv"]


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_the_tiny_run_gives_the_same_tables_on_every_version_of_python(
    minor: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python = REPOSITORY / f".venv3.{minor}/bin/python"
    if not python.exists():
        pytest.skip(f"no environment .venv3.{minor}: make test-pythons")
    finished = request.getfixturevalue("finished")
    done = copy_repository(tmp_path).snakemake(TINY, python=python)
    assert done.returncode == 0, done.stdout + done.stderr
    for table in TABLES:
        one, other = (folder / "results/tiny" / table for folder in (tmp_path, finished.folder))
        assert one.read_bytes() == other.read_bytes(), table
    assert Workflow(tmp_path).planned(TINY) == {}
