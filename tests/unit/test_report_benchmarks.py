"""The table of what the jobs took, from logs as the steps write them."""

from pathlib import Path

import numpy as np
import pytest

from covidcxr.logs import step
from covidcxr.report.benchmarks import benchmarks, run, section_of
from covidcxr.report.section import read_section


def write_log(path: Path, *measured: tuple[float, float, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "10:00:00 INFO working\n"
        + "".join(
            f"finished 2026-01-01T00:00:00+00:00 on a, threads 2, seconds {seconds}, "
            f"CPU seconds {cpu}, peak MB {peak}\n"
            for seconds, cpu, peak in measured
        )
    )


def test_jobs_of_a_rule_add_up_and_the_largest_peak_counts(tmp_path: Path) -> None:
    write_log(tmp_path / "train/VGG16_v1_fold0.log", (10, 30, 500))
    write_log(tmp_path / "train/VGG16_v1_fold1.log", (20, 50, 800))
    write_log(tmp_path / "manifest.log", (5, 4, 100))
    (tmp_path / "failed.log").write_text("10:00:00 ERROR no images\n")
    table = benchmarks(tmp_path)
    assert table.to_dict("records") == [
        {"rule": "train", "jobs": 2, "seconds": 30, "cpu_seconds": 80, "peak_mb": 800},
        {"rule": "manifest", "jobs": 1, "seconds": 5, "cpu_seconds": 4, "peak_mb": 100},
    ]
    assert "3 jobs took 35 s one after another, 84 s of CPU time" in section_of(table).paragraphs[0]


def test_the_last_line_of_a_log_that_holds_several_counts(tmp_path: Path) -> None:
    write_log(tmp_path / "a.log", (10, 30, 500), (2, 3, 50))
    assert benchmarks(tmp_path)["seconds"].tolist() == [2]


def test_what_a_step_writes_is_read_back(tmp_path: Path) -> None:
    with step(tmp_path / "logs/sleepy.log"):
        sum(k * k for k in range(200_000))
    run([], tmp_path / "logs", tmp_path / "table.csv", tmp_path / "section.json")
    [row] = benchmarks(tmp_path / "logs").to_dict("records")
    assert row["rule"] == "sleepy"
    assert row["cpu_seconds"] > 0
    assert np.isfinite(row["peak_mb"])
    assert "sleepy" in read_section(tmp_path / "section.json").paragraphs[0]


@pytest.mark.parametrize("text", ["", "finished by hand\n"])
def test_a_run_without_records_has_an_empty_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.log").write_text(text)
    assert benchmarks(tmp_path).empty
    assert section_of(benchmarks(tmp_path)).paragraphs == ("No job left a record.",)
