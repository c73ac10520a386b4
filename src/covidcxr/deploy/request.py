"""What `covidcxr predict` is asked for, checked before TensorFlow, which takes seconds to load."""

import importlib.metadata
import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from covidcxr.classify.card import read_card
from covidcxr.environment import writable
from covidcxr.errors import InputError
from covidcxr.logs import log

NOTICE = (
    "No medical device. Not for diagnosis, triage or any decision on a patient: these models learn "
    "the age, source and framing of their training films as readily as disease."
)
TABLE, OVERLAYS, NOTICE_FILE, LOG = "predictions.csv", "heatmaps", "NOTICE.txt", "predict.log"

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of a model file of the older kind, `.h5`."""


@dataclass(frozen=True)
class Request:
    """A model, files and a folder for what is predicted of them.

    Attributes
    ----------
    model
        Its file.
    classes
        Class names, in the order of the model's outputs.
    files
        Each file, and why it cannot be read, "" where that is not known yet.
    out
        Folder to write.
    severity
        A model of severity, None without.
    """

    model: Path
    classes: tuple[str, ...]
    files: tuple[tuple[Path, str], ...]
    out: Path
    severity: Path | None = None


def check(
    model: str | Path,
    places: Sequence[str | Path],
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    severity: Path | None = None,
) -> Request:
    """Find the model, the names of its classes and the files, and see that `out` can be written.

    Parameters
    ----------
    model
        A model file, or a folder that holds one.
    places
        Files and folders. Of a folder, at any depth, every file is taken, whatever it is called,
        but for hidden ones, which are named in the log, and for what an earlier call wrote there.
    out
        Folder to write: new, empty of our names, or of an earlier call.
    classes
        Names to use for a model that does not hold its own.
    severity
        A model of severity, whose values are wanted too.

    Raises
    ------
    InputError
        Model or places are missing, the model cannot be read here or holds no class names, there
        is no file, or `out` cannot be written.
    """
    file = find_model(model)
    names = class_names(file, classes)
    if severity and not severity.is_file():
        raise InputError(f"there is no model of severity {severity}")
    out = Path(out)
    if not writable(out):
        raise InputError(f"nothing can be written to {out}; give --out another folder")
    foreign = [name for name in (TABLE, OVERLAYS, NOTICE_FILE) if (out / name).exists()]
    if foreign and not is_output(out):
        raise InputError(
            f"{out / foreign[0]} is there and not of an earlier prediction; give --out another "
            "folder"
        )
    for place in map(Path, places):
        if not (place.is_symlink() or place.exists()):
            raise InputError(f"there is no file or folder {printable(place)}")
    found = [one for place in places for one in _files(Path(place), set())]
    if not found:
        raise InputError(f"no file in {', '.join(map(printable, places))}")
    return Request(file, names, tuple(dict(found).items()), out, severity)


def find_model(model: str | Path) -> Path:
    """Return the model file given, or the one in the folder given.

    Raises
    ------
    InputError
        There is none, there are several, or Keras cannot read it here.
    """
    place = Path(model)
    found = sorted(place.glob("*.keras")) if place.is_dir() else [place]
    if len(found) > 1:
        raise InputError(
            f"{model} holds {len(found)} models; give one of them: {', '.join(map(str, found))}"
        )
    if not found or not found[0].is_file():
        raise InputError(
            f"{model} is neither a model file nor a folder that holds one; a run's models are "
            "results/<run>/models/<population>/<backbone>/<augmentation>.keras"
        )
    version = saved_by(found[0])
    if version and version.split(".")[0] < "3" and not _is_hdf5(found[0]):
        raise InputError(f"{found[0]} cannot be loaded: {remedy(version)}")
    return found[0]


def saved_by(model: Path) -> str:
    """Return the version of Keras that saved a model file, "" where it does not say.

    Raises
    ------
    InputError
        It is no model file.
    """
    try:
        if _is_hdf5(model):
            import h5py  # only files of the older kind need it

            with h5py.File(model) as file:
                return str(file.attrs.get("keras_version", ""))
        with zipfile.ZipFile(model) as archive:
            if "metadata.json" not in archive.namelist():
                raise ValueError("it holds no Keras network")
            return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    # A damaged archive can do anything.
    except Exception as error:
        raise InputError(f"{model} is no model file of Keras: {error}") from error


def remedy(version: str) -> str:
    """Say which versions of Keras saved a file and would read it, and the way out."""
    installed = importlib.metadata.version("keras")
    return (
        f"it was saved by Keras {version or '(unknown version)'}, and here is Keras {installed}. "
        f"Train it again with this version, or save it as HDF5 where it can be loaded "
        f"(`model.save('model.h5')` under Keras {version or 'that saved it'}) and give that file"
    )


def class_names(model: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Return the class names of a model file, in the order of its outputs.

    Raises
    ------
    InputError
        The file holds none and none are given, or it holds others than those given.
    """
    card = None if _is_hdf5(model) else read_card(model)
    if card is None and classes is None:
        raise InputError(
            f"{model} holds no names of its classes; give them in the order of its outputs, the "
            "order of `classes:` in its configuration (--classes covid,normal,...)"
        )
    names = tuple(classes or ()) if card is None else card.classes
    if classes is not None and tuple(classes) != names:
        raise InputError(f"{model} has the classes {', '.join(names)}")
    return names


def is_output(folder: Path) -> bool:
    """Tell whether an earlier call wrote its predictions into a folder."""
    try:
        return (folder / NOTICE_FILE).read_text(encoding="utf-8").strip() == NOTICE
    except (OSError, ValueError):
        return False


def printable(path: str | Path) -> str:
    """Return a path as text; a byte that is no UTF-8 becomes an escape, as Python writes it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(place: Path, seen: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield a file, or the files of a folder at any depth, each with why it cannot be read."""
    try:
        if not place.is_dir():
            reason = f"{printable(place)} is no file: a link to nothing, a pipe or a device"
            yield place, "" if place.is_file() else reason
            return
        content = sorted(place.iterdir())
    except OSError as error:
        yield place, f"{printable(place)} cannot be read: {error.strerror}"
        return
    # Links may lead round in a circle.
    real = str(place.resolve())
    if real in seen:
        return
    seen.add(real)
    ours = (TABLE, OVERLAYS, NOTICE_FILE, LOG) if is_output(place) else ()
    for path in content:
        if path.name.startswith("."):
            log.info("left out, as it is hidden: %s", printable(path))
        elif path.name not in ours:
            yield from _files(path, seen)


def _is_hdf5(model: Path) -> bool:
    with model.open("rb") as file:
        return file.read(len(HDF5)) == HDF5
