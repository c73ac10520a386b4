"""The record of a run's jobs: when and where each worked, and what it took."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.errors import InputError

JOB_COLUMNS = [
    "rule",
    "job",
    "start",
    "end",
    "seconds",
    "cpu_seconds",
    "peak_mb",
    "host",
    "threads",
    "gpus",
]
AFTER_THE_RECORD = {"run_times", "report"}
"""Jobs that run when the record is read; what is there of them is of an earlier run."""

SHORTEST_BREAK = 60.0
BREAK_SHARE = 0.05
"""A time without any job is left out of the figure if it is longer than a minute and this share of
the time with jobs."""

_ENDING = re.compile(
    r"^finished (?P<end>\S+) on (?P<host>\S+), threads (?P<threads>\d+), "
    r"seconds (?P<seconds>\S+), peak MB (?P<peak>\S+)$",
    re.MULTILINE,
)
_GPUS = re.compile(r"TensorFlow \S+ on (\d+) GPU")


def read_jobs(benchmarks: Path, logs: Path) -> pd.DataFrame:
    """Read the last run of every job that left a benchmark or a finished log.

    Jobs whose results came from a cache or another run's folder left neither, and those of
    `AFTER_THE_RECORD` are left out. A job without a
    finished log (of an older version) ended when its benchmark was written and ran on an unknown
    host; one without a benchmark has no CPU time.

    Returns
    -------
    DataFrame in order of start
        rule, job (wildcards, "" where there are none), start and end (UTC), seconds (wall clock;
        where Snakemake measured it, with the end of the process), cpu_seconds, peak_mb, host,
        threads, gpus (that TensorFlow saw, 0 for a step without it). NaN or "" where unknown.

    Raises
    ------
    InputError
        A file is no benchmark of Snakemake.
    """
    measured, logged = _by_name(benchmarks, ".tsv"), _by_name(logs, ".log")
    rows = [
        _job(name, measured.get(name), logged.get(name))
        for name in sorted({*measured, *logged} - AFTER_THE_RECORD)
    ]
    jobs = pd.DataFrame([row for row in rows if row is not None], columns=JOB_COLUMNS)
    return jobs.sort_values(["start", "rule", "job"], kind="stable", ignore_index=True)


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    found = folder.rglob(f"*{suffix}")
    return {str(path.relative_to(folder).with_suffix("")): path for path in found}


def _job(name: str, benchmark: Path | None, log: Path | None) -> dict[str, object] | None:
    text = log.read_text(errors="replace") if log is not None else ""
    endings = list(_ENDING.finditer(text))
    own = endings[-1] if endings else None
    if benchmark is None and own is None:
        return None
    seconds, cpu, peaks = np.nan, np.nan, []
    if benchmark is not None:
        last = _last_measure(benchmark)
        seconds, cpu = float(last["s"]), float(last.get("cpu_time", np.nan))
        # Snakemake looks every half a minute only, the step at its own peak; children count there.
        peaks.append(float(last.get("max_rss", np.nan)))
    if own is not None:
        end, worked = pd.Timestamp(own["end"]).tz_convert("UTC"), float(own["seconds"])
        peaks.append(float(own["peak"]))
    else:
        assert benchmark is not None
        end = pd.Timestamp(benchmark.stat().st_mtime, unit="s", tz="UTC").round("ms")
        worked = seconds
    rule, _, job = name.partition("/")
    gpus = _GPUS.search(text)
    return {
        "rule": rule,
        "job": job,
        "start": (end - pd.Timedelta(seconds=worked)).isoformat(timespec="milliseconds"),
        "end": end.isoformat(timespec="milliseconds"),
        "seconds": worked if np.isnan(seconds) else seconds,
        "cpu_seconds": cpu,
        "peak_mb": float(pd.Series(peaks, dtype=float).max()),
        "host": own["host"] if own is not None else "",
        "threads": float(own["threads"]) if own is not None else np.nan,
        "gpus": int(gpus[1]) if gpus else 0,
    }


def _last_measure(path: Path) -> "pd.Series[float]":
    """Return the last row of a benchmark: there is one for each repetition."""
    try:
        table = pd.read_csv(path, sep="\t", na_values=["-"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a benchmark of Snakemake: {error}") from error
    if "s" not in table or table.empty:
        raise InputError(f"{path} is no benchmark of Snakemake: it has no column 's' or no row")
    return table.iloc[-1]


@dataclass(frozen=True)
class WorkingTime:
    """Time in which some job ran, with the breaks between pieces of a run cut out.

    Attributes
    ----------
    starts, ends
        Seconds since the epoch, float64 [pieces], in order, of each piece.
    """

    starts: npt.NDArray[np.float64]
    ends: npt.NDArray[np.float64]

    @property
    def total(self) -> float:
        """Seconds of all pieces."""
        return float((self.ends - self.starts).sum())

    @property
    def cuts(self) -> npt.NDArray[np.float64]:
        """Working seconds, float64 [pieces - 1], at which a break was cut out."""
        return np.cumsum(self.ends - self.starts)[:-1]

    @property
    def breaks(self) -> npt.NDArray[np.float64]:
        """Length of each break in seconds, float64 [pieces - 1]."""
        return self.starts[1:] - self.ends[:-1]

    def at(self, moments: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the working seconds that had passed at `moments` (seconds since the epoch)."""
        knots = np.stack([self.starts, self.ends], axis=1).ravel()
        passed = np.repeat(np.concatenate([[0.0], np.cumsum(self.ends - self.starts)]), 2)[1:-1]
        return np.interp(moments, knots, passed)


def busy_pieces(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], shortest: float
) -> WorkingTime:
    """Join intervals to pieces between which no job ran for `shortest` seconds or longer."""
    order = np.argsort(start, kind="stable")
    start, latest = start[order], np.maximum.accumulate(end[order])
    first = np.flatnonzero(np.concatenate([[True], start[1:] - latest[:-1] >= shortest]))
    last = np.append(first[1:], len(start)) - 1
    return WorkingTime(start[first], latest[last])


def working_time(jobs: pd.DataFrame) -> WorkingTime:
    """Return the pieces in which the jobs of `read_jobs` ran; short pauses do not divide them."""
    start, end = moments(jobs)
    busy = busy_pieces(start, end, 0.0).total
    return busy_pieces(start, end, max(SHORTEST_BREAK, BREAK_SHARE * busy))


def moments(jobs: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return start and end of each job in seconds since the epoch."""
    start, end = (
        np.array([pd.Timestamp(text).timestamp() for text in jobs[name]], np.float64)
        for name in ("start", "end")
    )
    return start, end
