"""The record of a run's jobs, and what the report says of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.errors import InputError
from covidcxr.logs import ending, step
from covidcxr.report.jobs import busy_pieces, read_jobs, working_time
from covidcxr.report.run_times import at_work, figure_rows, folder_sizes, lanes, write_run_times
from covidcxr.report.sections.run_times import hosts_table, summary, times_text
from tests.unit.report_inputs import _jobs

INTERVALS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 40)).map(lambda pair: (pair[0], sum(pair))),
    min_size=1,
    max_size=12,
).map(sorted)


def benchmark(path: Path, seconds: float, memory: str = "100.0", cpu: str = "1.0") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:00\t{memory}\t{cpu}\n")


def test_a_steps_log_tells_when_where_and_with_what_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = pd.Timestamp.now("UTC")
    with step(tmp_path / "logs/train/VGG16_v1_fold0.log"):
        np.ones(30_000_000)  # 240 MB, so that the peak is there to be seen
    found = read_jobs(tmp_path / "benchmarks", tmp_path / "logs").iloc[0]
    assert (found["rule"], found["job"], found["threads"]) == ("train", "VGG16_v1_fold0", 3)
    assert found["host"] == os.uname().nodename
    assert pd.Timestamp.now("UTC") >= pd.Timestamp(found["end"])
    assert pd.Timestamp(found["end"]) >= before.floor("ms")
    assert found["peak_mb"] > 240


def test_a_steps_seconds_hold_its_imports(tmp_path: Path) -> None:
    """A job starts when its process does; the imports of TensorFlow are seconds."""
    code = (
        "import time; time.sleep(0.5); from covidcxr.logs import step\n"
        f"with step({str(tmp_path / 'logs/split.log')!r}): pass"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    found = read_jobs(tmp_path / "benchmarks", tmp_path / "logs").iloc[0]
    took = pd.Timestamp(found["end"]) - pd.Timestamp(found["start"])
    assert found["seconds"] == pytest.approx(took.total_seconds())
    assert found["seconds"] >= 0.49


def test_a_failed_step_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), step(tmp_path / "logs/split.log"):
        _ = 1 / 0
    assert read_jobs(tmp_path / "benchmarks", tmp_path / "logs").empty


def test_jobs_that_run_after_the_record_are_not_in_it_from_an_earlier_run(tmp_path: Path) -> None:
    for name in ("report", "run_times", "split"):
        benchmark(tmp_path / f"benchmarks/{name}.tsv", 30.0)
    assert read_jobs(tmp_path / "benchmarks", tmp_path / "logs")["rule"].tolist() == ["split"]


def test_a_job_of_an_older_version_ended_when_its_benchmark_was_written(tmp_path: Path) -> None:
    benchmark(tmp_path / "benchmarks/split.tsv", 30.0)
    os.utime(tmp_path / "benchmarks/split.tsv", (1_000_000_000, 1_000_000_000))
    found = read_jobs(tmp_path / "benchmarks", tmp_path / "logs").iloc[0]
    assert pd.Timestamp(found["end"]).timestamp() == 1_000_000_000
    assert pd.Timestamp(found["start"]).timestamp() == 1_000_000_000 - 30
    assert found["host"] == ""


def test_seconds_are_snakemakes_and_memory_is_the_larger_of_both(tmp_path: Path) -> None:
    """Snakemake's seconds hold the start of Python; its samples of memory may miss the peak."""
    for name, memory in (("a", "5.0"), ("b", "9999.0"), ("c", "NA")):
        benchmark(tmp_path / f"benchmarks/{name}.tsv", 12.5, memory)
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / f"logs/{name}.log").write_text(
            f"TensorFlow 2.21.0 on 1 GPU and 2 thread(s)\n{ending(10)}\n"
        )
    found = read_jobs(tmp_path / "benchmarks", tmp_path / "logs").set_index("rule")
    assert (found["seconds"] == 12.5).all()
    assert (found["gpus"] == 1).all()
    assert found.loc["b", "peak_mb"] == 9999
    assert found.loc["a", "peak_mb"] == found.loc["c", "peak_mb"] > 5


def test_a_file_that_is_no_benchmark_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("")
    with pytest.raises(InputError, match=r"manifest\.tsv"):
        read_jobs(tmp_path, tmp_path / "logs")


