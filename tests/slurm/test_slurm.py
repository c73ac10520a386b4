"""The SLURM profile on a real cluster of one node: same results, few submissions."""

import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from covidcxr.features.weights import weight_file
from tests.workflow.conftest import TINY, Workflow, copy_repository

from .cluster import ACCOUNT, GPU_PARTITION, PARTITION, Cluster, Submission
from .conftest import SlurmWorkflow, copy_for_slurm

# Every kind of job, of the GPU, in groups and in shards, up to what the report would show.
SMALL = TINY | {
    "performance": {"threads": 1, "shards": 2},
    "augmentations": {"v2": {"synthetic": 2}},
    "explain": {"images": 2, "augmentation": "v2"},
}
TARGETS = (
    "results/tiny/tables/classification.csv",
    "results/tiny/explanations/MobileNet/maps.npz",
)

PAIRS = """
rule all:
    input: expand("{n}.txt", n=range(4))

rule on_gpu:
    output: "{n}.txt"
    resources: gpu=1, mem_mb=100, runtime=1
    shell: "sleep 4; echo $CUDA_VISIBLE_DEVICES > {output}"
"""

TWO = """
rule all:
    input: "0.txt", "1.txt"

rule of:
    output: "{gpu}.txt"
    resources: gpu=lambda wildcards: int(wildcards.gpu), mem_mb=100, runtime=1
    shell: "echo $SLURM_JOB_PARTITION > {output}"
"""


@pytest.fixture(scope="module")
def sent(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SlurmWorkflow, list[Submission]]:
    """A copy in which the small workflow has run on SLURM, and what was submitted for it."""
    workflow = copy_for_slurm(tmp_path_factory.mktemp("sent"))
    status, output = workflow.submit(SMALL, *TARGETS)
    assert status == 0, output
    return workflow, submissions_of(output, cluster)


def submissions_of(output: str, cluster: Cluster) -> list[Submission]:
    run_id = run_id_of(output)
    return [row for row in cluster.submissions() if row.run_id == run_id]


def run_id_of(output: str) -> str:
    found = re.search(r"SLURM run ID: (\S+)", output)
    assert found, output
    return found.group(1)


def fail(workflow: Workflow, rule: str, condition: str) -> None:
    """Make a rule fail where the condition on `snakemake.resources` and the like holds."""
    path = workflow.folder / "workflow/scripts/run.py"
    failure = (
        f'if snakemake.rule == "{rule}" and {condition}:\n    raise MemoryError("too little")\n'
    )
    path.write_text(failure + path.read_text())


def tables_and_predictions(workflow: Workflow) -> dict[str, bytes]:
    results = workflow.folder / "results/tiny"
    folders = ("data", "tables", "predictions", "history", "explanations")
    paths = [path for folder in folders for path in sorted((results / folder).rglob("*.csv"))]
    return {str(path.relative_to(results)): path.read_bytes() for path in paths}


