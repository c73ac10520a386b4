"""Training on cached features: what learns, what is kept, what never reaches a training fold."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from covidcxr.classify.fitting import Fitter, Training, cross_entropy, shuffled_batches
from covidcxr.classify.samples import Sample, divide, usable_synthetic, weights_of
from covidcxr.errors import InputError
from covidcxr.features.bank import read_bank
from tests.unit.tiny import CLASSES, assemble_tiny, synthetic_of, tiny_bank, tiny_study, train_tiny

CUTS = ["head", "last_block", "all"]


def unwatched(_: object) -> None:
    pass


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a study with a feature bank for each cut and six synthetic images of covid."""
    folder = tiny_study(tmp_path_factory.mktemp("study"))
    for cut in CUTS:
        tiny_bank(folder, f"{cut}/real", cut=cut, views=2)
    synthetic_of(folder, name="head/synthetic")
    return folder


def bank_of(study: Path, cut: str, name: str = "real") -> list[Path]:
    return [study / cut / name / file for file in ("clean.npy", "views.npy", "rows.csv")]


def train(
    study: Path, out: Path, **changes: object
) -> tuple[keras.Model, pd.DataFrame, pd.DataFrame]:
    """Train fold 0 of the study; return the complete model, the history and the predictions."""
    settings = {"trainable": "head", "epochs": 3, "learning_rate": 0.01, **changes}
    cut = str(settings["trainable"])
    head = train_tiny(study, bank_of(study, cut), out, **settings)
    model = assemble_tiny(study, [head], out / "model.keras", cut)
    return (
        keras.models.load_model(model),
        pd.read_csv(out / "history.csv"),
        pd.read_csv(out / "predictions.csv"),
    )


def with_synthetic(study: Path, count: int) -> dict[str, object]:
    table = study / "synthetic.csv"
    return {"synthetic": count, "made": [table, *bank_of(study, "head", "synthetic")]}


@pytest.mark.parametrize("trainable", CUTS)
def test_the_saved_model_on_raw_images_gives_the_written_predictions(
    trainable: str, study: Path, tmp_path: Path
) -> None:
    model, history, predictions = train(study, tmp_path, trainable=trainable)
    split = pd.read_csv(study / "split.csv")
    expected = split.loc[(split["split"] == "test") | (split["fold"] == 0), "image_id"]
    assert predictions["image_id"].tolist() == expected.tolist()
    images = np.load(study / "images.npy")[expected.index]
    written = predictions[[f"p_{name}" for name in CLASSES]].to_numpy()
    np.testing.assert_allclose(model.predict(images[..., None], verbose=0), written, atol=1e-4)
    # The kept weights are those of the epoch of lowest validation loss.
    validates = expected.isin(split.loc[split["fold"] == 0, "image_id"]).to_numpy()
    labels = predictions["label"].map(CLASSES.index).to_numpy()
    loss = cross_entropy(written[validates], labels[validates])
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-4)
    assert history["best"].tolist() == (history["val_loss"] == history["val_loss"].min()).tolist()


@pytest.mark.parametrize(
    ("trainable", "changed"),
    [("head", set()), ("last_block", {"second"}), ("all", {"first", "second"})],
)
def test_only_the_trainable_part_of_the_backbone_changes(
    trainable: str, changed: set[str], study: Path, tmp_path: Path
) -> None:
    model, _, _ = train(study, tmp_path, trainable=trainable)
    before = keras.models.load_model(study / "tiny.keras")
    moved = set()
    for layer in before.layers:
        pairs = zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True)
        if any(not np.array_equal(a, b) for a, b in pairs):
            moved.add(layer.name)
    assert moved == changed


