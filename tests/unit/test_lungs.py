"""The lung region: where it comes from, that it follows the framing, how well it agrees."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data import images, lungs, phantoms
from covidcxr.data.lung_shape import (
    FRAME,
    estimate_boxes,
    estimate_lungs,
    lung_region,
    window_around,
)
from covidcxr.data.phantoms import NORMAL, render, sample_patient
from covidcxr.data.source import open_source
from covidcxr.data.sources.covid_chestxray import read_lung_boxes
from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.errors import InputError
from tests.unit.regions import filled_boxes, overlap

COLLECTION = Path(__file__).parents[3] / "shared/data/covid-chestxray-dataset"
TWO = np.array([[0.1, 0.1, 0.45, 0.8], [0.55, 0.12, 0.9, 0.85]])


def manifest_of(rows: list[tuple[str, str]], folder: Path) -> Path:
    """Write a manifest of (source, path)."""
    table = pd.DataFrame(dict.fromkeys(MANIFEST_COLUMNS, ""), index=range(len(rows)))
    table["source"], table["path"] = [s for s, _ in rows], [p for _, p in rows]
    table["image_id"] = [f"{s}-{Path(p).stem}" for s, p in rows]
    table["site"] = table["source"]
    table["label"], table["sha256"] = "any", "0" * 64
    table["patient_id"] = table["source"] + ":" + table["image_id"]
    table.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def coco(folder: Path, name: str, *, size: tuple[int, int], boxes: dict[int, list[float]]) -> Path:
    content = {
        "categories": [{"id": 1, "name": "Right Lung"}, {"id": 2, "name": "Left Lung"}],
        "images": [{"id": 7, "file_name": name, "width": size[0], "height": size[1]}],
        "annotations": [
            {"image_id": 7, "category_id": category, "bbox": box} for category, box in boxes.items()
        ],
    }
    (folder / "lung_boxes.json").write_text(json.dumps(content))
    return folder / "lung_boxes.json"


SOURCES: dict[str, dict[str, Any]] = {
    "phantoms": {"type": "phantom"},
    "covid": {"type": "covid_chestxray"},
    "adults": {"type": "csv"},
}


def test_each_image_gets_the_best_known_region_in_the_manifests_order(tmp_path):
    settings = {"patients": {NORMAL: 1}, "image_size": 128, "difficulty": 0.5, "mark": ""}
    phantoms.run(tmp_path / "phantoms", settings=settings, seed=3)
    drawn = next((tmp_path / "phantoms/images").glob(f"{NORMAL}*.png"))
    film = cv2.imread(str(drawn), cv2.IMREAD_GRAYSCALE)
    for name in ("boxed.png", "unboxed.png", "other.png"):
        cv2.imwrite(str(tmp_path / name), film)
    (tmp_path / "covid").mkdir()
    coco(
        tmp_path / "covid",
        "boxed.png",
        size=(1000, 500),
        boxes={1: [100, 50, 350, 350], 2: [550, 60, 350, 365]},
    )
    manifest = manifest_of(
        [
            ("adults", str(tmp_path / "other.png")),
            ("covid", str(tmp_path / "boxed.png")),
            ("phantoms", str(drawn)),
            ("covid", str(tmp_path / "unboxed.png")),
        ],
        tmp_path,
    )
    images.run(manifest, tmp_path / "images.npy", size=64)
    lungs.run(
        manifest,
        tmp_path / "images.npy",
        [tmp_path / "covid", tmp_path / "phantoms"],
        tmp_path / "lungs.npy",
        tmp_path / "lungs.csv",
        sources=SOURCES,
    )
    regions, table = np.load(tmp_path / "lungs.npy"), pd.read_csv(tmp_path / "lungs.csv")
    stored = np.load(tmp_path / "images.npy")
    assert regions.dtype == bool
    assert table["origin"].tolist() == ["estimate", "boxes", "mask", "estimate"]
    assert np.array_equal(regions[0], estimate_lungs(stored[0]))
    assert np.array_equal(regions[1], lung_region(TWO, 64))
    truth = cv2.imread(str(drawn.parent / "masks" / f"{drawn.stem}_lung.png"), 0)
    # Reference: 128 to 64 pixels by majority of each block of four.
    majority = truth.reshape(64, 2, 64, 2).astype(float).mean(axis=(1, 3)) >= 127.5
    assert np.array_equal(regions[2], majority)
    assert table["share"].to_numpy() == pytest.approx(regions.mean(axis=(1, 2)), abs=1e-4)


def test_missing_phantom_mask_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32), np.uint8))
    manifest = manifest_of([("phantoms", str(tmp_path / "a.png"))], tmp_path)
    images.run(manifest, tmp_path / "images.npy", size=32)
    with pytest.raises(InputError, match=r"a_lung\.png"):
        lungs.run(
            manifest,
            tmp_path / "images.npy",
            [tmp_path / "phantoms"],
            tmp_path / "lungs.npy",
            tmp_path / "lungs.csv",
            sources=SOURCES,
        )
    assert not (tmp_path / "lungs.npy").exists()


def test_boxes_are_shares_of_the_original_image_and_a_missing_lung_is_nan(tmp_path):
    file = coco(tmp_path, "film.jpg", size=(200, 400), boxes={2: [100, 100, 50, 200]})
    boxes = read_lung_boxes(file)["film.jpg"]
    assert np.isnan(boxes[0]).all()
    assert boxes[1] == pytest.approx([0.5, 0.25, 0.75, 0.75])
    region = lung_region(boxes, 80)
    assert region[:, :40].sum() == 0
    assert region.sum() > 0


def test_collection_without_boxes_is_no_error(tmp_path):
    assert open_source({"type": "covid_chestxray"}, tmp_path).lung_boxes() == {}


def test_file_of_another_shape_is_named(tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    with pytest.raises(InputError, match=r"boxes\.json"):
        read_lung_boxes(tmp_path / "boxes.json")


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8), st.integers(8, 40))
@settings(max_examples=50, deadline=None)
def test_filled_boxes_are_the_pixels_whose_centres_they_hold(sides, size):
    boxes = np.sort(np.array(sides).reshape(2, 2, 2), axis=1).reshape(2, 4)
    brute = np.zeros((size, size), bool)
    for row in range(size):
        for column in range(size):
            x, y = (column + 0.5) / size, (row + 0.5) / size
            brute[row, column] = any(
                left <= x < right and top <= y < bottom for left, top, right, bottom in boxes
            )
    assert np.array_equal(filled_boxes(boxes, size), brute)


def test_outline_touches_all_sides_of_its_box():
    region = lung_region(TWO, 400)
    for half, (left, top, right, bottom) in ((region[:, :200], TWO[0]), (region[:, 200:], TWO[1])):
        rows, columns = np.nonzero(half)
        offset = 0 if half is region[:, :200] or left < 0.5 else 200
        found = np.array([columns.min() + offset, rows.min(), columns.max() + offset, rows.max()])
        assert found == pytest.approx(np.array([left, top, right, bottom]) * 400, abs=6)


@given(st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(-0.2, 0.2))
@settings(max_examples=30, deadline=None)
def test_window_puts_both_lungs_into_the_frame_and_back(wide, high, shift):
    boxes = TWO * [wide, high, wide, high] + shift
    window = window_around(boxes)
    inside = window.inside(boxes)
    assert [*inside[:, :2].min(axis=0), *inside[:, 2:].max(axis=0)] == pytest.approx(FRAME)
    assert window.outside(inside) == pytest.approx(boxes)


def test_identical_regions_overlap_wholly_and_disjoint_ones_not_at_all():
    region = lung_region(TWO, 64)
    assert overlap(region, region) == 1
    assert overlap(region, ~region) == 0


def test_estimate_agrees_with_phantom_masks():
    values = []
    for number in range(12):
        patient = sample_patient(5, f"p{number}", NORMAL)
        phantom = render(patient, patient.visits[0], 160)
        values.append(overlap(estimate_lungs(phantom.image), phantom.lung_mask))
    # 0.73 was measured on 90 phantoms, to which nothing was fitted.
    assert np.mean(values) > 0.68


def test_estimate_follows_a_change_of_framing():
    patient = sample_patient(5, "framed", NORMAL)
    film = render(patient, patient.visits[0], 224).image
    small = cv2.resize(film, (160, 160), interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(small, 32, 32, 48, 16, cv2.BORDER_CONSTANT, value=0)
    expected = estimate_boxes(film) * (160 / 224) + np.array([48, 32, 48, 32]) / 224
    assert estimate_boxes(padded) == pytest.approx(expected, abs=0.06)


@pytest.mark.skipif(not COLLECTION.is_dir(), reason="needs ../shared, which is not here")
def test_estimate_agrees_with_the_radiologists_boxes():
    from covidcxr.data.decode import decode_gray
    from covidcxr.data.images import resize

    stated = read_lung_boxes(COLLECTION / "annotations/lung_bounding_boxes.json")
    assert len(stated) == 359
    names = sorted(name for name, boxes in stated.items() if not np.isnan(boxes).any())[::8]
    values = [
        overlap(
            filled_boxes(
                estimate_boxes(resize(decode_gray(COLLECTION / "images" / name), 224)), 224
            ),
            filled_boxes(stated[name], 224),
        )
        for name in names
    ]
    # 0.81 on patients left out of the fit (docs/experiments); a fixed box reaches 0.70.
    assert np.mean(values) > 0.78