def test_slurm_gives_the_results_of_a_local_run(
    sent: tuple[SlurmWorkflow, list[Submission]], tmp_path: Path
) -> None:
    local = copy_repository(tmp_path)
    done = local.snakemake(SMALL, *TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    ours, theirs = tables_and_predictions(sent[0]), tables_and_predictions(local)
    for part in ("predictions/", "tables/", "explanations/"):
        assert any(name.startswith(part) for name in ours)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_results_from_slurm_are_current_for_a_local_run(
    sent: tuple[SlurmWorkflow, list[Submission]],
) -> None:
    workflow, _ = sent
    assert workflow.planned(SMALL, *TARGETS) == {}


def test_small_jobs_share_submissions(
    sent: tuple[SlurmWorkflow, list[Submission]],
) -> None:
    workflow, submissions = sent
    jobs = workflow.planned(SMALL, *TARGETS, "--forceall")
    shards = sum(jobs[rule] for rule in ("images", "features", "join"))  # each goes by itself
    assert len(submissions) - shards < (sum(jobs.values()) - shards) / 2
    assert {row.state for row in submissions} == {"COMPLETED"}


def test_jobs_are_charged_to_the_account_of_the_profile(
    sent: tuple[SlurmWorkflow, list[Submission]],
) -> None:
    _, submissions = sent
    assert {row.account for row in submissions} == {ACCOUNT}


def test_gpu_jobs_ask_for_the_gpu_and_never_overlap(
    sent: tuple[SlurmWorkflow, list[Submission]],
) -> None:
    _, submissions = sent
    on_gpu = [row for row in submissions if row.gpus == "gres:gpu:1"]
    assert {"cyclegan", "features", "explanations", "synthesize"} <= {row.rule for row in on_gpu}
    spans = sorted((pd.Timestamp(row.start), pd.Timestamp(row.end)) for row in on_gpu)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


def test_gpu_jobs_wait_in_the_queue_of_slurm_and_a_group_of_them_asks_for_one_gpu(
    slurm_workflow: SlurmWorkflow, cluster: Cluster
) -> None:
    (slurm_workflow.folder / "Snakefile").write_text(PAIRS)
    # Two groups of two jobs; the profile's own groups name rules that are not here.
    status, output = slurm_workflow.submit(
        {}, "--groups", "on_gpu=pair", "--group-components", "pair=2"
    )
    assert status == 0, output
    first, second = submissions_of(output, cluster)
    assert [first.gpus, second.gpus] == ["gres:gpu:1"] * 2
    assert pd.Timestamp(second.submitted) < pd.Timestamp(first.end) <= pd.Timestamp(second.start)


def test_cpu_and_gpu_jobs_go_to_partitions_of_their_own(slurm_workflow: SlurmWorkflow) -> None:
    folder = slurm_workflow.folder
    (folder / "Snakefile").write_text(TWO)
    # What the file of the profile says to do.
    partitions = folder / "profiles/slurm/partitions.yaml"
    text = partitions.read_text()
    for theirs, ours in (("cpu", PARTITION), ("gpu", GPU_PARTITION)):
        text, edited = re.subn(rf"^  {theirs}:", f"  {ours}:", text, flags=re.MULTILINE)
        assert edited == 1
    partitions.write_text(text)
    profile = folder / "profiles/slurm/config.yaml"
    kept = [line for line in profile.read_text().splitlines() if "slurm_partition:" not in line]
    [line] = re.findall(r"`(slurm-partition-config: .*)`", text)
    profile.write_text("\n".join([*kept, line]))
    status, output = slurm_workflow.submit({})
    assert status == 0, output
    found = [(folder / f"{gpu}.txt").read_text().strip() for gpu in (0, 1)]
    assert found == [PARTITION, GPU_PARTITION]


def test_downloads_run_where_snakemake_runs_as_compute_nodes_may_have_no_internet(
    slurm_workflow: SlurmWorkflow, cluster: Cluster
) -> None:
    mirror = slurm_workflow.folder / "mirror"
    mirror.mkdir()
    (mirror / weight_file("VGG16")).write_bytes(b"\x89HDF\r\n\x1a\nweights")
    config = TINY | {"mirror": "mirror", "backbones": ["VGG16"], "weights": {"VGG16": "imagenet"}}
    status, output = slurm_workflow.submit(config, "resources/weights/VGG16.h5")
    assert status == 0, output
    assert (slurm_workflow.folder / "resources/weights/VGG16.h5").exists()
    assert submissions_of(output, cluster) == []


def test_a_job_that_ran_out_of_memory_gets_more_at_the_next_attempt(
    slurm_workflow: SlurmWorkflow, cluster: Cluster
) -> None:
    fail(slurm_workflow, "backbone", "snakemake.resources.mem_mb < 6000")
    status, output = slurm_workflow.submit(TINY, "results/tiny/backbones/MobileNet.keras")
    assert status == 0, output
    rows = submissions_of(output, cluster)
    assert [(row.memory, row.state) for row in rows] == [
        ("3000M", "FAILED"),
        ("6000M", "COMPLETED"),
    ]


def test_a_job_that_keeps_failing_is_reported_with_its_log(
    slurm_workflow: SlurmWorkflow, cluster: Cluster
) -> None:
    fail(slurm_workflow, "backbone", "True")
    target = "results/tiny/backbones/MobileNet.keras"
    status, output = slurm_workflow.submit(TINY, target, "--retries", "0")
    assert status != 0
    assert [row.state for row in submissions_of(output, cluster)] == ["FAILED"]
    logs = [Path(name) for name in re.findall(r"\S+/slurm_logs/\S+?\.log", output)]
    assert logs, output
    assert "MemoryError: too little" in logs[0].read_text()
    assert not (slurm_workflow.folder / target).exists()


def test_a_killed_run_recovers_and_repeats_no_finished_job(
    slurm_workflow: SlurmWorkflow, cluster: Cluster
) -> None:
    running = slurm_workflow.start(TINY, "synthetic")
    try:
        await_running("cyclegan", cluster)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    results = slurm_workflow.folder / "results/tiny"
    finished_at = {path: path.stat().st_mtime_ns for path in (results / "data").glob("*.csv")}
    assert finished_at

    # What the README says: the orphaned jobs by their run id, the lock, the same command.
    cluster.cancel(run_id_of(slurm_workflow.output()))
    unlocked = slurm_workflow.snakemake(TINY, "--unlock")
    assert unlocked.returncode == 0, unlocked.stderr
    status, output = slurm_workflow.submit(TINY, "synthetic")
    assert status == 0, output
    rules = [row.rule for row in submissions_of(output, cluster)]
    assert rules == ["cyclegan", "synthesize"]
    assert all(path.stat().st_mtime_ns == before for path, before in finished_at.items())
    assert (results / "data/synthetic.csv").exists()


def await_running(rule: str, cluster: Cluster) -> None:
    """Wait until a rule's submission runs."""
    deadline = time.monotonic() + 300
    while not any(row.rule == rule and row.state == "RUNNING" for row in cluster.submissions()):
        assert time.monotonic() < deadline, f"{rule} never ran"
        time.sleep(0.3)