def test_it_learns(study: Path, tmp_path: Path) -> None:
    _, history, predictions = train(study, tmp_path, epochs=30)
    scores = predictions[[f"p_{name}" for name in CLASSES]].to_numpy()
    accuracy = (scores.argmax(axis=1) == predictions["label"].map(CLASSES.index)).mean()
    assert accuracy > 0.9
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_the_same_seed_gives_the_same_tables(trainable: str, study: Path, tmp_path: Path) -> None:
    first, second, other = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    train(study, first, trainable=trainable)
    train(study, second, trainable=trainable)
    train(study, other, trainable=trainable, seed=2)
    for name in ("history.csv", "predictions.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def test_synthetic_images_enter_training_only(study: Path, tmp_path: Path) -> None:
    _, plain, without = train(study, tmp_path / "a")
    _, joined, with_them = train(study, tmp_path / "b", **with_synthetic(study, 6))
    assert with_them["image_id"].tolist() == without["image_id"].tolist()
    assert not np.allclose(plain["loss"], joined["loss"])


@pytest.mark.parametrize("option", ["mixed_precision", "xla"])
def test_switches_for_speed_change_little(option: str, study: Path, tmp_path: Path) -> None:
    # Without dropout, whose draws depend on the number type and the compiler.
    settings = {"trainable": "last_block", "dropout": 0.0, "epochs": 2, "learning_rate": 0.001}
    _, plain, _ = train(study, tmp_path / "a", **settings)
    model, other, predictions = train(study, tmp_path / "b", **settings, **{option: True})
    np.testing.assert_allclose(other["val_loss"], plain["val_loss"], rtol=0.05)
    assert {str(layer.compute_dtype) for layer in model.layers} == {"float32"}
    assert np.isfinite(predictions["p_covid"]).all()


def test_class_weights_change_the_training(study: Path, tmp_path: Path) -> None:
    # Weighing counts only where classes differ in size, which synthetic images bring about.
    _, plain, _ = train(study, tmp_path / "a", **with_synthetic(study, 6))
    _, weighed, _ = train(study, tmp_path / "b", class_weights=True, **with_synthetic(study, 6))
    assert not np.allclose(plain["loss"], weighed["loss"])


def test_a_linear_classifier_reaches_the_loss_of_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 150)
    features = (rng.normal(0, 1, (150, 4)) + np.eye(3, 4)[classes]).astype(np.float32)
    reference = LogisticRegression(C=np.inf, max_iter=1000).fit(features, classes)
    expected = cross_entropy(reference.predict_proba(features), classes)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="logits")])
    fitter = Fitter(Training(epochs=60, batch_size=20, learning_rate=0.02))
    truth = (classes, np.ones(150))
    history = fitter.fit(model, lambda _: features, truth, (features, classes), rng, unwatched)
    assert history["val_loss"].min() == pytest.approx(expected, rel=0.01)


def test_weighed_images_draw_a_linear_classifier_as_they_do_logistic_regression() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, 200)
    features = (rng.normal(0, 1, (200, 4)) + np.eye(2, 4)[classes]).astype(np.float32)
    weights = np.where(features[:, 3] > 0, 1.9, 0.1)
    expected = LogisticRegression(C=np.inf, max_iter=1000).fit(features, classes, weights)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    # Validation by the weighed rows alone, so that the weights kept are those that fit them.
    validation = (features[weights > 1], classes[weights > 1])
    fitter = Fitter(Training(epochs=80, batch_size=50, learning_rate=0.02))
    fitter.fit(model, lambda _: features, (classes, weights), validation, rng, unwatched)
    logits = model(features).numpy()
    found = logits[:, 1] - logits[:, 0]
    apart = found - expected.decision_function(features)
    plain = LogisticRegression(C=np.inf, max_iter=1000).fit(features, classes)
    unweighed = found - plain.decision_function(features)
    assert np.abs(apart).mean() < 0.5 * np.abs(unweighed).mean()


def test_sources_count_alike_and_synthetic_images_are_one() -> None:
    table = pd.DataFrame({"image_id": list("abcd"), "source": ["x", "x", "x", "y"]})
    samples = [
        Sample(list("abcd"), np.array([0, 0, 0, 0])),
        Sample(["made1", "made2"], np.array([0, 0])),
    ]
    found = weights_of(samples, table, by_class=False, by_source=True)
    np.testing.assert_allclose(found, [2 / 3, 2 / 3, 2 / 3, 2, 1, 1])


