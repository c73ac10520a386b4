"""Every command that README and docs show is one that can be given: planned, or at least parsed."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.cli import args_to_api, parse_args

from tests.conftest import SHARED

from .conftest import REPOSITORY, TINY, Workflow, copy_repository

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`((?:snakemake|covidcxr|make|python) [^`]+)`(?!`)")
BEGINS = re.compile(r"\s*(?:\$ )?(?:\.venv/bin/)?((?:snakemake|covidcxr|make|python)\b.*)")


def commands() -> list[str]:
    """Return every distinct command of the pages, without its comment."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        blocks = FENCED.findall(text)
        prose = FENCED.sub("", text)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += [line for line in prose.splitlines() if line.startswith("    ")]
        shown = [match[1] for line in lines if (match := BEGINS.fullmatch(line))]
        for command in shown + [" ".join(inline.split()) for inline in INLINE.findall(prose)]:
            found[shlex.join(shlex.split(command, comments=True))] = page.name
    return list(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of the repository with the files that the pages speak of, made up."""
    root = tmp_path_factory.mktemp("docs")
    copy = root / "copy"
    copy.mkdir()
    workflow = copy_repository(copy)
    shutil.copytree(REPOSITORY / "tests/real", copy / "tests/real")
    if SHARED.is_dir():
        (root / "shared").symlink_to(SHARED)
    (copy / "images.csv").write_text("path,label,patient_id\na.png,covid,1\nb.png,normal,2\n")
    ours = {name: TINY[name] for name in ("backbones", "weights", "augmentations", "split")}
    ours |= {
        "run": "ours",
        "sources": {"hospital": {"type": "csv", "table": "images.csv"}},
        "classes": {
            name: [{"source": "hospital", "where": {"diagnosis": [name]}}]
            for name in ("covid", "normal")
        },
    }
    (copy / "ours.yaml").write_text(yaml.safe_dump(ours))
    shutil.copytree(copy / "profiles/default", copy / "profiles/ours")
    return workflow


def planned(arguments: list[str]) -> bool:
    """Plan what a command would run here; Snakemake's own report needs a finished run."""
    if "--report" in arguments:
        place = arguments.index("--report")
        del arguments[place : place + 2]
    plan = [] if {"--unlock", "--lint"} & set(arguments) else ["--quiet", "all", "--dry-run"]
    cores = [] if "--cores" in arguments else ["--cores", "1"]
    parser, parsed = parse_args([*plan, *cores, *arguments])
    return bool(args_to_api(parsed, parser))


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_can_be_given(
    command: str, folder: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.folder)
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(folder.folder))
    program, *arguments = shlex.split(command)
    configs = [Path(word) for word in arguments if word.startswith("tests/real/")]
    if configs and not SHARED.is_dir():
        pytest.skip("needs the images of ../shared")
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in arguments if "=" not in word} <= set(targets)
    elif program == "python":
        module = arguments[1].replace(".", "/") + ".py" if arguments[0] == "-m" else arguments[0]
        assert module == "-c" or (REPOSITORY / module).is_file()
    elif program == "covidcxr" and arguments[0] not in ("predict", "card"):
        if len(arguments) > 1:
            plan = ["--dry-run", "--quiet", "all"] if arguments[0] == "run" else []
            done = subprocess.run(
                [sys.executable, "-m", "covidcxr", *arguments, *plan],
                cwd=folder.folder,
                capture_output=True,
                text=True,
                check=False,
            )
            # The report of a run that has not been made is asked for in vain.
            assert done.returncode == (1 if arguments[0] == "report" else 0), done.stderr
    elif "conda" in arguments and shutil.which("conda") is None:
        pytest.skip("needs conda")
    elif program == "snakemake":
        assert planned(arguments)
