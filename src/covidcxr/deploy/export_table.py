"""All exported models in one table, beside the published sizes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from covidcxr.data.tables import read_table, write_table

COLUMNS = (
    "n",
    "accuracy",
    "low",
    "high",
    "agreement",
    "largest_difference",
    "changed",
    "size_mb",
    "milliseconds",
)


def write_export_table(
    exported: Sequence[tuple[str, str, str, str | Path]],
    published: str | Path,
    output: str | Path,
) -> None:
    """Write `export.csv`: backbone, augmentation, model, format, the measures, published_mb.

    Parameters
    ----------
    exported
        (backbone, augmentation, model, table of `covidcxr.deploy.export_model.write_export`).
    published
        Published results with `backbone` and `size_mb`.
    """
    known = read_table(published, ["backbone", "size_mb"], ["size_mb"])
    sizes = known.dropna(subset="size_mb").drop_duplicates("backbone").set_index("backbone")
    tables = []
    for backbone, augmentation, model, path in exported:
        measured = read_table(path, ["format", *COLUMNS], COLUMNS)
        measured["published_mb"] = (
            sizes["size_mb"][backbone] if backbone in sizes.index else float("nan")
        )
        named = {"backbone": backbone, "augmentation": augmentation, "model": model}
        tables.append(measured.assign(**named)[[*named, "format", *COLUMNS, "published_mb"]])
    write_table(pd.concat(tables, ignore_index=True), output)
