"""The ensemble: means, out-of-fold rows, and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covidcxr.classify.ensemble import combine, read_predictions, write_ensemble
from covidcxr.errors import InputError

CLASSES = ["a", "b"]


def study(folds: int = 3, seed: int = 0) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Three training images of each fold and four test images, with random predictions."""
    count = 3 * folds + 4
    split = pd.DataFrame({"image_id": [f"i{k}" for k in range(count)], "split": "train"})
    split.loc[3 * folds :, "split"] = "test"
    split["fold"] = pd.array(
        [k % folds if k < 3 * folds else None for k in range(count)], dtype="Int64"
    )
    rng = np.random.default_rng(seed)
    tables = []
    for k in range(folds):
        own = split.loc[(split["split"] == "test") | (split["fold"] == k).fillna(False)]
        table = own[["image_id"]].copy()
        table["patient_id"] = "p:" + table["image_id"]
        table["label"] = "a"
        table["p_a"] = rng.random(len(table))
        table["p_b"] = 1 - table["p_a"]
        tables.append(table)
    return tables, split


@given(st.integers(2, 6), st.integers(0, 1000))
def test_test_images_get_the_mean_and_training_images_their_own_fold(folds: int, seed: int) -> None:
    tables, split = study(folds, seed)
    result = combine(tables, split, CLASSES).set_index("image_id")
    assert list(result.index) == list(split["image_id"])
    for name, where in zip(split["image_id"], split["split"], strict=True):
        given_by = [
            t.set_index("image_id").loc[name, "p_a"] for t in tables if name in set(t.image_id)
        ]
        assert len(given_by) == (folds if where == "test" else 1)
        assert result.loc[name, "p_a"] == pytest.approx(np.mean(given_by))
    np.testing.assert_allclose(result[["p_a", "p_b"]].sum(axis=1), 1)


def test_gaps_strangers_and_missing_folds_are_refused() -> None:
    tables, split = study()
    with pytest.raises(InputError, match=r"fold 1 lack 1 images, such as i1"):
        combine([tables[0], tables[1].iloc[1:], tables[2]], split, CLASSES)
    stranger = pd.concat([tables[0], tables[1].iloc[:1]])
    with pytest.raises(InputError, match=r"fold 0 hold 1 images .* such as i1"):
        combine([stranger, *tables[1:]], split, CLASSES)
    with pytest.raises(InputError, match="more folds than the 2"):
        combine(tables[:2], split, CLASSES)
    relabelled = tables[2].assign(label="b")
    with pytest.raises(InputError, match="disagree"):
        combine([*tables[:2], relabelled], split, CLASSES)


def test_a_file_with_doubles_or_without_probabilities_is_named(tmp_path: Path) -> None:
    tables, _ = study()
    pd.concat([tables[0], tables[0].iloc[:1]]).to_csv(tmp_path / "double.csv", index=False)
    with pytest.raises(InputError, match=r"double\.csv predicts image i0 twice"):
        read_predictions(tmp_path / "double.csv", CLASSES)
    for bad in (np.nan, 1.5, -0.1):
        tables[0].assign(p_a=bad).to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(InputError, match=r"bad\.csv: image i0"):
            read_predictions(tmp_path / "bad.csv", CLASSES)


def test_the_written_ensemble_keeps_text_as_it_is(tmp_path: Path) -> None:
    tables, split = study()
    for k, table in enumerate(tables):
        table.assign(patient_id="007").to_csv(tmp_path / f"{k}.csv", index=False)
    split.to_csv(tmp_path / "split.csv", index=False)
    write_ensemble(
        [tmp_path / f"{k}.csv" for k in range(3)],
        tmp_path / "split.csv",
        tmp_path / "ensemble.csv",
        classes=CLASSES,
    )
    result = read_predictions(tmp_path / "ensemble.csv", CLASSES)
    assert set(result["patient_id"]) == {"007"}
    assert len(result) == len(split)
