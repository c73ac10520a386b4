"""What a killed run leaves: nothing half-made counts, nothing finished is done again.

Signals: SIGKILL and SIGINT go to the whole process group, as from a batch system and from Ctrl-C;
SIGTERM goes to Snakemake alone, which then lets running jobs end.
"""

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from .conftest import TINY, Workflow
from .test_faults import results

Config = dict[str, Any]

RUN = "results/tiny"
CHECKPOINTS = f"{RUN}/cyclegan/checkpoints/step-*.npz"
BANK = f"{RUN}/features/MobileNet/manifest"
VIEWS = f"{BANK}/.views.npy.*"
MODELS = f"{RUN}/heads/study/MobileNet/v2"
SCORES = f"{RUN}/tables/classification.csv"
# Folders of what comes after the scores, which stand among the tables.
AFTERWARDS = ("explanations", "repeats", "severity", "tables")
# CycleGAN and features beside each other, so that one signal meets both.
FLAGS = ("--resources", "gpu=2", "--cores", "2")
PATIENCE_SECONDS = 120


def changed(change: Callable[[Config], object]) -> Config:
    config = copy.deepcopy(TINY)
    change(config)
    return config


# Views, and a CycleGAN after each checkpoint, wait at a gate, where they are met at work. It stands
# in a module that is no part of a result (`provenance.PLUMBING`), so that a run ends as without it.
GATE = """
_progress = progress


def _waited():
    while Path("closed").exists():
        time.sleep(0.05)


def _steps(steps):
    for step in steps:
        yield step
        if step % 2:
            _waited()


def progress(iterable=None, **options):
    if options.get("desc") == "views":
        _waited()
    if options.get("desc") == "CycleGAN":
        iterable = _steps(iterable)
    return _progress(iterable, **options)
"""


