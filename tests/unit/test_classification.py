"""The table of classification, against scikit-learn's report."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report

from covidcxr.classify.predictions import read_predictions
from covidcxr.data.tables import write_table
from covidcxr.evaluate.classification import run, summary
from covidcxr.evaluate.scores import scores
from tests.unit import statistics_inputs
from tests.unit.statistics_inputs import identified

CLASSES = ["covid", "normal", "pneumonia"]
labels = st.sampled_from(CLASSES)


def summarised(pairs: list[tuple[str, str]]) -> pd.Series:
    """Return the row of one model from true and predicted labels."""
    frame = pd.DataFrame(pairs, columns=["label", "predicted"])
    frame["patient_id"] = [f"s:{k}" for k in range(len(frame))]
    for name in CLASSES:
        frame[f"p_{name}"] = (frame["predicted"] == name).astype(float)
    return summary(scores(identified(frame), CLASSES, seed=1, replicates=5), CLASSES).iloc[0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_measures_agree_with_scikit_learns_report_where_a_class_has_images(pairs):
    truth, predicted = zip(*pairs, strict=True)
    report = classification_report(
        truth, predicted, labels=CLASSES, output_dict=True, zero_division=0
    )
    found = summarised(pairs)
    for name in CLASSES:
        values = found[[f"{metric}_{name}" for metric in ("precision", "recall", "f1")]]
        expected = [report[name][metric] for metric in ("precision", "recall", "f1-score")]
        if name not in truth:
            expected = [np.nan] * 3
        assert values.tolist() == pytest.approx(expected, nan_ok=True)
    assert found["n"] == len(pairs)
    assert found["accuracy"] == pytest.approx(np.mean([t == p for t, p in pairs]))


def test_class_that_is_never_predicted_has_precision_zero():
    found = summarised([("covid", "covid"), ("normal", "covid")])
    assert found["precision_normal"] == 0
    assert found["precision_covid"] == 0.5
    assert np.isnan(found["precision_pneumonia"])


def test_rows_keep_the_order_of_the_predictions_and_hold_validation_and_test(tmp_path: Path):
    classes = statistics_inputs.CLASSES
    frame = read_predictions(statistics_inputs.write_predictions(tmp_path), classes)
    elsewhere = frame.assign(population="children")
    external = frame[frame["set"] == "test"].assign(set="hospital")
    everything = pd.concat([frame, elsewhere, external], ignore_index=True)
    table = scores(everything, classes, seed=1, groups={"g": frame["image_id"]}, replicates=5)
    write_table(table, tmp_path / "scores.csv")
    run(tmp_path / "scores.csv", tmp_path / "classification.csv", classes=classes)
    written = pd.read_csv(tmp_path / "classification.csv")
    assert written.columns.tolist() == [
        "backbone", "augmentation", "classifier", "model", "split", "n", "accuracy",
        *(f"{metric}_{c}" for metric in ("precision", "recall", "f1") for c in classes),
    ]  # fmt: skip
    identity = ["backbone", "augmentation", "classifier", "model", "set"]
    expected = frame.groupby(identity, sort=False).size().reset_index(name="n")
    assert written.iloc[:, :6].to_numpy().tolist() == expected.to_numpy().tolist()
    row = written.query("backbone == 'A' and model == 'fold0' and split == 'test'")
    own = frame.query("backbone == 'A' and model == 'fold0' and set == 'test'")
    assert row["accuracy"].item() == pytest.approx((own["label"] == own["predicted"]).mean())
