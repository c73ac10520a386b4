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
from covidcxr.evaluate.classification import run, section_of, summary
from covidcxr.evaluate.scores import scores
from covidcxr.report.section import read_section
from tests.unit import statistics_inputs
from tests.unit.statistics_inputs import few, identified

CLASSES = ["covid", "normal", "pneumonia"]
labels = st.sampled_from(CLASSES)


def summarised(pairs: list[tuple[str, str]]) -> pd.Series:
    """Return the row of one model from true and predicted labels."""
    frame = pd.DataFrame(pairs, columns=["label", "predicted"])
    frame["patient_id"] = [f"s:{k}" for k in range(len(frame))]
    for name in CLASSES:
        frame[f"p_{name}"] = (frame["predicted"] == name).astype(float)
    return summary(few(5, scores, identified(frame), CLASSES, seed=1), CLASSES).iloc[0]


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
    table = few(5, scores, everything, classes, seed=1, groups={"g": frame["image_id"]})
    write_table(table, tmp_path / "scores.csv")
    run(
        tmp_path / "scores.csv",
        tmp_path / "classification.csv",
        tmp_path / "section.json",
        classes=classes,
    )
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
    assert read_section(tmp_path / "section.json").finding


def accuracies(**values: tuple[float, float]) -> pd.DataFrame:
    """Scores of ensembles by backbone, from their accuracy out of fold and on the test set."""
    rows = []
    for backbone, both in values.items():
        for tested, value in zip(("validation", "test"), both, strict=True):
            own = {"backbone": backbone, "set": tested, "model": "ensemble"}
            own |= {"estimate": value, "low": value - 0.1, "high": min(1.0, value + 0.05)}
            own |= {"n": 30, "patients": 15, "metric": "accuracy", "class": ""}
            folds = [own | {"model": f"fold{k}", "estimate": value - 0.01 * k} for k in range(2)]
            by_class = [
                own | {"metric": metric, "class": name, "n": n}
                for metric in ("sensitivity", "specificity", "precision")
                for name, n in zip(CLASSES, (15, 10, 5), strict=True)
            ]
            rows += [own, *folds, *by_class]
    frame = pd.DataFrame(rows).assign(population="study", augmentation="v1", group="")
    frame["classifier"] = "network"
    logistic = frame["backbone"] == "logistic"
    return frame.assign(
        backbone=frame["backbone"].mask(logistic, "A"),
        augmentation=frame["augmentation"].mask(logistic, "none"),
        classifier=frame["classifier"].mask(logistic, "logistic"),
    )


def test_recommended_is_the_network_best_out_of_fold_and_the_best_by_the_test_set_is_called_so():
    scores = accuracies(A=(0.9, 0.8), B=(0.8, 0.85), logistic=(0.95, 0.87))
    found = section_of(scores, CLASSES)
    [text] = found.paragraphs
    assert found.finding.startswith("A v1 has an accuracy of 0.800 (0.700–0.850) on 30 test images")
    assert "naming the largest class every time would have 0.500" in found.finding
    assert text.startswith(
        "A v1, of the networks the most accurate out of fold, is the recommended"
    )
    assert "On the test set A logistic regression is the most accurate, with 0.870" in text
    assert "chosen by the images that score it, of 3 ensembles." in text
    assert [row.value for row in found.key_rows] == [
        "0.800 (0.700–0.850)", *["0.800 (0.700–0.850), 0.800 (0.700–0.850)"] * 3, "0.500",
    ]  # fmt: skip
    table = found.tables[0].table
    assert table is not None
    assert [row[0] for row in table.rows] == ["A logistic regression", "B v1", "A v1"]
    assert table.rows[2][2] == "0.795\u00a0± 0.007"


@pytest.mark.parametrize(("other", "said"), [(0.75, True), (0.2, False)])
def test_limits_say_where_the_order_of_models_may_be_chance(other: float, said: bool):
    limits = section_of(accuracies(A=(0.9, 0.8), B=(0.8, other)), CLASSES).limits
    assert "30 images of 15 patients" in limits[0].text
    assert "0.150 wide" in limits[0].text
    assert any("may be chance" in limit.text for limit in limits) is said
