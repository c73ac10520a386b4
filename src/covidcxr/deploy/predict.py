"""A trained model on new images: a table of probabilities, and where the model looked."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from covidcxr.classify.card import ModelCard, read_card
from covidcxr.data.decode import decode_gray
from covidcxr.data.dicom import SUFFIXES as DICOM_SUFFIXES
from covidcxr.data.dicom import is_dicom
from covidcxr.data.examination import blankness
from covidcxr.data.images import resize
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.explain.committee import build_committee, consult
from covidcxr.explain.fig6_gradcam import overlay
from covidcxr.explain.gradcam import BATCH
from covidcxr.explain.maps import upsample
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure

log = logging.getLogger("covidcxr")

NOTICE = (
    "No medical device. Not for diagnosis, triage or any decision on a patient: these models learn "
    "the age, source and framing of their training films as readily as disease."
)
SUFFIXES = (".png", ".jpg", ".jpeg", *DICOM_SUFFIXES)
"""Files of a folder that are taken for images; so are DICOM files without a suffix."""

LONGER_SIDE = 1024
"""Of an overlay, in pixels at most."""

STRIP = 44
"""Height of the strip of text under an overlay, in pixels."""


@dataclass(frozen=True)
class Predictor:
    """Models that predict together.

    Attributes
    ----------
    files
        Their `.keras` files.
    classes
        Class names, in the order of the models' outputs.
    """

    files: tuple[Path, ...]
    classes: tuple[str, ...]


def find_models(model: str | Path) -> list[Path]:
    """Return the `.keras` file given, or those in the folder given, sorted.

    Raises
    ------
    InputError
        There is none.
    """
    model = Path(model)
    if model.is_file():
        return [model]
    found = sorted(model.glob("*.keras"))
    if not found:
        raise InputError(
            f"{model} is neither a .keras file nor a folder of them; models of a run stand in "
            "results/<run>/models/<backbone>/<augmentation>"
        )
    return found


def find_images(places: Sequence[str | Path]) -> list[Path]:
    """Return the files given, and from folders, at any depth, those that look like images.

    Raises
    ------
    InputError
        A place does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for place in map(Path, places):
        if place.is_dir():
            found += sorted(
                path
                for path in place.rglob("*")
                if path.is_file()
                and not path.name.startswith(".")
                and (path.suffix.lower() in SUFFIXES or (not path.suffix and is_dicom(path)))
            )
        elif place.exists():
            found.append(place)
        else:
            raise InputError(f"there is no file or folder {place}")
    if not found:
        raise InputError(f"no image ({', '.join(SUFFIXES)}) in {', '.join(map(str, places))}")
    return list(dict.fromkeys(found))


def describe(model: str | Path, classes: Sequence[str] | None = None) -> Predictor:
    """Find models and the names of their classes.

    Parameters
    ----------
    model
        See `find_models`.
    classes
        Names to use for models that do not tell theirs.

    Raises
    ------
    InputError
        There is no model; models tell no names or different ones.
    """
    files = find_models(model)
    cards: list[ModelCard | None] = [read_card(file) for file in files]
    told = {card.classes for card in cards if card is not None}
    if len(told) > 1:
        raise InputError(f"the models in {model} have different classes: {sorted(told)}")
    if None in cards and classes is None:
        nameless = files[cards.index(None)]
        raise InputError(
            f"{nameless} does not tell the names of its classes; give them in the order of its "
            "outputs, the order of `classes:` in its configuration (--classes covid,normal,...)"
        )
    names = told.pop() if told else tuple(classes or ())
    if classes is not None and tuple(classes) != names:
        raise InputError(f"the models of {model} have the classes {', '.join(names)}")
    return Predictor(tuple(files), names)


