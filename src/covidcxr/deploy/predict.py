"""A trained model on new images: a table of probabilities, and where the model looked."""

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from covidcxr.array_types import Floats, Grey, Singles
from covidcxr.classify.novelty import read_reference
from covidcxr.data.decode import decode_gray
from covidcxr.data.examination import blankness
from covidcxr.data.images import resize
from covidcxr.deploy.request import (
    NOTICE,
    NOTICE_FILE,
    OVERLAYS,
    TABLE,
    Request,
    printable,
    remedy,
    saved_by,
)
from covidcxr.deploy.severity import Reading, SeverityReader, draw_zones, open_reader
from covidcxr.errors import InputError
from covidcxr.explain.drawing import Look, overlay
from covidcxr.files import atomic
from covidcxr.logs import log, progress

BATCH = 16
LONGER_SIDE = 1024
"""Of an overlay, in pixels at most."""

STRIP = 44
"""Height of the strip of text under an overlay, in pixels."""

LONGEST_NAME = 100
"""Bytes of an image's name that an overlay's name keeps."""

MADE_BY = "covidcxr predict"
"""Stands in the file of an overlay, so that none is taken for an image."""


@dataclass
class Outcome:
    """What became of the files: how many got which class, name a problem, are unlike training."""

    classes: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    unlike: int = 0
    stopped: bool = False


@dataclass(frozen=True)
class Network:
    """A loaded model.

    Attributes
    ----------
    size
        Side of its images, in pixels.
    run
        uint8 [n, size, size] -> probabilities float32 [members, n, classes]; heat maps of the
        predicted classes float32 [n, size, size], None without; and `Reference.novelty` [n], None
        where the model holds no reference.
    severity
        Side of the images that severity is read off, and what reads it; None without.
    """

    size: int
    run: Callable[[Grey], tuple[Singles, Singles | None, Floats | None]]
    severity: tuple[int, Callable[[Grey], list[Reading]]] | None = None


def predict(
    request: Request, *, heatmaps: bool = True, threads: int = 2, look: Look | None = None
) -> Outcome:
    """Classify images, write `predictions.csv`, `NOTICE.txt` and overlays in `heatmaps/`.

    Images are decoded and scaled by the functions that the workflow uses. The members of an
    ensemble vote by their mean probability. An overlay shows Grad-CAM for the predicted class.

    The table has a row for each file, written as soon as it is known: file, predicted,
    p_<class>..., spread (standard deviation over the members of the probability of the predicted
    class; empty for one), novelty (distance to the training images; above 1 the image is unlike
    all of them; empty for a model that does not know), heatmap (path in the folder), problem (why
    there is no prediction or no overlay, else empty); with a model of severity also what
    `SeverityReader.columns` names. An interruption (Ctrl-C) keeps the rows written so far.

    Parameters
    ----------
    heatmaps
        Write overlays.
    threads
        Processor threads.
    look
        Of the overlays.

    Raises
    ------
    InputError
        The model cannot be loaded or does not fit the classes, or the table cannot be written.
    """
    log.info("%s", NOTICE)
    with atomic(request.out / NOTICE_FILE) as temporary:
        temporary.write_text(NOTICE + "\n", encoding="utf-8")
    # Without any image to predict, TensorFlow need not be loaded.
    readable = any(_decode(*file)[0] is not None for file in request.files)
    severity = open_reader(request.severity) if request.severity else None
    network = load_network(request, heatmaps, threads) if readable else None
    if network and severity:
        network = replace(network, severity=(severity.saved.size, severity.load()))
    outcome = Outcome()
    shutil.rmtree(request.out / OVERLAYS, ignore_errors=True)
    with _rows(request, severity) as write, progress(total=len(request.files), unit="image") as bar:
        try:
            for first in range(0, len(request.files), BATCH):
                for record in _records(request, network, first, look or Look()):
                    write(record)
                    outcome.problems += bool(record["problem"])
                    if "predicted" in record:
                        outcome.classes[str(record["predicted"])] += 1
                    outcome.unlike += float(str(record.get("novelty", 0))) > 1
                    bar.update()
        except KeyboardInterrupt:
            outcome.stopped = True
        except OSError as error:
            reason = f"{request.out / TABLE} cannot be written: {error.strerror}"
            raise InputError(f"{reason}; the rows written so far stay") from error
    if outcome.unlike:
        log.warning(
            "%d of %d images are unlike all training images (column `novelty` above 1, as 1 in 100 "
            "of their kind has by chance): what is predicted of them means nothing",
            outcome.unlike,
            outcome.classes.total(),
        )
    return outcome


