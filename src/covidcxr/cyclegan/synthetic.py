"""The table of the synthetic images, `synthetic.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.array_types import Integers
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError

COLUMNS = ["image_id", "path", "label", "source_image_id", "patient_id"]
"""Name (`synthetic-<source image id>`), PNG file, class, and the image that it was made from with
its patient."""


def synthetic_table(sources: pd.DataFrame, label: str, folder: Path) -> pd.DataFrame:
    """Return the table of images made from `sources` (image_id, patient_id), in their order."""
    ids = "synthetic-" + sources["image_id"]
    paths = [str(folder / f"{image_id}.png") for image_id in ids]
    made = sources.rename(columns={"image_id": "source_image_id"})
    return made.assign(image_id=ids, path=paths, label=label)[COLUMNS].reset_index(drop=True)


def read_synthetic(synthetic: str | Path, images: str | Path) -> tuple[pd.DataFrame, Integers]:
    """Read `synthetic.csv`, and find the source images in another table.

    Returns
    -------
    tuple
        The table, and for each of its rows that of the source in table `images` (by image_id).

    Raises
    ------
    InputError
        There is no synthetic image, or one names a source image that `images` lacks.
    """
    made = read_table(synthetic, [column for column in COLUMNS if column != "path"])
    if made.empty:
        raise InputError(
            f"{synthetic} lists no images, so there is nothing to show; give an augmentation "
            "`synthetic` images in the config"
        )
    names = read_table(images, ["image_id"])["image_id"]
    rows = pd.Index(names).get_indexer(made["source_image_id"])
    if (rows < 0).any():
        raise InputError(
            f"{synthetic} names the source image {made['source_image_id'][rows < 0].iloc[0]}, "
            f"which is not in {images}; make the synthetic images again"
        )
    return made, rows.astype(np.int64)
