"""External sets share nobody with the run, and are scored with the models as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score

from covidcxr.classify import score
from covidcxr.classify.predictions import read_file
from covidcxr.data.examination import Examination, Examiner
from covidcxr.data.external import build_external
from covidcxr.data.sampling import image_ids
from covidcxr.data.source import CANDIDATE_COLUMNS
from covidcxr.errors import InputError
from covidcxr.evaluate.external_scores import (
    describe_set,
    external_table,
    section_of,
    with_internal,
)
from covidcxr.evaluate.models import KIND
from covidcxr.evaluate.scores import scores
from covidcxr.features import external_features
from covidcxr.report.section import Section
from tests.unit.statistics_inputs import identified
from tests.unit.tiny import (
    CLASSES,
    assemble_tiny,
    tiny_bank,
    tiny_images,
    tiny_manifest,
    tiny_study,
    train_tiny,
)

SOURCES = {
    "own": {"type": "csv", "table": "own.csv"},
    "again": {"type": "csv", "table": "own.csv"},
    "other": {"type": "csv", "table": "other.csv"},
}


def candidates(source: str, rows: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Candidates of a source from (key, patient)."""
    table = pd.DataFrame("", index=range(len(rows)), columns=CANDIDATE_COLUMNS)
    table["key"] = [key for key, _ in rows]
    table["path"] = [f"{source}/{key}" for key, _ in rows]
    table["patient_id"] = [patient for _, patient in rows]
    table["diagnosis"] = "normal"
    table[["day", "age"]] = np.nan
    return table.assign(image_id=image_ids(source, table["key"]), source=source)


