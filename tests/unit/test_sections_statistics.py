"""Report sections on intervals, comparisons, calibration, operating point and splits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covidcxr.errors import InputError
from covidcxr.evaluate.comparisons import compare
from covidcxr.report import content, facts, summaries
from covidcxr.report.sections import calibration, intervals, operating_point, split_comparison
from tests.unit.report_inputs import CLASSES, Inputs, made_up_run


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A made-up run with baselines, intervals of every measure, and all pairs compared."""
    inputs = made_up_run(tmp_path)
    heads = inputs.frames["classification"]
    single = heads[heads["augmentation"] == "v1"]
    logistic = single.assign(augmentation="logistic", accuracy=single["accuracy"] - 0.1)
    both = heads[heads["backbone"] == "VGG16"].assign(backbone="all", accuracy=0.95)
    inputs.frames["baselines"] = pd.concat([both, logistic], ignore_index=True)
    scored = pd.concat([heads, inputs.frames["baselines"]])
    test = scored[scored["split"] == "test"]
    measures = [(name, "") for name in intervals.OVERALL]
    measures += [(name, label) for label in CLASSES for name in intervals.BY_CLASS]
    rows = []
    for model in test.itertuples():
        for metric, label in measures:
            value = model.accuracy
            rows.append(
                {
                    "backbone": model.backbone,
                    "augmentation": model.augmentation,
                    "model": model.model,
                    "metric": metric,
                    "class": label,
                    "estimate": value,
                    "low": value - 0.1,
                    "high": min(1, value + 0.05),
                    "n": 20,
                    "patients": 10,
                    "method": "exact" if metric == "specificity" else "bootstrap",
                    "fold_mean": 0.85,
                    "fold_sd": 0.01,
                }
            )
    inputs.frames["intervals"] = pd.DataFrame(rows)
    ensembles = test[test["model"] == "ensemble"]
    correct = {
        (row.backbone, row.augmentation): np.arange(100) % 20 < round(row.accuracy * 20)
        for row in ensembles.itertuples()
    }
    inputs.frames["comparisons"] = compare(correct, np.arange(100), seed=1, replicates=50)
    return inputs


def run_of(inputs: Inputs) -> facts.Run:
    names = ("manifest", "split", "quarantine", "classification", "baselines", "intervals")
    return facts.Run(config=inputs.config, **{name: inputs.frames[name] for name in names})


def test_heads_all_backbones_and_logistic_regression_stand_in_one_table(inputs: Inputs) -> None:
    table = summaries.ensemble_table(run_of(inputs))
    assert [row[:2] for row in table.rows] == [
        ["all backbones", "v1"],
        ["all backbones", "v2"],
        ["VGG16", "v1"],
        ["VGG16", "v2"],
        ["VGG16", "logistic regression"],
        ["ResNet50", "v1"],
        ["ResNet50", "v2"],
        ["ResNet50", "logistic regression"],
    ]
    assert table.rows[2][3:5] == ["0.900", "0.800–0.950"]


def test_baselines_follow_the_key_result_but_are_not_it(inputs: Inputs) -> None:
    sentence, _ = content.key_result(run_of(inputs))
    assert "Best of 4 ensembles" in sentence
    assert "VGG16 with v1" in sentence


def test_section_tells_what_differs_from_the_best_and_what_the_head_adds(inputs: Inputs) -> None:
    part = intervals.section(run_of(inputs), inputs.frames)
    assert part is not None
    pairs, head, method = part.paragraphs
    apart = (inputs.frames["comparisons"]["p_holm"] < 0.05).sum()
    assert pairs.startswith(f"Of 28 pairs of ensembles, {apart} differ")
    assert "highest accuracy, all backbones v1" in pairs
    assert "cannot tell apart VGG16 v1 and all backbones v2." in pairs
    assert "in 2 of 4 comparisons" in head
    assert "10 patients of the 20 test images" in method
    tables = {item.name: item.table for item in part.tables}
    assert len(tables["comparisons"].rows) == 28
    assert len(tables["head_gain"].rows) == 4
    assert tables["intervals_overall"].rows[0][2] == "0.900 (0.800–0.950)"
    by_class = tables["intervals_by_class"]
    assert len(by_class.rows) == 8 * 3
    assert by_class.rows[0][4] == "0.900 (0.800–0.950)*"


def test_a_run_without_comparisons_has_no_section(inputs: Inputs) -> None:
    assert intervals.section(run_of(inputs), {}) is None


def test_ensemble_without_an_interval_is_named(inputs: Inputs) -> None:
    table = inputs.frames["intervals"]
    inputs.frames["intervals"] = table[table["backbone"] != "ResNet50"]
    with pytest.raises(InputError, match="0 accuracies of the ensemble of ResNet50 v1"):
        summaries.ensemble_table(run_of(inputs))


