import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data.holdout import choose_holdout, run, test_counts
from covidcxr.data.split import assign_folds
from covidcxr.data.tables import read_table
from covidcxr.errors import InputError
from tests.unit.split_samples import images, manifest_of

SHARED = Path(__file__).resolve().parents[3] / "shared"

test_counts.__test__ = False  # a function of the package, not a test


patients = st.lists(st.integers(1, 5), min_size=3, max_size=15)


@settings(max_examples=30, deadline=None)
@given(
    st.fixed_dictionaries({"covid": patients, "normal": patients}),
    st.sampled_from(["patient", "image"]),
    st.integers(0, 1000),
)
def test_no_patient_stands_on_both_sides_and_order_of_rows_has_no_effect(by_class, unit, seed):
    frame = images(by_class)
    holdout = choose_holdout(frame, unit=unit, test=0.3, seed=seed)
    assert holdout["image_id"].tolist() == frame["image_id"].tolist()
    if unit == "patient":
        assert (holdout.groupby(frame["patient_id"])["split"].nunique() == 1).all()
    shuffled = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    again = choose_holdout(shuffled, unit=unit, test=0.3, seed=seed)
    pd.testing.assert_frame_equal(
        holdout.sort_values("image_id", ignore_index=True),
        again.sort_values("image_id", ignore_index=True),
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 5), max_size=10), st.integers(1, 19), st.integers(1, 19), st.integers(0)
)
def test_counts_are_exact_when_single_image_patients_allow(several, covid, normal, seed):
    frame = images({"covid": [1] * 20 + several, "normal": [1] * 20})
    holdout = choose_holdout(
        frame, unit="patient", test={"covid": covid, "normal": normal}, seed=seed
    )
    counts = frame["label"][holdout["split"] == "test"].value_counts()
    assert counts.to_dict() == {"covid": covid, "normal": normal}


def test_seed_decides_the_draw():
    frame = images({"covid": [1] * 30, "normal": [2] * 30})
    draws = [choose_holdout(frame, unit="patient", test=0.2, seed=s) for s in (1, 1, 2)]
    assert draws[0].equals(draws[1])
    assert not draws[0].equals(draws[2])


def test_unit_image_takes_images_one_by_one():
    frame = images({"covid": [10] * 4, "normal": [10] * 4})
    holdout = choose_holdout(frame, unit="image", test={"covid": 7, "normal": 9}, seed=0)
    assert frame["label"][holdout["split"] == "test"].value_counts().to_dict() == {
        "covid": 7,
        "normal": 9,
    }
    assert holdout.groupby(frame["patient_id"])["split"].nunique().max() == 2


def test_share_is_rounded_to_the_nearest_image_and_is_at_least_one():
    sizes = pd.Series({"a": 142, "b": 3, "c": 13})
    assert test_counts(sizes, 0.2) == {"a": 28, "b": 1, "c": 3}


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"covid": 3, "normal": 1}, "asks 3 test images of class covid, which has 3"),
        ({"covid": 4, "normal": 1}, "asks 4 test images of class covid, which has 3"),
        ({"covid": 1}, "split.test gives counts for covid; the classes are covid, normal"),
        ({"covid": 1, "norml": 1}, "give one count each"),
        (0.9, "class covid, which has 3"),
    ],
)
def test_impossible_test_counts_are_named(test, message):
    with pytest.raises(InputError, match=re.escape(message)):
        choose_holdout(
            images({"covid": [1, 1, 1], "normal": [1, 1, 1]}), unit="patient", test=test, seed=0
        )


@pytest.mark.parametrize(("asked", "side"), [(1, "test"), (8, "training")])
def test_class_of_one_patient_cannot_be_divided(asked, side):
    frame = images({"covid": [9], "normal": [1] * 10})
    with pytest.raises(InputError, match=f"class covid is left without {side} images"):
        choose_holdout(frame, unit="patient", test={"covid": asked, "normal": 2}, seed=0)


def test_written_table_keeps_the_manifests_order(tmp_path):
    frame = images({"covid": [1, 2, 3, 1], "normal": [1] * 8})
    manifest_of(frame).to_csv(tmp_path / "manifest.csv", index=False)
    run(tmp_path / "manifest.csv", tmp_path / "holdout.csv", unit="patient", test=0.25, seed=4)
    written = read_table(tmp_path / "holdout.csv")
    pd.testing.assert_frame_equal(
        written, choose_holdout(frame, unit="patient", test=0.25, seed=4), check_dtype=False
    )


def study_images(seed: int) -> pd.DataFrame:
    """142/300/300 images drawn at random from the real collections' names."""
    if not SHARED.is_dir():
        pytest.skip("the real collections (../shared) are not here")
    metadata = pd.read_csv(SHARED / "data/covid-chestxray-dataset/metadata.csv", dtype=str)
    covid = metadata[
        metadata["finding"].isin(["COVID-19", "COVID-19, ARDS"])
        & metadata["view"].isin(["AP", "AP Supine"])
    ]
    rows = [
        (name, "covid", f"covid:{patient}")
        for name, patient in zip(covid["filename"], covid["patientid"], strict=True)
    ]
    for folder, label, patient in (
        ("NORMAL", "normal", r"(.*IM-\d+)"),
        ("PNEUMONIA", "pneumonia", r"(person\d+)"),
    ):
        for file in (SHARED / "data/chest_xray" / folder).iterdir():
            rows.append((file.name, label, "kermany:" + re.match(patient, file.name)[1]))
    frame = pd.DataFrame(rows, columns=["image_id", "label", "patient_id"])
    frame = frame.drop_duplicates("image_id")
    counts = {"covid": 142, "normal": 300, "pneumonia": 300}
    return pd.concat(
        frame[frame["label"] == label].sort_values("image_id").sample(n, random_state=seed)
        for label, n in counts.items()
    ).reset_index(drop=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_studys_counts_come_out_exactly_with_whole_patients(seed):
    frame = study_images(seed)
    holdout = choose_holdout(
        frame, unit="patient", test={"covid": 29, "normal": 60, "pneumonia": 60}, seed=seed
    )
    tested = holdout["split"] == "test"
    assert frame["label"][tested].value_counts().to_dict() == {
        "covid": 29,
        "normal": 60,
        "pneumonia": 60,
    }
    training = frame[~tested]
    assert training["label"].value_counts().to_dict() == {
        "covid": 113,
        "normal": 240,
        "pneumonia": 240,
    }
    assert not set(training["patient_id"]) & set(frame["patient_id"][tested])
    # Not only patients of one image are tested.
    several = frame.groupby("patient_id").size()
    assert (several[frame["patient_id"][tested].unique()] > 1).any()
    fold = assign_folds(training, unit="patient", folds=5, seed=seed)
    sizes = pd.crosstab(fold, training["label"])
    assert sizes["covid"].isin([22, 23]).all()
    assert (sizes[["normal", "pneumonia"]] == 48).all(axis=None)
