"""Images of one's own, listed in a table."""

import unicodedata
from functools import lru_cache
from pathlib import Path, PureWindowsPath

import pandas as pd

from covidcxr.data.fingerprint import fingerprint_files
from covidcxr.data.source import NUMBERS, TEXTS, Source, as_candidates
from covidcxr.data.spreadsheet import numbers, plain, read_spreadsheet, refuse_rows
from covidcxr.errors import InputError
from covidcxr.files import is_there
from covidcxr.logs import log

REQUIRED = ["path", "label", "patient_id"]
OPTIONAL = [name for name in [*TEXTS, *NUMBERS] if name not in ("diagnosis", "patient_id")]
OLDEST = 120
"""Years."""


class Table(Source):
    """A table with `path` (relative to the table, or absolute), `label` and `patient_id`.

    Where known also `site, view, day, age, sex, subtype, license`. The label becomes the
    diagnosis. Any table that `read_spreadsheet` reads will do.
    """

    place = "own"

    @property
    def collection(self) -> str:
        """A table is known by its place."""
        return str(self._table.resolve())

    def candidates(self) -> pd.DataFrame:
        """List the images; errors name the rows."""
        rows = self._rows()
        for column in REQUIRED:
            refuse_rows(rows[column] == "", self._table, f"{column} is empty")
        self._warn_of_alike_patients(rows["patient_id"])
        problem = "path {} names an image that an earlier row names"
        refuse_rows(rows["path"].duplicated(), self._table, problem, rows["path"])
        if "age" in rows:
            rows["age"] = numbers(rows["age"], self._table, 0, OLDEST)
        if "day" in rows:
            rows["day"] = numbers(rows["day"], self._table)
        paths = [str(self._locate(name)) for name in rows["path"]]
        return as_candidates(rows, key=rows["path"], path=paths, diagnosis=rows["label"])

    def check(self, key: str) -> None:
        """Check that the table can be read."""
        if not self._table.is_file():
            raise InputError(
                f"config key '{key}.table': there is no file '{self._table}' (looked for "
                f"{self._table.absolute()}; paths in the configuration start from the folder in "
                "which the workflow is run)"
            )
        self.candidates()

    def own_files(self) -> list[Path]:
        """Return the table."""
        return [self._table]

    def fingerprint(self, cache: Path) -> str:
        """Return a digest of the table and of all images that it names."""
        named = sorted(set(self._rows()["path"]) - {""})
        return fingerprint_files(
            [("", self._table), *((name, self._locate(name)) for name in named)], cache
        )

    @property
    def _table(self) -> Path:
        return Path(self.options["table"])

    def _warn_of_alike_patients(self, patients: "pd.Series[str]") -> None:
        """Tell ids that may be one patient, who would stand on both sides of the split."""
        ids = pd.Series(sorted(set(patients)))
        shaped = ids.map(lambda name: plain(name).lstrip("0"))
        for _, same in ids[shaped.duplicated(keep=False)].groupby(shaped):
            log.warning(
                "%s: are the patients %s one? They differ in case, signs or leading zeros only",
                self._table,
                ", ".join(map(repr, same)),
            )

    def _rows(self) -> pd.DataFrame:
        try:
            version = self._table.stat().st_mtime_ns
        except OSError:
            version = 0
        return _read(self._table, version).copy()

    def _locate(self, name: str) -> Path:
        """Return where an image lies: as written, else as Windows or another system writes it."""
        folder = self._table.parent
        if name.isascii() and "\\" not in name:
            return folder / name
        spellings = [name, PureWindowsPath(name).as_posix()]
        spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
        found = (folder / spelling for spelling in spellings if is_there(folder / spelling))
        return next(found, folder / name)


SOURCE = Table


@lru_cache(maxsize=8)
def _read(table: Path, _version: int) -> pd.DataFrame:
    """Read a table once, not for each check, digest and list of it; once more when it changed."""
    return read_spreadsheet(table, REQUIRED, OPTIONAL)
