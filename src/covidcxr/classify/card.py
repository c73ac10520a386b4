"""What a model file tells about itself: the names of its classes and how it was trained."""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from covidcxr.errors import InputError

MEMBER = "covidcxr.json"
"""Name of the card inside the `.keras` file, a zip archive of which Keras reads its own members."""


@dataclass(frozen=True)
class ModelCard:
    """What stands in a model file beside the network.

    Attributes
    ----------
    classes
        Class names, in the order of the model's outputs.
    population, backbone, augmentation, model
        What it was trained as; `model` is `fold<k>`, or `ensemble` for all folds together.
    """

    classes: tuple[str, ...]
    population: str
    backbone: str
    augmentation: str
    model: str


def add_member(model: str | Path, name: str, content: str | bytes) -> None:
    """Put a member of our own into a saved `.keras` file."""
    with zipfile.ZipFile(model, "a") as archive:
        # A fixed date keeps it from making two files of the same model differ.
        archive.writestr(zipfile.ZipInfo(name), content)


def read_member(model: str | Path, name: str) -> bytes | None:
    """Return a member of a `.keras` file, None if it holds none of this name."""
    with zipfile.ZipFile(model) as archive:
        return archive.read(name) if name in archive.namelist() else None


def add_card(model: str | Path, card: ModelCard) -> None:
    """Put a card into a saved `.keras` file."""
    add_member(model, MEMBER, json.dumps(asdict(card)))


def read_card(model: str | Path) -> ModelCard | None:
    """Return the card of a `.keras` file, None if it holds none.

    Raises
    ------
    InputError
        The file is missing or no `.keras` file.
    """
    try:
        with zipfile.ZipFile(model) as archive:
            names = archive.namelist()
            content = json.loads(archive.read(MEMBER)) if MEMBER in names else None
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(f"{model} is no .keras model file: {error}") from error
    if "config.json" not in names:
        raise InputError(f"{model} is no .keras model file: it holds no Keras network")
    if content is None:
        return None
    try:
        return ModelCard(**{**content, "classes": tuple(content["classes"])})
    except TypeError as error:
        raise InputError(
            f"{model} holds the card of another version of covidcxr: {error}"
        ) from error
