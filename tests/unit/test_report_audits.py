"""Report sections on external sets, leakage and shortcuts."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from covidcxr.report.facts import Run
from covidcxr.report.sections import external, leakage, shortcuts
from tests.unit.report_inputs import made_up_run


@pytest.fixture
def run(tmp_path) -> Run:
    inputs = made_up_run(tmp_path)
    names = ("manifest", "split", "quarantine", "classification", "intervals")
    frames = {name: inputs.frames[name] for name in names}
    return Run(config=inputs.config, **frames)


def external_tables(run: Run, fall: float) -> dict[str, pd.DataFrame]:
    """An external set of normal films only, on which every model's accuracy falls by `fall`."""
    tests = run.classification[run.classification["split"] == "test"]
    scores = tests.assign(set="adults", split="external", accuracy=tests["accuracy"] - fall, n=50)
    scores = scores.assign(accuracy_low=scores["accuracy"] - 0.1, accuracy_high=0.99)
    for name, value in (("covid", 0.9), ("normal", np.nan), ("pneumonia", 0.02)):
        for suffix in ("", "_low", "_high"):
            scores[f"called_{name}{suffix}"] = value
    scores = scores.assign(at_threshold_sensitivity=np.nan, at_threshold_called=0.8)
    sets = pd.DataFrame(
        {
            "set": ["adults", "adults"],
            "class": ["normal", "pneumonia"],
            "images": [50, 0],
            "patients": [40, 0],
            "excluded": [3, 2],
            "reasons": ["3 patient_in_run", "2 missing"],
        }
    )
    return {"external": scores, "external_sets": sets}


def test_fall_of_accuracy_outside_is_a_warning_with_both_numbers(run):
    found = external.section(run, external_tables(run, 0.4))
    assert found is not None
    (notice,) = found.notices
    best = run.classification.query("model == 'ensemble' and split == 'test'")["accuracy"].max()
    assert notice.kind == "warning"
    assert f"from {best:.3f}" in notice.text
    assert f"to {best - 0.4:.3f}" in notice.text
    assert "90.0" in notice.text
    assert "covid" in notice.text
    (row, *_) = found.tables[0].table.rows
    assert row[0] == "adults"
    assert row[7] == "–"


def test_no_fall_is_no_warning_and_no_external_set_no_section(run):
    found = external.section(run, external_tables(run, 0.0))
    assert found is not None
    assert not found.notices
    assert external.section(run, {}) is None


def test_model_shown_for_a_set_is_chosen_by_the_runs_own_test_set(run):
    tables = external_tables(run, 0.4)
    own = run.classification
    ensembles = (own["model"] == "ensemble") & (own["split"] == "test")
    poorest = own[ensembles].sort_values("accuracy").iloc[0]
    best = own[ensembles].sort_values("accuracy").iloc[-1]
    assert poorest["accuracy"] < best["accuracy"]
    lucky = tables["external"]["backbone"] == poorest["backbone"]
    tables["external"].loc[lucky, "accuracy"] = 1.0
    found = external.section(replace(run), tables)
    assert found is not None
    assert f"ensemble of {best['backbone']} {best['augmentation']}," in found.paragraphs[0]


def leakage_tables(found: int) -> dict[str, pd.DataFrame]:
    row = ("patient", "training and test", "a", "b", "s:1", "s:1", np.nan, np.nan)
    columns = ["check", "between", "image_a", "image_b", "patient_a", "patient_b", "value", "unit"]
    summary = [("patient", "training and test", 90, found), ("registration", "folds", 30, 0)]
    return {
        "leakage": pd.DataFrame([row] * found, columns=columns),
        "leakage_summary": pd.DataFrame(summary, columns=["check", "between", "compared", "found"]),
    }


def test_leakage_is_a_warning_with_its_number_and_none_is_said_in_words(run):
    found = leakage.section(run, leakage_tables(2))
    assert found is not None
    (notice,) = found.notices
    assert notice.text == "Leakage between training and test: 2 patients on both sides."
    assert len(found.tables) == 2
    none = leakage.section(run, leakage_tables(0))
    assert none is not None
    assert not none.notices
    assert "no patient and no copy" in none.paragraphs[0]
    assert leakage.section(run, {}) is None


def control_tables(no_lungs: float, auc: float) -> dict[str, pd.DataFrame]:
    rows = [("whole", 0.9), ("no_lungs", no_lungs), ("borders", 0.45)]
    controls = pd.DataFrame(rows, columns=["control", "accuracy"]).assign(n=20, majority=0.4)
    controls["accuracy_low"] = controls["accuracy"] - 0.1
    controls["accuracy_high"] = controls["accuracy"] + 0.05
    sources = controls.iloc[:1].assign(
        scope="within normal", sources="a, b", patients=9, auc=auc, balanced_accuracy=auc
    )
    return {"controls": controls, "told_sources": sources}


def test_control_as_good_as_the_model_is_a_warning_with_its_number(run):
    tables = control_tables(0.85, 0.99)
    found = shortcuts.section(run, tables)
    assert found is not None
    control, source = found.notices
    assert "lungs blacked out 0.850" in control.text
    assert "outer" not in control.text
    assert "within normal" in source.text
    assert "0.990" in source.text
    quiet = shortcuts.section(run, control_tables(0.45, 0.6))
    assert quiet is not None
    assert not quiet.notices
    assert shortcuts.section(run, {}) is None
