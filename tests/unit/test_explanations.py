"""Measures of heat maps against closed forms, and the tables and figures made of them."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from covidcxr.errors import InputError
from covidcxr.explain import examples, explanation_measures, timelines
from covidcxr.explain.explanations import choose, dated_patients, lesion_region, randomise, run
from covidcxr.explain.measures import (
    area_under,
    energy_share,
    extent,
    perturbed,
    random_map,
    rank_correlation,
    upsample,
)
from covidcxr.report.section import Section, read_section
from covidcxr.seeding import generator
from tests.unit.tiny import CLASSES, SIZE, tiny_ensemble, tiny_study

LOOK = {"colormap": "viridis", "opacity": 0.45}
AUGMENTATIONS = ["v1", "v2"]


@given(seed=st.integers(0, 1000))
def test_the_shares_of_disjoint_regions_add_up_and_a_flat_map_scores_the_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = rng.random((9, 9))
    region = rng.random((9, 9)) < 0.4
    region[0, 0], region[0, 1] = True, False
    assert energy_share(heat, region) + energy_share(heat, ~region) == pytest.approx(1)
    assert energy_share(np.ones((9, 9)), region) == pytest.approx(region.mean())
    assert np.isnan(energy_share(np.zeros((9, 9)), region))
    assert np.isnan(energy_share(heat, np.zeros((9, 9), bool)))


def test_extent_is_the_share_above_half_the_maximum() -> None:
    heat = np.array([[0.2, 0.11], [0.1, 0.0]])
    assert extent(heat) == 0.5
    assert extent(heat * 3) == 0.5
    assert extent(np.zeros((2, 2))) == 0


@given(steps=st.integers(1, 7), seed=st.integers(0, 100))
def test_deletion_takes_the_hottest_pixels_first_and_insertion_is_its_mirror(
    steps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (10, 10)).astype(np.uint8)
    heat = rng.permutation(100).reshape(10, 10).astype(float)
    deleted, inserted = perturbed(image, heat, steps, rng)
    grey = round(float(image.mean()))
    for k in range(steps + 1):
        count = round(100 * k / steps)
        hot = heat >= 100 - count
        assert (deleted[k][hot] == grey).all()
        assert (deleted[k][~hot] == image[~hot]).all()
        assert (inserted[k][hot] == image[hot]).all()
    np.testing.assert_array_equal(inserted[-1], image)
    np.testing.assert_array_equal(deleted[0], image)


def test_equal_heat_is_ordered_at_random_not_by_place() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    deleted, _ = perturbed(image, np.zeros((10, 10)), 2, np.random.default_rng(0))
    changed = deleted[1] != image
    assert 10 < changed[:5].sum() < 40


def test_the_area_under_a_straight_line_is_the_mean_of_its_ends() -> None:
    assert area_under(np.linspace(1.0, 0.2, 6)) == pytest.approx(0.6)


def test_rank_correlation_is_pearsons_of_the_ranks() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random((2, 7, 7)).round(1)
    expected = np.corrcoef(rankdata(one), rankdata(other))[0, 1]
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, one) == pytest.approx(1)
    assert np.isnan(rank_correlation(one, np.ones((7, 7))))


def test_the_sample_takes_classes_in_turn_and_does_not_depend_on_the_other_classes() -> None:
    labels = pd.Series(["a"] * 20 + ["b"] * 2 + ["c"] * 20)
    chosen = choose(labels, 9, 1)
    assert labels[chosen].value_counts().to_dict() == {"a": 4, "c": 3, "b": 2}
    assert set(choose(labels[:20], 4, 1)) == {k for k in chosen if k < 20}
    assert choose(labels, 100, 1) == list(range(42))


def test_patients_with_three_dated_images_are_followed_in_order_of_days() -> None:
    table = pd.DataFrame(
        {
            "image_id": list("abcdefgh"),
            "patient_id": ["p", "q", "p", "p", "q", "q", "r", "r"],
            "day": [9, 1, 3, 7, 2, np.nan, 1, 2],
        }
    )
    assert dated_patients(table)["image_id"].tolist() == ["c", "d", "a"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two folds with masks, a dated training patient and a kept-out one, explained."""
    folder = tiny_study(tmp_path_factory.mktemp("measured"))
    manifest = pd.read_csv(folder / "manifest.csv")
    manifest["path"] = [str(folder / "pictures" / f"{name}.png") for name in manifest["image_id"]]
    manifest.loc[0:3, "patient_id"] = "s:0"
    manifest.loc[0:3, "day"] = [5.0, 1.0, 3.0, np.nan]
    split = pd.read_csv(folder / "split.csv")
    split.loc[split["split"] == "train", "fold"] = [k // 6 % 2 for k in range(48)]
    split.loc[0:3, "fold"] = 1
    split["fold"] = split["fold"].astype("Int64")
    split.to_csv(folder / "split.csv", index=False)
    manifest.to_csv(folder / "manifest.csv", index=False)
    masks = folder / "pictures/masks"
    masks.mkdir(parents=True)
    lungs = np.zeros((60, SIZE, SIZE), bool)
    lungs[:, 4:12, 2:14] = True
    np.save(folder / "lungs.npy", lungs)
    for name, label in zip(manifest["image_id"], manifest["label"], strict=True):
        lesion = np.zeros((2 * SIZE, 2 * SIZE), np.uint8)
        if label != "normal":
            lesion[8:16, 8:16] = 255
        cv2.imwrite(str(masks / f"{name}_lesion.png"), lesion)
    timeline = manifest.iloc[4:7].assign(day=[2.0, 4.0, 8.0], patient_id="s:kept", source="other")
    timeline["image_id"] = ["k-1", "k-2", "k-3"]
    timeline.to_csv(folder / "timeline.csv", index=False)
    np.save(folder / "timeline.npy", np.load(folder / "images.npy")[4:7])
    for k, name in enumerate(AUGMENTATIONS):
        model, members = tiny_ensemble(2)
        for fold in range(2):
            for layer in ("hidden", "logits"):
                kernel = model.get_layer(f"fold{fold}_{layer}").kernel
                kernel.assign(np.random.default_rng(10 * k + fold).normal(size=kernel.shape))
        model.save(folder / f"{name}.keras")
        members[1].save(folder / f"{name}_fold1.keras")
    tables = [folder / f"{table}.csv" for table in ("images", "curves", "randomised")]
    run(
        [folder / f"{name}.keras" for name in AUGMENTATIONS],
        [folder / file for file in ("manifest.csv", "split.csv", "images.npy", "lungs.npy")],
        [folder / file for file in ("timeline.csv", "timeline.npy")],
        folder / "maps.npz",
        tables,
        settings={"classes": CLASSES, "sampled": 6, "masked": ["s"]},
        seed=3,
        threads=1,
        backbone="tiny",
        augmentations=AUGMENTATIONS,
    )
    explanation_measures.run(
        *([table] for table in tables),
        *(folder / f"explanations.{kind}" for kind in ("csv", "png", "svg", "json")),
        seed=3,
    )
    return folder


def test_images_are_explained_by_models_that_did_not_train_on_them(measured: Path) -> None:
    table = pd.read_csv(measured / "images.csv")
    assert len(table) == 2 * (12 + 3 + 3)
    assert set(table.loc[table["cohort"] == "train", "model"]) == {"fold1"}
    assert set(table.loc[table["cohort"] != "train", "model"]) == {"ensemble"}
    images = np.load(measured / "images.npy")
    manifest = pd.read_csv(measured / "manifest.csv").set_index("image_id")
    row = table.loc[(table["cohort"] == "train") & (table["augmentation"] == "v2")].iloc[0]
    place = manifest.index.get_loc(row["image_id"])
    model = keras.models.load_model(measured / "v2_fold1.keras")
    expected = model.predict(images[place][None, ..., None], verbose=0)[0]
    np.testing.assert_allclose([row[f"p_{name}"] for name in CLASSES], expected, atol=1e-5)


def test_shares_are_those_of_the_saved_maps_and_unknown_outside_the_manifest(
    measured: Path,
) -> None:
    table = pd.read_csv(measured / "images.csv")
    arrays = np.load(measured / "maps.npz")
    assert arrays["augmentation"].tolist() == AUGMENTATIONS
    heats = upsample(arrays["maps"][0].astype(np.float32), SIZE)
    own = table.loc[table["augmentation"] == "v1"].reset_index(drop=True)
    assert own["image_id"].tolist() == arrays["image_id"].tolist()
    for k, row in own.iterrows():
        if row["cohort"] == "timeline" or row["empty"]:
            assert np.isnan(row["lungs_share"])
            continue
        inside = heats[k][4:12, 2:14].sum() / heats[k].sum()
        assert row["lungs_share"] == pytest.approx(inside, abs=2e-3)
        assert np.isnan(row["lesion_share"]) == (row["label"] == "normal")
    assert own["lesion_area"].max() == pytest.approx(1 / 16)


def test_curves_begin_with_the_image_and_end_with_it(measured: Path) -> None:
    curves = pd.read_csv(measured / "curves.csv")
    table = pd.read_csv(measured / "images.csv")
    assert len(curves) == 2 * 2 * 6
    joined = curves.merge(table, on=["augmentation", "image_id"])
    probability = [row[f"p_{row['label']}"] for _, row in joined.iterrows()]
    np.testing.assert_allclose(joined["deletion_0"], probability, atol=1e-5)
    np.testing.assert_allclose(joined["insertion_8"], probability, atol=1e-5)


def test_curves_follow_the_pictures_of_their_own_map(measured: Path) -> None:
    """The last step but one of a random map, made and predicted here alone, for both ensembles."""
    curves = pd.read_csv(measured / "curves.csv").query("map == 'random'")
    manifest = pd.read_csv(measured / "manifest.csv").set_index("image_id")
    grain = np.load(measured / "maps.npz")["maps"].shape[2:]
    for _, row in curves.groupby("augmentation").nth(3).iterrows():
        place = manifest.index.get_loc(row["image_id"])
        heat = random_map(grain, SIZE, generator(3, "random map", row["image_id"]))
        rng = generator(3, "perturbation", row["image_id"])
        pictures = [
            of[7] for of in perturbed(np.load(measured / "images.npy")[place], heat, 8, rng)
        ]
        model = keras.models.load_model(measured / f"{row['augmentation']}.keras")
        expected = model.predict(np.array(pictures)[..., None], verbose=0)
        own = CLASSES.index(manifest["label"].iloc[place])
        assert row["deletion_7"] == pytest.approx(expected[0, own], abs=1e-5)
        assert row["insertion_7"] == pytest.approx(expected[1, own], abs=1e-5)


def test_the_summary_is_the_mean_over_test_images(measured: Path) -> None:
    summary = pd.read_csv(measured / "explanations.csv").set_index("augmentation")
    table = pd.read_csv(measured / "images.csv")
    for name in ("v1", "v2"):
        tests = table.loc[(table["augmentation"] == name) & (table["cohort"] == "test")]
        row = summary.loc[name]
        assert row["images"] == 12
        assert row["lungs_share"] == pytest.approx(tests["lungs_share"].mean())
        assert row["lungs_low"] <= row["lungs_share"] <= row["lungs_high"]
        assert row["lesion_images"] == tests["lesion_share"].notna().sum() <= 8
    assert set(table.loc[table["dated"] == 1, "patient_id"]) == {"s:0", "s:kept"}


def test_randomising_shuffles_what_lies_above_the_cut_only(measured: Path) -> None:
    before, after = (keras.models.load_model(measured / "v1.keras") for _ in range(2))
    layers = ("first", "second", "fold0_hidden", "fold1_logits")
    for stage, kept in (("head", ["first", "second"]), ("all", [])):
        after.set_weights(before.get_weights())
        randomise(after, stage, 1)
        for name in layers:
            one, other = (model.get_layer(name).kernel.numpy() for model in (before, after))
            assert np.array_equal(one, other) == (name in kept)
            np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(other.ravel()))


