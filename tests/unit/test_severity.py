"""Severity: agreement against scipy and scikit-learn, score tables, zones, regression."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from sklearn.metrics import cohen_kappa_score

from covidcxr.config import complete, read_schema
from covidcxr.data import phantoms as phantoms_step
from covidcxr.data.lung_shape import estimate_boxes
from covidcxr.data.phantoms import render, sample_patient, zone_shares
from covidcxr.data.tables import read_manifest
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import estimate_of
from covidcxr.report.section import read_section
from covidcxr.severity import agreement, severity, severity_images, severity_model
from covidcxr.severity.regression import ScoredImages, fit, half_width, out_of_fold, patient_folds
from covidcxr.severity.scores import ScoreTable, match_images, read_scores, reference
from covidcxr.severity.zones import ZONES, pool, zone_boxes, zone_features

ROOT = Path(__file__).parents[2]


def _pairs(seed: int, n: int = 40, levels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, levels, n).astype(float)
    return one, np.clip(one + rng.integers(-1, 2, n), 0, levels - 1).astype(float)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_measures_agree_with_scipy_and_scikit_learn_also_on_a_resample(seed: int) -> None:
    one, other = _pairs(seed)
    weights = np.random.default_rng(seed + 1).integers(0, 3, len(one)).astype(float)
    repeated = np.repeat(np.arange(len(one)), weights.astype(int))
    for chosen, weight in ((np.arange(len(one)), np.ones(len(one))), (repeated, weights)):
        a, b = one[chosen], other[chosen]
        expected = {
            agreement.pearson: stats.pearsonr(a, b).statistic,
            agreement.spearman: stats.spearmanr(a, b).statistic,
            agreement.calibration_slope: stats.linregress(b, a).slope,
            agreement.weighted_kappa: cohen_kappa_score(a, b, weights="quadratic"),
            agreement.mean_absolute_error: np.abs(a - b).mean(),
            agreement.bias: (b - a).mean(),
        }
        for measure, value in expected.items():
            assert measure(one, other)(weight[None])[0] == pytest.approx(value), measure


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    one, other = _pairs(3)
    found = estimate_of(agreement.limits_of_agreement(one, other), len(one)).item()
    assert found == pytest.approx(1.96 * np.std(other - one, ddof=1))


def test_a_constant_has_no_correlation_and_no_kappa_but_an_error() -> None:
    one, flat = np.array([0.0, 1, 2, 3]), np.full(4, 1.5)
    weights = np.ones((1, 4))
    for measure in (agreement.pearson, agreement.spearman, agreement.calibration_slope):
        assert np.isnan(measure(one, flat)(weights)[0])
    assert agreement.mean_absolute_error(one, flat)(weights)[0] == 1


COHEN = "## a licence\n## a citation\nfilename,geographic_mean\na.png,2.7\nb.png,0.0\ngone.png,8\n"
ZONE_COLUMNS = [f"S-{letter}" for letter in "ABCDEF"]
BRIXIA = (
    "\ufefffilename," + ",".join(ZONE_COLUMNS) + ",S-Global,J-Global\n"
    "a.png,3,3,3,3,3,2,17,16\nb.png,0,0,1,0,0,,1,\n"
)


def _written(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_both_public_layouts_are_read_as_they_come(tmp_path: Path) -> None:
    extent = read_scores(
        _written(tmp_path, COHEN), ScoreTable("filename", {"mean": "geographic_mean"}, (0, 8))
    )
    assert extent["value"].tolist() == [2.7, 0.0, 8.0]
    layout = ScoreTable(
        "filename", {"senior": "S-Global", "junior": "J-Global"}, (0, 18), {"senior": ZONE_COLUMNS}
    )
    scores = read_scores(_written(tmp_path, BRIXIA), layout).rename(columns={"key": "image_id"})
    mean = reference(scores)
    assert mean["total"].to_dict() == {"a.png": 16.5, "b.png": 1.0}
    assert mean.loc["a.png", list(ZONES)].tolist() == [3, 3, 3, 3, 3, 2]
    assert np.isnan(mean.loc["b.png", "left lower"]), "an empty cell is no score"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("c.png,8.5", "row 7: geographic_mean is '8.5', not from 0 to 8"),
        ("c.png,-1", "row 7: geographic_mean is '-1', not from"),
        ("a.png,1", "row 7: filename 'a.png' is an image that an earlier row names"),
        (" ,1", "row 7: filename is empty"),
        ("c.png,much", "row 7: geographic_mean is 'much', not a number"),
    ],
)
def test_a_wrong_row_is_named_as_an_editor_counts(tmp_path: Path, row: str, problem: str) -> None:
    path = _written(tmp_path, COHEN + row + "\n")
    with pytest.raises(InputError, match=problem):
        read_scores(path, ScoreTable("filename", {"mean": "geographic_mean"}, (0, 8)))


def test_a_table_with_semicolons_and_decimal_commas_is_read_alike(tmp_path: Path) -> None:
    layout = ScoreTable("filename", {"mean": "geographic_mean"}, (0, 8))
    plain = read_scores(_written(tmp_path, COHEN), layout)
    german = COHEN.replace(".7", "@7").replace(",", ";").replace("@", ",")
    pd.testing.assert_frame_equal(read_scores(_written(tmp_path, german), layout), plain)


def test_scores_find_their_films_by_key_or_name_and_others_are_left_out() -> None:
    candidates = pd.DataFrame(
        {"key": ["x/a.png", "x/b.png", "y/b.png"], "image_id": ["s-a", "s-b", "s-b2"]}
    )
    scores = pd.DataFrame({"key": ["a.png", "x/b.png", "b.png"], "reader": "one", "zone": "total"})
    found = match_images(scores.assign(value=[1.0, 2.0, 3.0]), candidates, "scores.csv")
    assert dict(zip(found["image_id"], found["value"], strict=True)) == {"s-a": 1.0, "s-b": 2.0}
    twice = scores.assign(key=["a.png", "x/a.png", "b.png"], value=1.0)
    with pytest.raises(InputError, match="another row name the same image"):
        match_images(twice, candidates, "scores.csv")
    with pytest.raises(InputError, match="no row names an image of its source"):
        match_images(scores.assign(key="else.png", value=1.0), candidates, "scores.csv")


def test_features_of_a_zone_are_the_mean_of_its_part_of_the_map() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(7, 7, 3))
    boxes = np.array([[0.07, 0.11, 0.43, 0.93], [0.55, 0.2, 0.96, 0.88]])
    found = pool(coarse, zone_boxes(boxes))
    fine = coarse.repeat(100, 0).repeat(100, 1)
    for zone, (left, top, right, bottom) in zip(found, zone_boxes(boxes), strict=True):
        rows = slice(round(top * 700), round(bottom * 700))
        part = fine[rows, round(left * 700) : round(right * 700)]
        assert zone == pytest.approx(part.mean((0, 1)), abs=0.01)
    heights = zone_boxes(boxes)[:, 3] - zone_boxes(boxes)[:, 1]
    assert [heights[:3].sum(), heights[3:].sum()] == pytest.approx([0.82, 0.68])
    outside = pool(coarse, np.array([[1.2, 0.1, 1.4, 0.3]]))
    assert outside[0] == pytest.approx(coarse.mean((0, 1)), abs=1e-6)


def _films(patients: int = 40, *, own_zones: bool = True, noise: float = 0.2) -> ScoredImages:
    """Images whose zones' scores are a linear function of the zones' features, two a patient."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(2 * patients, 6, 5))
    zones = np.clip(1.5 + features[..., 0] + noise * rng.normal(size=features.shape[:2]), 0, 3)
    totals = zones.sum(axis=1) if own_zones else zones.sum(axis=1) / 2 - 1
    return ScoredImages(features, np.repeat(np.arange(patients), 2), totals, zones, own_zones)


