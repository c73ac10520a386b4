"""A released model carries its card, and predicts in Python as on the command line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import covidcxr
from covidcxr import cli
from covidcxr.classify.card import ModelCard, add_card
from covidcxr.deploy import release
from covidcxr.evaluate.scores import COLUMNS
from tests.unit.tiny import CLASSES, tiny_ensemble, tiny_images, tiny_study


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released ensemble of a study of 48 training and 12 test images."""
    folder = tiny_study(tmp_path_factory.mktemp("released"))
    tiny_ensemble(2)[0].save(folder / "v1.keras")
    add_card(folder / "v1.keras", ModelCard(tuple(CLASSES), "study", "tiny", "v1", "ensemble"))
    scores = pd.DataFrame("", index=range(3), columns=COLUMNS)
    scores[["population", "backbone", "augmentation"]] = ["study", "tiny", "v1"]
    scores[["classifier", "model", "set"]] = ["network", "ensemble", "test"]
    scores[["metric", "estimate", "low", "high", "n", "patients"]] = [
        "accuracy",
        0.5,
        0.2,
        0.8,
        12,
        6,
    ]
    # Of another ensemble, and of a part of the test set: not this model's.
    scores.loc[1, "augmentation"] = "v2"
    scores.loc[2, "group"] = "adults"
    scores.to_csv(folder / "scores.csv", index=False)
    release.run(
        folder / "v1.keras",
        [folder / "manifest.csv", folder / "split.csv"],
        folder / "scores.csv",
        folder / "released.keras",
        title="tiny",
        notice="Of noise.",
        seed=1,
    )
    return folder / "released.keras"


def test_the_card_says_what_the_next_user_must_know(released: Path) -> None:
    result = CliRunner().invoke(cli.app, ["card", str(released)])
    assert result.exit_code == 0, result.output
    card = yaml.safe_load(result.output)
    assert card["classes"] == CLASSES
    assert (card["backbone"], card["model"]) == ("tiny", "ensemble")
    assert [part["images"] for part in card["data"]] == [4, 4, 4, 16, 16, 16]
    assert [part["patients"] for part in card["data"]] == [2, 2, 2, 8, 8, 8]
    [accuracy] = card["metrics"]
    assert (accuracy["estimate"], accuracy["low"], accuracy["high"]) == (0.5, 0.2, 0.8)
    assert card["licences"] == {"s": [""]}
    assert "No medical device" in card["warnings"][0]
    assert card["warnings"][1] == "Of noise."
    assert card["code"]["covidcxr"] == covidcxr.__version__


def test_a_loaded_model_predicts_a_file_and_an_array_as_the_ensemble_does(
    released: Path, tmp_path: Path
) -> None:
    [image] = tiny_images([1])
    Image.fromarray(image).save(tmp_path / "a.png")
    model = covidcxr.load(released)
    expected = tiny_ensemble(2)[0].predict(image[None, ..., None], verbose=0)[0]
    for given in (image, tmp_path / "a.png", str(tmp_path / "a.png")):
        found = model.predict(given)
        assert list(found) == CLASSES
        np.testing.assert_allclose(list(found.values()), expected, atol=1e-5)
    assert model.card["title"] == "tiny"
    out = tmp_path / "out"
    result = CliRunner().invoke(
        cli.app, ["predict", str(released), str(tmp_path / "a.png"), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(out / "predictions.csv")
    np.testing.assert_allclose(table[[f"p_{c}" for c in CLASSES]].iloc[0], expected, atol=1e-5)