def test_patients_kept_out_come_first_and_others_of_the_target_only() -> None:
    course = pd.DataFrame(
        {
            "patient_id": ["a"] * 4 + ["b"] * 3 + ["c"] * 5,
            "image_id": list("abcdefghijkl"),
            "label": ["ill"] * 7 + ["well"] * 5,
            "cohort": ["train"] * 4 + ["timeline"] * 3 + ["test"] * 5,
        }
    )
    assert timelines.chosen_patients(course, "ill") == ["b", "a"]
    assert timelines.chosen_patients(course, None) == ["b", "c", "a"]


def cells(section: Section) -> bool:
    """Whether every row of every table has a cell for each column."""
    tables = [item.table for item in section.tables if item.table]
    return all(len(row) == len(table.columns) for table in tables for row in table.rows)


@pytest.mark.parametrize("target", ["covid", "nobody", None])
def test_courses_are_drawn_and_told_also_without_followed_patients(
    measured: Path, target: str | None, tmp_path: Path
) -> None:
    names = pd.read_csv(measured / "images.csv")["image_id"].drop_duplicates()
    known = pd.DataFrame({"image_id": names, "score": "brixia", "predicted": 3.0, "low": 1.0})
    known = known.assign(high=5.0, read=np.nan, how="new")
    known.to_csv(tmp_path / "severity.csv", index=False)
    timelines.run(
        [measured / "images.csv"],
        measured / "maps.npz",
        [tmp_path / "severity.csv"] if target else [],
        *(tmp_path / f"t.{kind}" for kind in ("csv", "png", "svg", "json")),
        augmentation="v1",
        target=target,
        look=LOOK,
    )
    drawn = (tmp_path / "t.svg").read_text()
    assert ("No patient" in drawn) == (target == "nobody")
    assert (">severity: brixia<" in drawn) == (target == "covid"), (
        "severity is drawn where it is learned"
    )
    assert set(pd.read_csv(tmp_path / "t.csv")["patient_id"]) == {"s:0", "s:kept"}
    shown = {"covid": "shows 2.", "nobody": "shows 0.", None: "shows 2."}[target]
    assert shown in read_section(tmp_path / "t.json").paragraphs[0]


