"""What the jobs of each rule took, from the last lines of their logs."""

import re
from pathlib import Path

import pandas as pd

from covidcxr.data.tables import write_table
from covidcxr.report.formats import count, duration, listing
from covidcxr.report.section import Section, SectionTable, write_section

COLUMNS = ["rule", "jobs", "seconds", "cpu_seconds", "peak_mb"]
_ENDING = re.compile(
    r"^finished .*, seconds (?P<seconds>\S+), CPU seconds (?P<cpu_seconds>\S+), "
    r"peak MB (?P<peak_mb>\S+)$",
    re.MULTILINE,
)


def run(shown: list[str], logs: str | Path, table: str | Path, section: str | Path) -> None:
    """Write the table of times and memory by rule, and its section.

    Parameters
    ----------
    shown
        What the report shows: only the order of jobs depends on it.
    logs
        Folder of the steps' logs (`covidcxr.logs`): `<rule>.log` or `<rule>/<wildcards>.log`.
    table
        CSV to write, see `benchmarks`.
    section
        Section to write.
    """
    del shown
    found = benchmarks(Path(logs))
    write_table(found, table)
    write_section(section, section_of(found))


def benchmarks(logs: Path) -> pd.DataFrame:
    """Add up the last run of every job whose log says that it finished.

    Returns
    -------
    DataFrame, the longest first
        rule, jobs, seconds (wall clock, added up), cpu_seconds (the same), peak_mb (of the largest
        job). NaN where a log does not say it.
    """
    rows = []
    for path in sorted(logs.rglob("*.log")):
        endings = list(_ENDING.finditer(path.read_text(errors="replace")))
        if endings:
            rule = path.relative_to(logs).with_suffix("").parts[0]
            rows.append((rule, *map(float, endings[-1].groups())))
    jobs = pd.DataFrame(rows, columns=["rule", "seconds", "cpu_seconds", "peak_mb"])
    table = jobs.groupby("rule", as_index=False).agg(
        jobs=("seconds", "size"),
        seconds=("seconds", "sum"),
        cpu_seconds=("cpu_seconds", "sum"),
        peak_mb=("peak_mb", "max"),
    )
    order = ["seconds", "rule"]
    return table.sort_values(order, ascending=[False, True], ignore_index=True)[COLUMNS]


def section_of(table: pd.DataFrame) -> Section:
    """Say where the time went."""
    text = "No job left a record."
    if len(table):
        longest = listing(
            f"{rule} ({duration(seconds)})"
            for rule, seconds in zip(table["rule"][:3], table["seconds"][:3], strict=True)
        )
        text = (
            f"The last runs of {count(table['jobs'].sum())} jobs took "
            f"{duration(table['seconds'].sum())} one after another, "
            f"{duration(table['cpu_seconds'].sum())} of CPU time; most of all {longest}. The "
            f"largest held {count(table['peak_mb'].max())} MB."
        )
    return Section(
        ident="benchmarks",
        title="Time and memory",
        part="methods",
        paragraphs=(text,),
        tables=(SectionTable("benchmarks", "Time, CPU time and peak memory by rule."),),
        folded=True,
    )
