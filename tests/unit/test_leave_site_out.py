"""Whole sites are kept together, but for one that holds most of a class; and what that shows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from covidcxr.classify.predictions import IDENTITY
from covidcxr.data.holdout import choose_holdout, groups_of
from covidcxr.data.population import run as population
from covidcxr.data.split import assign_folds
from covidcxr.data.tables import read_split, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.leave_site_out import ALL, MEASURES, SMALLER, WHOLE, divided, run, section_of
from covidcxr.evaluate.models import BY_PATIENT, STUDY
from covidcxr.report.section import read_section
from tests.unit.split_samples import manifest_of

CLASSES = ["covid", "normal"]


def images() -> pd.DataFrame:
    """Six hospitals with 12 images of both classes, two small ones, and a collection of normals."""
    rows = [
        (f"h{site}", label, f"s:h{site}{label}{k // 2}")
        for site in range(8)
        for label in CLASSES
        for k in range(12 if site < 6 else 4)
    ]
    rows += [("collection", "normal", f"s:c{k // 2}") for k in range(160)]
    frame = pd.DataFrame(rows, columns=["site", "label", "patient_id"])
    frame["image_id"] = [f"i{k:03d}" for k in range(len(frame))]
    return manifest_of(frame).assign(site=frame["site"])


def test_a_site_is_on_one_side_and_in_one_fold_unless_it_holds_most_of_a_class():
    table = images()
    side = choose_holdout(table, unit="site", test=0.2, seed=1)["split"]
    training = table[(side == "train").to_numpy()]
    fold = assign_folds(training, unit="site", folds=3, seed=1)
    parts = fold.reindex(table.index).fillna(-1)
    hospitals = table["site"] != "collection"
    assert (parts.groupby(table["site"]).nunique()[lambda n: n > 1].index == ["collection"]).all()
    assert (parts.groupby(table["patient_id"]).nunique() == 1).all()
    assert (side[hospitals] == "test").any()
    split = table.assign(split=side, fold=fold.reindex(table.index).astype("Int64"))
    assert divided(split) == {"collection": "normal"}


def test_sites_that_share_a_patient_are_kept_together():
    table = images()
    assert groups_of(table, "site").nunique() == 8 + 80
    table.loc[table["site"] == "h0", "patient_id"] = "s:h1covid0"
    groups = groups_of(table, "site").groupby(table["site"]).unique()
    assert groups["h0"].tolist() == groups["h1"].tolist()
    assert groups["h2"].tolist() == ["h2"]


def test_a_class_at_too_few_sites_is_named():
    table = images()
    with pytest.raises(ValueError, match=r"class covid has 8 training sites, fewer than .* \(9\)"):
        assign_folds(table, unit="site", folds=9, seed=1)


def test_sites_of_which_none_can_be_left_out_are_named():
    with pytest.raises(InputError, match="each site has more than half of a class"):
        choose_holdout(images().assign(site="one"), unit="site", test=0.2, seed=1)


@pytest.fixture
def study(tmp_path):
    """Models that know the class where they saw the site, and guess where they did not."""
    table = images()
    side = choose_holdout(table, unit="site", test=0.2, seed=1)["split"]
    training = table[(side == "train").to_numpy()]
    fold = assign_folds(training, unit="site", folds=3, seed=1)
    split = pd.DataFrame(
        {
            "image_id": table["image_id"],
            "split": side.to_numpy(),
            "fold": fold.reindex(table.index).astype("Int64"),
        }
    )
    write_table(table, tmp_path / "manifest.csv")
    write_table(split, tmp_path / "split.csv")
    rng = np.random.default_rng(0)
    noise = rng.random(len(training))
    knows = np.where(training["label"] == "covid", 0.6 + 0.4 * noise, 0.4 * noise)
    identity = dict(zip(IDENTITY, ["", "VGG16", "v1", "network", "ensemble"], strict=False))
    frames = []
    for name, scores in ((STUDY, noise), (BY_PATIENT, knows)):
        frame = training[["image_id", "patient_id", "label"]].assign(**identity, set="validation")
        frame = frame.assign(population=name, p_covid=scores, p_normal=1 - scores)
        frames += [frame, frame.assign(set="test"), frame.assign(model="fold0")]
    # A kind of model that was trained by site only is in no comparison.
    frames.append(frames[0].assign(augmentation="v2"))
    write_table(pd.concat(frames), tmp_path / "predictions.csv")
    return tmp_path, training.assign(noise=noise)


def test_what_a_new_site_costs_by_site_and_as_a_whole(study):
    folder, training = study
    outputs = [folder / name for name in ("t.csv", "f.png", "f.svg", "s.json")]
    run(
        folder / "predictions.csv", [folder / "manifest.csv", folder / "split.csv"], *outputs,
        classes=CLASSES, target="covid", seed=1,
    )  # fmt: skip
    table = pd.read_csv(outputs[0])
    assert set(table["augmentation"]) == {"v1"}
    rows = table.set_index(["unseen", "group"])
    sizes = training["site"].value_counts()
    large = sizes.index[sizes > 10]
    small = {SMALLER} if len(large) < len(sizes) else set()
    assert set(table["group"]) == {ALL, WHOLE, *large} | small
    whole = training[training["site"] != "collection"]
    for name, part in ((ALL, training), (WHOLE, whole)):
        row, truth = rows.loc[("site", name)], part["label"] == "covid"
        assert row["n"] == len(part)
        assert row["auc"] == pytest.approx(roc_auc_score(truth, part["noise"]))
        expected = balanced_accuracy_score(truth, part["noise"] >= 0.5)
        assert row["balanced_accuracy"] == pytest.approx(expected)
        assert rows.loc[("patient", name), "balanced_accuracy"] == 1
    alone = rows.loc[("site", "collection")]
    assert alone["classes"] == "normal"
    assert np.isnan(alone["auc"])
    assert np.isnan(alone["sensitivity"])
    assert alone["specificity"] == pytest.approx(alone["balanced_accuracy"])
    section = read_section(outputs[3])
    assert section.checks[0].state == "warning"
    assert "1.000 where only the patient was not" in section.paragraphs[0]
    assert "Not left out whole: collection (normal)" in section.limits[0].text


@pytest.mark.parametrize(("low", "state"), [(0.45, "warning"), (0.55, "pass")])
def test_a_model_at_chance_at_new_sites_does_not_pass(low: float, state: str):
    row = {"backbone": "A", "augmentation": "v1", "classifier": "network", "model": "ensemble"}
    row |= {"classes": "covid, normal", "n": 9, "patients": 9}
    row |= {f"{name}{end}": 0.6 for name in MEASURES for end in ("", "_high")}
    row |= {f"{name}_low": low for name in MEASURES}
    found = pd.DataFrame([row | {"unseen": by, "group": ALL} for by in ("site", "patient")])
    section = section_of(found, {})
    assert section.checks[0].state == state
    assert "by chance 0.500" in section.paragraphs[0]


def test_beside_folds_of_sites_the_same_images_are_divided_by_patient(study):
    folder, _ = study
    paths = [str(folder / name) for name in ("manifest.csv", "split.csv", "chosen.csv")]
    population(*paths, sources=None, folds=3, seed=1)
    run_split, chosen = read_split(paths[1]), read_split(paths[2])
    assert chosen["split"].equals(run_split["split"])
    assert chosen["fold"].isna().equals(run_split["fold"].isna())
    joined = chosen.merge(images(), on="image_id")
    assert (joined.groupby("patient_id")["fold"].nunique() <= 1).all()
    assert joined.groupby("site")["fold"].nunique().max() == 3