def test_the_measures_are_drawn_and_told(measured: Path) -> None:
    assert "lesion" in (measured / "explanations.svg").read_text()
    section = read_section(measured / "explanations.json")
    assert [figure.name for figure in section.figures] == ["explanations"]
    assert cells(section)
    summary = pd.read_csv(measured / "explanations.csv")
    above = int((summary["lungs_low"] > summary["lungs_area"]).sum())
    assert section.checks[0].text == f"{above} of 2 ensembles above a uniform map."
    assert section.checks[0].state == ("pass" if above == 2 else "warning")


@pytest.mark.parametrize("dated", [True, False])
def test_figures_6_and_7_show_one_test_image_of_each_class_and_the_timeline_by_day(
    measured: Path, dated: bool, tmp_path: Path
) -> None:
    rows = pd.read_csv(measured / "images.csv").query("augmentation == 'v1'")
    if not dated:
        rows.loc[rows["cohort"] == "timeline", "cohort"] = "other"
    rows.to_csv(tmp_path / "rows.csv", index=False)
    known = rows[["image_id"]].assign(score="brixia", predicted=3.04, low=1.0, high=5.0, how="new")
    known.assign(read=[4] + [np.nan] * (len(rows) - 1)).to_csv(tmp_path / "severity.csv")
    examples.run(
        [tmp_path / "rows.csv"],
        [measured / "maps.npz"],
        [tmp_path / "severity.csv"],
        *([tmp_path / f"{name}.{kind}" for kind in ("png", "svg")] for name in ("fig6", "fig7")),
        tmp_path / "section.json",
        augmentation="v1",
        classes=CLASSES,
        look=LOOK,
        seed=1,
    )
    fig6, fig7 = ((tmp_path / f"{name}.svg").read_text() for name in ("fig6", "fig7"))
    assert all(f">{name}<" in fig6 for name in CLASSES)
    assert ("no dated images" in fig7) != dated
    if dated:
        days = [fig7.index(f">day {day}<") for day in (2, 4, 8)]
        assert days == sorted(days)
        assert fig7.count(">brixia 3.0 (1.0–5.0)<") == 3
    section = read_section(tmp_path / "section.json")
    assert len(section.figures) == 1 + dated
    chosen = rows.set_index("image_id").loc[examples.select_examples(rows, CLASSES, 1)]
    scores = chosen[[f"p_{name}" for name in CLASSES]].to_numpy()
    for label, row in zip(chosen["label"], scores, strict=True):
        said = f"{label} → {CLASSES[row.argmax()]} {row.max():.3f}"
        assert said in section.figures[0].alt


def test_examples_are_test_images_one_of_each_class_whatever_the_other_classes() -> None:
    table = pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in range(30)],
            "label": [CLASSES[k % 3] for k in range(30)],
            "cohort": ["test" if k >= 15 else "train" for k in range(30)],
        }
    )
    chosen = examples.select_examples(table, CLASSES, 5)
    labels = table.set_index("image_id")["label"]
    assert [labels[name] for name in chosen] == CLASSES
    assert all(int(name[1:]) >= 15 for name in chosen)
    shuffled = table.sample(frac=1, random_state=0)
    assert examples.select_examples(shuffled, CLASSES[:1], 5) == chosen[:1]
    assert len({tuple(examples.select_examples(table, CLASSES, seed)) for seed in range(9)}) > 1
    with pytest.raises(InputError, match="other"):
        examples.select_examples(table, ["other"], 5)


def test_a_missing_lesion_mask_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x_lesion\.png"):
        lesion_region(str(tmp_path / "x.png"), 16)
