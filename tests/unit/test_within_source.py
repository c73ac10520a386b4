"""Measures with the source held fixed agree with brute force; where there are none, it is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from covidcxr.classify.predictions import IDENTITY
from covidcxr.data.tables import MANIFEST_COLUMNS, write_table
from covidcxr.evaluate.within_source import ALL, COMBINED, run, section_of, within_sources
from covidcxr.report.section import read_section
from tests.unit.statistics_inputs import few

CLASSES = ["covid", "other"]
KIND_OF = ("VGG16", "v1", "network")
MODEL = dict(zip(IDENTITY, ["study", "VGG16", "v1", "network", "ensemble", "test"], strict=True))


def predictions(rows: list[tuple[str, str, str, float]], sites: str = "") -> pd.DataFrame:
    """Predictions from (source, view, label, probability of covid), each of its own patient.

    `sites` has a letter for each image; without them sources are sites.
    """
    frame = pd.DataFrame(rows, columns=["source", "view", "label", "p_covid"])
    frame["site"] = list(sites) or frame["source"]
    frame["image_id"] = [f"i{k}" for k in range(len(frame))]
    frame["patient_id"] = [f"p{k}" for k in range(len(frame))]
    frame["p_other"] = 1 - frame["p_covid"]
    frame["predicted"] = np.where(frame["p_covid"] >= 0.5, "covid", "other")
    return frame.assign(**MODEL)


def brute(frame: pd.DataFrame, by: list[str], column: str) -> float:
    """Go through all pairs, one of the class and one of another, that agree in `by`."""
    hits = []
    for _, one in frame[frame["label"] == "covid"].iterrows():
        for _, other in frame[frame["label"] != "covid"].iterrows():
            if all(one[name] == other[name] for name in by):
                hits.append((one[column] > other[column]) + 0.5 * (one[column] == other[column]))
    return float(np.mean(hits)) if hits else float("nan")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["PA", ""]),
            st.sampled_from(CLASSES),
            st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
        ),
        min_size=2,
        max_size=14,
    )
)
def test_measures_are_those_of_all_pairs_of_one_source(rows):
    frame = predictions(rows)
    found = few(10, within_sources, frame, "covid", 0)
    frame["called"] = (frame["predicted"] == "covid").astype(float)
    for fixed, by in ((ALL, []), ("source", ["source"]), ("source and view", ["source", "view"])):
        [row] = found[(found["fixed"] == fixed) & found["group"].isin(["", COMBINED])].to_dict(
            "records"
        )
        assert row["auc"] == pytest.approx(brute(frame, by, "p_covid"), nan_ok=True)
        assert row["balanced_accuracy"] == pytest.approx(brute(frame, by, "called"), nan_ok=True)
    for row in found[~found["group"].isin(["", COMBINED])].to_dict("records"):
        part = frame
        if row["fixed"] == "source and view":
            view, _, source = row["group"].rpartition(" of ")
            part = part[part["view"] == view.replace("unknown view", "")]
            part = part[part["source"] == source]
        else:
            part = part[part["source"] == row["group"]]
        truth = part["label"] == "covid"
        assert row["auc"] == pytest.approx(roc_auc_score(truth, part["p_covid"]))
        expected = balanced_accuracy_score(truth, part["called"] == 1)
        assert row["balanced_accuracy"] == pytest.approx(expected)
        assert (row["n_class"], row["n_others"]) == (truth.sum(), (~truth).sum())


def test_a_model_that_knows_the_source_only_is_at_chance_within_it():
    rng = np.random.default_rng(0)
    rows = [
        (source, "PA", label, 0.6 * (source == "a") + 0.4 * rng.random())
        for source, label, count in (("a", "covid", 60), ("a", "other", 20), ("b", "other", 80))
        for _ in range(count)
    ]
    found = few(200, within_sources, predictions(rows), "covid", 0)
    auc = found.set_index("fixed").loc[[ALL], "auc"].iloc[0]
    within = found[found["group"] == COMBINED].set_index("fixed").loc["source"]
    assert auc > 0.85
    assert within["auc_low"] < 0.5 < within["auc_high"]
    assert section_of(found, "covid", KIND_OF).checks[0].state == "warning"


def test_a_site_is_held_fixed_where_it_is_not_the_source_and_in_several_sources():
    rows = [("a", "PA", "covid", 0.9), ("a", "PA", "other", 0.95), ("b", "PA", "other", 0.3)]
    alone = few(10, within_sources, predictions(rows), "covid", 0)
    assert "site" not in set(alone["fixed"])
    found = few(10, within_sources, predictions(rows, "xyx"), "covid", 0)
    combined = found[found["group"] == COMBINED].set_index("fixed")
    assert combined.loc[["source", "site"], "auc"].tolist() == [0, 1]
    assert found.loc[found["fixed"] == "site", "group"].tolist() == [COMBINED, "x"]
    text = section_of(found, "covid", KIND_OF).paragraphs[0]
    assert "0.000 (0.000–0.000) within one source, 1.000 (1.000–1.000) within one site, " in text


def test_the_first_screen_shows_the_set_with_the_most_pairs():
    few_pairs = predictions([("a", "PA", "covid", 0.9), ("a", "PA", "other", 0.1)])
    many = predictions([("a", "PA", "covid", 0.4), ("a", "PA", "other", 0.6)] * 3)
    frames = [few_pairs.assign(set="test"), many.assign(set="validation")]
    found = few(10, within_sources, pd.concat(frames), "covid", 0)
    section = section_of(found, "covid", KIND_OF)
    assert section.key_rows[0].note == "on validation"
    assert section.checks[0].text.startswith("AUC of VGG16 v1 for covid on validation 0.000")


def test_intervals_resample_patients_not_images():
    rows = [("a", "PA", "covid", 0.9), ("a", "PA", "other", 0.4)] * 20
    rows += [("a", "PA", "covid", 0.3), ("a", "PA", "other", 0.6)] * 10
    alone = predictions(rows)
    together = alone.assign(patient_id=[f"p{k // 10}" for k in range(len(alone))])
    widths = []
    for frame in (alone, together):
        row = few(500, within_sources, frame, "covid", 0).iloc[0]
        widths.append(row["auc_high"] - row["auc_low"])
    assert widths[1] > 1.5 * widths[0]


def test_where_no_source_holds_both_it_is_not_measurable_and_says_what_would_change_that(tmp_path):
    rows = [("a", "PA", "covid", 0.9), ("a", "AP", "covid", 0.8), ("b", "PA", "other", 0.2)]
    frame = predictions(rows).assign(set="validation")
    frame["patient_id"] = frame["source"] + ":" + frame["patient_id"]
    columns = [*IDENTITY, "image_id", "patient_id", "label", "p_covid", "p_other"]
    write_table(frame[columns], tmp_path / "predictions.csv")
    manifest = frame.reindex(columns=MANIFEST_COLUMNS)
    manifest = manifest.assign(path=frame["image_id"], sha256="0" * 64)
    write_table(manifest, tmp_path / "manifest.csv")
    outputs = [tmp_path / name for name in ("t.csv", "f.png", "f.svg", "s.json")]
    run(
        tmp_path / "predictions.csv", [tmp_path / "manifest.csv"], *outputs,
        classes=CLASSES, target="covid", seed=1,
    )  # fmt: skip
    table = pd.read_csv(outputs[0])
    assert table.loc[table["group"] == COMBINED, "pairs"].tolist() == [0, 0]
    assert table.loc[table["group"] == COMBINED, "auc"].isna().all()
    section = read_section(outputs[3])
    [check] = section.checks
    assert check.state == "not run"
    assert check.text.startswith("Not measurable: no source holds images of covid")
    assert "from one hospital" in section.paragraphs[0]
    assert not section.figures
