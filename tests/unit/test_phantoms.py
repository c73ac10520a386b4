"""Chest phantoms: what the masks promise, and that only lesions tell the classes apart."""

import dataclasses

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from covidcxr.data.phantoms import (
    COVID,
    DIAGNOSES,
    LEFT,
    LOBES,
    NORMAL,
    PNEUMONIA,
    TIMELINE_PATIENT,
    render,
    run,
    sample_patient,
    severity,
)
from covidcxr.errors import InputError

SIZE = 96
SEEDS = range(4)


def draw(seed, diagnosis, patient_id="someone", difficulty=0.5, size=SIZE):
    patient = sample_patient(seed, patient_id, diagnosis, difficulty=difficulty)
    return patient, render(patient, patient.visits[0], size)


def lungs(phantom):
    """Return the right and the left lung, distinguished by their place in the image."""
    labels, count = ndimage.label(phantom.lung_mask)
    sizes = ndimage.sum_labels(phantom.lung_mask, labels, range(1, count + 1))
    largest = np.argsort(sizes)[-2:] + 1
    masks = [labels == label for label in largest]
    return sorted(masks, key=lambda mask: np.nonzero(mask)[1].mean())


def share_in(mask, region):
    return (mask & region).sum() / mask.sum()


def collection(tmp_path, name, patients, **options):
    options = {"image_size": 64, "difficulty": 0.5, "mark": "", "seed": 1} | options
    seed = options.pop("seed")
    run(tmp_path / name, settings={"patients": patients, **options}, seed=seed)
    table = pd.read_csv(tmp_path / name / "metadata.csv", dtype=str, keep_default_na=False)
    images = tmp_path / name / "images"
    files = {p.relative_to(images): p for p in images.rglob("*.png")}
    return table, {str(path): file.read_bytes() for path, file in files.items()}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    patients = {NORMAL: 1, COVID: 1}
    table, files = collection(tmp_path, "a", patients)
    again, same = collection(tmp_path, "b", patients)
    _, other = collection(tmp_path, "c", patients, seed=2)
    pd.testing.assert_frame_equal(table, again)
    assert files == same
    assert not set(files.values()) & {
        data for name, data in other.items() if not name.startswith("masks")
    }


def test_more_patients_change_no_other_patient(tmp_path):
    few, files = collection(tmp_path, "few", {NORMAL: 1, PNEUMONIA: 1})
    many, more = collection(tmp_path, "many", {COVID: 2, NORMAL: 3, PNEUMONIA: 2})
    assert files.items() <= more.items()
    kept = many[many.filename.isin(few.filename)]
    pd.testing.assert_frame_equal(
        kept.sort_values("filename", ignore_index=True),
        few.sort_values("filename", ignore_index=True),
    )


def test_table_names_every_image_and_mask(tmp_path):
    table, files = collection(tmp_path, "a", {NORMAL: 2, PNEUMONIA: 1})
    stems = [name.removesuffix(".png") for name in table.filename]
    expected = {f"{stem}.png" for stem in stems}
    expected |= {f"masks/{stem}_{kind}.png" for stem in stems for kind in ("lung", "lesion")}
    assert set(files) == expected
    assert table.filename.is_unique
    assert ",".join(table.columns) == (
        "filename,patient_id,diagnosis,view,day,age,sex,subtype,severity,extent,"
        "zone_1,zone_2,zone_3,zone_4,zone_5,zone_6,license"
    )
    assert (table.license == "CC0-1.0").all()
    assert set(table.subtype[table.diagnosis == PNEUMONIA]) <= set(LOBES)
    assert (table.subtype[table.diagnosis != PNEUMONIA] == "").all()
    image = cv2.imread(str(tmp_path / "a/images" / table.filename[0]), cv2.IMREAD_UNCHANGED)
    assert image.shape == (64, 64)
    assert image.dtype == np.uint8


def test_written_image_is_the_rendered_one(tmp_path):
    collection(tmp_path, "a", {PNEUMONIA: 1})
    _, phantom = draw(1, PNEUMONIA, "pneumonia-000", size=64)
    written = [
        cv2.imread(str(tmp_path / "a/images" / name), cv2.IMREAD_UNCHANGED)
        for name in (
            "pneumonia-000-day00.png",
            "masks/pneumonia-000-day00_lung.png",
            "masks/pneumonia-000-day00_lesion.png",
        )
    ]
    np.testing.assert_array_equal(written[0], phantom.image)
    np.testing.assert_array_equal(written[1], 255 * phantom.lung_mask)
    np.testing.assert_array_equal(written[2], 255 * phantom.lesion_mask)