def predict(
    model: str | Path,
    images: Sequence[str | Path],
    output: str | Path,
    *,
    classes: Sequence[str] | None = None,
    heatmaps: bool = True,
    threads: int = 2,
    colormap: str = "jet",
    opacity: float = 0.45,
) -> pd.DataFrame:
    """Classify images, write `predictions.csv`, `NOTICE.txt` and overlays in `heatmaps/`.

    Images are decoded and scaled by the functions that the workflow uses. Several models vote by
    their mean probability. An overlay shows Grad-CAM for the predicted class.

    Parameters
    ----------
    model
        A `.keras` file or a folder of the folds' models.
    images
        Files and folders, see `find_images`.
    output
        Folder to write.
    classes
        See `describe`.
    heatmaps
        Write overlays.
    threads
        Processor threads.
    colormap, opacity
        Of the overlays.

    Returns
    -------
    DataFrame
        As written: file, predicted, p_<class>..., spread (standard deviation over the models of the
        probability of the predicted class; empty for one model), heatmap (path in `output`),
        problem (why a file has no prediction, else empty).

    Raises
    ------
    InputError
        Models or images are missing, or the models cannot be loaded or do not fit the classes.
    """
    output = Path(output)
    files = find_images(images)
    predictor = describe(model, classes)
    configure(threads=threads, seed=0)
    networks = [_load(file, len(predictor.classes)) for file in predictor.files]
    if len({network.input_shape[1] for network in networks}) > 1:
        raise InputError(f"the models in {model} take images of different sizes; give one of them")
    committee = build_committee(networks)
    size = networks[0].input_shape[1]
    log.info("%s", NOTICE)
    log.info("%d file(s), %d model(s)", len(files), committee.size)
    records: list[dict[str, object]] = []
    with progress(total=len(files), unit="image") as bar:
        for start in range(0, len(files), BATCH):
            chunk = files[start : start + BATCH]
            decoded = [_decode(file) for file in chunk]
            readable = [k for k, (gray, _) in enumerate(decoded) if gray is not None]
            results = {}
            if readable:
                pixels = np.array([resize(gray, size) for gray, _ in decoded if gray is not None])
                verdict = consult(committee, pixels)
                heats = upsample(verdict.maps.mean(axis=0), size)
                for place, k in enumerate(readable):
                    results[k] = (verdict.probabilities[:, place], heats[place])
            for k, file in enumerate(chunk):
                gray, problem = decoded[k]
                record: dict[str, object] = {"file": str(file), "problem": problem}
                if gray is None:
                    log.warning("%s", problem)
                else:
                    members, heat = results[k]
                    record |= _scores(members, predictor.classes)
                    if heatmaps:
                        name = f"heatmaps/{start + k:05d}_{file.stem}.png"
                        text = f"{record['predicted']} {members.mean(axis=0).max():.2f}"
                        picture = draw_overlay(gray, heat, text, colormap, opacity)
                        with atomic(output / name) as temporary:
                            picture.save(temporary)
                        record["heatmap"] = name
                records.append(record)
                bar.update()
    scores = [f"p_{name}" for name in predictor.classes]
    table = pd.DataFrame(
        records, columns=["file", "predicted", *scores, "spread", "heatmap", "problem"]
    )
    write_table(table, output / "predictions.csv")
    with atomic(output / "NOTICE.txt") as temporary:
        temporary.write_text(NOTICE + "\n")
    return table


def draw_overlay(
    gray: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.float32],
    text: str,
    colormap: str,
    opacity: float,
) -> Image.Image:
    """Lay a heat map over an image in its own proportions, a strip of text below.

    Parameters
    ----------
    gray
        uint8 [height, width].
    heat
        [size, size] in [0, 1], over the whole image.
    text
        Stands in the strip, before the notice.
    """
    height, width = gray.shape
    scale = min(1.0, LONGER_SIDE / max(height, width))
    # The strip's text needs some width, however small the image.
    scale = max(scale, 320 / width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = cv2.resize(gray, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    larger = cv2.resize(heat, shape, interpolation=cv2.INTER_LINEAR)
    rgb = np.rint(
        255 * overlay(np.asarray(shown, np.uint8), np.asarray(larger), colormap, opacity)
    ).astype(np.uint8)
    picture = Image.new("RGB", (shape[0], shape[1] + STRIP), "black")
    picture.paste(Image.fromarray(rgb))
    draw = ImageDraw.Draw(picture)
    draw.text((8, shape[1] + 4), text, "white", ImageFont.load_default(16))
    draw.text(
        (8, shape[1] + 25), "Grad-CAM. No medical device.", "white", ImageFont.load_default(13)
    )
    return picture


def _load(file: Path, classes: int) -> keras.Model:
    try:
        model: keras.Model = keras.models.load_model(file, compile=False)
    # Keras raises what its layers raise: a damaged archive can do anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{file} cannot be loaded as a Keras model: {reason}") from error
    outputs = model.output_shape[-1]
    if outputs != classes:
        raise InputError(f"{file} has {outputs} outputs, but {classes} classes are named")
    return model


def _decode(file: Path) -> tuple[npt.NDArray[np.uint8] | None, str]:
    """Return the image and no problem, or no image and what the problem is."""
    try:
        gray = decode_gray(file)
    except InputError as error:
        return None, str(error)
    blank = blankness(gray)
    return (None, f"{file} is blank: {blank}") if blank else (gray, "")


def _scores(members: npt.NDArray[np.float32], classes: Sequence[str]) -> dict[str, object]:
    """Return predicted, p_<class>... and spread of one image; `members` is [models, classes]."""
    mean = members.mean(axis=0)
    best = int(mean.argmax())
    return {
        "predicted": classes[best],
        **{f"p_{name}": float(value) for name, value in zip(classes, mean, strict=True)},
        "spread": float(members[:, best].std()) if len(members) > 1 else None,
    }