def test_calibration_section_names_the_worst_model_and_its_side(inputs: Inputs) -> None:
    shared = {"n": 20, "accuracy": 0.9, "brier_low": 0.1, "brier_high": 0.3, "log_loss": 0.4}
    shared |= {"ece_low": 0.01, "ece_high": 0.2, "ece_if_calibrated": 0.05}
    rows = [
        ("VGG16", "v1", "none", 1.0, 0.95, 0.2, 0.05, 0.4),
        ("VGG16", "v1", "temperature", 1.5, 0.9, 0.18, 0.02, 0.9),
        ("all", "v1", "none", 1.0, 0.7, 0.3, 0.2, 0.001),
        ("all", "v1", "temperature", 0.5, 0.88, 0.31, 0.03, 0.8),
    ]
    names = ["backbone", "augmentation", "scaling", "temperature", "confidence", "brier", "ece"]
    table = pd.DataFrame(rows, columns=[*names, "p_calibrated"]).assign(**shared)
    part = calibration.section(run_of(inputs), {"calibration": table})
    assert part is not None
    text = part.paragraphs[0]
    assert "Of 2 ensembles, 1 as trained and 0 after temperature scaling" in text
    assert "lowered the Brier score of 1." in text
    assert "all backbones v1, ECE 0.200, underconfident by 0.200 on average; scaled 0.030" in text
    assert part.tables[0].table.rows[1][:3] == ["VGG16", "v1", "1.500"]
    assert calibration.section(run_of(inputs), {}) is None


def test_operating_point_section_gives_the_study_s_best_and_every_prevalence(
    inputs: Inputs,
) -> None:
    key = {"backbone": ["VGG16"], "augmentation": ["v1"], "class": ["normal"]}
    point = {"asked": 0.95, "asked_of": "sensitivity", "threshold": 0.4}
    point |= {"validation_sensitivity": 0.96, "validation_specificity": 0.97}
    for name, value in (("sensitivity", 1.0), ("specificity", 0.9)):
        point |= {name: value, f"{name}_low": value - 0.2, f"{name}_high": 1.0}
        point |= {f"{name}_n": 10, f"{name}_patients": 5}
    values = pd.concat(
        pd.DataFrame(key).assign(
            prevalence=prevalence,
            **{"ppv": 0.5, "ppv_low": 0.1, "ppv_high": 0.9},
            **{"npv": np.nan, "npv_low": np.nan, "npv_high": 1.0},
        )
        for prevalence in (0.01, 0.05, 0.2)
    )
    tables = {"operating_point": pd.DataFrame(key).assign(**point), "predictive_values": values}
    part = operating_point.section(run_of(inputs), tables)
    assert part is not None
    assert part.title == "Operating point for normal"
    assert "sensitivity 1.000 (0.800–1.000) (10 images of 5 patients)" in part.paragraphs[0]
    assert "between 10.0\u202f% and 90.0\u202f%" in part.paragraphs[0]
    [row] = part.tables[1].table.rows
    assert row[2:] == ["0.500 (0.100–0.900)"] * 3 + ["–"] * 3
    assert part.tables[1].table.columns[2].label == "PPV at 1\u202f%"
    assert operating_point.section(run_of(inputs), {}) is None
    points = tables["operating_point"].assign(asked=0.995, asked_of="specificity")
    asked = operating_point.section(run_of(inputs), tables | {"operating_point": points})
    assert asked is not None
    assert "no more than 0.5\u202f% of the images of other classes" in asked.paragraphs[1]


def test_split_section_tells_what_leakage_adds_and_on_how_many_images_it_can(
    inputs: Inputs,
) -> None:
    table = pd.DataFrame(
        {
            "backbone": ["VGG16", "VGG16", "ResNet50", "ResNet50"],
            "comparison": ["splits", "matched"] * 2,
            "repeats": 20,
            "leaky": 0.95,
            "clean": 0.94,
            "difference": [0.01, 0.008, 0.0, 0.0],
            "low": [-0.001, 0.002, -0.004, -0.002],
            "high": [0.02, 0.014, 0.004, 0.002],
            "shared": 0.08,
        }
    )
    part = split_comparison.section(run_of(inputs), {"split_comparison": table})
    assert part is not None
    found, patients, _ = part.paragraphs
    assert "over 20 draws: VGG16 +0.008 (+0.002 to +0.014) and ResNet50 0.000" in found
    assert "above 0 for VGG16." in found
    assert "50 of 50 patients have several images, 100 of 100 images" in patients
    assert "8.0\u202f% of the test images" in patients
    assert len(part.tables[0].table.rows) == 4
    assert split_comparison.section(run_of(inputs), {}) is None
