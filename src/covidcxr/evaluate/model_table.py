"""Size of every trained model: its file and its parameters."""

import math
from collections.abc import Sequence
from pathlib import Path

import keras
import pandas as pd

from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.report.formats import table_of
from covidcxr.report.section import Section, SectionTable, write_section

BYTES_PER_MB = 1e6


def run(
    files: Sequence[str | Path],
    table: str | Path,
    section: str | Path,
    *,
    models: Sequence[tuple[str, str]],
) -> None:
    """Write `models.csv`: backbone, augmentation, size_mb, parameters, trainable_parameters.

    Parameters
    ----------
    files
        A complete model (`.keras`) of each of `models`. Those of all folds are of one size, so one
        of them stands for all.
    models
        Backbone and augmentation of each, in the order of the rows.
    table
        CSV to write. `size_mb` is the file's size in megabytes of 1e6 bytes; `parameters` counts
        all weights, `trainable_parameters` those that training changes.

    section
        Section of the report to write.

    Raises
    ------
    InputError
        If a file is missing or is no Keras model.
    """
    rows = [
        {"backbone": backbone, "augmentation": augmentation, **model_size(path)}
        for (backbone, augmentation), path in zip(models, files, strict=True)
    ]
    found = pd.DataFrame(rows)
    write_table(found, table)
    caption = "Size of a single fold's model in MB of 1e6 bytes, and its parameters."
    write_section(
        section,
        Section(
            ident="models",
            title="Size of the models",
            part="methods",
            folded=True,
            tables=(SectionTable("models", caption, table_of(found)),),
        ),
    )


def model_size(path: str | Path) -> dict[str, float | int]:
    """Return size_mb, parameters and trainable_parameters of a model file."""
    try:
        model = keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable Keras model: {error}; train it again") from error
    return {
        "size_mb": Path(path).stat().st_size / BYTES_PER_MB,
        "parameters": int(model.count_params()),
        "trainable_parameters": sum(
            math.prod(variable.shape) for variable in model.trainable_variables
        ),
    }
