"""The workflow inside another: as a module, as a wheel, with files that a storage plugin stages."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import PARTS, REPOSITORY, TINY, Workflow, copy_repository

MODULE = """
configfile: "config/config.yaml"

module covidcxr:
    snakefile: {snakefile!r}
    config: config
    prefix: "chest"

use rule * from covidcxr as cxr_*

use rule train from covidcxr as cxr_train with:
    message: "trained in another way"

rule summary:
    default_target: True
    input: "chest/results/tiny/report.html"
    output: "summary.txt"
    shell: "echo done > {{output}}"
"""

DEPLOYED = """
configfile: "config/config.yaml"

module covidcxr:
    snakefile: {snakefile!r}
    config: config

use rule * from covidcxr
"""


def snakemake(folder: Path, *flags: str, python: str | Path = sys.executable) -> str:
    """Run Snakemake and return what it printed; it must succeed."""
    done = subprocess.run(
        [python, "-m", "snakemake", *flags],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_another_workflow_takes_it_as_a_module_with_a_prefix_and_a_rule_replaced(
    tmp_path: Path,
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(TINY))
    text = MODULE.format(snakefile=str(REPOSITORY / "workflow/Snakefile"))
    (tmp_path / "Snakefile").write_text(text)
    profile = ["--workflow-profile", str(REPOSITORY / "profiles/default")]
    planned = snakemake(tmp_path, *profile, "--dry-run")
    assert "chest/results/tiny/report.html" in planned
    assert planned.count("trained in another way") == 4
    assert "not present in the Snakefile" not in planned
    snakemake(tmp_path, *profile, "chest/results/tiny/data/manifest.csv")
    assert (tmp_path / "chest/results/tiny/logs/cxr_manifest.log").is_file()


def test_a_folder_of_snakedeploy_takes_the_rules_from_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, folder = tmp_path / "repository", tmp_path / "ours"
    repository.mkdir()
    copy_repository(repository)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-qb", "main"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    for place in ("config", "workflow"):
        (folder / place).mkdir(parents=True)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(TINY))
    (folder / "workflow/Snakefile").write_text(
        DEPLOYED.format(snakefile=f"git+file://{repository}/workflow/Snakefile@main")
    )
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))  # stands for an installed package
    profile = ["--workflow-profile", str(REPOSITORY / "profiles/default")]
    assert "train" in snakemake(folder, *profile, "--dry-run", "--quiet", "rules")


def test_a_storage_plugin_can_stage_every_file_of_a_run(workflow: Workflow) -> None:
    pytest.importorskip("snakemake_storage_plugin_fs")
    table = "path,label,patient_id\n"
    table += "".join(f"{k}.png,{label},{k}\n" for k, label in enumerate(["covid", "normal"] * 8))
    (workflow.folder / "images.csv").write_text(table)
    storage = ["--default-storage-provider", "fs", "--default-storage-prefix", "scratch"]
    for config in ("config/demo.yaml", "config/own.yaml"):
        plan = ["--dry-run", "--quiet", "rules", "--configfile", config]
        assert "train" in snakemake(workflow.folder, *storage, *plan)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Python of an environment with the wheel, and with the packages of this one."""
    source = tmp_path_factory.mktemp("source")
    for part in (*PARTS, "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        if (REPOSITORY / part).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(REPOSITORY / part, source / part, ignore=skipped)
        else:
            shutil.copy2(REPOSITORY / part, source / part)
    wheels, environment = source / "wheels", tmp_path_factory.mktemp("environment")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source], check=True
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    [site] = environment.glob("lib/python3*/site-packages")
    here = Path(pytest.__file__).parents[1]
    (site / "others.pth").write_text(f"{here}\n")
    shutil.rmtree(source)
    return python


def test_the_wheel_runs_the_workflow_anywhere_and_no_foreign_one(
    installed: Path, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def covidcxr(*arguments: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            [installed, "-m", "covidcxr", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    covidcxr("init", "ours", "--for", "demo")
    folder = tmp_path / "ours"
    (folder / "Snakefile").write_text("raise SystemExit('a foreign Snakefile was taken')\n")
    planned = covidcxr("run", "config.yaml", "--dry-run", "--quiet", "rules", folder=folder)
    assert "report" in planned
    (folder / "config.yaml").write_text(yaml.safe_dump(TINY))
    whole = "COVIDCXR_WHOLE_RUNS" in os.environ
    target = f"results/tiny/{'report.html' if whole else 'data/manifest.csv'}"
    covidcxr("run", "config.yaml", target, folder=folder)
    assert (folder / target).is_file()
