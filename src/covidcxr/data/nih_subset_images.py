"""A small subset of NIH ChestX-ray14: 1,000 films, 500 without finding and 500 with pneumonia.

Published as pictures by Ozturk et al. 2020 (DarkCovidNet, doi:10.1016/j.compbiomed.2020.103792) in
the repository `muhammedtalo/COVID-19`; the films are those of Wang et al. 2017. The repository's
folder of COVID-19 films is left out: it repeats the COVID-19 Image Data Collection.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covidcxr.data.download import JSON, fetch_from_mirror, is_url
from covidcxr.data.repository import Images, begin_folder, fetch_images
from covidcxr.data.sources import (
    NIH_SUBSET_DIAGNOSES,
    filter_candidates,
    list_nih_subset,
    nih_subset_files,
)
from covidcxr.errors import InputError

REPOSITORY = "muhammedtalo/COVID-19"
FOLDER = "X-Ray Image DataSet"
LISTING = "tree.json"


def fetch_nih_subset_images(
    output_dir: str | Path,
    *,
    select: Sequence[Mapping[str, Any]],
    commit: str,
    mirror: str | None = None,
) -> None:
    """Fetch the films whose diagnosis passes at least one of the filters in `select`.

    They are laid out as `output_dir/{No_findings,Pneumonia}/<patient>_<number>.png`. Files from the
    repository are held against the git hashes that its tree lists at the commit. A local mirror
    holds the repository's folder `X-Ray Image DataSet`; a served one, which cannot be listed, also
    GitHub's listing of the commit as `X-Ray Image DataSet/tree.json`. What is complete is kept in
    `<output_dir>.part` if the step is killed.

    Parameters
    ----------
    select
        Filters as `covidcxr.data.sources.filter_candidates` takes them; only `diagnosis` is told by
        the names, so conditions on other columns do not narrow what is fetched.

    Raises
    ------
    InputError
        If a file that exists cannot be had, or there is none at all.
    """
    output = Path(output_dir)
    images = Images(REPOSITORY, commit, (FOLDER,), (FOLDER,))
    cache = begin_folder(output) / f".{commit}.json"
    hashes = None
    if mirror is None:
        hashes = images.hashes(cache)
        listed = list(hashes)
    elif is_url(mirror):
        fetch_from_mirror(mirror, [(FOLDER, LISTING)], cache, expect=JSON)
        listed = list(images.hashes(cache))
    else:
        root = Path(mirror, FOLDER)
        listed = [file.relative_to(root).as_posix() for file in nih_subset_files(root)]
    names = selected_names(listed, select)
    if not names:
        raise InputError(
            f"{mirror or REPOSITORY} holds no films under {FOLDER}/"
            f"{{{','.join(NIH_SUBSET_DIAGNOSES)}}}; correct `mirror` or the source's `commit`"
        )
    fetch_images(images, names, output, hashes=hashes, mirror=mirror)


def selected_names(listed: Sequence[str], select: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the films among the paths `listed`, sorted, whose diagnosis passes a filter."""
    films = [
        Path(name) for name in sorted(listed) if Path(name).parent.name in NIH_SUBSET_DIAGNOSES
    ]
    if not films:
        return []
    candidates = list_nih_subset(films)
    wheres = [
        {key: value for key, value in where.items() if key == "diagnosis"} for where in select
    ]
    return sorted({path for w in wheres for path in filter_candidates(candidates, w)["path"]})
