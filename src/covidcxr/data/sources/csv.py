"""Images of one's own, listed in a table."""

from pathlib import Path

import pandas as pd

from covidcxr.data.fingerprint import fingerprint_csv_source
from covidcxr.data.source import NUMBERS, Source, as_candidates
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError

REQUIRED = ["path", "label", "patient_id"]


class Table(Source):
    """A table with `path` (relative to the table, or absolute), `label` and `patient_id`.

    Where known also `view, day, age, sex, subtype, license`. The label becomes the diagnosis.
    """

    place = "own"

    @property
    def collection(self) -> str:
        """A table is known by its place."""
        return str(Path(self.options["table"]).resolve())

    def candidates(self) -> pd.DataFrame:
        """List the images; errors name the rows."""
        table = Path(self.options["table"])
        rows = read_table(table, REQUIRED, NUMBERS)
        for column in REQUIRED:
            rows[column] = rows[column].str.strip()
            _refuse(rows[column] == "", table, f"{column} is empty")
        _refuse(rows["path"].duplicated(), table, "path names an image that an earlier row names")
        paths = [str(table.parent / name) for name in rows["path"]]
        return as_candidates(rows, key=rows["path"], path=paths, diagnosis=rows["label"])

    def check(self, key: str) -> None:
        """Check that the table exists."""
        table = self.options["table"]
        if not Path(table).is_file():
            raise InputError(f"config key '{key}.table': there is no file '{table}'")

    def own_files(self) -> list[Path]:
        """Return the table."""
        return [Path(self.options["table"])]

    def fingerprint(self, cache: Path) -> str:
        """Return a digest of the table and of all images that it names."""
        return fingerprint_csv_source(self.options["table"], cache)


SOURCE = Table


def _refuse(wrong: "pd.Series[bool]", table: Path, problem: str) -> None:
    numbers = [str(int(index) + 2) for index in wrong.index[wrong]]
    if numbers:
        more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
        raise InputError(f"{table}, row {', '.join(numbers[:5])}{more}: {problem}")
