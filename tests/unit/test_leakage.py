"""The leakage audit finds what was planted, where it was planted, and nothing else."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.data.phantoms import DIAGNOSES, render, sample_patient
from covidcxr.data.same_image import SAME
from covidcxr.evaluate.leakage import (
    COPY,
    FINDINGS,
    PATIENT,
    SUMMARY,
    audit,
    between,
    section_of,
    shared_patients,
)
from covidcxr.evaluate.leakage import run as write_leakage
from covidcxr.report.section import read_section
from tests.unit.tiny import tiny_manifest

PLACES = ["test", "fold 0", "fold 1", "adults"]


def films(count: int) -> np.ndarray:
    patients = [sample_patient(3, f"p{k}", DIAGNOSES[k % 3]) for k in range(count)]
    return np.stack([render(patient, patient.visits[0], 112).image for patient in patients])


def audited(
    pictures: np.ndarray, people: list[str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    count = len(pictures)
    images = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(count)],
            "person": people or [f"s:{k}" for k in range(count)],
            "place": [PLACES[k % 4] for k in range(count)],
        }
    )
    return audit(images, list(pictures))


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return films(24)


def test_clean_division_has_no_finding_and_says_what_was_compared(clean):
    findings, summary = audited(clean)
    assert findings.empty
    assert (summary["found"] == 0).all()
    pairs = summary[summary["check"] == COPY].set_index("between")["compared"]
    assert pairs.sum() == 6 * 6 * 6  # four places of six images: six pairs of places
    assert pairs["training and test"] == 2 * 36


def test_planted_patient_is_found(clean):
    people = [f"s:{k}" for k in range(24)]
    people[9] = people[0]  # fold 0 and test
    findings, summary = audited(clean, people)
    assert findings[["check", "between", "image_a", "image_b"]].to_numpy().tolist() == [
        [PATIENT, "training and test", "i0", "i9"]
    ]
    assert summary["found"].sum() == 1


def test_a_planted_copy_is_found_where_it_was_planted(clean):
    pictures = clean.copy()
    dark = (pictures[2][4:-4, 4:-4] * 0.85).astype(np.uint8)
    pictures[7] = cv2.resize(dark, (112, 112))  # external set, and fold 1
    findings, summary = audited(pictures)
    assert findings[["check", "between", "image_a", "image_b"]].to_numpy().tolist() == [
        [COPY, "adults and training", "i2", "i7"]
    ]
    assert findings["likeness"].between(SAME, 1).all()
    assert summary["found"].sum() == 1


def test_copies_on_one_side_are_no_leakage(clean):
    pictures = clean.copy()
    pictures[4] = pictures[0]  # both in the test set
    assert audited(pictures)[0].empty


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=15))
@settings(max_examples=40, deadline=None)
def test_shared_patients_are_those_of_a_brute_search(drawn):
    images = pd.DataFrame(
        {"person": [str(p) for p, _ in drawn], "place": [PLACES[k] for _, k in drawn]}
    )
    found = {
        (images["person"][a], *sorted((images["place"][a], images["place"][b])))
        for a, b in shared_patients(images)
    }
    brute = {
        (str(p), *sorted((PLACES[i], PLACES[j])))
        for p, i in drawn
        for q, j in drawn
        if p == q and i != j
    }
    assert found == brute


def test_boundaries_have_one_name_whatever_the_order():
    assert between("fold 0", "fold 3") == "folds"
    assert between("test", "fold 3") == between("fold 0", "test") == "training and test"
    assert between("adults", "fold 0") == between("fold 1", "adults") == "adults and training"


def test_a_second_source_of_one_table_shares_its_patients(tmp_path, clean):
    table = tiny_manifest([0, 1, 2, 0, 1, 2])
    split = table[["image_id"]].assign(split=["test", "train"] * 3, fold=[None, 0] * 3)
    table["patient_id"] = ["s:0", "s:1", "s:2", "s:3", "s:4", "s:5"]
    again = tiny_manifest([0])
    again[["image_id", "path", "source", "patient_id"]] = ["t-0", "t-0", "t", "t:5"]
    table.to_csv(tmp_path / "manifest.csv", index=False)
    split.astype({"fold": "Int64"}).to_csv(tmp_path / "split.csv", index=False)
    again.to_csv(tmp_path / "external.csv", index=False)
    for name, pictures in (("run", clean[:6]), ("set", clean[6:7])):
        np.save(tmp_path / f"{name}.npy", pictures)
    source = {"type": "csv", "table": "films.csv"}
    write_leakage(
        [tmp_path / "manifest.csv", tmp_path / "external.csv"],
        [tmp_path / "run.npy", tmp_path / "set.npy"],
        tmp_path / "split.csv",
        tmp_path / "leakage.csv",
        tmp_path / "summary.csv",
        tmp_path / "section.json",
        sets=["set"],
        sources={"s": source, "t": source},
    )
    found = pd.read_csv(tmp_path / "leakage.csv")
    assert found[["check", "between"]].to_numpy().tolist() == [[PATIENT, "set and training"]]
    [check] = read_section(tmp_path / "section.json").checks
    assert check.state == "warning"
    assert check.text == "Leakage: between set and training 1 patient on both sides."


def test_no_leakage_is_said_in_words():
    findings = pd.DataFrame(columns=FINDINGS)
    summary = pd.DataFrame([(PATIENT, "training and test", 90, 0)], columns=SUMMARY)
    found = section_of(findings, summary)
    assert found.checks[0].state == "pass"
    assert found.paragraphs == (
        "No patient and no copy of an image stands on two sides of the run.",
    )
    assert len(found.tables) == 1


def test_images_that_only_external_sets_share_are_said_and_are_no_leakage():
    findings = pd.DataFrame([(COPY, "a and b", "1", "2", "p", "q", 0.9)], columns=FINDINGS)
    summary = pd.DataFrame([(COPY, "a and b", 90, 1)], columns=SUMMARY)
    section = section_of(findings, summary)
    assert section.checks[0].state == "pass"
    assert "Shared: between a and b 1 image on both sides." in section.paragraphs[0]
