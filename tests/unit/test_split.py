import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data import holdout as holdout_step
from covidcxr.data import split as split_step
from covidcxr.data.split import assign_folds
from covidcxr.data.tables import read_split
from covidcxr.errors import InputError
from tests.unit.split_samples import images, manifest_of

patients = st.lists(st.integers(1, 4), min_size=4, max_size=12)


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries({"covid": patients, "normal": patients}),
    st.sampled_from(["patient", "image"]),
    st.integers(2, 4),
    st.integers(0, 1000),
)
def test_every_image_is_in_one_fold_and_every_patient_in_one(by_class, unit, folds, seed):
    frame = images(by_class)
    fold = assign_folds(frame, unit=unit, folds=folds, seed=seed)
    assert fold.index.equals(frame.index)
    assert set(fold) == set(range(folds))
    if unit == "patient":
        assert (fold.groupby(frame["patient_id"]).nunique() == 1).all()
    shuffled = frame.sample(frac=1, random_state=0)
    assert assign_folds(shuffled, unit=unit, folds=folds, seed=seed).sort_index().equals(fold)


def test_images_one_by_one_give_even_folds_in_every_class():
    frame = images({"covid": [7, 6], "normal": [23]})
    fold = assign_folds(frame, unit="image", folds=3, seed=1)
    sizes = pd.crosstab(fold, frame["label"])
    assert sorted(sizes["covid"]) == [4, 4, 5]
    assert sorted(sizes["normal"]) == [7, 8, 8]
    assert fold.value_counts().tolist() == [12, 12, 12]


def test_seed_decides_the_folds():
    frame = images({"covid": [1] * 20, "normal": [2] * 20})
    draws = [assign_folds(frame, unit="patient", folds=5, seed=s) for s in (1, 1, 2)]
    assert draws[0].equals(draws[1])
    assert not draws[0].equals(draws[2])


@pytest.mark.parametrize(("unit", "count"), [("patient", 2), ("image", 4)])
def test_class_with_fewer_groups_than_folds_is_named(unit, count):
    frame = images({"covid": [2, 2], "normal": [1] * 10})
    message = f"class covid has {count} training {unit}s, fewer than split.folds \\(5\\)"
    with pytest.raises(InputError, match=message):
        assign_folds(frame, unit=unit, folds=5, seed=0)


@pytest.fixture
def study(tmp_path):
    frame = images({"covid": [1, 2, 3, 1, 1, 1, 2, 2], "normal": [1] * 20})
    manifest_of(frame).to_csv(tmp_path / "manifest.csv", index=False)
    holdout_step.run(
        tmp_path / "manifest.csv", tmp_path / "holdout.csv", unit="patient", test=0.25, seed=4
    )
    return tmp_path, frame


def test_written_split_folds_the_training_images_only(study):
    folder, frame = study
    split_step.run(
        folder / "manifest.csv",
        folder / "holdout.csv",
        folder / "split.csv",
        unit="patient",
        folds=3,
        seed=4,
    )
    split = read_split(folder / "split.csv")
    holdout = pd.read_csv(folder / "holdout.csv")
    assert split["image_id"].tolist() == frame["image_id"].tolist()
    assert split["split"].tolist() == holdout["split"].tolist()
    assert split["fold"].isna().equals(split["split"] == "test")
    assert set(split["fold"].dropna()) == {0, 1, 2}


def test_holdout_of_another_manifest_is_refused(study):
    folder, _ = study
    holdout = pd.read_csv(folder / "holdout.csv")
    holdout.iloc[1:].to_csv(folder / "holdout.csv", index=False)
    with pytest.raises(InputError, match="does not list the images"):
        split_step.run(
            folder / "manifest.csv",
            folder / "holdout.csv",
            folder / "split.csv",
            unit="patient",
            folds=3,
            seed=4,
        )
    assert not (folder / "split.csv").exists()
