"""Chest phantoms that the package draws (`covidcxr.data.phantoms`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.data.source import NUMBERS, TEXTS, Source, as_candidates

if TYPE_CHECKING:
    import pandas as pd


class Phantoms(Source):
    """Images, masks and the table that `covidcxr.data.phantoms` writes."""

    place = "made"

    def candidates(self) -> pd.DataFrame:
        """List the phantoms."""
        from covidcxr.data.tables import read_table

        table = self.folder / "metadata.csv"
        rows = read_table(table, ["filename", *sorted(set(TEXTS) - {"site"}), *NUMBERS], NUMBERS)
        paths = [str(self.folder / "images" / name) for name in rows["filename"]]
        return as_candidates(rows, key=rows["filename"], path=paths)

    def lung_mask(self, path: str) -> Path:
        """Return the mask beside the image."""
        return self.folder / "images/masks" / f"{Path(path).stem}_lung.png"


SOURCE = Phantoms
