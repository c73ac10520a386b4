"""When and where each job of a run worked, what it took, and what the run holds on disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covidcxr.data.tables import write_table
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.report.jobs import WorkingTime, moments, read_jobs, working_time

DIVIDED = ("features", "models")
"""Folders of a run that are told by backbone."""

SHOWN_SHARE = 0.005
SHOWN_RULES = 20
"""Rules that took less of the work than this share, or than so many others, share one row of the
figure."""


def write_run_times(
    run: str | Path,
    output_jobs: str | Path,
    output_sizes: str | Path,
    png: str | Path,
    svg: str | Path,
) -> None:
    """Write what the jobs of a run took, when and where, and what stands in its folder.

    Parameters
    ----------
    run
        Folder of the run, with Snakemake's benchmarks in `benchmarks/` and the steps' logs under
        the same names in `logs/`.
    output_jobs
        CSV, see `read_jobs`.
    output_sizes
        CSV, see `folder_sizes`.
    png, svg
        Timeline, see `draw_jobs`.
    """
    run = Path(run)
    jobs = read_jobs(run / "benchmarks", run / "logs")
    write_table(jobs, output_jobs)
    write_table(folder_sizes(run), output_sizes)
    with figure_style():
        save_figure(draw_jobs(jobs), png, svg)


def folder_sizes(run: Path) -> pd.DataFrame:
    """Count the files of a run and their bytes.

    Returns
    -------
    DataFrame, largest first
        folder (features and models by backbone), files, size_mb (10**6 bytes; of a linked file
        what it leads to).
    """
    found: dict[str, list[int]] = {}
    for path in run.rglob("*"):
        if not path.is_file():
            continue
        parts = path.relative_to(run).parts[:-1]
        folder = "/".join(parts[: 2 if parts[:1] and parts[0] in DIVIDED else 1]) or "."
        found.setdefault(folder, []).append(path.stat().st_size)
    rows = [(folder, len(sizes), sum(sizes) / 1e6) for folder, sizes in found.items()]
    table = pd.DataFrame(rows, columns=["folder", "files", "size_mb"])
    return table.sort_values(["size_mb", "folder"], ascending=[False, True], ignore_index=True)


def lanes(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Give each job the first lane that is free at its start; int64 [jobs], from 0.

    Jobs must be in order of start.
    """
    free: list[float] = []
    lane = np.zeros(len(start), np.int64)
    for i, (first, last) in enumerate(zip(start, end, strict=True)):
        found = next((k for k, moment in enumerate(free) if moment <= first), len(free))
        free[found : found + 1] = [last]
        lane[i] = found
    return lane


def at_work(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return moments and how many jobs run from each of them to the next."""
    times = np.concatenate([start, end])
    change = np.concatenate([np.ones(len(start), np.int64), -np.ones(len(end), np.int64)])
    distinct, place = np.unique(times, return_inverse=True)
    return distinct, np.cumsum(np.bincount(place, weights=change, minlength=len(distinct))).astype(
        np.int64
    )


def draw_jobs(jobs: pd.DataFrame) -> Figure:
    """Draw a bar for each job, a row for each rule, and below how many jobs ran at a time.

    Rules stand in the order in which they first ran; colours tell hosts apart.
    """
    if jobs.empty:
        figure = Figure(figsize=(6.5, 1.0))
        figure.text(0.5, 0.5, "No job left a record.", ha="center", va="center")
        return figure
    clock = working_time(jobs)
    unit, scale = _unit(clock.total)
    start, end = (clock.at(values) / scale for values in moments(jobs))
    rows = figure_rows(jobs)
    names = sorted(dict.fromkeys(rows), key=lambda name: name not in set(jobs["rule"]))
    figure = Figure(figsize=(7.0, 0.19 * len(names) + 1.7))
    upper, lower = figure.subplots(
        2, 1, sharex=True, gridspec_kw={"height_ratios": [0.19 * len(names), 0.8]}
    )
    host_of = jobs["host"].tolist()
    hosts = list(dict.fromkeys(host_of))
    colour = {host: PALETTE[k % len(PALETTE)] for k, host in enumerate(hosts)}
    for place, name in enumerate(names):
        chosen = np.flatnonzero(np.array(rows) == name)
        lane = lanes(start[chosen], end[chosen])
        height = 0.8 / (lane.max() + 1)
        for i, own in zip(chosen, lane, strict=True):
            upper.barh(
                place - 0.4 + own * height,
                max(end[i] - start[i], 1e-9),
                height,
                left=start[i],
                align="edge",
                color=colour[host_of[i]],
                # The edge parts neighbours; of a very short job it would leave nothing.
                edgecolor="white" if end[i] - start[i] > 0.003 * clock.total / scale else None,
                linewidth=0.2,
            )
    upper.set_yticks(range(len(names)), names)
    upper.set_ylim(len(names) - 0.4, -0.6)
    upper.tick_params(axis="y", length=0)
    times, count = at_work(start, end)
    lower.fill_between(times, count, step="post", color="0.6", linewidth=0)
    lower.set_ylabel("jobs at\nwork")
    lower.set_ylim(0, count.max() + 0.5)
    lower.yaxis.get_major_locator().set_params(integer=True)
    lower.set_xlabel(f"{unit} since the first job{', breaks left out' if len(clock.cuts) else ''}")
    lower.set_xlim(0, clock.total / scale)
    for axes in (upper, lower):
        for cut in clock.cuts / scale:
            axes.axvline(cut, color="0.3", linewidth=0.7, linestyle=(0, (2, 2)))
    _name_breaks(upper, clock, scale)
    if len(hosts) > 1:
        handles = [upper.barh(0, 0, color=colour[host], label=host or "unknown") for host in hosts]
        figure.legend(handles=handles, loc="outside upper center", ncols=4, title="Host")
    return figure


def figure_rows(jobs: pd.DataFrame) -> list[str]:
    """Name the row of the figure that each job stands in: its rule, or all short rules' row."""
    share = jobs.groupby("rule")["seconds"].sum() / jobs["seconds"].sum()
    share = share.sort_values(ascending=False, kind="stable")
    short = {*share.index[share < SHOWN_SHARE], *share.index[SHOWN_RULES:]}
    if len(short) < 2:
        return jobs["rule"].tolist()
    return [f"{len(short)} short rules" if rule in short else rule for rule in jobs["rule"]]


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 300:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0)


def _name_breaks(axes: Axes, clock: WorkingTime, scale: float) -> None:
    """Write the length of each break over its line, where there are few enough to be read."""
    if len(clock.breaks) > 6:
        return
    cuts: Sequence[float] = (clock.cuts / scale).tolist()
    for cut, length in zip(cuts, clock.breaks, strict=True):
        text = f"{length / 60:.0f} min" if length < 5400 else f"{length / 3600:.1f} h"
        axes.annotate(
            f"{text} break",
            (cut, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=7,
            color="0.3",
        )
