"""The key result and the table of ensembles, with baselines beside the networks."""

from pathlib import Path

import pandas as pd
import pytest

from covidcxr.errors import InputError
from covidcxr.evaluate.scores import BY_CLASS, OVERALL
from covidcxr.report import content, facts, summaries
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
    measures = [(name, "") for name in OVERALL]
    measures += [(name, label) for label in CLASSES for name in BY_CLASS]
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


def test_ensemble_without_an_interval_is_named(inputs: Inputs) -> None:
    table = inputs.frames["intervals"]
    inputs.frames["intervals"] = table[table["backbone"] != "ResNet50"]
    with pytest.raises(InputError, match="0 accuracies of the ensemble of ResNet50 v1"):
        summaries.ensemble_table(run_of(inputs))
