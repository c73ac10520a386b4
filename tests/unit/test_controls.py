"""Shortcut controls: what is taken away is gone, a planted shortcut is found, none is not."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score

from covidcxr.data.altered import (
    BORDERS,
    NO_LUNGS,
    WHOLE,
    alteration,
    border_only,
    histogram,
    thumbnail,
    without,
)
from covidcxr.data.lung_shape import estimate_lungs
from covidcxr.evaluate.controls import (
    HISTOGRAM,
    SOURCES,
    THUMB,
    check,
    control_score,
    predict_source,
    predicted_sources,
    run,
    section_of,
)
from covidcxr.report.section import read_section
from tests.unit.tiny import CLASSES, tiny_manifest

PICTURES = arrays(np.uint8, st.sampled_from([(16, 16), (32, 32), (48, 48)]))


@given(PICTURES)
@settings(max_examples=30, deadline=None)
def test_histogram_is_numpys_and_sums_to_one(picture):
    expected, _ = np.histogram(picture, bins=64, range=(0, 256))
    assert histogram(picture) == pytest.approx(expected / picture.size)
    assert histogram(picture).sum() == pytest.approx(1)


@given(PICTURES)
@settings(max_examples=30, deadline=None)
def test_thumbnail_is_the_mean_of_blocks(picture):
    block = picture.shape[0] // 16
    means = picture.reshape(16, block, 16, block).astype(float).mean(axis=(1, 3))
    assert thumbnail(picture) == pytest.approx(means.ravel(), abs=1)


@given(PICTURES, st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_region_is_black_and_the_rest_as_it_was(picture, seed):
    region = np.random.default_rng(seed).random(picture.shape) < 0.4
    result = without(picture, region)
    assert not result[region].any()
    assert np.array_equal(result[~region], picture[~region])


def test_border_keeps_an_eighth_on_each_side():
    picture = np.full((32, 32), 9, np.uint8)
    result = border_only(picture)
    assert not result[4:28, 4:28].any()
    result[4:28, 4:28] = 9
    assert np.array_equal(result, picture)


def lungs_of(tmp_path, origins):
    regions = np.zeros((len(origins), 64, 64), bool)
    regions[:, :5, :7] = True
    np.save(tmp_path / "lungs.npy", regions)
    pd.DataFrame({"origin": origins}).to_csv(tmp_path / "lungs.csv", index=False)
    return tmp_path / "lungs.npy", tmp_path / "lungs.csv"


def test_lungs_are_told_in_one_way_for_all_films(tmp_path):
    picture = np.random.default_rng(1).integers(1, 255, (64, 64)).astype(np.uint8)
    masks = alteration(NO_LUNGS, *lungs_of(tmp_path, ["mask", "mask"]))
    assert np.array_equal(masks(1, picture) == 0, np.load(tmp_path / "lungs.npy")[1])
    # Radiologists' boxes for some films only: their shape would tell the class.
    mixed = alteration(NO_LUNGS, *lungs_of(tmp_path, ["boxes", "estimate"]))
    for row in (0, 1):
        assert np.array_equal(mixed(row, picture) == 0, estimate_lungs(picture))
    assert np.array_equal(alteration(WHOLE, *lungs_of(tmp_path, ["mask"]))(0, picture), picture)
    border = alteration(BORDERS, *lungs_of(tmp_path, ["mask"]))
    assert np.array_equal(border(0, picture), border_only(picture))


def study(count: int = 120) -> pd.DataFrame:
    """Films of three classes, two of each patient; a quarter of the patients tests."""
    table = tiny_manifest([k // 2 % 3 for k in range(count)])
    patient = np.arange(count) // 2
    table["split"] = np.where(patient % 4 == 3, "test", "train")
    fold = pd.Series(patient % 3, dtype="Int64")
    table["fold"] = fold.where(table["split"] == "train")
    return table


def test_control_that_holds_the_label_is_right_and_noise_is_not_sure_of_itself():
    images = study()
    labels = np.array([CLASSES.index(label) for label in images["label"]])
    rng = np.random.default_rng(0)
    telling = np.eye(3)[labels] + rng.normal(0, 0.05, (len(labels), 3))
    stated = control_score(telling, images, CLASSES, seed=1)
    assert stated["accuracy"] == 1
    assert 0.5 < stated["accuracy_low"] < 1
    test = images["split"] == "test"
    assert stated["n"] == test.sum()
    noise = control_score(rng.normal(size=(len(labels), 3)), images, CLASSES, seed=1)
    assert noise["accuracy_low"] < 0.55


def test_majority_is_what_calling_the_most_frequent_training_class_gives():
    images = study()
    keep = (images["label"] != "covid") | (np.arange(len(images)) % 12 < 2)
    images = images[keep].reset_index(drop=True)
    stated = control_score(
        np.random.default_rng(0).normal(size=(len(images), 2)), images, CLASSES, seed=1
    )
    training = images[images["split"] == "train"]
    most = sorted(CLASSES, key=lambda label: -(training["label"] == label).sum())[0]
    truth = images.loc[images["split"] == "test", "label"]
    assert stated["majority"] == pytest.approx(accuracy_score(truth, [most] * len(truth)))


def test_planted_source_is_told_and_an_absent_difference_is_not():
    images = study()
    images["source"] = np.where(np.arange(len(images)) // 2 % 2, "children", "adults")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(images), 5))
    planted = noise + 6 * (images["source"] == "adults").to_numpy()[:, None]
    stated = predict_source(planted, images, seed=1)
    assert stated["accuracy"] == stated["auc"] == stated["balanced_accuracy"] == 1
    assert stated["patients"] == 60
    assert stated["majority"] == 0.5
    assert predict_source(noise, images, seed=1)["auc"] < 0.7


def test_patients_never_stand_on_both_sides_when_sources_are_told():
    images = study()
    images["source"] = np.where(np.arange(len(images)) // 2 % 2, "children", "adults")
    # Each patient is known by his own feature: stated only if his other film trains.
    own = np.eye(60)[np.arange(len(images)) // 2]
    assert predict_source(own, images, seed=1)["auc"] < 0.65


def test_sources_are_told_within_classes_that_have_several_with_enough_patients():
    images = study()
    images["source"] = "children"
    normal = (images["label"] == "normal").to_numpy()
    images.loc[normal & (np.arange(len(images)) // 2 % 2 == 1), "source"] = "adults"
    images.loc[[0, 1], "source"] = "lone"
    rows = predicted_sources(np.random.default_rng(0).normal(size=(len(images), 4)), images, seed=1)
    assert [row["scope"] for row in rows] == ["all images", "within normal"]
    assert {row["sources"] for row in rows} == {"adults, children"}
    assert predicted_sources(np.ones((120, 2)), study(), seed=1) == []


def test_tables_hold_every_control_and_the_sources_of_external_films(tmp_path):
    images = study()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (len(images), 32, 32)).astype(np.uint8)
    np.save(tmp_path / "images.npy", pictures)
    columns = list(tiny_manifest([0]).columns)
    images[columns].to_csv(tmp_path / "manifest.csv", index=False)
    images[["image_id", "split", "fold"]].to_csv(tmp_path / "split.csv", index=False)
    features = {}
    for name in (WHOLE, NO_LUNGS, BORDERS):
        features[name] = tmp_path / f"{name}.npy"
        np.save(features[name], rng.normal(size=(len(images), 6)).astype(np.float32))
    other = tiny_manifest([1] * 20)
    other["source"] = "t"
    other["patient_id"] = other["patient_id"].str.replace("s:", "t:")
    other["image_id"] = other["image_id"].str.replace("s-", "t-")
    other.to_csv(tmp_path / "set.csv", index=False)
    np.save(tmp_path / "set.npy", rng.normal(5, 1, size=(20, 6)).astype(np.float32))
    models = pd.DataFrame(
        {
            "backbone": ["VGG16", "VGG16"], "augmentation": ["v1", "none"], "n": 40,
            "classifier": ["network", "logistic"], "model": "ensemble", "split": "test",
            "accuracy": [0.8, 0.9],
        }
    )  # fmt: skip
    models = pd.concat([models.assign(split=split) for split in ("validation", "test")])
    models.to_csv(tmp_path / "classification.csv", index=False)
    run(
        [tmp_path / "manifest.csv", tmp_path / "set.csv"],
        tmp_path / "split.csv",
        tmp_path / "images.npy",
        [features[WHOLE], tmp_path / "set.npy"],
        [features[NO_LUNGS], features[BORDERS]],
        tmp_path / "classification.csv",
        tmp_path / "controls.csv",
        tmp_path / "sources.csv",
        tmp_path / "section.json",
        settings={"classes": CLASSES, "backbone": "VGG16", "seed": 1},
    )
    controls = pd.read_csv(tmp_path / "controls.csv")
    assert controls["control"].tolist() == [WHOLE, NO_LUNGS, BORDERS, THUMB, HISTOGRAM]
    assert controls["accuracy"].between(0, 1).all()
    sources = pd.read_csv(tmp_path / "sources.csv").set_index("scope")
    assert sources.loc["within normal", "sources"] == "s, t"
    assert sources.loc["within normal", "auc"] > 0.99
    found = read_section(tmp_path / "section.json")
    assert "VGG16 v1 has 0.800" in found.paragraphs[0]
    assert [item.title for item in found.checks] == ["Shortcuts"]
    assert "gives its source away within normal " in found.limits[0].text


def scored(**accuracy: float) -> pd.DataFrame:
    """Controls of a test set whose largest class has 0.4."""
    values = {WHOLE: 0.9, NO_LUNGS: 0.45, BORDERS: 0.45, THUMB: 0.9, HISTOGRAM: 0.9} | accuracy
    table = pd.DataFrame({"control": list(values), "accuracy": list(values.values())})
    return table.assign(
        n=20, majority=0.4, penalty=1.0, accuracy_high=table["accuracy"] + 0.05,
        accuracy_low=table["accuracy"] - 0.1,
    )  # fmt: skip


def blind(**accuracy: float) -> pd.DataFrame:
    return scored(**accuracy).set_index("control").loc[[NO_LUNGS, BORDERS]]


def test_only_controls_without_lungs_are_a_warning():
    """A thumbnail and a histogram keep the lungs: they are simple baselines, not shortcuts."""
    quiet = check(blind(), 0.9, "VGG16 v1")
    assert quiet.state == "pass"
    loud = check(blind(no_lungs=0.85), 0.9, "VGG16 v1")
    assert loud.state == "warning"
    assert "lungs blacked out 0.850 (90.0\u202f% of the gain)" in loud.text
    assert "outer" not in loud.text


@given(st.floats(0.51, 1), st.floats(0.3, 1))
def test_no_share_of_the_gain_is_above_all_of_it(without: float, best: float):
    text = check(blind(no_lungs=without, borders=without), best, "VGG16 v1").text
    shares = [float(value) for value in re.findall(r"([\d.]+)\u202f%", text)]
    assert all(value <= 100 for value in shares)
    if best < without:
        assert "all of the gain" in text


def test_simple_baselines_are_named_apart_and_one_source_has_no_table():
    best = pd.Series(
        {"backbone": "VGG16", "augmentation": "v1", "classifier": "network", "n": 20,
         "accuracy": 0.9}
    )  # fmt: skip
    found = section_of(scored(), pd.DataFrame(columns=SOURCES), best, "VGG16")
    assert "Simple baselines that keep the lungs: 16 × 16 pixels 0.900" in found.paragraphs[0]
    assert found.method[0].startswith("All images are of one source")
    assert [item.name for item in found.tables] == ["controls"]
