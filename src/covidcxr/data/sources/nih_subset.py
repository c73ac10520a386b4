"""A small subset of NIH ChestX-ray14: 500 images without finding and 500 with pneumonia.

Published by Ozturk et al. 2020 (DarkCovidNet, doi:10.1016/j.compbiomed.2020.103792) in the
repository `muhammedtalo/COVID-19`; the images are those of Wang et al. 2017. The repository's
folder of COVID-19 images is left out: it repeats the COVID-19 Image Data Collection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.data.repository import Repository
from covidcxr.data.source import Source, Where, as_candidates, filter_any
from covidcxr.data.sources.nih import LICENSE, nih_patient, read_entries
from covidcxr.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REPOSITORY = "muhammedtalo/COVID-19"
FOLDER = "X-Ray Image DataSet"
DIAGNOSES = {"No_findings": "normal", "Pneumonia": "pneumonia"}
TABLE_COLUMNS = ["subtype", "age", "sex", "view"]


class NIHSubset(Source):
    """Images `{No_findings,Pneumonia}/<patient>_<number>.png`."""

    mirrored = (FOLDER,)
    alone = True

    @property
    def collection(self) -> str:
        """The subset keeps the patients' numbers."""
        return "nih"

    def candidates(self) -> pd.DataFrame:
        """List the images; age, sex, view and labels come from NIH's own table if `entries` is."""
        folder = self.folder / "images"
        listed = list_images(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        if listed.empty:
            raise InputError(
                f"{folder} holds no images under {{{','.join(DIAGNOSES)}}}; is it the folder "
                f"'{FOLDER}' of {REPOSITORY}?"
            )
        listed["path"] = [str(folder / key) for key in listed["key"]]
        if self.options["entries"] is None:
            return listed
        known = read_entries(self.options["entries"]).drop_duplicates("name").set_index("name")
        known = known.reindex(listed["key"].map(lambda key: Path(key).name))
        listed[TABLE_COLUMNS] = known[TABLE_COLUMNS].to_numpy()
        return listed.fillna(dict.fromkeys(("subtype", "sex", "view"), ""))

    def check(self, key: str) -> None:
        """Check that the table of entries exists, where one is given."""
        if any(not file.is_file() for file in self.own_files()):
            entries = self.options["entries"]
            raise InputError(f"config key '{key}.entries': there is no file '{entries}'")

    def own_files(self) -> list[Path]:
        """Return NIH's table of entries, where one is given."""
        return [] if self.options["entries"] is None else [Path(self.options["entries"])]

    def fetch(self, folder: Path, *, select: Sequence[Where], mirror: str | None) -> None:
        """Fetch the images whose diagnosis passes a filter, each held against git's own hash.

        Names tell the diagnosis only, so conditions on other columns do not narrow what is fetched.
        """
        repository = Repository(REPOSITORY, self.options["commit"], mirror)
        listed = list_images(repository.files(FOLDER, folder))
        if listed.empty:
            raise InputError(
                f"{mirror or REPOSITORY} holds no images under {FOLDER}/{{{','.join(DIAGNOSES)}}}; "
                "correct `mirror` or the source's `commit`"
            )
        known = [{k: v for k, v in where.items() if k == "diagnosis"} for where in select]
        repository.fetch_images(FOLDER, sorted(filter_any(listed, known)["key"]), folder)


SOURCE = NIHSubset


def list_images(names: Iterable[str]) -> pd.DataFrame:
    """Return the candidates among paths below the subset's folder; `path` is the key.

    A name can stand in both folders, so the key is folder and name.
    """
    import pandas as pd

    keys = [
        name
        for name in sorted(names)
        if Path(name).parent.as_posix() in DIAGNOSES
        and Path(name).suffix == ".png"
        and not Path(name).name.startswith(".")
    ]
    return as_candidates(
        pd.DataFrame(index=range(len(keys))),
        key=keys,
        path=keys,
        diagnosis=[DIAGNOSES[Path(key).parent.name] for key in keys],
        patient_id=[nih_patient(Path(key).name) for key in keys],
        license=LICENSE,
    )