def test_some_patients_have_several_images_on_different_days(tmp_path):
    table, _ = collection(tmp_path, "a", {NORMAL: 5})
    visits = table[table.diagnosis == NORMAL].groupby("patient_id").day
    assert set(visits.size()) == {1, 2, 3}
    assert (visits.size() == visits.nunique()).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_two_lungs_fill_a_plausible_share_of_the_image(seed):
    _, phantom = draw(seed, NORMAL)
    right, left = lungs(phantom)
    assert 0.15 < phantom.lung_mask.mean() < 0.5
    assert 0.5 < left.sum() / right.sum() < 1.5
    assert (right | left).sum() > 0.98 * phantom.lung_mask.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_are_darker_than_the_mediastinum_between_them(seed):
    _, phantom = draw(seed, NORMAL)
    right, left = lungs(phantom)
    between = np.zeros_like(right)
    for row in np.flatnonzero(right.any(1) & left.any(1)):
        between[row, right[row].nonzero()[0].max() + 1 : left[row].nonzero()[0].min()] = True
    assert phantom.image[phantom.lung_mask].mean() + 50 < phantom.image[between].mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_heart_lies_on_the_viewers_right(seed):
    # The heart takes more of the left lung's lower half than of the right one's.
    _, phantom = draw(seed, NORMAL)
    right, left = lungs(phantom)
    rows = np.nonzero(right & (np.arange(SIZE)[:, None] > SIZE / 2))[0]
    row = int(np.percentile(rows, 50))
    middle = SIZE / 2 + sample_patient(seed, "someone", NORMAL).visits[0].shift[0] * SIZE / 2
    assert left[row].nonzero()[0].min() - middle > middle - right[row].nonzero()[0].max()


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_patients_have_no_lesion(seed):
    patient, phantom = draw(seed, NORMAL)
    assert not phantom.lesion_mask.any()
    assert severity(patient, patient.visits[0]) == 0


@pytest.mark.parametrize("diagnosis", [PNEUMONIA, COVID])
@pytest.mark.parametrize("seed", SEEDS)
def test_lesions_lie_inside_the_lungs(seed, diagnosis):
    _, phantom = draw(seed, diagnosis)
    assert phantom.lesion_mask.any()
    assert share_in(phantom.lesion_mask, phantom.lung_mask) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_pneumonia_stays_in_one_lung_on_the_side_of_its_lobe(seed):
    patient, phantom = draw(seed, PNEUMONIA)
    right, left = lungs(phantom)
    side = left if LOBES[patient.lesions.lobe][0] == LEFT else right
    assert share_in(phantom.lesion_mask, side) == 1


def test_covid_is_bilateral_peripheral_and_mostly_in_the_lower_half():
    lower, outer = [], []
    for seed in range(10):
        _, phantom = draw(seed, COVID)
        for side, lung in enumerate(lungs(phantom)):
            lesion = phantom.lesion_mask & lung
            assert lesion.any()
            rows = np.flatnonzero(lung.any(1))
            lower.append(share_in(lesion, np.arange(SIZE)[:, None] > (rows[0] + rows[-1]) / 2))
            # Half of each row of the lung lies on the lateral side of its median column.
            rank = np.cumsum(lung, axis=1) / np.maximum(lung.sum(1, keepdims=True), 1)
            outer.append(share_in(lesion, rank <= 0.5 if side == 0 else rank > 0.5))
    assert np.mean(lower) > 0.65
    assert np.mean(outer) > 0.65


@pytest.mark.parametrize("seed", SEEDS)
def test_timeline_opacities_grow_over_days_3_7_and_9(seed):
    patient = sample_patient(seed, f"ward-{TIMELINE_PATIENT}", COVID)
    assert [visit.day for visit in patient.visits] == [3, 7, 9]
    assert {visit.view for visit in patient.visits} == {"PA"}
    phantoms = [render(patient, visit, SIZE) for visit in patient.visits]
    areas = [p.lesion_mask.sum() / p.lung_mask.sum() for p in phantoms]
    assert 0 < areas[0] < areas[1] < areas[2]