def test_epochs_go_through_the_images_and_their_views_in_turn(study: Path) -> None:
    bank = read_bank(*bank_of(study, "head"))
    ids = ["s-000", "s-002", "s-004"]
    rows = bank.rows.loc[ids]
    turns = [
        bank.clean[rows["clean_row"].astype(int)],
        bank.views[rows["view_row"].astype(int), 0],
        bank.views[rows["view_row"].astype(int), 1],
    ]
    for epoch in range(7):
        np.testing.assert_array_equal(bank.epoch_of(ids, epoch), turns[epoch % 3])
    asked = []

    def view(epoch: int) -> np.ndarray:
        asked.append(epoch)
        return bank.epoch_of(ids, epoch)

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    classes = np.array([0, 1, 2])
    fitter = Fitter(Training(epochs=4, batch_size=2, learning_rate=0.1))
    rng = np.random.default_rng(0)
    fitter.fit(model, view, (classes, np.ones(3)), (view(0), classes), rng, unwatched)
    assert asked == [0, 0, 1, 2, 3]
    assert not np.array_equal(view(0), view(1))


def test_a_diverging_training_is_told(study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning_rate"):
        train(study, tmp_path, trainable="all", learning_rate=1e30)
    assert not (tmp_path / "head.keras").exists()


def test_features_cut_elsewhere_are_refused(study: Path, tmp_path: Path) -> None:
    (tmp_path / "last_block").symlink_to(study / "head")
    for name in ("tiny.keras", "manifest.csv", "split.csv"):
        (tmp_path / name).symlink_to(study / name)
    with pytest.raises(InputError, match="last_block"):
        train(tmp_path, tmp_path / "out", trainable="last_block")


@given(st.integers(1, 60), st.integers(1, 9))
def test_an_epoch_takes_every_row_once(count: int, batch_size: int) -> None:
    index, present = shuffled_batches(count, batch_size, np.random.default_rng(0))
    assert index.shape == present.shape
    assert index.shape[1] == batch_size
    assert sorted(index[present == 1]) == list(range(count))
    assert (present.sum(axis=1) > 0).all()


def samples(study: Path) -> pd.DataFrame:
    split = pd.read_csv(study / "split.csv", dtype={"fold": "Int64"})
    return pd.read_csv(study / "manifest.csv").merge(split, on="image_id")


def test_the_parts_of_a_fold_are_disjoint_and_complete(study: Path) -> None:
    table = samples(study)
    training, validation, test = divide(table, CLASSES, 1)
    parts = [set(part.ids) for part in (training, validation, test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(table)
    assert parts[1] == set(table.loc[(table["fold"] == 1).fillna(False), "image_id"])
    labels = table.set_index("image_id")["label"]
    assert [CLASSES[k] for k in training.classes] == labels[training.ids].tolist()


def test_splits_that_do_not_fit_are_refused(study: Path) -> None:
    table = samples(study)
    with pytest.raises(InputError, match="no validation images for fold 7"):
        divide(table, CLASSES, 7)
    with pytest.raises(InputError, match="covid"):
        divide(table, CLASSES[1:], 0)
    with pytest.raises(InputError, match=r"no training images of .*covid"):
        divide(table.loc[(table["label"] != "covid") | (table["split"] == "test")], CLASSES, 0)
    with pytest.raises(InputError, match="lacks image s-000"):
        divide(table.assign(split=table["split"].where(table["image_id"] != "s-000")), CLASSES, 0)


def test_translations_of_validation_patients_and_of_test_images_stay_out() -> None:
    table = pd.DataFrame(
        {
            "image_id": ["x0", "x1", "x2", "x3"],
            "label": "covid",
            "source_image_id": ["a", "b", "c", "d"],
            "patient_id": ["s:1", "s:2", "s:1", "s:3"],
        }
    )
    options = {"validation_patients": {"s:2"}, "test_images": {"d"}, "classes": CLASSES}
    chosen = usable_synthetic(table, 3, **options)
    assert chosen.ids == ["x0", "x2"]
    assert chosen.classes.tolist() == [0, 0]
    with pytest.raises(InputError, match="x3 was made from the test image d"):
        usable_synthetic(table, 4, **options)
    with pytest.raises(InputError, match="5 synthetic images"):
        usable_synthetic(table, 5, **options)
    with pytest.raises(InputError, match="covid"):
        usable_synthetic(table, 3, **{**options, "classes": CLASSES[1:]})
