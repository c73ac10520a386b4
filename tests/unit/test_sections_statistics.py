"""Report sections on intervals, comparisons, calibration, operating point and splits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covidcxr.errors import InputError
from covidcxr.evaluate.comparisons import compare
from covidcxr.report import content, facts, summaries
from covidcxr.report.report import write_report
from covidcxr.report.sections import intervals
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
    sentence, lines = content.key_result(run_of(inputs))
    assert "Best of 4 ensembles" in sentence
    assert "VGG16 with v1" in sentence
    assert lines[2:] == [
        "All backbones together: v1 0.950, v2 0.950",
        "Logistic regression on the same features, for comparison: VGG16 0.800, ResNet50 0.400",
    ]


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


def test_page_holds_the_section_and_a_run_without_comparisons_has_none(inputs: Inputs) -> None:
    write_report(inputs.folder / "report.html", **inputs.arguments())
    assert 'id="intervals"' in (inputs.folder / "report.html").read_text()
    assert intervals.section(run_of(inputs), {}) is None


def test_ensemble_without_an_interval_is_named(inputs: Inputs) -> None:
    table = inputs.frames["intervals"]
    inputs.frames["intervals"] = table[table["backbone"] != "ResNet50"]
    with pytest.raises(InputError, match="0 accuracies of the ensemble of ResNet50 v1"):
        summaries.ensemble_table(run_of(inputs))