def test_timeline_stands_in_every_collection(tmp_path):
    table, _ = collection(tmp_path, "a", {NORMAL: 1})
    rows = table[table.patient_id == TIMELINE_PATIENT]
    assert list(rows.day) == ["3", "7", "9"]
    assert set(rows.diagnosis) == {COVID}
    assert set(rows["view"]) == {"PA"}
    assert rows.severity.astype(float).is_monotonic_increasing


def test_a_mark_is_stamped_in_the_corner_of_every_image_and_names_patients_of_its_own(tmp_path):
    table, _ = collection(tmp_path, "a", {NORMAL: 2}, mark="WARD")
    assert (table.patient_id.str.startswith("ward-")).all()
    patient = sample_patient(1, "ward-normal-000", NORMAL)
    plain = render(patient, patient.visits[0], 64).image
    written = cv2.imread(str(tmp_path / "a/images/ward-normal-000-day00.png"), cv2.IMREAD_UNCHANGED)
    rows, columns = np.nonzero(written != plain)
    assert rows.size > 20
    assert rows.max() < 10
    assert columns.max() < 40


@pytest.mark.parametrize("seed", SEEDS)
def test_anatomy_and_exposure_do_not_depend_on_the_diagnosis(seed):
    patients = [sample_patient(seed, "someone", diagnosis, visits=3) for diagnosis in DIAGNOSES]
    for other in patients[1:]:
        assert (other.age, other.sex) == (patients[0].age, patients[0].sex)
        for part, same in zip(
            (other.anatomy, *other.visits), (patients[0].anatomy, *patients[0].visits), strict=True
        ):
            np.testing.assert_equal(dataclasses.asdict(part), dataclasses.asdict(same))


@pytest.mark.parametrize("diagnosis", [PNEUMONIA, COVID])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_disease_changes_the_image_in_the_lungs_only(seed, diagnosis):
    _, healthy = draw(seed, NORMAL, difficulty=0)
    _, ill = draw(seed, diagnosis, difficulty=0)
    np.testing.assert_array_equal(healthy.lung_mask, ill.lung_mask)
    change = ill.image.astype(float) - healthy.image
    lesion = ill.lesion_mask
    near = ndimage.binary_dilation(healthy.lung_mask, iterations=SIZE // 12)
    assert change[lesion].mean() > 15
    assert np.abs(change[~near]).mean() < 2  # scattered radiation spreads a little


def test_difficulty_fades_lesions_and_adds_noise_to_every_image():
    contrasts, noises = [], []
    for difficulty in (0.0, 0.5, 1.0):
        change, noise = [], []
        for seed in SEEDS:
            patient, healthy = draw(seed, NORMAL, difficulty=difficulty)
            noise.append(patient.visits[0].noise)
            _, ill = draw(seed, COVID, difficulty=difficulty)
            change.append((ill.image.astype(float) - healthy.image)[ill.lesion_mask].mean())
        contrasts.append(np.mean(change))
        noises.append(np.mean(noise))
    assert contrasts[0] > 1.3 * contrasts[1] > 1.3**2 * contrasts[2] > 0
    assert noises[0] < noises[1] < noises[2]


def test_lesion_masks_do_not_depend_on_difficulty():
    _, plain = draw(0, COVID, difficulty=0)
    _, hidden = draw(0, COVID, difficulty=1)
    np.testing.assert_array_equal(plain.lesion_mask, hidden.lesion_mask)


def test_anatomy_scales_with_the_image_size():
    _, small = draw(3, COVID, size=64)
    _, large = draw(3, COVID, size=192)
    shrunk = cv2.resize(large.lung_mask.astype(np.uint8), (64, 64), interpolation=cv2.INTER_AREA)
    assert (small.lung_mask == shrunk.astype(bool)).mean() > 0.97


def test_unknown_diagnosis_is_named_in_the_error_and_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match=r"influenza.*COVID-19"):
        collection(tmp_path, "a", {NORMAL: 1, "influenza": 1})
    assert not list(tmp_path.iterdir())
