"""The same image is found whatever was done to it; two visits of a patient are two images."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from covidcxr.data import same_image
from covidcxr.data.decode import decode_gray
from covidcxr.data.phantoms import DIAGNOSES, render, sample_patient
from covidcxr.data.same_image import CELLS, NEAREST, SAME, ImageIndex, likeness, same_images, sketch

SIZE = 256


def cropped(picture: np.ndarray, *percent: int) -> np.ndarray:
    """Cut percents of the height and width off top, bottom, left and right."""
    top, bottom, left, right = (round(p * len(picture) / 100) for p in percent)
    return picture[top : len(picture) - bottom, left : picture.shape[1] - right]


def painted(picture: np.ndarray) -> np.ndarray:
    """Paint out two letters in the corners, and write another."""
    altered = picture.copy()
    altered[12:40, 12:60] = 0
    altered[200:230, 190:240] = 0
    cv2.putText(altered, "L", (200, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, 255, 5)
    return altered


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [1, quality])[1], 0)


ALTERATIONS = {
    "halved": lambda x: cv2.resize(x, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA),
    "enlarged": lambda x: cv2.resize(x, (600, 600), interpolation=cv2.INTER_CUBIC),
    "stretched to another shape": lambda x: cv2.resize(x, (300, 220)),
    "re-encoded": lambda x: jpeg(x, 30),
    "darker": lambda x: np.uint8(x * 0.6),
    "gamma": lambda x: np.uint8(255 * (x / 255) ** 2),
    "contrast evened out": lambda x: cv2.createCLAHE(2.0, (8, 8)).apply(x),
    "washed out": lambda x: np.uint8(x * 0.25 + 90),
    "cropped": lambda x: cropped(x, 4, 3, 5, 2),
    "cropped to another shape": lambda x: cropped(x, 0, 0, 9, 9),
    "mirrored": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "letters painted out": painted,
    "all of it": lambda x: jpeg(np.uint8(cropped(painted(x)[:, ::-1], 2, 4, 3, 3) * 0.8 + 20), 60),
}


@pytest.fixture(scope="module")
def phantoms() -> list[np.ndarray]:
    """Images of 12 patients, two visits each: alike, and not the same."""
    patients = [sample_patient(5, f"p{k}", DIAGNOSES[k % 3], visits=2) for k in range(12)]
    visits = [(patient, visit) for patient in patients for visit in patient.visits]
    return [render(patient, visit, SIZE).image for patient, visit in visits]


def test_two_visits_of_a_patient_are_not_the_same_image(phantoms: list[np.ndarray]):
    assert same_images(phantoms) == []


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_copy_is_found_and_nothing_else(phantoms: list[np.ndarray], name: str):
    originals = phantoms[::2]
    copies = [ALTERATIONS[name](one) for one in originals]
    pairs = same_images([*originals, *copies])
    assert [(pair.first, pair.second) for pair in pairs] == [(k, k + 12) for k in range(12)]


def test_images_added_later_are_found_in_either_order(phantoms: list[np.ndarray]):
    """A crop meets its original whether it comes before or after it."""
    whole, crops = phantoms[:6], [cropped(one, 4, 4, 5, 5) for one in phantoms[:6]]
    for first, second in ((whole, crops), (crops, whole)):
        found = ImageIndex()
        assert found.add([sketch(one) for one in first]) == []
        pairs = found.add([sketch(one) for one in second])
        assert [(pair.first, pair.second) for pair in pairs] == [(k, k + 6) for k in range(6)]
        assert found.add([]) == []


def test_candidates_are_the_nearest_plain_or_mirrored_however_many_are_compared_at_a_time(
    phantoms: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    windows = np.stack([sketch(one).windows for one in phantoms])
    cells = windows.astype(np.float64).reshape(*windows.shape[:2], CELLS, CELLS)
    expected = set()
    for row in range(5, len(phantoms)):
        alike = {
            (other, bool(mirrored)): max(
                (cells[row, 0, :, ::-1] if mirrored else cells[row, 0]).ravel() @ window.ravel()
                for window in cells[other]
            )
            for other in range(len(phantoms))
            for mirrored in range(2)
            if other != row
        }
        nearest = sorted(alike, key=alike.__getitem__)[-NEAREST:]
        expected |= {(*sorted((row, other)), mirrored) for other, mirrored in nearest}
    assert same_image._nearest(windows[5:, :1], windows, 5) == expected
    monkeypatch.setattr(same_image, "BLOCK", 4)
    monkeypatch.setattr(same_image, "TILE", 7)
    assert same_image._nearest(windows[5:, :1], windows, 5) == expected


def test_an_image_is_wholly_like_itself_and_not_like_its_mirror_image(phantoms: list[np.ndarray]):
    one = sketch(phantoms[0])
    assert likeness(one, one) == pytest.approx(1)
    assert likeness(one, one.mirrored()) < SAME
    assert likeness(one.mirrored(), sketch(phantoms[0][:, ::-1].copy())) > 0.95


def test_images_without_texture_are_like_nothing():
    flat = np.full((200, 200), 90, np.uint8)
    half = np.where(np.arange(200) < 100, 40, 200).astype(np.uint8)[None].repeat(200, axis=0)
    assert same_images([flat, flat, half]) == []


# --- real films ---

COPIES = {
    ("00002658_001", "00002658_002"),
    ("353889E0-A1E8-4F9E-A0B8-F24F36BCFBFB", "case_72_RX-TORACE1"),
    ("4-x-day1", "extubation-1"),
    ("A7E260CE-8A00-4C5F-A7F5-27336527A981", "case_76_1-3"),
    ("E63574A7-4188-4C8D-8D17-9D67A18A1AFA", "F4341CE7-73C9-45C6-99C8-8567A5484B63"),
}
"""Found beside equal stems, and seen by eye to be one image published twice."""


def test_films_published_twice_are_found_among_all_shared_films_and_no_others(shared: Path):
    """Films of Hannover that the COVID-19 collection took in bear equal stems."""
    folders = ["hannover", "covid-chestxray-dataset", "nih_adult"]
    paths = [path for f in folders for path in sorted((shared / "data" / f / "images").iterdir())]
    paths += sorted((shared / "data" / "chest_xray").glob("*/*"))
    place = [path.relative_to(shared / "data").parts[0] for path in paths]
    stems = [path.stem for path in paths]
    by_place = {name: {s for s, p in zip(stems, place, strict=True) if p == name} for name in place}
    twice = by_place["hannover"] & by_place["covid-chestxray-dataset"]
    pairs = same_images([decode_gray(path) for path in paths])
    found = {tuple(sorted((stems[pair.first], stems[pair.second]))) for pair in pairs}
    equal = {first for first, second in found if first == second}
    assert equal <= twice
    assert len(equal) >= 0.97 * len(twice) > 0
    assert {pair for pair in found if pair[0] != pair[1]} == COPIES
