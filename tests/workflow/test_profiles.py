"""What every profile must carry, since Snakemake reads one workflow profile only."""

import re
from graphlib import TopologicalSorter
from typing import Any

import pytest
import yaml

from .conftest import DEMO, REPOSITORY, Workflow

PROFILES = sorted(path.name for path in (REPOSITORY / "profiles").iterdir())


def profile(name: str) -> dict[str, Any]:
    content = yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())
    assert isinstance(content, dict)
    return content


def test_there_is_a_profile_for_one_machine_and_one_for_slurm() -> None:
    assert PROFILES == ["default", "slurm"]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("key", ["rerun-triggers", "max-checksum-file-size", "rerun-incomplete"])
def test_every_profile_says_alike_what_is_stale(name: str, key: str) -> None:
    assert profile(name)[key] == profile("default")[key]


def test_no_job_between_those_of_a_group_is_submitted_by_itself(workflow: Workflow) -> None:
    # A group waits for all that its jobs need: one that needs itself by way of another never runs.
    done = workflow.snakemake(DEMO, "--rulegraph")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', done.stdout))
    edges = re.findall(r"(\d+) -> (\d+)", done.stdout)
    assert len(edges) > 50
    group_of = dict(entry.split("=") for entry in profile("slurm")["groups"])
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    assert set(group_of) <= set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    graph: dict[str, set[str]] = {}
    for before, after in edges:
        one, other = (group_of.get(names[key], names[key]) for key in (before, after))
        if one != other:
            graph.setdefault(other, set()).add(one)
    TopologicalSorter(graph).prepare()
