"""Maps against readers' zones: measures against scipy and scikit-learn, and the whole step."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from covidcxr.evaluate.bootstrap import estimate_of
from covidcxr.report.section import read_section
from covidcxr.severity import severity_maps
from covidcxr.severity.severity_maps import AFFECTED, CORRELATION, EXTENT, OWN, USUAL, of_zones
from covidcxr.severity.zones import COLUMNS, ZONES
from tests.unit.tiny import CLASSES, tiny_ensemble, tiny_images

PATIENTS = np.array([f"s:{k // 2}" for k in range(30)])


def _measured(values: np.ndarray, zones: np.ndarray) -> dict[str, float]:
    found = of_zones({"map": values}, zones, PATIENTS, "brixia", (0, 3))
    return {measure: estimate_of(one, len(of)).item() for _, _, measure, one, of in found}


def test_zones_are_ranked_within_each_image_as_scipy_and_scikit_learn_rank_them() -> None:
    rng = np.random.default_rng(0)
    zones = rng.integers(0, 4, (30, 6)).astype(float)
    values = zones + 2 * rng.normal(size=zones.shape) + 5 * rng.normal(size=(30, 1))
    found = _measured(values, zones)
    each = [spearmanr(one, other).statistic for one, other in zip(values, zones, strict=True)]
    assert found[CORRELATION] == pytest.approx(np.mean(each))
    pairs = []
    for one, other in zip(values, zones, strict=True):
        used = (other == 0) | (other >= 2)
        for k in np.flatnonzero(used & (other == 0)):
            pairs += [float(one[m] > one[k]) for m in np.flatnonzero(other >= 2)]
    assert found[AFFECTED] == pytest.approx(np.mean(pairs))
    one_image = np.r_[zones[0], zones[0]][:6]
    alone = of_zones({"map": values[:1]}, one_image[None], PATIENTS[:1], "b", (0, 3))
    used = (one_image == 0) | (one_image >= 2)
    expected = roc_auc_score(one_image[used] >= 2, values[0][used])
    assert {m: estimate_of(s, len(o)).item() for _, _, m, s, o in alone}[AFFECTED] == expected


def test_a_map_of_the_disease_is_told_from_one_of_nothing() -> None:
    zones = np.random.default_rng(1).integers(0, 4, (30, 6)).astype(float)
    assert _measured(zones, zones) == pytest.approx({CORRELATION: 1.0, AFFECTED: 1.0})
    assert _measured(np.ones((30, 6)), zones) == pytest.approx({CORRELATION: 0.0, AFFECTED: 0.5})


def test_a_training_patients_images_are_left_to_the_fold_that_did_not_train_on_him() -> None:
    rows = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "patient_id": ["p", "p", "q", "r"]})
    study = pd.DataFrame({"image_id": ["a", "d"], "patient_id": ["p", "r"], "fold": [2, None]})
    assert severity_maps.fold_of(rows, study).tolist() == [2, 2, -1, -1]


def test_the_step_explains_the_scored_images_and_says_which_way_it_falls(tmp_path: Path) -> None:
    n = 9
    rng = np.random.default_rng(2)
    model = tmp_path / "Tiny/v1.keras"
    model.parent.mkdir()
    ensemble, members = tiny_ensemble(2)
    ensemble.save(model)
    pixels = tiny_images(list(rng.integers(0, 3, n)))
    np.save(tmp_path / "images.npy", pixels)
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "path": "x.png"})
    rows = rows.assign(label=["COVID-19"] * (n - 1) + ["other"], source="s", site="s")
    rows["patient_id"] = PATIENTS[:n]
    unknown = dict.fromkeys(["view", "sex", "subtype", "license"], "")
    rows = rows.assign(day=np.nan, age=np.nan, sha256="0" * 64, **unknown)
    columns = "image_id path label patient_id source site view day age sex subtype license sha256"
    rows[columns.split()].to_csv(tmp_path / "images.csv", index=False)
    rows[columns.split()].to_csv(tmp_path / "manifest.csv", index=False)
    split = pd.DataFrame({"image_id": rows["image_id"], "split": "test", "fold": None})
    split.loc[0, ["split", "fold"]] = ["train", 1]
    split.to_csv(tmp_path / "split.csv", index=False)
    zones = rng.integers(0, 4, (n, 6))
    values = np.column_stack([zones.sum(axis=1), zones])
    wide = pd.DataFrame(values, rows["image_id"], ["total", *ZONES])
    scores = wide.rename_axis(columns="zone").stack().rename("value").reset_index()
    scores.assign(score="brixia", reader="one").to_csv(tmp_path / "scores.csv", index=False)
    own = pd.DataFrame(zones, columns=list(COLUMNS)).assign(
        image_id=rows["image_id"], score="brixia"
    )
    own.to_csv(tmp_path / "own.csv", index=False)
    severity_maps.run(
        [model],
        [tmp_path / "manifest.csv", tmp_path / "split.csv"],
        [tmp_path / "images.csv", tmp_path / "images.npy"],
        tmp_path / "scores.csv",
        tmp_path / "own.csv",
        tmp_path / "table.csv",
        tmp_path / "section.json",
        settings={
            "classes": CLASSES,
            "target": CLASSES[1],
            "diagnoses": ["COVID-19"],
            "zone_range": [0, 3],
        },
        seed=1,
        threads=1,
    )
    found = pd.read_csv(tmp_path / "table.csv").set_index(["judge", "measure"])
    assert found.loc[(OWN, AFFECTED), "estimate"] == 1
    assert found.loc[(USUAL, CORRELATION), "n"] == n - 1
    probabilities = np.mean([one.predict(pixels[..., None], verbose=0) for one in members], 0)[:, 1]
    second = members[1].predict(pixels[:2, ..., None], verbose=0)[:, 1]
    probabilities[:2] = second
    expected = spearmanr(probabilities[:-1], zones[:-1].sum(axis=1)).statistic
    judged = found.loc[("Tiny", f"P({CLASSES[1]})"), "estimate"]
    assert judged == pytest.approx(expected, abs=1e-6)
    assert ("Tiny", EXTENT) in found.index
    estimate, low, high = found.loc[("Tiny", AFFECTED), ["estimate", "low", "high"]]
    word = "higher" if low > 0.5 else "lower" if high < 0.5 else "no higher"
    [text] = read_section(tmp_path / "section.json").paragraphs
    assert f"{word} with Tiny {estimate:.2f}" in text
    keras.backend.clear_session()