def load_network(request: Request, heatmaps: bool, threads: int) -> Network:
    """Load a model.

    Raises
    ------
    InputError
        It cannot be loaded, has another number of classes, takes other images, or Grad-CAM cannot
        explain it.
    """
    import keras

    from covidcxr.explain.gradcam import build_explainer, explain, member_outputs
    from covidcxr.explain.measures import upsample
    from covidcxr.runtime import configure

    configure(threads=threads, seed=0)
    file, classes = request.model, request.classes
    try:
        model = keras.models.load_model(file, compile=False)
    # Keras raises what its layers raise: a damaged archive can do anything.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{file} cannot be loaded: {remedy(saved_by(file))} ({reason})") from error
    reference = read_reference(file)
    image, scores = model.inputs[0], model.outputs[0]
    if scores.shape[-1] != len(classes):
        raise InputError(
            f"{file} has {scores.shape[-1]} outputs, but {len(classes)} classes are named"
        )
    shape = image.shape[1:]
    size = shape[0]
    if len(shape) != 3 or size is None or size != shape[1] or shape[2] not in (None, 1):
        raise InputError(f"{file} takes {shape}, no square images of one channel in 0..255")
    if heatmaps:
        try:
            explainer = build_explainer(model)
        except InputError as error:
            raise InputError(f"{file}: {error}; predict with --no-heatmaps") from error

        def explained(pixels: Grey) -> tuple[Singles, Singles, Floats | None]:
            found = explain(explainer, pixels)
            novelty = reference.novelty(found.pooled) if reference else None
            return found.probabilities, upsample(found.maps.mean(axis=0), size), novelty

        return Network(size, explained)
    outputs = member_outputs(model)
    pooled = [model.get_layer("pooled").output] if reference else []
    members = keras.Model(image, [*outputs, *pooled])

    def scored(pixels: Grey) -> tuple[Singles, None, Floats | None]:
        found = members.predict_on_batch(pixels[..., None])
        found = found if isinstance(found, list) else [found]
        novelty = reference.novelty(found[-1]) if reference else None
        return np.array(found[: len(outputs)]), None, novelty

    return Network(size, scored)