@given(INTERVALS, st.integers(1, 30))
def test_pieces_hold_every_job_and_are_apart_by_breaks(
    intervals: list[tuple[int, int]], shortest: int
) -> None:
    start, end = (np.array(values, float) for values in zip(*intervals, strict=True))
    clock = busy_pieces(start, end, shortest)
    # By brute force: seconds in which some job runs, joined over pauses shorter than a break.
    busy = np.zeros(300, bool)
    for first, last in intervals:
        busy[first:last] = True
    on = np.flatnonzero(busy)
    gaps = np.diff(on) - 1
    assert len(clock.starts) == 1 + (gaps >= shortest).sum()
    assert clock.total == on[-1] - on[0] + 1 - gaps[gaps >= shortest].sum()
    assert (clock.breaks >= shortest).all()
    # On the clock a job is as long as it was, and none starts before the first.
    assert np.allclose(clock.at(end) - clock.at(start), end - start)
    assert clock.at(start).min() == 0


@given(INTERVALS)
def test_lanes_never_overlap_and_are_no_more_than_jobs_at_a_time(
    intervals: list[tuple[int, int]],
) -> None:
    start, end = (np.array(values, float) for values in zip(*intervals, strict=True))
    lane = lanes(start, end)
    for k in np.unique(lane):
        assert (start[lane == k][1:] >= end[lane == k][:-1]).all()
    times, count = at_work(start, end)
    assert lane.max() + 1 == count.max()
    for moment, number in zip(times, count, strict=True):
        assert number == ((start <= moment) & (end > moment)).sum()


def test_a_break_between_two_calls_of_the_workflow_counts_as_no_time() -> None:
    jobs = _jobs()
    late = [(pd.Timestamp(text) + pd.Timedelta("3h")).isoformat() for text in jobs["end"]]
    jobs.loc[3, ["start", "end"]] = (
        late[3],
        (pd.Timestamp(late[3]) + pd.Timedelta("4s")).isoformat(),
    )
    clock = working_time(jobs)
    assert clock.total == pytest.approx(82 + 4)
    assert len(clock.breaks) == 1
    assert "2 pieces" in times_text(jobs, summary(jobs, "rule"))


def test_times_add_up_by_rule_and_unmeasured_memory_stays_unknown() -> None:
    table = summary(_jobs(), "rule").set_index("rule")
    assert list(table.index) == ["train", "manifest", "fig1_diagnoses"]
    assert table.loc["train", ["jobs", "total", "mean", "longest"]].tolist() == [2, 130, 65, 70]
    assert table.loc["train", ["cpu", "memory"]].tolist() == [240, 950]
    assert table.loc["fig1_diagnoses", ["cpu", "memory"]].isna().all()
    assert table["share"].sum() == pytest.approx(1)


def test_every_host_has_a_row_and_an_unknown_one_is_called_so() -> None:
    assert {row[0] for row in hosts_table(_jobs()).rows} == {"a", "b", "not recorded"}


def test_short_rules_share_a_row_and_one_alone_keeps_its_name() -> None:
    jobs = _jobs()
    assert set(figure_rows(jobs)) == set(jobs["rule"])
    many = pd.concat([jobs.iloc[[0]].assign(rule=f"r{k}") for k in range(40)])
    assert len(set(figure_rows(many))) == 21
    more = pd.concat([jobs, jobs.iloc[[3]].assign(rule="fig4_loss")], ignore_index=True)
    assert set(figure_rows(more)) == {"manifest", "train", "2 short rules"}


def test_sizes_count_every_file_once_and_follow_links(tmp_path: Path) -> None:
    for name, size in (
        ("features/VGG16/manifest/clean.npy", 3000),
        ("features/VGG16/manifest/views.npy", 9000),
        ("models/VGG16/v1/fold0.keras", 500),
        ("report.html", 70),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "images").mkdir()
    (tmp_path / "images/manifest.npy").symlink_to(tmp_path / "report.html")
    table = folder_sizes(tmp_path).set_index("folder")
    assert table.loc["features/VGG16"].tolist() == [2, 0.012]
    assert table.loc["images", "size_mb"] == table.loc[".", "size_mb"] == 70e-6
    assert table["files"].sum() == 5


def test_a_run_without_any_record_still_gets_its_files(tmp_path: Path) -> None:
    """As where every result came out of a cache."""
    out = [tmp_path / "out" / name for name in ("jobs.csv", "sizes.csv", "a.png", "a.svg")]
    (tmp_path / "run").mkdir()
    write_run_times(tmp_path / "run", *out)
    assert all(path.stat().st_size for path in out)
    assert pd.read_csv(out[0]).empty
