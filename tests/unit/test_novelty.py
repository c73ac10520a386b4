"""Images unlike all training images are known by their distance, and predict says so."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from covidcxr.classify import model as assembling
from covidcxr.classify.novelty import QUANTILE, read_reference, reference_of
from covidcxr.deploy.predict import predict
from covidcxr.deploy.request import check
from tests.unit.tiny import CLASSES, SIZE, tiny_images, tiny_study, train_tiny, write_bank


def features(seed: int, n: int, centre: float = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1, (n, 8)) + np.arange(8)


def test_novelty_is_the_distance_to_the_nearest_image_over_its_source_s_limit():
    known = np.concatenate([features(0, 60), features(1, 60, 3)])
    sources = np.repeat(["a", "b"], 60)
    patients = np.array([f"p{k // 3}" for k in range(120)])
    scaled = StandardScaler().fit(known)

    def nearest(images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        search = NearestNeighbors(n_neighbors=1).fit(scaled.transform(others))
        distances, places = search.kneighbors(scaled.transform(images))
        return distances[:, 0], places[:, 0]

    own = [nearest(known[[k]], known[patients != patients[k]])[0][0] for k in range(120)]
    limits = pd.Series(own).groupby(sources).quantile(QUANTILE, interpolation="higher")
    new = features(2, 20, 1)
    distances, places = nearest(new, known)
    found = reference_of(known, sources, patients).novelty(new)
    np.testing.assert_allclose(found, distances / limits[sources[places]].to_numpy(), rtol=5e-3)


def test_a_training_set_of_one_patient_sets_no_limit():
    reference = reference_of(features(0, 4), np.full(4, "a"), np.full(4, "p"))
    assert (reference.novelty(features(1, 30, 9)) <= 1).all()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two folds with its reference, as the workflow writes it."""
    folder = tiny_study(tmp_path_factory.mktemp("study"))
    bank = write_bank(folder, "manifest", "images.npy", "manifest.csv", None, "head", 2)
    heads = []
    for fold in (0, 1):
        (folder / str(fold)).mkdir()
        heads.append(str(train_tiny(folder, bank, folder / str(fold), fold=fold, epochs=2)))
    assembling.run(
        str(folder / "tiny.keras"),
        heads,
        [str(bank[0]), str(bank[2])],
        [str(folder / "manifest.csv"), str(folder / "split.csv")],
        str(folder / "model.keras"),
        classes=CLASSES,
        trainable="head",
        wildcards={"population": "study", "backbone": "tiny", "augmentation": "v1"},
    )
    return folder / "model.keras"


@pytest.mark.parametrize("heatmaps", [True, False])
def test_predict_names_images_unlike_training_and_no_others(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, heatmaps: bool
):
    ramp = np.linspace(0, 255, SIZE).astype(np.uint8)
    made = {
        "landscape": np.where(np.arange(SIZE) < SIZE // 2, 230, 40)[:, None] + 0 * ramp[None],
        "noise": np.random.default_rng(0).choice([0, 255], (SIZE, SIZE)),
        "slope": np.tile(ramp, (SIZE, 1)),
    }
    labels = [k % 3 for k in range(12)]
    made |= {f"film{k}": image for k, image in enumerate(tiny_images(labels, seed=7))}
    (tmp_path / "images").mkdir()
    for name, pixels in made.items():
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"images/{name}.png")
    outcome = predict(check(model, [tmp_path / "images"], tmp_path / "out"), heatmaps=heatmaps)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    novelty = table.set_index(table["file"].map(lambda file: Path(file).stem))["novelty"]
    films = novelty[novelty.index.str.startswith("film")]
    assert (films <= 1).mean() > 0.8
    assert (novelty.drop(films.index) > 1).all()
    assert outcome.unlike == (novelty > 1).sum()
    [line] = [text for text in caplog.messages if "unlike all training images" in text]
    assert line.startswith(f"{outcome.unlike} of {len(made)} images")


def test_only_training_images_are_held_against_and_other_files_hold_none(
    model: Path, tmp_path: Path
):
    reference = read_reference(model)
    assert reference is not None
    assert len(reference.features) == 48
    (tmp_path / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert read_reference(tmp_path / "other.h5") is None