def test_zones_and_their_sum_are_learned_and_kept_in_range() -> None:
    films = _films()
    assert films.zones is not None
    found = out_of_fold(films, (0, 18), (0, 3), seed=1)
    assert found.zones is not None
    assert stats.pearsonr(found.zones.ravel(), films.zones.ravel()).statistic > 0.9
    assert found.totals == pytest.approx(found.zones.sum(axis=1))
    assert np.clip(found.zones, 0, 3) == pytest.approx(found.zones)


def test_a_score_of_few_films_is_learned_from_anothers_zones() -> None:
    films = _films(own_zones=False)
    few = np.where(np.arange(80) % 4 == 0, films.totals, np.nan)
    scored = np.isfinite(few)
    helped = ScoredImages(films.features, films.patients, few, films.zones, False)
    alone = ScoredImages(films.features, films.patients, few, None, False).take(
        np.flatnonzero(scored)
    )

    def error(found: np.ndarray) -> float:
        return float(np.abs(found - few[scored]).mean())

    with_zones = error(out_of_fold(helped, (-1, 8), (0, 3), seed=1).totals[scored])
    assert with_zones < 0.7 * error(out_of_fold(alone, (-1, 8), (0, 3), seed=1).totals)


def test_no_film_of_a_patient_trains_the_model_that_scores_him() -> None:
    """Scores that only the patient's identity tells cannot be predicted out of fold."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 4)
    features = np.repeat(rng.normal(size=(60, 6, 30)), 4, axis=0)
    features += 0.01 * rng.normal(size=features.shape)
    totals = np.repeat(rng.normal(size=60), 4)
    films = ScoredImages(features, patients, totals, None, False)
    for training, held_out in patient_folds(patients, 1):
        assert not set(patients[training]) & set(patients[held_out])
    found = out_of_fold(films, (-5, 5), (0, 3), seed=1).totals
    assert abs(stats.pearsonr(found, totals).statistic) < 0.35
    within = fit(films, (-5, 5), (0, 3), seed=1).predict(features).totals
    assert stats.pearsonr(within, totals).statistic > 0.5


def test_intervals_hold_new_patients_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        errors, patients = rng.normal(size=60), np.arange(60)
        inside.append(abs(rng.normal()) <= half_width(errors, patients))
    assert 0.85 < np.mean(inside) < 0.96
    assert half_width(np.array([1.0, 9, 9, 9, 9]), np.array([0, 1, 1, 1, 1])) == 9


def test_two_patients_are_too_few() -> None:
    with pytest.raises(InputError, match="at least three"):
        out_of_fold(_films(2), (0, 18), (0, 3), seed=1)


def test_a_phantoms_zones_are_covered_as_far_as_its_masks_say() -> None:
    lung = np.zeros((60, 40), bool)
    lung[0:30, 2:18], lung[30:60, 22:38] = True, True
    lesion = np.zeros_like(lung)
    lesion[0:10, 2:10], lesion[50:60, 22:38] = True, True
    left = np.broadcast_to(np.arange(40) >= 20, lung.shape)
    assert zone_shares(lung, lesion, left).tolist() == [0.5, 0, 0, 0, 0, 1]


def test_the_zones_of_phantoms_are_found_where_they_are() -> None:
    """Grey levels of the estimated zones rank images and zones as the phantoms' masks do."""
    patients = [
        sample_patient(7, f"p{k}", ("normal", "pneumonia", "COVID-19")[k % 3], difficulty=0.2)
        for k in range(75)
    ]
    phantoms = [render(patient, patient.visits[0], 64) for patient in patients]
    grays = np.stack([phantom.image for phantom in phantoms]).astype(float)
    grays -= grays.mean((1, 2), keepdims=True)
    grays /= grays.std((1, 2), keepdims=True)
    blurred = [ndimage.gaussian_filter(grays, (0, s, s)) for s in (1, 2, 4)]
    levels = (-1, -0.5, 0, 0.5, 1)
    maps = np.stack([np.maximum(b - level, 0) for b in blurred for level in levels], axis=-1)
    boxes = np.stack([estimate_boxes(phantom.image) for phantom in phantoms])
    truth = np.stack([phantom.zones for phantom in phantoms])
    names = np.array([patient.patient_id for patient in patients])
    films = ScoredImages(zone_features(maps, boxes), names, truth.sum(axis=1), truth, True)
    found = out_of_fold(films, (0, 6), (0, 1), seed=1)
    assert found.zones is not None
    assert stats.spearmanr(found.totals, films.totals).statistic > 0.7
    assert stats.spearmanr(found.zones.ravel(), truth.ravel()).statistic > 0.6
    sick = truth.max(axis=1) > 0.3
    worst = found.zones[sick].argmax(axis=1) == truth[sick].argmax(axis=1)
    assert worst.mean() > 0.5, "one in six by chance"


