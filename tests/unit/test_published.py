from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covidcxr.errors import InputError
from covidcxr.evaluate.published import run as write_published
from covidcxr.report.section import read_section

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT / "config/published_results.csv"


def classification(classes=("covid", "normal", "pneumonia")) -> pd.DataFrame:
    rows = []
    for backbone, augmentation in [("ResNet50", "v2"), ("VGG16", "v1"), ("VGG16", "v3")]:
        for model, accuracy in [("fold0", 0.8), ("fold1", 0.9), ("ensemble", 0.95)]:
            for split in ("validation", "test"):
                row = {
                    "backbone": backbone,
                    "augmentation": augmentation,
                    "classifier": "network",
                    "model": model,
                    "split": split,
                    "n": 149,
                    "accuracy": accuracy if split == "test" else 0.1,
                }
                for name in classes:
                    row |= {f"precision_{name}": 0.9, f"recall_{name}": 0.7, f"f1_{name}": 0.5}
                rows.append(row)
    # Neither the mean over backbones nor another classifier has a counterpart in the study.
    others = [row | {"backbone": "all"} for row in rows if row["backbone"] == "VGG16"]
    others += [row | {"augmentation": "none", "classifier": "logistic"} for row in rows[:2]]
    return pd.DataFrame(rows + others)


MODELS = pd.DataFrame(
    {
        "backbone": ["ResNet50", "VGG16", "VGG16"],
        "augmentation": ["v2", "v1", "v3"],
        "size_mb": [95.1, 58.9, 58.8],
        "parameters": [3, 4, 4],
        "trainable_parameters": [1, 1, 1],
    }
)


def tables(folder, ours, models=MODELS, published=PUBLISHED, untrained=()):
    ours.to_csv(folder / "classification.csv", index=False)
    models.to_csv(folder / "models.csv", index=False)
    outputs = (folder / "accuracy.csv", folder / "comparison.csv")
    write_published(
        folder / "classification.csv",
        published,
        folder / "models.csv",
        *outputs,
        folder / "section.json",
        untrained=untrained,
    )
    return [pd.read_csv(path) for path in outputs]


def test_accuracy_table_has_ours_then_what_only_the_study_has(tmp_path):
    accuracy, _ = tables(tmp_path, classification())
    assert accuracy[["backbone", "augmentation"]].to_numpy().tolist() == [
        ["ResNet50", "v2"],
        ["VGG16", "v1"],
        ["VGG16", "v3"],
        ["VGG16", "v2"],
        ["EfficientNetB0", "v2"],
    ]
    row = accuracy.iloc[1]
    assert (row["n"], row["accuracy"], row["published_accuracy"]) == (149, 0.95, 0.88)
    assert row["difference"] == pytest.approx(0.07)
    assert (row["fold_mean"], row["fold_min"], row["fold_max"]) == pytest.approx((0.85, 0.8, 0.9))
    assert row["published_precision_normal"] == 0.84
    assert row["difference_precision_normal"] == pytest.approx(0.06)
    assert np.isnan(row["published_recall_covid"])
    ours_only, theirs_only = accuracy.iloc[2], accuracy.iloc[4]
    assert ours_only["accuracy"] == 0.95
    assert np.isnan(ours_only["published_accuracy"])
    assert np.isnan(ours_only["difference"])
    assert theirs_only["published_accuracy"] == 0.967
    assert theirs_only["published_recall_covid"] == 0.965
    assert np.isnan(theirs_only["accuracy"])


def test_comparison_lists_others_then_the_study_then_this_run(tmp_path):
    _, comparison = tables(tmp_path, classification())
    assert comparison["system"].str.split(",").str[0].tolist() == (
        ["COVID-Net"] * 2 + ["Luz et al."] * 3 + ["the study"] * 4 + ["this run"] * 3
    )
    ours = comparison.iloc[-2]
    assert ours["system"] == "this run, VGG16 v1"
    assert (ours["accuracy"], ours["recall_covid"], ours["size_mb"]) == (0.95, 0.7, 58.9)
    assert ours["note"] == "ensemble of 2 models of this size"


def test_other_class_names_leave_the_published_columns_blank(tmp_path):
    accuracy, comparison = tables(tmp_path, classification(("flu", "healthy")))
    assert accuracy["published_precision_flu"].isna().all()
    assert accuracy["precision_flu"].notna().sum() == 3
    assert "precision_covid" not in comparison
    assert comparison["precision_healthy"].notna().tolist() == [False] * 9 + [True] * 3


def test_journal_and_preprint_stand_beside_this_run_without_a_difference(tmp_path):
    tables(tmp_path, classification(), untrained=["VGG16"])
    section = read_section(tmp_path / "section.json")
    table = section.tables[0].table
    assert table is not None
    assert [column.label for column in table.columns[2:5]] == ["this run", "preprint", "journal"]
    assert "difference" not in [column.label for column in table.columns]
    row = next(row for row in table.rows if row[0] == "ResNet50")
    assert row[3:5] == ["0.953", "0.943"]
    assert "VGG16 started from random weights: no comparison holds" in section.paragraphs[1]


def test_no_table_stands_beside_published_results_of_other_classes(tmp_path):
    tables(tmp_path, classification(("flu", "healthy")))
    section = read_section(tmp_path / "section.json")
    assert section.tables == ()
    assert "not the study's" in section.paragraphs[0]


@pytest.mark.parametrize(
    ("backbone", "augmentation", "metrics"),
    [
        ("VGG16", "v1", (0.88, 0.82, 0.84, 0.98)),
        ("VGG16", "v2", (0.912, 0.93, 0.87, 0.96)),
        ("ResNet50", "v2", (0.953, 0.96, 0.96, 0.93)),
        ("EfficientNetB0", "v2", (0.967, 0.95, 1.0, 0.96)),
    ],
)
def test_published_accuracy_fits_the_published_precisions(backbone, augmentation, metrics):
    """The figures of the study are recorded as published."""
    published = pd.read_csv(PUBLISHED, dtype={"table": str})
    row = published[
        (published["table"] == "1")
        & (published["backbone"] == backbone)
        & (published["augmentation"] == augmentation)
    ]
    columns = ["accuracy", "precision_covid", "precision_normal", "precision_pneumonia"]
    assert tuple(row[columns].iloc[0]) == metrics


def test_model_listed_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"models.csv lists VGG16 v1 more than once"):
        tables(tmp_path, classification(), pd.concat([MODELS, MODELS.iloc[[1]]]))
