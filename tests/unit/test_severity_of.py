"""Severity of other images: which model says it, and what synthetic images gain."""

from dataclasses import replace
from pathlib import Path

import joblib
import keras
import numpy as np
import pandas as pd
import pytest

from covidcxr.report.section import read_section
from covidcxr.severity import severity_of, severity_synthetic
from covidcxr.severity.regression import ScoredImages, fit
from covidcxr.severity.severity_features import features_of
from covidcxr.severity.severity_model import SavedSeverity


def test_a_scored_image_is_predicted_out_of_fold_and_others_by_the_model(tmp_path: Path) -> None:
    image = keras.Input((32, 32, None))
    gray = keras.ops.mean(image, axis=-1, keepdims=True)
    network = keras.Model(image, keras.layers.Conv2D(4, 3, strides=4)(gray))
    network.save(tmp_path / "small.keras")
    rng = np.random.default_rng(0)
    zones = rng.uniform(0, 3, (20, 6))
    films = ScoredImages(rng.normal(size=(20, 6, 4)), np.arange(20), zones.sum(axis=1), zones, True)
    model = replace(fit(films, (0, 18), (0, 3), 1), half_width=2.0)
    saved = SavedSeverity("brixia", "Small", None, 32, 20, 20, model)
    joblib.dump(saved, tmp_path / "brixia.joblib")
    pixels = rng.integers(0, 256, (3, 32, 32), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    rows = pd.DataFrame({"image_id": ["a", "b", "c"], "patient_id": ["p", "p", "q"]})
    rows.to_csv(tmp_path / "table.csv", index=False)
    own = pd.DataFrame({"image_id": ["a", "a"], "patient_id": "p", "predicted": [4.0, 6.0]})
    own.assign(low=[1.0, 3], high=[7.0, 9], read=8).to_csv(tmp_path / "own.csv", index=False)
    names = ("small.keras", "brixia.joblib", "images.npy", "table.csv", "own.csv", "of.csv")
    severity_of.run(*(tmp_path / name for name in names), threads=1)
    found = pd.read_csv(tmp_path / "of.csv").set_index("image_id")
    assert found["how"].to_dict() == {"a": "out of fold", "b": "patient known", "c": "new"}
    assert found.loc["a", ["predicted", "low", "high", "read"]].tolist() == [5, 2, 8, 8]
    expected = model.predict(features_of(network, pixels)).totals
    assert found["predicted"].to_numpy()[1:] == pytest.approx(expected[1:], abs=1e-4)
    assert np.isnan(found.loc["c", "read"])
    np.save(tmp_path / "images.npy", pixels[:0])
    rows[:0].to_csv(tmp_path / "table.csv", index=False)
    severity_of.run(*(tmp_path / name for name in names), threads=1)
    assert len(pd.read_csv(tmp_path / "of.csv")) == 0


@pytest.mark.parametrize(("gain", "word"), [(2.0, "higher"), (0.0, "no higher"), (-2.0, "lower")])
def test_translations_are_held_against_their_own_sources(
    tmp_path: Path, gain: float, word: str
) -> None:
    n = 20
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "path": "x.png"})
    rows["label"] = ["covid"] * 6 + ["normal"] * 14
    rows = rows.assign(patient_id=[f"s:{k}" for k in range(n)], source="s", site="s")
    texts = dict.fromkeys(["view", "day", "age", "sex", "subtype", "license"], "")
    rows.assign(**texts, sha256="0" * 64).to_csv(tmp_path / "manifest.csv", index=False)
    sources = rows["image_id"].iloc[6:16].to_numpy()
    made = pd.DataFrame({"image_id": [f"m{k}" for k in range(10)], "label": "covid"})
    made = made.assign(path="m.png", source_image_id=sources, patient_id="s:x")
    made.to_csv(tmp_path / "synthetic.csv", index=False)
    before = 3 + rng.normal(size=n)
    after = before[6:16] + gain + 0.1 * np.tile([1, -1], 5)
    for name, ids, values in (("of", rows, before), ("of_made", made, after)):
        frame = ids[["image_id"]].assign(score="extent", predicted=values, low=0, high=8)
        how = ["patient known"] + ["new"] * (len(frame) - 1)
        frame.assign(read="", how=how).to_csv(tmp_path / f"{name}.csv", index=False)
    files = ("manifest", "synthetic", "of", "of_made", "table")
    severity_synthetic.run(
        *(tmp_path / f"{name}.csv" for name in files),
        tmp_path / "section.json",
        target="covid",
        seed=1,
    )
    found = pd.read_csv(tmp_path / "table.csv").set_index("images")
    added = found.loc["translation minus source"]
    assert added["estimate"] == pytest.approx(gain, abs=1e-6)
    assert added["high"] - added["low"] < 0.2, "each against its own source"
    assert found.loc["real covid", "estimate"] == pytest.approx(before[1:6].mean())
    assert (
        f"scores translations {word} than" in read_section(tmp_path / "section.json").paragraphs[0]
    )
