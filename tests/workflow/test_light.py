"""Planning needs Snakemake only: what it needs itself may be imported, nothing of the steps'."""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from .conftest import copy_repository


@pytest.fixture(scope="module")
def snakemake_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of links to Snakemake and what it requires, of all that is installed here."""
    folder = tmp_path_factory.mktemp("site")
    waiting, seen = ["snakemake"], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # of another system
        for file in package.files or []:
            top = file.parts[0]
            place = Path(str(package.locate_file(top)))
            # pip 23.0 (Debian 12) lists a source distribution's metadata where they are not.
            missing = place.exists() and not (folder / top).exists()
            if missing and top not in ("..", "__pycache__", "bin"):
                (folder / top).symlink_to(place)
        for line in package.requires or []:
            if "extra ==" not in line:
                waiting.append(re.split(r"[\s<>=!~;\[(]", line)[0])
    assert not (folder / "pandas").exists()
    return folder


def plan(site: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    start = f"import sys; sys.path.append({str(site)!r})"
    start += "; from snakemake.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, *flags],
        cwd=copy_repository(folder).folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("flags", ["--dry-run --quiet all", "--lint"])
def test_where_only_snakemake_is_installed_the_study_is_planned_and_linted(
    flags: str, snakemake_only: Path, tmp_path: Path
) -> None:
    done = plan(snakemake_only, tmp_path, *flags.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_table_of_ones_own_needs_is_named(snakemake_only: Path, tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("path,label,patient_id\na.png,covid,1\n")
    done = plan(snakemake_only, tmp_path, "--dry-run", "--configfile", "config/own.yaml")
    assert done.returncode == 1
    assert "install pandas beside Snakemake" in done.stdout + done.stderr
