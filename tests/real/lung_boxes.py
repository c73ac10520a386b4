"""Fit the estimate of where lungs lie to the boxes in ../shared; measure it on patients left out.

Run from the repository's root: `python -m tests.real.lung_boxes` measures, with `--write` it also
writes `src/covidcxr/data/lung_boxes.npz`.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from covidcxr.data import phantoms
from covidcxr.data.decode import decode_gray
from covidcxr.data.images import resize
from covidcxr.data.lung_shape import (
    Boxes,
    BoxRegression,
    Picture,
    box_regression,
    coarse_picture,
    estimate_boxes,
    lung_region,
    window_around,
)
from covidcxr.data.sources.covid_chestxray import read_lung_boxes
from covidcxr.seeding import generator
from tests.unit.regions import filled_boxes, overlap

COLLECTION = Path("../shared/data/covid-chestxray-dataset")
STORED = Path("src/covidcxr/data/lung_boxes.npz")
SIZE = 224
COPIES = 20
ORIGINALS = 4  # weight of the film itself beside its copies
PENALTY = 0.5  # ridge penalty per film
Sample = tuple[Picture, Boxes]


def read_samples() -> tuple[list[Sample], list[str]]:
    """Read the films with both lungs boxed, and the patient of each."""
    table = pd.read_csv(COLLECTION / "metadata.csv", dtype=str).drop_duplicates("filename")
    patient = table.set_index("filename")["patientid"]
    boxes = read_lung_boxes(COLLECTION / "annotations/lung_bounding_boxes.json")
    names = sorted(name for name, found in boxes.items() if not np.isnan(found).any())
    films = [resize(decode_gray(COLLECTION / "images" / name), SIZE) for name in names]
    return list(zip(films, (boxes[name] for name in names), strict=True)), [
        patient.get(name, name) for name in names
    ]


def moved(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a film under another framing, mirrored half of the time, of another exposure."""
    film, boxes = sample
    size = np.clip(rng.uniform(0.8, 1.4) * rng.uniform(0.92, 1.08, 2), 0.75, 1.4)
    corner = 0.5 + rng.uniform(-0.1, 0.1, 2) - size / 2
    matrix = np.array(
        [
            [1 / size[0], 0, -corner[0] * SIZE / size[0]],
            [0, 1 / size[1], -corner[1] * SIZE / size[1]],
        ]
    )
    border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REPLICATE
    film = cv2.warpAffine(film, matrix, (SIZE, SIZE), flags=cv2.INTER_AREA, borderMode=border)
    boxes = (boxes - np.tile(corner, 2)) / np.tile(size, 2)
    if rng.random() < 0.5:
        film = film[:, ::-1]
        boxes = boxes[::-1, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
    film = np.round(255 * (film / 255) ** rng.uniform(0.6, 1.6)).astype(np.uint8)
    return np.ascontiguousarray(film), np.clip(boxes, -0.05, 1.05)


def ridge(
    pictures: Sequence[npt.NDArray[np.float64]], boxes: Sequence[Boxes]
) -> npt.NDArray[np.float64]:
    x, y = np.array(pictures)[:, 1:], np.array(boxes).reshape(len(boxes), 8)
    fitted = Ridge(alpha=PENALTY * len(x)).fit(x, y)
    return np.concatenate([fitted.intercept_[None], fitted.coef_.T])


def fit(samples: Sequence[Sample]) -> BoxRegression:
    rng = generator(0, "lung_boxes")
    films = [
        sample
        for original in samples
        for sample in [original] * ORIGINALS + [moved(original, rng) for _ in range(COPIES)]
    ]
    whole = ridge([coarse_picture(film) for film, _ in films], [boxes for _, boxes in films])
    cropped: list[npt.NDArray[np.float64]] = []
    inside: list[Boxes] = []
    for film, boxes in films[::2]:
        # Windows as the first stage finds them: its errors are about this large.
        window = window_around(boxes + rng.normal(0, 0.03, (2, 4)))
        cropped.append(coarse_picture(window.crop(film)))
        inside.append(window.inside(boxes))
    return BoxRegression(whole, ridge(cropped, inside))


def stated(name: str, values: Sequence[float]) -> None:
    low, middle = np.percentile(values, [10, 50])
    print(f"{name}: mean {np.mean(values):.3f}, median {middle:.3f}, tenth percentile {low:.3f}")


def measure(samples: Sequence[Sample], patients: Sequence[str]) -> None:
    fitted, usual, regions = [], [], []
    for training, left_out in GroupKFold(5).split(samples, groups=patients):
        regression = fit([samples[i] for i in training])
        mean = np.mean([samples[i][1] for i in training], axis=0)
        for i in left_out:
            film, boxes = samples[i]
            found, truth = estimate_boxes(film, regression), filled_boxes(boxes, SIZE)
            fitted.append(overlap(filled_boxes(found, SIZE), truth))
            usual.append(overlap(filled_boxes(mean, SIZE), truth))
            regions.append(overlap(lung_region(found, SIZE), lung_region(boxes, SIZE)))
    print(f"{len(samples)} films of {len(set(patients))} patients, five folds by patient, IoU:")
    stated("boxes estimated, against the radiologists'", fitted)
    stated("the mean box for every film, against the same", usual)
    stated("outlines in estimated boxes, against outlines in the radiologists'", regions)


def measure_phantoms() -> None:
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        patients = {"normal": 20, "pneumonia": 20, "COVID-19": 20}
        settings = {"patients": patients, "image_size": 192, "difficulty": 0.5, "mark": ""}
        phantoms.run(folder, settings=settings, seed=1)
        values = []
        for file in sorted(images.glob("*.png")):
            mask = resize(decode_gray(images / "masks" / f"{file.stem}_lung.png"), SIZE) >= 128
            boxes = estimate_boxes(resize(decode_gray(file), SIZE))
            values.append(overlap(lung_region(boxes, SIZE), mask))
        stated(f"{len(values)} phantoms (never fitted to), region against mask, IoU", values)


if __name__ == "__main__":
    films, people = read_samples()
    measure(films, people)
    if "--write" in sys.argv:
        regression = fit(films)
        np.savez_compressed(
            STORED,
            whole=regression.whole.astype(np.float32),
            cropped=regression.cropped.astype(np.float32),
        )
        box_regression.cache_clear()
    stated(
        "the same films with the stored coefficients, which were fitted to them",
        [
            overlap(filled_boxes(estimate_boxes(film), SIZE), filled_boxes(boxes, SIZE))
            for film, boxes in films
        ],
    )
    measure_phantoms()