def run_of(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of a manifest from (source, key, patient)."""
    return pd.DataFrame(
        {
            "image_id": [f"{source}-{key}" for source, key, _ in rows],
            "path": [f"{source}/{key}" for source, key, _ in rows],
            "patient_id": [f"{source}:{patient}" for source, _, patient in rows],
            "source": [source for source, _, _ in rows],
            "label": "normal",
        }
    )


class Named(Examiner):
    """Says what files hold by their names: equal up to a `~` are one image, `bad` is none."""

    def __call__(self, paths: Sequence[str]) -> list[Examination]:
        bad = Examination("", None, "undecodable", "no image")
        return [bad if "/bad" in path else Examination(path.encode().hex(), None) for path in paths]

    def same(self, found: Examination) -> set[str]:
        name = bytes.fromhex(found.sha256).decode().partition("/")[2].partition("~")[0]
        ends = ("", "~copy", "~twice")
        return {
            f"{s}/{name}{end}".encode().hex() for s in ("own", "again", "other") for end in ends
        }


def choose(found: dict[str, pd.DataFrame], run: pd.DataFrame, parts: dict[str, Any]) -> Any:
    return build_external(
        found, classes=parts, run_images=run, sources=SOURCES, seed=1, examine=Named()
    )


def reasons(excluded: pd.DataFrame) -> dict[str, str]:
    return dict(zip(excluded["path"], excluded["reason"], strict=True))


def test_planted_patient_copy_and_broken_file_are_excluded_with_their_reasons():
    rows = [("a", "1"), ("b", "1"), ("c", "2"), ("run~copy", "3"), ("bad", "4"), ("d", "5")]
    rows += [("d~twice", "6"), ("mine", "9")]
    run = run_of(("own", "run", "1"), ("own", "mine", "9"))
    chosen = choose({"again": candidates("again", rows)}, run, {"normal": [{"source": "again"}]})
    assert sorted([*chosen.images["path"], *chosen.excluded["path"]]) == sorted(
        f"again/{key}" for key, _ in rows
    )
    stated = reasons(chosen.excluded)
    # Source `again` is the table of `own`: the same patients under another name.
    assert stated.pop("again/a") == stated.pop("again/b") == "patient_in_run"
    assert stated.pop("again/mine") == "patient_in_run"
    assert stated.pop("again/run~copy") == "image_in_run"
    assert stated.pop("again/bad") == "undecodable"
    ((path, reason),) = stated.items()
    assert path.startswith("again/d")
    assert reason == "duplicate_image"
    assert set(chosen.images["patient_id"]) <= {"again:2", "again:5", "again:6"}
    assert list(chosen.images["label"].unique()) == ["normal"]


def test_patients_of_another_collection_may_have_the_same_number():
    run = run_of(("own", "x", "1"))
    chosen = choose(
        {"other": candidates("other", [("a", "1")])}, run, {"normal": [{"source": "other"}]}
    )
    assert chosen.images["image_id"].tolist() == ["other-a"]
    assert chosen.excluded.empty


def test_images_that_the_run_drew_are_told_apart_from_those_of_its_patients():
    run = run_of(("own", "x", "1"))
    rows = [("x", "1"), ("y", "1"), ("z", "2")]
    chosen = choose({"own": candidates("own", rows)}, run, {"normal": [{"source": "own"}]})
    assert reasons(chosen.excluded) == {"own/x": "image_in_run", "own/y": "patient_in_run"}


def test_count_is_filled_from_what_is_left_and_a_film_serves_one_class():
    rows = [(f"{number}", f"{number}") for number in range(9)] + [("bad", "bad")]
    run = run_of(("own", "x", "0"))
    parts = {
        "normal": [{"source": "own", "count": 3}],
        "pneumonia": [{"source": "own", "count": 5}],
    }
    chosen = choose({"own": candidates("own", rows)}, run, parts)
    assert chosen.images["label"].tolist() == ["normal"] * 3 + ["pneumonia"] * 5
    assert chosen.images["image_id"].is_unique
    with pytest.raises(InputError, match="class normal: source own has 8 fit images, 9 asked"):
        choose({"own": candidates("own", rows)}, run, {"normal": [{"source": "own", "count": 9}]})


def test_set_without_a_usable_film_is_refused():
    run = run_of(("own", "x", "1"))
    with pytest.raises(InputError, match="1 patient_in_run"):
        choose({"own": candidates("own", [("a", "1")])}, run, {"normal": [{"source": "own"}]})


def predictions(labels: list[str], called: list[str], **identity: str) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(len(labels))],
            "patient_id": [f"s:{k // 2}" for k in range(len(labels))],
            "label": labels,
        }
    )
    for name in CLASSES:
        table[f"p_{name}"] = [0.8 if name == one else 0.1 for one in called]
    return identified(table, **({"set": "hospital"} | identity)).assign(predicted=called)


def external_row(labels: list[str], called: list[str]) -> pd.Series:
    points = pd.DataFrame(
        {
            "backbone": "A", "augmentation": "v1", "classifier": "network", "set": "hospital",
            "threshold": [0.3], "sensitivity": [0.75], "sensitivity_low": [0.5],
            "sensitivity_high": [0.9], "specificity": [0.6], "specificity_low": [0.5],
            "specificity_high": [0.8],
        }
    )  # fmt: skip
    found = scores(predictions(labels, called), CLASSES, seed=1)
    [(_, row)] = external_table(found, points, CLASSES).iterrows()
    return row


def test_scores_over_the_labels_present_agree_with_scikit_learn():
    labels = ["normal"] * 6 + ["pneumonia"] * 4
    called = ["normal", "covid", "covid", "normal", "pneumonia", "covid"]
    called += ["pneumonia", "pneumonia", "normal", "covid"]
    row = external_row(labels, called)
    assert row["n"] == 10
    assert row["accuracy"] == pytest.approx(accuracy_score(labels, called))
    for name in ("normal", "pneumonia"):
        expected = recall_score(labels, called, labels=[name], average="macro")
        assert row[f"recall_{name}"] == pytest.approx(expected)
    assert np.isnan(
        row[[f"{measure}_covid" for measure in ("precision", "recall", "f1")]].astype(float)
    ).all()
    assert row["called_covid"] == pytest.approx(4 / 10)
    assert row["called_normal"] == pytest.approx(1 / 4)
    assert row["called_covid_low"] < row["called_covid"] < row["called_covid_high"]
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    at = [f"at_threshold_{n}{end}" for n in ("sensitivity", "called") for end in ("_low", "_high")]
    assert row[at].tolist() == pytest.approx([0.5, 0.9, 0.2, 0.5])
    assert row["at_threshold_called"] == pytest.approx(0.4)


def test_set_of_one_class_has_no_share_of_others_called_so():
    row = external_row(["normal"] * 4, ["normal"] * 4)
    assert np.isnan(row["called_normal"])
    assert row["called_covid"] == 0


MODELS = {("A", "v1"): ("normal", 0.9), ("B", "v1"): ("covid", 0.6)}
"""What each model predicts for every image of the external set, and its accuracy inside."""


def section(right: int = 4) -> Section:
    """Of an external set of ten normal images, of which the best model has `right`."""
    points = pd.DataFrame(columns=[*KIND, "set", "threshold", *POINT])
    parts = [
        predictions(
            ["normal"] * 10,
            [name] * right + ["covid"] * (10 - right),
            backbone=backbone,
            augmentation=augmentation,
        )
        for (backbone, augmentation), (name, _) in MODELS.items()
    ]
    table = external_table(scores(pd.concat(parts), CLASSES, seed=1), points, CLASSES)
    internal = pd.Series(
        {(*kind, "network", "ensemble"): value for kind, (_, value) in MODELS.items()}
    ).rename_axis([*KIND, "model"])
    images = pd.DataFrame({"label": ["normal"] * 10, "patient_id": list("abcdefghij")})
    excluded = pd.DataFrame({"label": ["pneumonia"], "reason": ["patient_in_run"]})
    counts = pd.DataFrame(describe_set("hospital", images, excluded))
    best = max(MODELS, key=lambda kind: MODELS[kind][1])
    return section_of(with_internal(table, internal), counts, CLASSES, (*best, "network"))


POINT = [f"{name}{end}" for name in ("sensitivity", "specificity") for end in ("", "_low", "_high")]


def test_fall_of_accuracy_outside_is_a_warning_with_both_numbers():
    [check] = section(right=4).checks
    assert check.state == "warning"
    assert "A v1: 0.900 on the run’s own test set, 0.400 on hospital" in check.text


def test_the_recommended_model_is_the_one_shown_for_a_set():
    found = section(right=4)
    assert "Accuracy of the recommended A v1, 0.900" in found.paragraphs[0]
    assert "predicted covid, of which no image is there" in found.paragraphs[0]
    assert found.key_rows[0].value.startswith("0.400 (")


def test_no_fall_is_no_warning():
    assert section(right=9).checks[0].state == "pass"


def test_tables_of_external_sets_have_a_dash_for_what_is_undefined():
    beside, films = section().tables
    assert beside.table is not None
    row = dict(zip([c.label for c in beside.table.columns], beside.table.rows[0], strict=True))
    assert row["normal"] == "–"
    assert row["sensitivity"] == "–"
    assert films.table is not None
    assert films.table.rows[1][-1] == "1 patient in run"


def test_counts_of_a_set_name_the_reasons():
    images = pd.DataFrame({"label": ["normal"] * 3, "patient_id": ["s:1", "s:1", "s:2"]})
    excluded = pd.DataFrame({"label": ["normal", "covid"], "reason": ["missing", "image_in_run"]})
    assert describe_set("adults", images, excluded) == [
        dict(zip(SET, values, strict=True))
        for values in (
            ("adults", "normal", 3, 2, 1, "1 missing"),
            ("adults", "covid", 0, 0, 1, "1 image_in_run"),
        )
    ]


SET = ("set", "class", "images", "patients", "excluded", "reasons")


@pytest.mark.parametrize("cut", ["head", "last_block"])
def test_scores_from_features_are_those_of_the_complete_models(tmp_path: Path, cut: str):
    folder = tiny_study(tmp_path)
    bank = tiny_bank(folder, cut=cut)
    heads = [
        train_tiny(folder, bank, folder / f"fold{k}", fold=k, trainable=cut, epochs=1)
        for k in range(2)
    ]
    labels = [1, 1, 2, 2, 1, 2, 1]
    images = tiny_images(labels, seed=9)
    np.save(folder / "external.npy", images)
    tiny_manifest(labels).to_csv(folder / "external.csv", index=False)
    external_features.run(
        folder / "tiny.keras",
        folder / "external.npy",
        folder / "features.npy",
        trainable=cut,
        mixed_precision=False,
        threads=1,
    )
    score.run(
        heads, [], [folder / "features.npy"], [folder / "external.csv"], folder / "external.scores",
        classes=CLASSES, sets=["set"], population="study", backbone="tiny", threads=1,
    )  # fmt: skip
    columns = [f"p_{name}" for name in CLASSES]
    written = dict(list(read_file(folder / "external.scores", CLASSES).groupby("model")))
    for k, head in enumerate(heads):
        model = assemble_tiny(folder, [head], folder / "complete.keras", cut)
        expected = keras.models.load_model(model).predict(images[..., None], verbose=0)
        found = written[f"fold{k}"]
        assert found[columns].to_numpy() == pytest.approx(expected, abs=1e-5)
        assert found["label"].tolist() == [CLASSES[k] for k in labels]
    whole = keras.models.load_model(
        assemble_tiny(folder, heads, folder / "ensemble.keras", cut)
    ).predict(images[..., None], verbose=0)
    mean = np.mean([written[f"fold{k}"][columns].to_numpy() for k in range(2)], axis=0)
    assert whole == pytest.approx(mean, abs=1e-5)
