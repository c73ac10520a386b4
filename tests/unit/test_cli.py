"""`covidcxr` outside a checkout: its own workflow only, quick answers, nothing but our lines."""

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from covidcxr import __version__, cli

from ..workflow.conftest import REPOSITORY

COMMAND = [sys.executable, "-m", "covidcxr"]


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_the_workflow_is_the_packages_own_whatever_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def record(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
        commands.append(command[2:])
        return subprocess.CompletedProcess(command, 5)

    monkeypatch.setattr(cli.subprocess, "run", record)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").touch()
    (tmp_path / "src/covidcxr").mkdir(parents=True)
    (tmp_path / "c.yaml").write_text("run: mine\n")
    result = invoke("run", "c.yaml", "--cores", 3, "-n", "tables")
    assert result.exit_code == 5
    assert commands[-1] == [
        *("snakemake", "--snakefile", str(REPOSITORY / "workflow/Snakefile")),
        *("--workflow-profile", str(REPOSITORY / "profiles/default")),
        *("--cores", "3", "--dry-run", "tables", "--configfile", "c.yaml"),
    ]
    assert "+ snakemake --snakefile" in result.output
    (tmp_path / "profiles/default").mkdir(parents=True)
    assert invoke("run", "c.yaml", "--quiet").output == ""
    assert commands[-1][4] == "profiles/default"
    assert "--quiet" in commands[-1]


def test_status_and_report_say_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = []
    monkeypatch.setattr(cli, "snakemake", lambda config, given: flags.append(given) or 5)
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.yaml"
    config.write_text("run: mine\n")
    result = invoke("status", config)
    assert result.exit_code == 5
    assert "report is not there yet" in result.output
    assert flags[-1][0] == "--dry-run"
    assert invoke("report", config).exit_code == 1
    (tmp_path / "results/mine").mkdir(parents=True)
    (tmp_path / "results/mine/report.html").touch()
    assert "results/mine/report.html" in invoke("report", config).output
    assert invoke("report", config, "--archive", "r.zip").exit_code == 5
    assert flags[-1] == ["--report", "r.zip"]
    config.write_text("- nothing\n")
    assert invoke("status", config).exit_code == 1


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text("run: mine\n")
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    result = invoke("run", tmp_path / "c.yaml")
    assert result.exit_code == 1
    assert "pip install 'covidcxr[workflow]'" in result.output


@pytest.mark.parametrize("kind", ["own", "study", "demo"])
def test_init_writes_a_configuration_and_profiles_and_overwrites_nothing(
    kind: str, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder/ours"
    result = invoke("init", folder, "--for", kind)
    assert result.exit_code == 0, result.output
    assert "covidcxr run config.yaml" in result.output
    assert {path.name for path in (folder / "profiles").iterdir()} >= {"default", "slurm"}
    text = (folder / "config.yaml").read_text()
    assert yaml.safe_load(text)["run"] == {"own": "ours", "study": "paper", "demo": "demo"}[kind]
    assert Path(re.search(r"\$schema=(.*)", text)[1]).is_file()
    (folder / "config.yaml").write_text("mine")
    assert invoke("init", folder).exit_code == 1
    assert (folder / "config.yaml").read_text() == "mine"


def test_the_configuration_for_own_images_is_planned_once_their_table_is_there(
    tmp_path: Path,
) -> None:
    assert invoke("init", tmp_path / "ours").exit_code == 0
    (tmp_path / "ours/images.csv").write_text("path,label,patient_id\na.png,covid,1\n")
    done = subprocess.run(
        [*COMMAND, "run", "config.yaml", "-n", "--quiet", "rules"],
        cwd=tmp_path / "ours",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^train +5$", done.stdout, re.MULTILINE)
    assert not (tmp_path / "ours/results").exists()


def test_what_is_missing_is_said_within_a_second(tmp_path: Path) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [*COMMAND, "predict", "no.keras", "no.png", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    # Half a second here; TensorFlow alone takes five.
    assert time.monotonic() - start < 3
    assert done.returncode == 1
    assert "no.keras is neither a model file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["predict", "init", "run", "status", "report"])
def test_help_names_every_argument_and_starts_without_tensorflow(command: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys\nfrom covidcxr.cli import app\n"
            f"try: app(['{command}', '-h'])\n"
            "finally: print('tensorflow' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"
    words = {
        "predict": ["--out", "--classes", "--quiet", "Exit status", "PNG, JPEG"],
        "init": ["study"],
        "run": ["--dry-run"],
    }
    for word in words.get(command, ["Configuration"]):
        assert word in done.stdout


def test_version_and_completion() -> None:
    assert invoke("--version").output == f"covidcxr {__version__}\n"
    words = {"COMP_WORDS": "covidcxr pre", "COMP_CWORD": "1"}
    completed = CliRunner().invoke(
        cli.app, prog_name="covidcxr", env=words | {"_COVIDCXR_COMPLETE": "complete_bash"}
    )
    assert completed.output.split() == ["predict"]


def test_targets_explain_themselves_to_snakemake_list() -> None:
    text = (REPOSITORY / "workflow/Snakefile").read_text()
    targets = re.findall(r"^rule (\w+):\n    (.{3})", text, re.MULTILINE)
    assert len(targets) > 5
    assert [name for name, begin in targets if begin != '"""'] == []


def test_make_help_lists_every_target_that_is_meant_for_people() -> None:
    done = subprocess.run(
        ["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    listed = re.findall(r"^make ([\w-]+) +\w", done.stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(phony[1].split())
