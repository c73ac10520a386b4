"""Populations and the cross-population matrix: who trains, who tests, and the scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from covidcxr.data.population import of_population, run
from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.errors import InputError
from covidcxr.evaluate.matrix import cell, require_disjoint, write_matrix
from covidcxr.report.sections import matrix as section
from tests.unit.test_figures import assert_nothing_clipped

CLASSES = ["covid", "normal"]
SOURCES = {"covid": ["clinic"], "normal": ["children", "adults"]}
POPULATIONS = {"young": ["clinic", "children"], "old": ["clinic", "adults"]}


def images() -> pd.DataFrame:
    """Ten patients of each source, two images each; the last three patients test."""
    rows = [
        dict.fromkeys(MANIFEST_COLUMNS, "")
        | {
            "image_id": f"{source}-{k}",
            "path": "x.png",
            "label": label,
            "source": source,
            "patient_id": f"{source}:{k // 2}",
            "sha256": "0" * 64,
            "split": "test" if k >= 14 else "train",
            "fold": "" if k >= 14 else str(k // 2 % 2),
        }
        for label, sources in SOURCES.items()
        for source in sources
        for k in range(20)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    frame = images()
    frame[MANIFEST_COLUMNS].to_csv(tmp_path / "manifest.csv", index=False)
    frame[["image_id", "split", "fold"]].to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def population(folder: Path, *sources: str) -> pd.DataFrame:
    chosen = folder / "p.csv"
    run(folder / "manifest.csv", folder / "split.csv", chosen, sources=sources or None)
    return pd.read_csv(chosen)


def test_a_population_trains_on_its_sources_and_tests_on_all(tables: Path):
    joined = population(tables, "clinic", "adults").merge(images(), on=["image_id", "split"])
    train, test = (joined[joined["split"] == side] for side in ("train", "test"))
    assert set(train["source"]) == {"clinic", "adults"}
    assert test["source"].value_counts().to_dict() == dict.fromkeys(
        ["clinic", "children", "adults"], 6
    )
    assert not set(train["patient_id"]) & set(test["patient_id"])


def test_the_study_is_the_population_of_all_sources(tables: Path):
    pd.testing.assert_frame_equal(population(tables), pd.read_csv(tables / "split.csv"))


def test_test_images_are_the_same_for_every_population():
    frame = images()
    split = frame[["image_id", "split", "fold"]]
    tested = [
        set(
            of_population(frame[MANIFEST_COLUMNS], split, sources).query("split == 'test'").image_id
        )
        for sources in POPULATIONS.values()
    ]
    assert tested[0] == tested[1]


def test_a_population_that_lacks_a_class_is_refused(tables: Path):
    with pytest.raises(InputError, match="no training image of class covid"):
        population(tables, "adults")


def test_a_patient_on_both_sides_is_refused():
    frame = images()
    frame.loc[0, "split"] = "test"
    with pytest.raises(InputError, match="patient clinic:0 has training and test images"):
        require_disjoint(frame)


def test_a_cell_s_scores_are_shares_of_the_films_they_speak_of():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "patient_id": [f"p{k // 2}" for k in range(200)],
            "label": rng.choice(["covid", "normal", "pneumonia"], 200, p=[0.2, 0.5, 0.3]),
            "called": rng.choice(["covid", "normal", "pneumonia"], 200),
        }
    )
    found = cell(table, "covid", 1)
    own = table[table["label"] == "covid"]
    others = table[table["label"] != "covid"]
    assert found["accuracy"] == pytest.approx((table["label"] == table["called"]).mean())
    assert found["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(table["label"], table["called"])
    )
    assert found["sensitivity"] == pytest.approx((own["called"] == "covid").mean())
    assert found["false_target"] == pytest.approx((others["called"] == "covid").mean())
    for name in ("accuracy", "balanced_accuracy", "sensitivity", "false_target"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]


def test_films_of_one_class_have_no_score_of_the_others():
    table = pd.DataFrame({"patient_id": ["a", "b"], "label": "normal", "called": "covid"})
    found = cell(table, "covid", 1)
    assert np.isnan(found["sensitivity"])
    assert np.isnan(found["balanced_accuracy"])
    assert found["false_target"] == 1
    # Two of two is no certainty: the exact interval.
    assert found["false_target_low"] == pytest.approx(0.025**0.5)


def written(folder: Path) -> pd.DataFrame:
    """Models of the young call every adult covid; models of the old are always right."""
    frame = images().query("split == 'test'")
    records = []
    for name in POPULATIONS:
        covid = frame["label"].eq("covid") | (frame["source"].eq("adults") & (name == "young"))
        path = folder / f"{name}.csv"
        frame[["image_id", "patient_id", "label"]].assign(
            p_covid=covid.astype(float), p_normal=(~covid).astype(float)
        ).to_csv(path, index=False)
        other = folder / f"{name}_other.csv"
        pd.DataFrame(
            {"image_id": ["o1", "o2"], "patient_id": ["o:1", "o:2"], "label": "covid",
             "p_covid": [1.0, 0.0], "p_normal": [0.0, 1.0]}
        ).to_csv(other, index=False)  # fmt: skip
        records += [(name, "Net", "v1", "", path), (name, "Net", "v1", "other", other)]
    write_matrix(
        folder / "manifest.csv", folder / "split.csv", records,
        folder / "m.csv", folder / "m.png", folder / "m.svg",
        populations=POPULATIONS, classes=CLASSES, target="covid", seed=1,
    )  # fmt: skip
    return pd.read_csv(folder / "m.csv")


def test_the_matrix_shows_where_a_model_fails(tables: Path):
    matrix = written(tables).set_index(["trained_on", "tested_on"])
    assert matrix.loc[("young", "young"), "accuracy"] == 1
    assert matrix.loc[("young", "old"), "accuracy"] == 0.5
    assert matrix.loc[("young", "normal (adults)"), "false_target"] == 1
    assert matrix.loc[("young", "normal (children)"), "false_target"] == 0
    assert matrix.loc[("old", "old"), ["accuracy", "sensitivity"]].tolist() == [1, 1]
    assert matrix.loc[("old", "other"), ["n", "sensitivity"]].tolist() == [2, 0.5]
    assert matrix.loc[("old", "young"), "patients"] == 6
    assert_nothing_clipped(tables / "m.png")
    svg = (tables / "m.svg").read_text()
    assert "100 %" in svg
    assert "Share of films called covid" in svg


def test_the_report_says_in_words_what_the_matrix_shows(tables: Path):
    text = section.text(written(tables), "young", "covid")
    assert "balanced accuracy 1.000 on its own test films, 0.500 on the least like them" in text
    assert "normal (adults), 100.0\u202f% of 6 films" in text


def test_predictions_that_lack_a_test_image_are_refused(tables: Path):
    written(tables)
    table = pd.read_csv(tables / "young.csv")
    table.iloc[1:].to_csv(tables / "young.csv", index=False)
    with pytest.raises(InputError, match="does not predict all test images"):
        write_matrix(
            tables / "manifest.csv", tables / "split.csv",
            [("young", "Net", "v1", "", tables / "young.csv")],
            tables / "m.csv", tables / "m.png", tables / "m.svg",
            populations=POPULATIONS, classes=CLASSES, target="covid", seed=1,
        )  # fmt: skip
