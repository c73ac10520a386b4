"""The table of the COVID-19 Image Data Collection (Cohen et al. 2020, arXiv:2006.11988)."""

from pathlib import Path

from covidcxr.data.download import TABLE, fetch, fetch_from_mirror
from covidcxr.data.repository import RAW

REPOSITORY = "ieee8023/covid-chestxray-dataset"
MIRROR_FOLDER = "covid-chestxray-dataset"


def fetch_covid_metadata(output: str | Path, *, commit: str, mirror: str | None = None) -> None:
    """Fetch the collection's `metadata.csv` at a commit of its repository, or from a mirror.

    Raises
    ------
    InputError
        If it cannot be had; NotFoundError if the commit or mirror has none.
    """
    if mirror is not None:
        fetch_from_mirror(mirror, [(MIRROR_FOLDER, "metadata.csv")], output, expect=TABLE)
    else:
        fetch(f"{RAW}/{REPOSITORY}/{commit}/metadata.csv", output, expect=TABLE)
