"""Frames take framing, exposure and letters away, and changes go back to where they belong."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.cyclegan.frames import (
    DARK,
    FADE,
    LIGHT,
    PERCENTILES,
    Frame,
    apply_change,
    fading,
    marks,
    read_frames,
    run,
    thorax,
    whole,
)
from covidcxr.data.lung_shape import estimate_lungs
from covidcxr.data.lungs import consistent_lungs
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.errors import InputError

SIZE = 120


@pytest.fixture
def film():
    """A soft film of 120 px between 60 and 180 grey levels."""
    noise = np.random.default_rng(4).uniform(60, 180, (10, 10)).astype(np.float32)
    return np.rint(cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)).astype(np.uint8)


@pytest.fixture
def lungs():
    """Two blocks in rows 30 to 79 and columns 20 to 99."""
    region = np.zeros((SIZE, SIZE), bool)
    region[30:80, 20:50] = region[30:80, 70:100] = True
    return region


def test_frame_lies_around_the_lungs_with_a_margin_inside_the_film(film, lungs):
    frame, _ = thorax(film, lungs)
    assert (frame.left, frame.right) == (15, 105)  # 6 % of 80 columns is 4.8
    assert (frame.top, frame.bottom) == (27, 83)  # 6 % of 50 rows is 3
    at_the_edge = np.zeros_like(lungs)
    at_the_edge[:60, 1:] = True
    frame, _ = thorax(film, at_the_edge)
    assert (frame.left, frame.top, frame.right, frame.bottom) == (0, 0, 120, 64)


def test_without_lungs_the_frame_is_the_film(film):
    frame, seen = thorax(film, np.zeros(film.shape, bool))
    assert frame.place == (slice(0, SIZE), slice(0, SIZE))
    assert seen.shape == film.shape


def test_contrast_is_stretched_between_the_percentiles(film, lungs):
    _, seen = thorax(film, lungs)
    np.testing.assert_allclose(np.percentile(seen, PERCENTILES), (DARK, LIGHT), atol=1)


@settings(max_examples=20, deadline=None)
@given(slope=st.floats(0.6, 1.3), offset=st.floats(-20, 20))
def test_exposure_does_not_show(slope, offset):
    noise = np.random.default_rng(4).uniform(60, 180, (10, 10)).astype(np.float32)
    smooth = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    one, other = (np.rint(values).astype(np.uint8) for values in (smooth, slope * smooth + offset))
    everywhere = np.ones((SIZE, SIZE), bool)
    seen = [thorax(picture, everywhere)[1].astype(float) for picture in (one, other)]
    assert np.abs(seen[0] - seen[1]).mean() < 3


def test_a_film_of_one_grey_level_is_not_stretched_to_noise():
    noise = np.random.default_rng(0).integers(99, 102, (SIZE, SIZE)).astype(np.uint8)
    _, seen = thorax(noise, np.ones(noise.shape, bool))
    assert np.ptp(seen) <= 2 * (LIGHT - DARK) / 32 + 1


def test_letters_are_inpainted_and_soft_shadows_are_not(film, lungs):
    _, clean = thorax(film, lungs)
    lettered = film.copy()
    cv2.putText(lettered, "R", (45, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    assert not marks(clean).any()
    _, seen = thorax(lettered, lungs)
    assert np.abs(seen.astype(float) - clean).max() < 45  # the letter stands out by 100 and more
    assert np.abs(seen.astype(float) - clean).mean() < 4  # the letter moves a percentile a little


def test_a_change_is_added_in_the_frame_in_the_films_own_grey_levels(film):
    frame = Frame(30, 20, 90, 100, low=60, high=160)
    change = np.full((32, 32), 40, np.float32)
    changed = apply_change(film, frame, change).astype(int) - film
    outside = np.ones(film.shape, bool)
    outside[frame.place] = False
    assert (changed[outside] == 0).all()
    middle = changed[20 + 10 : 100 - 10, 30 + 10 : 90 - 10]
    assert (middle == 20).all()  # half the stretched grey levels: 100 of 200
    assert (changed <= 20).all()


def test_a_change_of_the_whole_film_reaches_its_edges(film):
    frame, seen = whole(film)
    np.testing.assert_array_equal(seen, film)
    change = np.full((40, 40), 7, np.float32)
    np.testing.assert_array_equal(apply_change(film, frame, change), film + 7)


def test_grey_levels_are_clipped_not_wrapped(film):
    frame, _ = whole(film)
    assert (apply_change(film, frame, np.full((8, 8), 300, np.float32)) == 255).all()
    assert (apply_change(film, frame, np.full((8, 8), -300, np.float32)) == 0).all()


def test_a_change_fades_towards_edges_inside_the_film_only():
    kept = fading(Frame(0, 40, 100, 90, 0, 1), 100)
    assert kept.shape == (50, 100)
    np.testing.assert_allclose(kept[25], 1)  # left and right are the film's own edges
    down = kept[:, 50]
    width = round(FADE * 50)
    assert (np.diff(down[:width]) > 0).all()
    assert down[0] < 0.1
    np.testing.assert_allclose(down[width:-width], 1)
    np.testing.assert_allclose(down, down[::-1])


@pytest.fixture
def cohort(tmp_path, film, lungs):
    films = np.stack([film, film[::-1]])
    np.save(tmp_path / "images.npy", films)
    np.save(tmp_path / "lungs.npy", np.stack([lungs, lungs[::-1]]))
    ids = ["a-0", "007"]
    columns = {"image_id": ids, "path": ids, "label": "well", "patient_id": ["a:1", "a:2"]}
    columns |= {"source": "a", "site": "a", "sha256": "0" * 64}
    rows = pd.DataFrame(columns, columns=MANIFEST_COLUMNS)
    rows.to_csv(tmp_path / "manifest.csv", index=False)
    write_table(pd.DataFrame({"image_id": ids, "origin": "mask"}), tmp_path / "lungs.csv")
    return tmp_path


def write(folder, region):
    run(
        images=folder / "images.npy",
        manifest=folder / "manifest.csv",
        lungs=folder / "lungs.npy",
        lungs_table=folder / "lungs.csv",
        frames=folder / "frames.npy",
        table=folder / "frames.csv",
        region=region,
    )
    return np.load(folder / "frames.npy"), read_frames(folder / "frames.csv")


@pytest.mark.parametrize("region", ["film", "thorax"])
def test_files_hold_the_frames_of_the_manifests_rows(cohort, film, lungs, region):
    seen, frames = write(cohort, region)
    assert list(frames) == ["a-0", "007"]
    expected = whole(film) if region == "film" else thorax(film, lungs)
    assert frames["a-0"] == expected[0]
    np.testing.assert_array_equal(seen[0], expected[1])


def test_images_of_another_manifest_are_an_error(cohort, film):
    np.save(cohort / "images.npy", film[None])
    with pytest.raises(InputError, match=r"1 rows .*lists 2"):
        write(cohort, "film")


def test_lungs_are_consistent_lungs_by_mask_or_else_by_estimate_for_all(cohort, film, lungs):
    teller = consistent_lungs(cohort / "lungs.npy", cohort / "lungs.csv")
    np.testing.assert_array_equal(teller(0, film), lungs)
    table = pd.DataFrame({"image_id": ["a-0", "007"], "origin": ["mask", "boxes"]})
    write_table(table, cohort / "lungs.csv")
    teller = consistent_lungs(cohort / "lungs.npy", cohort / "lungs.csv")
    np.testing.assert_array_equal(teller(0, film), estimate_lungs(film))