def run(workflow: Workflow, config: Config, *targets: str) -> str:
    done = workflow.snakemake(config, *targets, *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def interrupted_run(
    workflow: Workflow,
    config: Config,
    target: str,
    kill: Callable[[int], None],
    *at_work: str,
) -> str:
    """Run until every pattern of `at_work` has a new file, kill, and return what was said."""
    command = [sys.executable, "-m", "snakemake", target, *FLAGS, *workflow.configured(config)]
    gate = workflow.folder / "closed"
    if VIEWS in at_work:
        gate.touch()
    output = workflow.folder / "interrupted.log"
    begun = time.time()
    with output.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=workflow.folder,
            stdout=file,
            stderr=file,
            start_new_session=True,
            # What a shell starts in the background ignores interrupts, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while not all(is_new(workflow.folder, pattern, begun) for pattern in at_work):
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < end, output.read_text()
                time.sleep(0.02)
            kill(process.pid)
            gate.unlink(missing_ok=True)
            process.wait(PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0, output.read_text()
    return output.read_text()


def is_new(folder: Path, pattern: str, since: float) -> bool:
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime > since:
                return True
    return False


def kill_all(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)


def interrupt_all(pid: int) -> None:
    os.killpg(pid, signal.SIGINT)


def interrupt_snakemake(pid: int) -> None:
    os.kill(pid, signal.SIGINT)


def terminate_snakemake(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def unlock(workflow: Workflow, config: Config) -> None:
    done = workflow.snakemake(config, "--unlock")
    assert done.returncode == 0, done.stdout + done.stderr


def finished_jobs(said: str) -> Counter[str]:
    return Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", said, flags=re.MULTILINE))


def weights(model: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(model) as archive:
        content = BytesIO(archive.read("model.weights.h5"))
    arrays = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(content) as file:
        file.visititems(note)
    return arrays


def copy_of(workflow: Workflow, folder: Path) -> Workflow:
    shutil.copytree(workflow.folder, folder, symlinks=True)
    return Workflow(folder)


@pytest.fixture(scope="module")
def whole(finished: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of the finished run, with the gate."""
    workflow = copy_of(finished, tmp_path_factory.mktemp("whole") / "copy")
    with (workflow.folder / "src/covidcxr/logs.py").open("a") as module:
        module.write(GATE)
    assert workflow.planned(TINY) == {}
    return workflow


def test_a_run_killed_again_and_again_ends_like_an_uninterrupted_one_and_repeats_no_job(
    whole: Workflow, tmp_path: Path
) -> None:
    workflow = copy_of(whole, tmp_path / "copy")
    for path in (workflow.folder / RUN).iterdir():
        if path.is_file():
            path.unlink()
        elif path.name not in ("phantoms", "data", "images", "backbones"):
            shutil.rmtree(path)
    (workflow.folder / RUN / "data/synthetic.csv").unlink()
    jobs = workflow.planned(TINY, SCORES)
    assert {"cyclegan", "features"} <= jobs.keys()
    assert not {"phantoms", "frames", "backbone"} & jobs.keys()
    ways = (kill_all, interrupt_all, terminate_snakemake)
    done: Counter[str] = Counter()

    for kill in ways:
        steps = [int(path.stem.removeprefix("step-")) for path in workflow.folder.glob(CHECKPOINTS)]
        said = interrupted_run(workflow, TINY, SCORES, kill, CHECKPOINTS, VIEWS)
        ended = Counter(cyclegan=1, features=1) if kill is terminate_snakemake else Counter()
        assert finished_jobs(said) == ended
        log = (workflow.folder / RUN / "logs/cyclegan.log").read_text()
        assert not steps or f"going on from the checkpoint of step {max(steps)}\n" in log
        done += ended
        unlock(workflow, TINY)
    done += finished_jobs(
        interrupted_run(workflow, TINY, SCORES, kill_all, f"{RUN}/logs/train/v2_MobileNet_*.log")
    )
    unlock(workflow, TINY)

    done += finished_jobs(run(workflow, TINY, SCORES))
    assert done == jobs
    assert workflow.planned(TINY, SCORES) == {}

    made, expected = (w.folder / RUN / "cyclegan/generator.keras" for w in (workflow, whole))
    np.testing.assert_equal(weights(made), weights(expected))
    tables, expected_tables = (
        {name: digest for name, digest in results(w.folder / RUN).items() if name.endswith(".csv")}
        for w in (workflow, whole)
    )
    assert any(name.startswith("predictions/") for name in tables)
    assert tables == {
        name: digest
        for name, digest in expected_tables.items()
        if name in (SCORES.removeprefix(f"{RUN}/"), "tables/scores.csv")
        or name.partition("/")[0] not in AFTERWARDS
    }


FASTER = changed(lambda c: c["training"].update(learning_rate=0.01))


@pytest.mark.parametrize("kill", [interrupt_all, interrupt_snakemake])
def test_a_cancelled_job_leaves_the_older_result_which_does_not_pass_for_its_own(
    whole: Workflow, kill: Callable[[int], None]
) -> None:
    before = results(whole.folder / RUN)
    model = f"{MODELS}/fold0.keras"
    log = f"{RUN}/logs/train/v2_MobileNet_fold0_study.log"
    said = interrupted_run(whole, FASTER, model, kill, log)
    assert "Training MobileNet v2 fold0" in said
    assert results(whole.folder / RUN) == before
    assert whole.planned(TINY, SCORES) == {}
    assert whole.planned(FASTER, model) == {"train": 1}


def test_a_job_cancelled_between_its_outputs_leaves_no_mixture(
    whole: Workflow,
) -> None:
    before = results(whole.folder / RUN)
    inner = changed(lambda c: c["training"].update(trainable="last_block"))
    bank = f"{BANK}/rows.csv"
    clean = (whole.folder / BANK / "clean.npy").stat().st_mtime_ns
    interrupted_run(whole, inner, bank, interrupt_all, VIEWS)
    assert (whole.folder / BANK / "clean.npy").stat().st_mtime_ns != clean  # it was replaced
    assert results(whole.folder / RUN) == before
    assert whole.planned(TINY, SCORES) == {}
    assert whole.planned(inner, bank) == {"features": 1}


def test_a_job_killed_while_an_older_folder_of_it_stood_runs_the_next_time(
    whole: Workflow, tmp_path: Path
) -> None:
    workflow = copy_of(whole, tmp_path / "copy")
    harder = changed(lambda c: c["sources"]["phantoms"].update(difficulty=0.9))
    drawn = f"{RUN}/phantoms/phantoms"
    before = results(workflow.folder / drawn)
    interrupted_run(workflow, harder, drawn, kill_all, f"{RUN}/logs/phantoms/*.log", BACKUP)
    unlock(workflow, harder)
    assert workflow.planned(harder, drawn) == {"phantoms": 1}
    run(workflow, harder, drawn)
    assert results(workflow.folder / drawn) != before
    assert workflow.planned(harder, drawn) == {}


BACKUP = f".snakemake/backups/{RUN}/phantoms/phantoms"
