"""The table of predictions: what it gathers, completes and refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covidcxr.classify.predictions import (
    IDENTITY,
    expected,
    gather,
    prediction_table,
    read_file,
    read_predictions,
    run,
)
from covidcxr.errors import InputError

CLASSES = ["a", "b"]
OUTSIDE = ["e0", "e1", "e2"]
Tables = dict[str, pd.DataFrame]


def split_of(folds: int) -> pd.DataFrame:
    """Three training images of each fold and four test images."""
    count = 3 * folds + 4
    split = pd.DataFrame({"image_id": [f"i{k}" for k in range(count)], "split": "train"})
    split.loc[3 * folds :, "split"] = "test"
    fold = [k % folds if k < 3 * folds else None for k in range(count)]
    return split.assign(fold=pd.array(fold, dtype="Int64"))


def study(folds: int = 3, backbones: tuple[str, ...] = ("X", "Y"), seed: int = 0) -> Tables:
    """Random predictions of every fold of networks of some backbones, by file."""
    wanted = expected(split_of(folds), {"outside": OUTSIDE})
    rng = np.random.default_rng(seed)
    tables = {}
    for backbone in backbones:
        for model, images in wanted.groupby("model"):
            described = images.assign(patient_id="p:" + images["image_id"], label="a")
            share = rng.random(len(images))
            tables[f"{backbone}/{model}.csv"] = prediction_table(
                described, np.stack([share, 1 - share], axis=1), CLASSES,
                population="study", backbone=backbone, augmentation="v1", classifier="network",
                model=model, set=images["set"],
            )  # fmt: skip
    return tables


def gathered(tables: Tables, folds: int = 3) -> pd.DataFrame:
    return gather(tables, {"study": expected(split_of(folds), {"outside": OUTSIDE})}, CLASSES)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 6), st.integers(0, 1000))
def test_ensembles_are_means_and_of_validation_images_the_own_fold_s(folds: int, seed: int) -> None:
    tables = study(folds, seed=seed)
    whole = gathered(tables, folds).set_index(["backbone", "model", "set", "image_id"])["p_a"]
    images = split_of(folds)["image_id"].tolist() + OUTSIDE
    for image in images:
        by_backbone = []
        for backbone in ("X", "Y"):
            shares = [
                share
                for file, table in tables.items()
                if file.startswith(backbone)
                for share in table.loc[table["image_id"] == image, "p_a"]
            ]
            part = whole[backbone]["ensemble"].xs(image, level="image_id")
            assert len(part) == 1
            assert len(shares) == (1 if part.index[0] == "validation" else folds)
            assert part.iloc[0] == pytest.approx(np.mean(shares))
            by_backbone.append(np.mean(shares))
        over_all = whole["all"]["ensemble"].xs(image, level="image_id")
        assert over_all.iloc[0] == pytest.approx(np.mean(by_backbone))


def test_every_image_stands_once_for_each_model_in_the_split_s_order() -> None:
    whole = gathered(study())
    assert not whole.duplicated([*IDENTITY, "image_id"]).any()
    assert list(whole["backbone"].unique()) == ["X", "Y", "all"]
    assert list(whole["model"].unique()) == ["fold0", "fold1", "fold2", "ensemble"]
    split = split_of(3)
    for _, rows in whole[whole["model"] == "ensemble"].groupby("backbone"):
        for name, side in (("validation", "train"), ("test", "test")):
            own = rows.loc[rows["set"] == name, "image_id"].tolist()
            assert own == split.loc[split["split"] == side, "image_id"].tolist()
    np.testing.assert_allclose(whole[["p_a", "p_b"]].sum(axis=1), 1)


def test_one_backbone_has_no_mean_over_backbones() -> None:
    assert set(gathered(study(backbones=("X",)))["backbone"]) == {"X"}


def test_gaps_strangers_doubles_and_contradictions_name_the_file_to_repeat() -> None:
    whole = study()
    first = whole["X/fold1.csv"]
    without = {**whole, "X/fold1.csv": first[first["image_id"] != "i1"]}
    with pytest.raises(InputError, match=r"fold1 does not predict 1 images, such as i1 .*X/fold1"):
        gathered(without)
    missing = {file: table for file, table in whole.items() if file != "Y/fold2.csv"}
    with pytest.raises(InputError, match=r"study Y v1 network fold2 does not predict"):
        gathered(missing)
    stranger = first.assign(image_id=first["image_id"].replace("i1", "i0"))
    with pytest.raises(InputError, match=r"X/fold1\.csv: 1 images .*such as i0 as validation of"):
        gathered({**whole, "X/fold1.csv": pd.concat([first, stranger.iloc[:1]])})
    with pytest.raises(InputError, match=r"predicted twice .*X/fold1\.csv and again\.csv; delete"):
        gathered({**whole, "again.csv": first})
    relabelled = first.assign(label=first["label"].where(first["set"] != "outside", "b"))
    with pytest.raises(InputError, match=r"disagree on .* image e0"):
        gathered({**whole, "X/fold1.csv": relabelled})
    with pytest.raises(InputError, match="population 'other'"):
        gathered({**whole, "other.csv": first.assign(population="other")})


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("p_a", np.nan, "p_a"),
        ("p_a", 1.5, "p_a"),
        ("p_a", -0.1, "p_a"),
        ("p_a", 0.123, "sum is not 1"),
        ("label", "c", "'c'"),
        ("model", "", "model"),
    ],
)
def test_a_file_that_holds_no_predictions_is_named(
    tmp_path: Path, column: str, value: float | str, message: str
) -> None:
    path = tmp_path / "bad.csv"
    study()["X/fold0.csv"].assign(**{column: value}).to_csv(path, index=False)
    with pytest.raises(InputError, match=rf"bad\.csv.*{message}.*delete .*bad\.csv"):
        read_file(path, CLASSES)


def test_the_written_table_keeps_text_as_it_is_and_tells_the_predicted_class(
    tmp_path: Path,
) -> None:
    files = []
    for name, table in study().items():
        files.append(tmp_path / name.replace("/", "_"))
        inside = table[table["set"] != "outside"]
        inside.assign(patient_id="007").to_csv(files[-1], index=False)
    split_of(3).to_csv(tmp_path / "split.csv", index=False)
    run(
        files, [tmp_path / "split.csv"], [], tmp_path / "predictions.csv",
        classes=CLASSES, populations=["study"], sets=[],
    )  # fmt: skip
    result = read_predictions(tmp_path / "predictions.csv", CLASSES)
    assert set(result["patient_id"]) == {"007"}
    assert ((result["p_a"] >= result["p_b"]) == (result["predicted"] == "a")).all()
