"""The confounding audit: attributes on made pictures, scores by closed forms and scikit-learn."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.errors import InputError
from covidcxr.evaluate import confounding
from covidcxr.evaluate.attributes import age_group, file_attributes, picture_attributes
from covidcxr.evaluate.attributes import run as write_attributes
from covidcxr.evaluate.confounding import (
    EVERYTHING,
    SINGLE,
    SOURCE_AND_AGE,
    TOGETHER,
    at_most,
    check,
    encode,
    gain,
    measures,
    out_of_fold,
    patient_folds,
    run,
    section_of,
)
from covidcxr.report.section import read_section
from tests.unit.statistics_inputs import identified
from tests.unit.test_figures import assert_nothing_clipped

CLASSES = ["covid", "normal", "pneumonia"]


def noise(size: int = 200, seed: int = 0) -> np.ndarray:
    fine = np.random.default_rng(seed).integers(60, 160, (size, size), dtype=np.uint8)
    return cv2.GaussianBlur(fine, (0, 0), 1)


# --- attributes ---


def test_black_margins_are_shares_of_the_side_and_a_letter_in_one_does_not_hide_it():
    picture = noise()
    picture[:, :20] = 3
    picture[:, -50:] = 0
    picture[-10:] = 12
    picture[90:94, 5:9] = 255
    found = picture_attributes(picture)
    assert [found[f"margin_{side}"] for side in ("left", "right", "top", "bottom")] == [
        0.1, 0.25, 0, 0.05,
    ]  # fmt: skip


def test_a_black_picture_is_all_margin():
    assert picture_attributes(np.zeros((40, 40), np.uint8))["margin_left"] == 1


def test_intensity_is_mean_and_spread_of_the_grey_levels():
    found = picture_attributes(noise())
    assert found["intensity_mean"] == pytest.approx(noise().mean())
    assert found["intensity_sd"] == pytest.approx(noise().std())


def test_sharpness_falls_with_blur_and_not_with_contrast():
    sharp = noise()
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    flat = (sharp // 2 + 40).astype(np.uint8)
    values = [picture_attributes(p)["sharpness"] for p in (sharp, blurred, flat)]
    assert values[1] < values[0] - 1
    assert values[2] == pytest.approx(values[0], abs=0.15)


def test_marks_are_counted_and_broad_bright_regions_are_none():
    picture = noise() // 2
    picture[100:190, 100:190] = 220
    assert picture_attributes(picture)["marks"] == 0
    picture[10:16, 10:13] = 255
    picture[10:16, 60:63] = 255
    found = picture_attributes(picture)
    assert found["marks"] == 2
    assert found["mark_area"] == pytest.approx(36 / 200**2)


def test_the_file_type_comes_from_the_content(tmp_path: Path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png", "JPEG")
    assert file_attributes(tmp_path / "a.png") == {
        "width": 30, "height": 20, "aspect": 1.5, "file_type": "JPEG RGB",
    }  # fmt: skip
    (tmp_path / "b.png").write_text("no image")
    with pytest.raises(InputError, match=r"b\.png cannot be read as an image"):
        file_attributes(tmp_path / "b.png")


def test_the_source_tells_the_age_group_where_the_patient_s_age_is_unknown():
    ages = pd.Series([17.9, 18, np.nan, np.nan, 3])
    sources = pd.Series(["a", "a", "a", "b", "c"])
    assert age_group(ages, sources, {"a": "adult", "c": "adult"}).tolist() == [
        "child", "adult", "adult", "unknown", "child",
    ]  # fmt: skip


def test_attributes_of_every_image_of_the_manifest_are_written(tmp_path: Path):
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(noise(64, number)).save(path)
        rows.append(
            dict.fromkeys(MANIFEST_COLUMNS, "")
            | {"image_id": f"i{number}", "path": str(path), "label": "x", "sha256": "0" * 64,
               "patient_id": f"s:{number}", "source": "s", "site": "s",
                   "age": "5" if number else ""}
        )  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    np.save(tmp_path / "images.npy", np.stack([noise(64, number) for number in range(3)]))
    write_attributes(
        tmp_path / "manifest.csv", tmp_path / "images.npy", tmp_path / "a.csv", age_groups={}
    )
    written = pd.read_csv(tmp_path / "a.csv")
    assert written["image_id"].tolist() == ["i0", "i1", "i2"]
    assert written["age_group"].tolist() == ["unknown", "child", "child"]
    assert written["file_type"].tolist() == ["PNG L"] * 3
    assert set(written.columns) >= {column for columns in SINGLE.values() for column in columns}
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(InputError, match="holds 2 rows"):
        write_attributes(
            tmp_path / "manifest.csv", tmp_path / "images.npy", tmp_path / "a.csv", age_groups={}
        )


# --- scores ---


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=6, max_size=40), st.integers(0, 5))
def test_no_patient_stands_in_two_folds(images: list[int], seed: int):
    patients = np.repeat(np.arange(len(images)), images).astype(str)
    labels = np.repeat(np.arange(len(images)) % 3, images)
    folds = patient_folds(labels, patients, seed)
    assert pd.Series(folds).groupby(patients).nunique().max() == 1


def test_a_class_of_one_patient_cannot_be_audited():
    with pytest.raises(InputError, match="one patient only"):
        patient_folds(np.array([0, 0, 1, 1]), np.array(["a", "a", "b", "c"]), 0)


def test_unknown_values_are_values_of_their_own():
    frame = pd.DataFrame({"sex": ["M", "", "F"], "age": [50.0, np.nan, 4.0]})
    data = encode(frame)
    assert data.shape == (3, 4)
    assert (data[:, 1:].sum(axis=1) == 1).all()
    assert np.isnan(data[1, 0])


def test_measures_equal_scikit_learn_s():
    rng = np.random.default_rng(1)
    labels, plain, balanced = rng.integers(0, 3, (3, 200))
    patients = np.array([f"p{k // 2}" for k in range(200)])
    found = measures((plain, balanced), labels, patients, CLASSES, 0)
    assert found["accuracy"] == pytest.approx((plain == labels).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, balanced))
    for k, label in enumerate(CLASSES):
        assert found[f"apart_{label}"] == pytest.approx(
            balanced_accuracy_score(labels == k, balanced == k)
        )
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]
    assert found["patients"] == 100


def test_balanced_accuracy_is_not_lost_to_the_largest_class():
    """An attribute that only shifts the odds of a rare class still tells it apart."""
    rng = np.random.default_rng(3)
    labels = (np.arange(600) % 10 == 0).astype(np.int64)
    flag = np.where(labels == 1, rng.random(600) < 0.8, rng.random(600) < 0.2)
    folds = patient_folds(labels, np.arange(600).astype(str), 0)
    plain, balanced = out_of_fold(flag[:, None].astype(float), labels, folds, 2, 0)
    assert (plain == 0).all()
    assert balanced_accuracy_score(labels, balanced) == pytest.approx(0.8, abs=0.08)


def made_up(folder: Path, *, informative: bool, classes: list[str]) -> dict[str, Path]:
    """Write attributes of 40 patients a class, two images each, and an image model's predictions.

    The first class has a source, and a width, of its own if `informative`.
    """
    rng = np.random.default_rng(5)
    labels = np.repeat(classes, 80)
    n = len(labels)
    own = (labels == classes[0]) & informative
    frame = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(n)],
            "patient_id": [f"s:{k // 2}" for k in range(n)],
            "label": labels,
            **{column: rng.normal(size=n) for columns in SINGLE.values() for column in columns},
            "source": np.where(own, "clinic", "hospital"),
            "view": rng.choice(["AP", ""], n),
            "sex": "",
            "age": np.nan,
            "age_group": "unknown",
            "file_type": "JPEG L",
        }
    ).assign(width=np.where(own, 512, 224))
    frame.to_csv(folder / "attributes.csv", index=False)
    right = rng.random(n) < 0.9
    scores = np.where(
        (labels[:, None] == np.array(classes)[None]) == right[:, None],
        0.8,
        0.2 / (len(classes) - 1),
    )
    images = frame[["image_id", "patient_id", "label"]]
    table = images.join(pd.DataFrame(scores, columns=[f"p_{label}" for label in classes]))
    sets = np.where(np.arange(n) % 3 == 0, "test", "validation")
    parts = [identified(table, backbone="Net", set=sets)]
    # Other classifiers and external sets are no part of the audit.
    parts.append(parts[0].assign(classifier="logistic", augmentation="none"))
    parts.append(parts[0].assign(set="hospital"))
    pd.concat(parts).sample(frac=1, random_state=0).to_csv(folder / "predictions.csv", index=False)
    return {
        name: folder / f"audit.{kind}"
        for name, kind in {"table": "csv", "png": "png", "svg": "svg", "section": "json"}.items()
    }


def audited(folder: Path, *, informative: bool = True, classes: list[str] = CLASSES):
    outputs = made_up(folder, informative=informative, classes=classes)
    run(
        attributes=folder / "attributes.csv",
        predictions=folder / "predictions.csv",
        **outputs,
        classes=classes,
        seed=1,
    )
    return pd.read_csv(outputs["table"]).set_index("predictor")


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forests have few trees, where what they find is plain."""
    monkeypatch.setattr(confounding, "TREES", 10)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an audit in full."""
    folder = tmp_path_factory.mktemp("audit")
    audited(folder)
    return folder


def test_a_source_of_its_own_determines_a_class_and_nothing_more(whole: Path):
    audit = pd.read_csv(whole / "audit.csv").set_index("predictor")
    assert list(audit.index) == ["chance", *SINGLE, *TOGETHER, "Net v1"]
    assert audit.loc["chance", "accuracy"] == pytest.approx(1 / 3)
    assert audit.loc["chance", "balanced_accuracy"] == pytest.approx(1 / 3)
    for name in ("source", "image size", EVERYTHING):
        assert audit.loc[name, "apart_covid"] == pytest.approx(1, abs=0.02)
    # One third is certain, the other two thirds are a toss-up between two classes.
    assert audit.loc["source", "accuracy"] == pytest.approx(2 / 3, abs=0.08)
    for name in ("sex", "recorded age", "file type"):
        assert audit.loc[name, "balanced_accuracy"] == pytest.approx(1 / 3, abs=0.08)
    assert audit.loc["Net v1", "accuracy"] == pytest.approx(0.9, abs=0.06)
    assert_nothing_clipped(whole / "audit.png")


def test_attributes_that_tell_nothing_are_no_better_than_chance(tmp_path: Path, few_trees: None):
    audit = audited(tmp_path, informative=False)
    together = audit.loc[EVERYTHING]
    assert together["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.1)
    assert together["apart_covid"] == pytest.approx(0.5, abs=0.1)


def test_two_classes_of_other_names_are_audited_alike_and_twice_the_same(
    tmp_path: Path, few_trees: None
):
    audit = audited(tmp_path, classes=["sick", "well"])
    assert audit.loc["source", "apart_sick"] == 1
    first = (tmp_path / "audit.csv").read_bytes()
    audited(tmp_path, classes=["sick", "well"])
    assert (tmp_path / "audit.csv").read_bytes() == first


def test_predictions_of_other_images_are_refused(tmp_path: Path):
    outputs = made_up(tmp_path, informative=True, classes=CLASSES)
    table = pd.read_csv(tmp_path / "predictions.csv")
    table[table["image_id"] != "i0"].to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(InputError, match="does not predict the images"):
        run(
            attributes=tmp_path / "attributes.csv",
            predictions=tmp_path / "predictions.csv",
            **outputs,
            classes=CLASSES,
            seed=1,
        )


def test_the_share_of_the_model_s_gain_over_chance():
    audit = pd.DataFrame(
        {
            "predictor": ["chance", EVERYTHING, "A", "B"],
            "kind": ["chance", "together", "model", "model"],
            "accuracy": [0.4, 0.6, 0.8, 0.7],
        }
    )
    assert gain(audit, EVERYTHING) == pytest.approx((0.4, 0.6, 0.8, 0.5))
    assert np.isnan(gain(audit.assign(accuracy=0.4), EVERYTHING).share)


def audit_table(alone: float, model: float, apart: float) -> pd.DataFrame:
    """Make an audit in which source and age, and all attributes, reach the accuracy `alone`."""
    names = ["chance", "source", SOURCE_AND_AGE, EVERYTHING, "VGG16 v1"]
    kinds = ["chance", "attribute", "together", "together", "model"]
    frame = pd.DataFrame({"predictor": names, "kind": kinds, "n": 100, "patients": 90})
    for name in ("accuracy", "balanced_accuracy"):
        for bound in ("", "_low", "_high"):
            frame[name + bound] = [0.4, alone, alone, alone, model]
    for label in CLASSES:
        frame[f"apart_{label}"] = [0.5, 0.6, 0.6, 0.6, 0.9]
    frame.loc[1, "apart_covid"] = apart
    return frame


def test_a_class_that_its_source_determines_is_a_warning_with_the_numbers():
    audit = audit_table(0.6, 0.9, 1.0)
    found = check(audit, CLASSES)
    assert found.state == "warning"
    assert "0.600, of the best image model 0.900, by chance 0.400" in found.text
    assert "separates covid from the rest" in found.text
    section = section_of(audit, CLASSES)
    assert "40.0\u202f% of what the model gains over chance" in section.paragraphs[0]
    assert "source (1.000); the best image model 0.900" in section.paragraphs[1]


@pytest.mark.parametrize("model", [0.9, 0.4, 0.3])
def test_an_audit_that_finds_nothing_passes(model: float):
    found = check(audit_table(0.4, model, 0.5), CLASSES)
    assert found.state == "pass"
    assert "separates" not in found.text


def test_source_and_age_that_predict_the_label_beyond_chance_are_a_warning():
    assert check(audit_table(0.45, 0.9, 0.5), CLASSES).state == "warning"


def test_attributes_that_beat_the_model_could_be_all_of_its_gain_and_no_more():
    audit = audit_table(0.95, 0.9, 0.6)
    assert "So all of what" in section_of(audit, CLASSES).paragraphs[0]
    assert check(audit, CLASSES).state == "warning"
    assert at_most(1.227) == "all"
    assert at_most(float("nan")) == "no share"


def test_section_is_written_beside_the_table(whole: Path):
    audit = pd.read_csv(whole / "audit.csv")
    section = read_section(whole / "audit.json")
    assert section.part == "validity"
    assert [check.state for check in section.checks] == ["warning"]
    (shown,) = section.tables
    assert shown.table is not None
    assert len(shown.table.rows) == len(audit)
    assert "apart" in " ".join(column.label for column in shown.table.columns).lower()
