"""When which job ran on what, where the time went, and what stands on disk."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from covidcxr.report.facts import Run, records
from covidcxr.report.formats import (
    MISSING,
    Table,
    count,
    decimal,
    duration,
    listing,
    share,
    some,
    table_of,
)
from covidcxr.report.jobs import busy_pieces, moments, working_time
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

FIGURE = "fig_jobs"
LARGEST = 3


def section(_: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where no job left a record."""
    if "jobs" not in tables or tables["jobs"].empty:
        return None
    jobs = tables["jobs"].assign(host=tables["jobs"]["host"].fillna("").astype(str))
    by_rule = summary(jobs, "rule")
    made = [
        SectionTable(
            "runtimes",
            "Wall-clock time, CPU time and peak memory of the jobs of each rule.",
            times_table(by_rule),
        ),
        SectionTable(
            "runtimes_by_host",
            "On what: the jobs by host, the threads that they were given, and the GPUs that "
            "TensorFlow saw there.",
            hosts_table(jobs),
        ),
    ]
    if "sizes" in tables:
        made.append(
            SectionTable("sizes", "Files of the run by folder.", sizes_table(tables["sizes"]))
        )
    return Section(
        ident="runtimes",
        title="Run times, memory and disk",
        paragraphs=[
            times_text(jobs, by_rule),
            *([sizes_text(tables["sizes"])] if "sizes" in tables else []),
            "The last run of each job counts, whichever call of the workflow it was in, so a run "
            "in pieces shows breaks. Results that came out of a cache left no record here. A dash: "
            "not known, as of a job that was over before Snakemake could measure it.",
        ],
        figures=[
            SectionFigure(
                FIGURE,
                "Which job ran when: a bar for each job, a row for each rule, the short rules "
                "together; below, how many ran at a time.",
                "Bars of the jobs over time, by rule.",
            )
        ],
        tables=made,
    )


def summary(jobs: pd.DataFrame, key: str) -> pd.DataFrame:
    """Add up the jobs by rule or host, most work first.

    Returns
    -------
    DataFrame
        `key`, jobs, total, mean, longest (seconds), cpu (seconds), memory (largest, MB), share (of
        all work, in [0, 1]).
    """
    added = jobs.groupby(key, as_index=False).agg(
        jobs=("seconds", "size"),
        total=("seconds", "sum"),
        mean=("seconds", "mean"),
        longest=("seconds", "max"),
        cpu=("cpu_seconds", lambda values: values.sum(min_count=1)),
        memory=("peak_mb", "max"),
    )
    added["share"] = added["total"] / added["total"].sum()
    return added.sort_values("total", ascending=False, kind="stable", ignore_index=True)


def times_table(by_rule: pd.DataFrame) -> Table:
    """Return `summary` by rule with a last row for the whole run."""
    whole = {
        "rule": "all",
        "jobs": by_rule["jobs"].sum(),
        "total": by_rule["total"].sum(),
        "mean": np.nan,
        "longest": by_rule["longest"].max(),
        "cpu": by_rule["cpu"].sum(min_count=1),
        "memory": by_rule["memory"].max(),
        "share": 1.0,
    }
    frame = pd.concat([by_rule, pd.DataFrame([whole])], ignore_index=True)
    times = dict.fromkeys(("total", "mean", "longest", "cpu"), duration)
    return table_of(
        frame,
        {"cpu": "CPU time", "memory": "Peak memory, MB", "share": "Share of work"},
        {**times, "memory": count, "share": share},
        emphasised=[len(frame) - 1],
    )


def hosts_table(jobs: pd.DataFrame) -> Table:
    """Return jobs, work, peak memory, threads and GPUs of each host."""
    frame = summary(jobs, "host")[["host", "jobs", "total", "memory"]]
    threads = jobs.groupby("host")["threads"].agg(_range)
    gpus = jobs.groupby("host")["gpus"].max()
    frame["threads"] = frame["host"].map(threads)
    frame["gpus"] = frame["host"].map(gpus)
    frame["host"] = frame["host"].replace("", "not recorded")
    return table_of(
        frame,
        {"memory": "Peak memory, MB", "threads": "Threads a job", "gpus": "GPUs"},
        {"total": duration, "memory": count},
    )


def _range(values: "pd.Series[float]") -> str:
    known = values.dropna()
    if known.empty:
        return MISSING
    low, high = count(known.min()), count(known.max())
    return low if low == high else f"{low}–{high}"


def sizes_table(sizes: pd.DataFrame) -> Table:
    """Return the sizes by folder with a last row for all."""
    whole = {"folder": "all", "files": sizes["files"].sum(), "size_mb": sizes["size_mb"].sum()}
    own = sizes.assign(folder=sizes["folder"].replace(".", "(in none)"))
    frame = pd.concat([own, pd.DataFrame([whole])], ignore_index=True)
    return table_of(frame, emphasised=[len(frame) - 1])


def times_text(jobs: pd.DataFrame, by_rule: pd.DataFrame) -> str:
    """Say how long the run took, and what took most of it."""
    start, end = moments(jobs)
    clock, busy = working_time(jobs), busy_pieces(start, end, 0.0).total
    passed = duration(clock.total)
    idle = share(1 - busy / clock.total) if clock.total else share(0)
    pieces = (
        f" (in {count(len(clock.starts))} pieces, the breaks between them not counted)"
        if len(clock.starts) > 1
        else ""
    )
    largest = [f"{row['rule']} {share(row['share'])}" for row in records(by_rule.head(LARGEST))]
    return (
        f"{some(len(jobs), 'job')} of {some(len(by_rule), 'rule')} did "
        f"{duration(jobs['seconds'].sum())} of work within {passed}{pieces}; {idle} of that time "
        f"had no job at work. Most work: {listing(largest)}."
    )


def sizes_text(sizes: pd.DataFrame) -> str:
    """Say what the run holds on disk, and what of it is images, features and models."""
    top = sizes["folder"].str.partition("/")[0]
    by_top = sizes.groupby(top)["size_mb"].sum()
    told = [
        f"{name} {decimal(by_top[name])} MB"
        for name in ("images", "features", "models")
        if name in by_top
    ]
    whole = f"The run holds {decimal(sizes['size_mb'].sum())} MB on disk"
    return f"{whole}: {', '.join(told)} among it." if told else f"{whole}."
