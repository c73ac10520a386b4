"""What every profile must carry, since Snakemake reads one workflow profile only."""

import os
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


def test_there_is_a_profile_for_one_machine_and_one_for_each_kind_of_cluster() -> None:
    assert PROFILES == ["default", "pbs", "slurm"]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("key", ["rerun-triggers", "max-checksum-file-size", "rerun-incomplete"])
def test_every_profile_says_alike_what_is_stale(name: str, key: str) -> None:
    assert profile(name)[key] == profile("default")[key]


@pytest.mark.parametrize("shards", [1, 4])
def test_no_job_between_those_of_a_group_is_submitted_by_itself(
    shards: int, workflow: Workflow
) -> None:
    # A group waits for all that its jobs need: one that needs itself by way of another never runs.
    config = DEMO | {"performance": {"shards": shards}}
    assert workflow.planned(config, "--workflow-profile", "profiles/slurm")
    # Snakemake sees a group that needs itself, but not two that need each other.
    done = workflow.snakemake(config, "--dag")
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', done.stdout))
    edges = re.findall(r"(\d+) -> (\d+)", done.stdout)
    assert len(edges) > 50
    group_of = dict(entry.split("=") for entry in profile("slurm")["groups"])
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    assert set(group_of) <= set(re.findall(r"^rule (\w+):", rules, re.MULTILINE))
    graph: dict[str, set[str]] = {}
    for before, after in edges:
        one, other = (group_of.get(names[key], key) for key in (before, after))
        if one != other:
            graph.setdefault(other, set()).add(one)
    TopologicalSorter(graph).prepare()


QSUB = """#!/bin/sh
# Stands for PBS: notes what is asked, runs the job, keeps its exit status.
for last; do :; done
echo "$@" >> asked.txt
number=$(wc -l < asked.txt)
sh "$last" > /dev/null 2>&1
echo "    Exit_status = $?" > "job$number"
echo "$number"
"""
QSTAT = """#!/bin/sh
cat "job$2"
"""
RULES = """
rule all:
    input: "well.txt", "ill.txt"

rule job:
    output: "{name}.txt"
    threads: 2
    resources: gpu=1, mem_mb=lambda wildcards, attempt: 300 * attempt, runtime=7
    shell: "test {wildcards.name} = well && touch {output}"
"""


def test_pbs_is_asked_for_what_a_job_needs_and_told_failures_are_retried_with_more(
    workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    folder = workflow.folder
    for name, text in (("qsub", QSUB), ("qstat", QSTAT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "Snakefile").write_text(RULES)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    flags = ["--workflow-profile", "profiles/pbs", "--retries", "1", "--latency-wait", "0"]
    done = workflow.snakemake({}, *flags, "--seconds-between-status-checks", "1")
    assert done.returncode == 1
    assert (folder / "well.txt").is_file()
    asked = (folder / "asked.txt").read_text().splitlines()
    assert len(asked) == 3
    needed = "-N job -j oe -l select=1:ncpus=2:mem={}mb:ngpus=1 -l walltime=420"
    for megabytes, line in zip((300, 300, 600), asked, strict=True):
        assert needed.format(megabytes) in line
