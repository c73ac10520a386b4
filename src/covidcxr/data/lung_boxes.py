"""Boxes around the lungs of the COVID-19 Image Data Collection, drawn by radiologists (CC BY 4.0).

github.com/GeneralBlockchain/covid-19-chest-xray-lung-bounding-boxes-dataset, kept by the collection
as `annotations/imageannotation_ai_lung_bounding_boxes.json` (COCO format, pixels of the original
images).
"""

import json
import logging
from pathlib import Path

import numpy as np

from covidcxr.data.covid_metadata import MIRROR_FOLDER, REPOSITORY
from covidcxr.data.download import JSON, NotFoundError, fetch, fetch_from_mirror
from covidcxr.data.lung_shape import Boxes
from covidcxr.data.repository import RAW
from covidcxr.errors import InputError
from covidcxr.files import atomic

log = logging.getLogger("covidcxr")

FOLDER = "annotations"
FILE = "imageannotation_ai_lung_bounding_boxes.json"
MIRROR_FILES = (FILE, "lung_bounding_boxes.json")
LUNGS = {"right lung": 0, "left lung": 1}
"""The patient's right lung is on the viewer's left."""


def fetch_lung_boxes(output: str | Path, *, commit: str, mirror: str | None = None) -> None:
    """Fetch the boxes at a commit of the collection's repository, or from a mirror.

    A collection without boxes is no error: a file without annotations is written, and the lungs of
    its films are estimated as those of any other.

    Raises
    ------
    InputError
        If the boxes exist and cannot be had.
    """
    try:
        if mirror is not None:
            places = [(MIRROR_FOLDER, FOLDER, name) for name in MIRROR_FILES]
            fetch_from_mirror(mirror, places, output, expect=JSON)
        else:
            fetch(f"{RAW}/{REPOSITORY}/{commit}/{FOLDER}/{FILE}", output, expect=JSON)
    except NotFoundError as error:
        log.warning("no boxes of lungs: %s; the lungs are estimated", error)
        with atomic(output) as temporary:
            temporary.write_text('{"images": [], "annotations": [], "categories": []}\n')


def read_lung_boxes(path: str | Path) -> dict[str, Boxes]:
    """Read the boxes, by file name; a row of NaN where one lung is not told.

    Raises
    ------
    InputError
        If the file is not in COCO format.
    """
    try:
        content = json.loads(Path(path).read_text())
        lung = {c["id"]: LUNGS.get(c["name"].lower()) for c in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        found: dict[str, Boxes] = {}
        for annotation in content["annotations"]:
            side, image = lung[annotation["category_id"]], images[annotation["image_id"]]
            if side is None:
                continue
            x, y, width, height = annotation["bbox"]
            boxes = found.setdefault(image["file_name"], np.full((2, 4), np.nan))
            scale = np.array([image["width"], image["height"]] * 2, float)
            boxes[side] = np.array([x, y, x + width, y + height]) / scale
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not hold lung boxes in COCO format ({error!r}): delete it to fetch it"
        ) from error
    return found
