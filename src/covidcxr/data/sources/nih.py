"""NIH ChestX-ray14 (Wang et al. 2017): 42 GB, read where they lie and not fetched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.data.fingerprint import fingerprint_listing
from covidcxr.data.source import Source, as_candidates
from covidcxr.errors import InputError
from covidcxr.logs import log

if TYPE_CHECKING:
    import pandas as pd

ENTRIES = "Data_Entry_2017*.csv"
LICENSE = "free use (NIH Clinical Center)"
NAME = re.compile(r"(\d+)_\d+")
AGE = re.compile(r"(\d+)([YMWD]?)")
YEARS = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
OLDEST = 120
"""Years; the table holds ages up to 414, which are errors."""
NO_FINDING, PNEUMONIA = "No Finding", "Pneumonia"
COLUMNS = {
    "Image Index": "name",
    "Finding Labels": "subtype",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "Patient Sex": "sex",
    "View Position": "view",
}


class NIH(Source):
    """A folder with one `Data_Entry_2017*.csv`, the images anywhere below folders `images*`.

    So NIH's archives unpack, and Kaggle's.
    """

    place = "own"
    alone = True

    @property
    def collection(self) -> str:
        """The published subset keeps the patients' numbers."""
        return "nih"

    def candidates(self) -> pd.DataFrame:
        """List the images of the table that are there.

        The diagnosis of `No Finding` is `normal`, that of `Pneumonia` is `pneumonia`, any other
        stands as written, findings joined by `|`; `subtype` holds all of them. Labels were mined
        from reports. With `pneumonia: alone` only images with no other finding are `pneumonia`,
        with `any` all that name it.
        """
        folder, tables = Path(self.options["folder"]), self.own_files()
        if len(tables) != 1:
            raise InputError(
                f"{folder} holds {len(tables) or 'no'} tables {ENTRIES}, where one is needed; is "
                "it the folder of NIH ChestX-ray14?"
            )
        rows = read_entries(tables[0])
        files = {path.name: path for path in self._images()}
        present = rows["name"].isin(list(files))
        if not present.any():
            raise InputError(
                f"{folder}: of the {len(rows)} images in {tables[0].name} none lies below "
                "a folder images*; unpack NIH's images_*.tar.gz there"
            )
        if not present.all():
            log.warning(
                "%s: %d of %d images of the table are not there and are left out",
                folder,
                (~present).sum(),
                len(rows),
            )
        rows = rows[present]
        return as_candidates(
            rows,
            key=rows["name"],
            path=[str(files[name]) for name in rows["name"]],
            diagnosis=[
                nih_diagnosis(labels, self.options["pneumonia"]) for labels in rows["subtype"]
            ],
            patient_id=[nih_patient(name) for name in rows["name"]],
            license=LICENSE,
        )

    def check(self, key: str) -> None:
        """Check that the folder exists."""
        if not Path(self.options["folder"]).is_dir():
            raise InputError(
                f"config key '{key}.folder': there is no folder '{self.options['folder']}'; "
                "fetch NIH ChestX-ray14 and unpack it there (https://nihcc.app.box.com/v/ChestXray-NIHCC)"
            )

    def own_files(self) -> list[Path]:
        """Return the table of entries."""
        return sorted(Path(self.options["folder"]).glob(ENTRIES))

    def fingerprint(self, cache: Path) -> str:
        """Return a digest of the images' names and sizes; 42 GB are too much to read."""
        return fingerprint_listing(self._images())

    def _images(self) -> list[Path]:
        return sorted(
            path
            for images in Path(self.options["folder"]).glob("images*")
            if images.is_dir()
            for path in images.rglob("*.png")
        )


SOURCE = NIH


def nih_diagnosis(labels: str, pneumonia: str = "alone") -> str:
    """Reduce the labels of an image to one diagnosis, see `NIH.candidates`."""
    if labels == NO_FINDING:
        return "normal"
    if labels == PNEUMONIA or (pneumonia == "any" and PNEUMONIA in labels.split("|")):
        return "pneumonia"
    return labels


def nih_patient(name: str) -> str:
    """Return the patient in a file's name, `00000013_026.png`; the stem where it is another."""
    match = NAME.fullmatch(Path(name).stem)
    return match[1] if match else Path(name).stem


def nih_age(text: str) -> float:
    """Return an age in years, from `58` as from the older `058Y`, `013M`, `002D`; NaN if none."""
    match = AGE.fullmatch(text.strip())
    years = int(match[1]) * YEARS[match[2]] if match else float("nan")
    return years if years <= OLDEST else float("nan")


def read_entries(table: str | Path) -> pd.DataFrame:
    """Return name, subtype (the labels), age, sex and view of each image in NIH's table.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column.
    """
    from covidcxr.data.tables import read_table

    rows = read_table(table, ["Image Index", "Finding Labels", "Patient Age", "View Position"])
    rows = rows.rename(columns=COLUMNS)
    if "sex" not in rows:
        raise InputError(f"{table} has no column 'Patient Gender' or 'Patient Sex'")
    return rows.assign(age=rows["age"].map(nih_age))[["name", "subtype", "age", "sex", "view"]]
