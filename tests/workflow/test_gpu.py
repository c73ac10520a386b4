"""Who runs beside whom: one GPU, several cores."""

import json
from collections import defaultdict
from itertools import combinations, product

from .conftest import Workflow

GPU_RULES = {
    "cyclegan",
    "synthesize",
    "features",
    "control_features",
    "explanations",
}

Span = tuple[str, float, float]


def spans(workflow: Workflow) -> list[Span]:
    """Return rule, start and end of every job, from what Snakemake recorded of its outputs."""
    times = defaultdict(list)
    for path in (workflow.folder / ".snakemake/metadata").rglob("*"):
        record = json.loads(path.read_text()) if path.is_file() else {}
        if record.get("log") and record["log"][0].startswith("results/tiny/"):
            job = (record["rule"], record["log"][0])
            times[job] += [record["starttime"], record["endtime"]]
    return [(rule, min(seconds), max(seconds)) for (rule, _), seconds in times.items()]


def overlap(one: Span, other: Span) -> bool:
    return max(one[1], other[1]) < min(one[2], other[2])


def test_gpu_jobs_run_one_after_another_and_cpu_jobs_beside_them(finished: Workflow) -> None:
    jobs = spans(finished)
    gpu = [job for job in jobs if job[0] in GPU_RULES]
    cpu = [job for job in jobs if job[0] not in GPU_RULES]
    assert {rule for rule, _, _ in gpu} == GPU_RULES
    assert not [pair for pair in combinations(gpu, 2) if overlap(*pair)]
    assert any(overlap(*pair) for pair in product(gpu, cpu))
