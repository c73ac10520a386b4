"""Populations and the cross-population matrix: who trains, who tests, and the scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covidcxr.data.population import of_population
from covidcxr.data.population import run as choose
from covidcxr.data.tables import MANIFEST_COLUMNS
from covidcxr.errors import InputError
from covidcxr.evaluate.population_matrix import run
from covidcxr.evaluate.scores import run as score
from covidcxr.report.section import read_section
from tests.unit.statistics_inputs import identified
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
            "site": source,
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
    choose(folder / "manifest.csv", folder / "split.csv", chosen, sources=sources or None)
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


def written(folder: Path) -> pd.DataFrame:
    """Models of the young call every adult covid; models of the old are always right."""
    frame = images().query("split == 'test'")[["image_id", "patient_id", "label", "source"]]
    other = pd.DataFrame(
        {"image_id": ["o1", "o2"], "patient_id": ["o:1", "o:2"], "label": "covid", "source": "o"}
    )
    parts = []
    for name in POPULATIONS:
        covid = frame["label"].eq("covid") | (frame["source"].eq("adults") & (name == "young"))
        for table, so, tested in (
            (frame, covid, "test"),
            (other, pd.Series([True, False]), "other"),
        ):
            scores = table.drop(columns="source").assign(
                p_covid=so.astype(float), p_normal=(~so).astype(float)
            )
            parts.append(identified(scores, population=name, backbone="Net", set=tested))
    pd.concat(parts).to_csv(folder / "predictions.csv", index=False)
    score(
        folder / "predictions.csv", folder / "manifest.csv", folder / "scores.csv",
        classes=CLASSES, populations=POPULATIONS, seed=1,
    )  # fmt: skip
    run(
        folder / "scores.csv", folder / "m.csv", folder / "m.png", folder / "m.svg",
        folder / "m.json", populations=list(POPULATIONS), target="covid",
    )  # fmt: skip
    return pd.read_csv(folder / "m.csv")


def test_images_of_one_class_have_no_score_of_the_others(tables: Path):
    row = written(tables).set_index(["trained_on", "tested_on"]).loc[("young", "normal (adults)")]
    assert np.isnan(row["sensitivity"])
    assert row["false_target"] == 1
    # Three of three patients is no certainty: the exact interval.
    assert row["false_target_low"] == pytest.approx(0.025 ** (1 / 3))
    assert row["false_target_high"] == 1


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
    assert "Share of images predicted covid" in svg


def test_the_report_says_in_words_what_the_matrix_shows(tables: Path):
    written(tables)
    [text, _] = read_section(tables / "m.json").paragraphs
    assert "balanced accuracy 1.000 on its own test images, 0.500 on the least like them" in text
    assert "normal (adults), 100.0\u202f% of 6 images" in text