def draw_overlay(
    gray: Grey, heat: Singles, text: str, look: Look, reading: Reading | None = None
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
    reading
        Severity of the image, whose zones are drawn.
    """
    height, width = gray.shape
    scale = min(1.0, LONGER_SIDE / max(height, width))
    # The strip's text needs some width, however small the image.
    scale = max(scale, 320 / width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = cv2.resize(gray, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    larger = cv2.resize(heat, shape, interpolation=cv2.INTER_LINEAR)
    rgb = 255 * overlay(np.asarray(shown, np.uint8), np.asarray(larger), look)
    picture = Image.new("RGB", (shape[0], shape[1] + STRIP), "black")
    picture.paste(Image.fromarray(np.rint(rgb).astype(np.uint8)))
    if reading:
        draw_zones(picture, shape[1], reading)
        text = f"{text}  {reading.text}"
    draw = ImageDraw.Draw(picture)
    for below, size, words in ((4, 16, text), (25, 13, "Grad-CAM. No medical device.")):
        draw.text((8, shape[1] + below), words, "white", ImageFont.load_default(size))
    return picture


@contextmanager
def _rows(
    request: Request, severity: SeverityReader | None
) -> Iterator[Callable[[dict[str, object]], None]]:
    """Give a function that writes a row of the table to the disk at once."""
    scores = [f"p_{name}" for name in request.classes]
    with (request.out / TABLE).open("w", newline="", encoding="utf-8") as file:
        columns = ["file", "predicted", *scores, "spread", "novelty"]
        columns += [*(severity.columns if severity else []), "heatmap", "problem"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        file.flush()

        def write(record: dict[str, object]) -> None:
            writer.writerow(record)
            file.flush()

        yield write


def _records(
    request: Request, network: Network | None, first: int, look: Look
) -> Iterator[dict[str, object]]:
    """Yield the row of each of a batch of files, from number `first`."""
    chunk = request.files[first : first + BATCH]
    decoded = [_decode(*file) for file in chunk]
    grays = [gray for gray, _ in decoded if gray is not None]
    scores, heats, novelty = np.empty((0, 0, 0), np.float32), None, None
    readings: list[Reading] = []
    if network is not None and grays:
        scores, heats, novelty = network.run(
            np.array([resize(gray, network.size) for gray in grays])
        )
        if network.severity:
            side, read = network.severity
            readings = read(np.array([resize(gray, side) for gray in grays]))
    place = 0
    for k, ((file, _), (gray, problem)) in enumerate(zip(chunk, decoded, strict=True)):
        record: dict[str, object] = {"file": printable(file), "problem": problem}
        if gray is not None:
            record |= _scores(scores[:, place], request.classes)
            if novelty is not None:
                record["novelty"] = float(novelty[place])
            reading = readings[place] if readings else None
            record |= reading.values if reading else {}
            if heats is not None:
                name = f"{OVERLAYS}/{first + k:05d}_{_short(file)}.png"
                best = str(record["predicted"])
                text = f"{best} {record[f'p_{best}']:.2f}"
                try:
                    _save(draw_overlay(gray, heats[place], text, look, reading), request.out / name)
                    record["heatmap"] = name
                # Whatever hinders an overlay, the prediction stands.
                except Exception as error:
                    record["problem"] = f"{printable(file)} has no overlay: {error}"
            place += 1
        if record["problem"]:
            log.warning("%s", record["problem"])
        yield record


def _decode(file: Path, problem: str) -> tuple[Grey | None, str]:
    """Return the image and no problem, or no image and what the problem is."""
    if problem:
        return None, problem
    name = printable(file)
    try:
        if _is_overlay(file):
            return None, f"{name} is an overlay of an earlier prediction"
        gray = decode_gray(file)
    except InputError as error:
        return None, printable(str(error))
    # Any error of the system at one image sets that image aside.
    except Exception as error:
        return None, f"{name} cannot be read: {error}"
    blank = blankness(gray)
    return (None, f"{name} is blank: {blank}") if blank else (gray, "")


def _is_overlay(file: Path) -> bool:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return image.info.get("Software") == MADE_BY
    except Exception:
        return False


def _save(picture: Image.Image, path: Path) -> None:
    made_by = PngInfo()
    made_by.add_text("Software", MADE_BY)
    with atomic(path) as temporary:
        picture.save(temporary, pnginfo=made_by)


def _short(file: Path) -> str:
    """Return an image's name as part of another's: no longer than a file system takes."""
    stem = printable(file.stem).replace("\\", "_").encode()
    return stem[:LONGEST_NAME].decode(errors="ignore")


def _scores(members: Singles, classes: tuple[str, ...]) -> dict[str, object]:
    """Return predicted, p_<class>... and spread of one image; `members` is [members, classes]."""
    mean = members.mean(axis=0)
    best = int(mean.argmax())
    return {
        "predicted": classes[best],
        **{f"p_{name}": float(value) for name, value in zip(classes, mean, strict=True)},
        "spread": float(members[:, best].std()) if len(members) > 1 else "",
    }