SPEC = {
    "source": "phantoms",
    "readers": {"truth": "extent", "other": "severity"},
    "range": [0, 6],
    "zones": {"truth": [f"zone_{k}" for k in range(1, 7)]},
    "zone_range": [0, 1],
    "where": {},
    "key": "filename",
    "learned_with": None,
    "published": {"mae": 0.5, "source": "Others"},
}


def test_the_steps_hand_on_from_a_source_to_table_figure_section_and_model(tmp_path: Path) -> None:
    source = {"type": "phantom", "image_size": 64, "difficulty": 0.2, "mark": ""}
    source["patients"] = {"normal": 3, "pneumonia": 4, "COVID-19": 4}
    phantoms_step.run(tmp_path / "phantoms", settings=source, seed=1)
    table = tmp_path / "phantoms/metadata.csv"
    (tmp_path / "phantoms/images/timeline-day03.png").unlink()
    images, scores = tmp_path / "severity.csv", tmp_path / "scores.csv"
    severity_images.run(
        [tmp_path / "phantoms"],
        images,
        scores,
        tmp_path / "excluded.csv",
        sources={"phantoms": source},
        specs={"extent": SPEC | {"table": str(table)}},
        outcomes={},
    )
    rows = read_manifest(images)
    assert len(rows) == len(pd.read_csv(table)) - 1
    assert pd.read_csv(tmp_path / "excluded.csv")["reason"].tolist() == ["missing"]
    truth = pd.read_csv(table).set_index("filename").filter(regex="zone_")
    names = [Path(path).name for path in rows["path"]]
    features = truth.loc[names].to_numpy()[..., None].repeat(2, axis=2)
    features[..., 1] = np.random.default_rng(0).normal(size=features.shape[:2])
    np.save(tmp_path / "zones.npy", features)
    predictions, model = tmp_path / "extent.csv", tmp_path / "extent.joblib"
    severity_model.run(
        tmp_path / "zones.npy",
        images,
        scores,
        predictions,
        model,
        wildcards={"score": "extent", "backbone": "VGG16"},
        spec=SPEC,
        layer="block3_pool",
        size=64,
        seed=1,
    )
    found = pd.read_csv(predictions)
    assert len(found) == severity_model.REPEATS * len(rows)
    assert (found["low"] <= found["predicted"]).all()
    saved = joblib.load(model)
    assert (saved.score, saved.backbone, saved.layer) == ("extent", "VGG16", "block3_pool")
    zones = saved.model.predict(features).zones
    assert np.abs(zones - truth.loc[names].to_numpy()).mean() < 0.05
    severity.run(
        [predictions],
        scores,
        tmp_path / "table.csv",
        tmp_path / "figure.png",
        tmp_path / "figure.svg",
        tmp_path / "section.json",
        specs={"extent": SPEC},
        seed=1,
    )
    results = pd.read_csv(tmp_path / "table.csv").set_index(["judge", "target", "metric"])
    of_first = found[found["repeat"] == 0]
    by_hand = found.assign(error=(found["predicted"] - found["read"]).abs())["error"].mean()
    assert results.loc[("model", "total", "mae"), "estimate"] == pytest.approx(by_hand)
    assert results.loc[("model", "total", "mae"), "patients"] == of_first["patient_id"].nunique()
    readers = results.loc[("truth against other", "total", "mae"), "estimate"]
    both = pd.read_csv(table).set_index("filename").loc[names]
    assert readers == pytest.approx((both["extent"] - both["severity"]).abs().mean())
    section = read_section(tmp_path / "section.json")
    assert f"{by_hand:.2f}" in section.paragraphs[0]
    right = [
        b.predicted > a.predicted
        for _, own in found.groupby(["repeat", "patient_id"])
        for a in own.itertuples()
        for b in own.itertuples()
        if b.read > a.read
    ]
    assert results.loc[("model", "course", "direction"), "estimate"] == pytest.approx(
        np.mean(right)
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"source": "elsewhere"}, "scores.extent.source': no source is called 'elsewhere'"),
        ({"learned_with": "other"}, "learned_with': 'other' is no score with zones"),
        ({"zones": {"somebody": ["a"] * 6}}, "'somebody' is none of `readers`"),
        ({"zones": {"truth": ["a"] * 5}}, "scores.extent.zones.truth"),
        ({"reader": {}}, "did you mean 'readers'"),
    ],
)
def test_a_score_that_does_not_fit_the_config_is_refused(
    change: dict[str, object], problem: str
) -> None:
    config = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    config["scores"]["extent"].update(change)
    with pytest.raises(InputError, match=problem):
        complete(config, read_schema(ROOT / "workflow/schemas/config.schema.yaml"))


