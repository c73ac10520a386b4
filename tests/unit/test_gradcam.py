"""Grad-CAM against class activation maps in closed form, and the files and figures made of it."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from covidcxr.classify.model import build_head, complete_model
from covidcxr.errors import InputError
from covidcxr.explain.fig6_gradcam import overlay, write_fig6_gradcam
from covidcxr.explain.fig7_timeline import write_fig7_timeline
from covidcxr.explain.gradcam import (
    grad_cam,
    select_examples,
    write_gradcam,
)
from covidcxr.explain.maps import read_gradcam, upsample
from tests.unit.tiny import CLASSES, SIZE, tiny_backbone, tiny_images, tiny_study


@pytest.fixture(scope="module")
def linear_model(tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    """Backbone, average pooling and one dense layer, loaded from disk, all frozen."""
    backbone = tiny_backbone()
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    logits = keras.layers.Dense(3, name="logits")(pooled)
    model = keras.Model(backbone.input, keras.layers.Softmax()(logits))
    model.trainable = False
    path = tmp_path_factory.mktemp("linear") / "model.keras"
    model.save(path)
    return keras.models.load_model(path)


def test_grad_cam_of_pooling_and_one_dense_layer_is_the_class_activation_map(
    linear_model: keras.Model,
) -> None:
    images = tiny_images([0, 1, 2, 0])
    activations = keras.Model(linear_model.input, linear_model.get_layer("last").output).predict(
        images[..., None], verbose=0
    )
    weights = linear_model.get_layer("logits").kernel.numpy()
    for index in range(3):
        expected = np.maximum(np.einsum("nhwk,k->nhw", activations, weights[:, index]), 0)
        peak = expected.max(axis=(1, 2), keepdims=True)
        expected = np.divide(expected, peak, out=np.zeros_like(expected), where=peak > 0)
        maps = grad_cam(linear_model, images, index)
        assert maps.dtype == np.float32
        np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_classes_given_per_image_are_those_given_one_by_one(linear_model: keras.Model) -> None:
    images = tiny_images([0, 1, 2])
    together = grad_cam(linear_model, images, [2, 0, 1])
    for k, index in enumerate([2, 0, 1]):
        np.testing.assert_allclose(together[k], grad_cam(linear_model, images, index)[k], atol=1e-6)


def test_more_images_than_a_batch_and_a_named_layer(linear_model: keras.Model) -> None:
    images = tiny_images([k % 3 for k in range(20)])
    maps = grad_cam(linear_model, images, 0, layer="first")
    assert maps.shape == (20, SIZE, SIZE)
    np.testing.assert_allclose(
        maps[18:], grad_cam(linear_model, images[18:], 0, "first"), atol=1e-5
    )
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_models_without_softmax_or_layer_are_refused(linear_model: keras.Model) -> None:
    bare = keras.Model(linear_model.input, linear_model.get_layer("logits").output)
    with pytest.raises(InputError, match="softmax"):
        grad_cam(bare, tiny_images([0]), 0)
    with pytest.raises(InputError, match="'nowhere'"):
        grad_cam(linear_model, tiny_images([0]), 0, layer="nowhere")
    with pytest.raises(InputError, match="'logits'"):
        grad_cam(linear_model, tiny_images([0]), 0, layer="logits")


def test_upsampling_keeps_constants_and_range() -> None:
    np.testing.assert_allclose(upsample(np.full((2, 3, 3), 0.5, np.float32), 12), 0.5)
    assert upsample(np.zeros((0, 3, 3), np.float32), 12).shape == (0, 12, 12)


def test_examples_are_test_images_one_of_each_class_whatever_the_other_classes() -> None:
    table = pd.DataFrame(
        {"image_id": [f"i{k}" for k in range(30)], "label": [CLASSES[k % 3] for k in range(30)]}
    )
    split = table[["image_id"]].assign(split=["test" if k >= 15 else "train" for k in range(30)])
    chosen = select_examples(table, split, CLASSES, 5)
    labels = table.set_index("image_id")["label"]
    assert [labels[name] for name in chosen] == CLASSES
    assert all(int(name[1:]) >= 15 for name in chosen)
    shuffled = table.sample(frac=1, random_state=0)
    assert select_examples(shuffled, split, CLASSES[:1], 5) == chosen[:1]
    assert len({tuple(select_examples(table, split, CLASSES, seed)) for seed in range(9)}) > 1
    with pytest.raises(InputError, match="other"):
        select_examples(table, split, ["other"], 5)


def test_overlay_of_no_and_full_opacity_are_the_image_and_the_colours() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2) * 80
    heat = np.array([[0, 1], [0.5, 0.25]], np.float32)
    np.testing.assert_allclose(overlay(image, heat, "jet", 0.0)[..., 1], image / 255)
    np.testing.assert_allclose(overlay(image, heat, "gray", 1.0)[..., 0], heat, atol=0.01)


@pytest.mark.parametrize("dated", [0, 3])
def test_the_written_maps_are_means_over_folds_and_the_figures_are_drawn(
    dated: int, tmp_path: Path
) -> None:
    tiny_study(tmp_path)
    keras.utils.set_random_seed(3)
    models = []
    for k in range(2):
        complete_model(tiny_backbone(), build_head(3)).save(tmp_path / f"fold{k}.keras")
        models.append(tmp_path / f"fold{k}.keras")
    table = pd.read_csv(tmp_path / "manifest.csv").iloc[:dated].assign(day=[9.0, 3.0, 7.0][:dated])
    table.to_csv(tmp_path / "timeline.csv", index=False)
    np.save(tmp_path / "timeline.npy", np.load(tmp_path / "images.npy")[:dated])
    write_gradcam(
        models,
        tmp_path / "images.npy",
        tmp_path / "manifest.csv",
        tmp_path / "split.csv",
        tmp_path / "timeline.npy",
        tmp_path / "timeline.csv",
        tmp_path / "maps.npz",
        classes=CLASSES,
        seed=1,
        threads=1,
    )
    explained = read_gradcam(tmp_path / "maps.npz")
    truth = [CLASSES.index(label) for label in table.sort_values("day")["label"]]
    assert explained.class_index.tolist() == [0, 1, 2, *truth]
    assert explained.of_cohort("timeline").day.tolist() == sorted(table["day"])
    loaded = [keras.models.load_model(path) for path in models]
    scores = [model.predict(explained.images[..., None], verbose=0) for model in loaded]
    np.testing.assert_allclose(explained.probabilities, np.mean(scores, axis=0), atol=1e-5)
    maps = [upsample(grad_cam(x, explained.images, explained.class_index), SIZE) for x in loaded]
    np.testing.assert_allclose(explained.maps, np.mean(maps, axis=0), atol=1e-5)

    for write, name in ((write_fig6_gradcam, "fig6"), (write_fig7_timeline, "fig7")):
        write(
            [("tiny", tmp_path / "maps.npz")],
            tmp_path / f"{name}.png",
            tmp_path / f"{name}.svg",
            classes=CLASSES,
        )
    drawn = (tmp_path / "fig7.svg").read_text()
    assert ("no dated images" in drawn) == (dated == 0)
    assert ("day 3" in drawn) == (dated > 0)
    assert all(name in (tmp_path / "fig6.svg").read_text() for name in CLASSES)
