"""The public tables of scores of the COVID-19 Image Data Collection, at pinned commits."""

from pathlib import Path

from covidcxr.data.download import TABLE
from covidcxr.data.repository import Repository

PUBLIC = {
    # Extent and opacity, mean of three readers: Cohen et al. 2020, arXiv:2005.11856 (CC BY-SA).
    "cohen": (
        "ieee8023/covid-chestxray-dataset",
        "298d97eda54cbdc35c4226dc5fcb7bb64c05fefa",
        "covid-chestxray-dataset",
        ("annotations/covid-severity-scores.csv",),
    ),
    # Six zones by two readers: Signoroni et al., Med Image Anal 71, 102046, 2021 (CC BY-NC-SA).
    "brixia": (
        "BrixIA/Brixia-score-COVID-19",
        "8407e732f3b37b94dba793fae1871f660ca13958",
        "brixia",
        ("data/public-annotations.csv", "public-annotations.csv"),
    ),
}
"""Repository, commit, folder of its copy in a mirror, and places of the table in it."""


def mirrored(name: str) -> list[str]:
    """Return what is read of a local mirror for a table, as paths in it."""
    _, _, root, places = PUBLIC[name]
    return [f"{root}/{place}" for place in places]


def run(table: str | Path, *, name: str, mirror: str | None) -> None:
    """Fetch a public table of scores.

    Raises
    ------
    InputError
        It cannot be had.
    """
    repository, commit, root, places = PUBLIC[name]
    Repository(repository, commit, mirror, root).fetch_file(places, Path(table), expect=TABLE)