def test_features_are_those_of_the_named_layer_in_the_zones_of_each_image(tmp_path: Path) -> None:
    import keras

    from covidcxr.severity import severity_features

    image = keras.Input((32, 32, None))
    gray = keras.ops.mean(image, axis=-1, keepdims=True)
    inner = keras.layers.Conv2D(2, 3, strides=4, padding="same", name="inner")(gray)
    last = keras.layers.Conv2D(3, 3, strides=2, padding="same", name="last")(inner)
    network = keras.Model(image, last, name="Small")
    network.save(tmp_path / "small.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    found = {}
    for layer in ("inner", None):
        severity_features.run(
            tmp_path / "small.keras",
            tmp_path / "images.npy",
            tmp_path / "zones.npy",
            layer=layer,
            threads=1,
        )
        found[layer] = np.load(tmp_path / "zones.npy")
    maps = np.asarray(keras.Model(image, inner)(pixels[..., None].astype(np.float32)))
    boxes = np.stack([estimate_boxes(one) for one in pixels])
    assert found["inner"] == pytest.approx(zone_features(maps, boxes), abs=1e-4)
    assert found[None].shape == (3, 6, 3)
    with pytest.raises(InputError, match="Small has no feature map 'inmost'; it has"):
        severity_features.up_to(network, "inmost")
