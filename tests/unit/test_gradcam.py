"""Grad-CAM against class activation maps in closed form, of single models and of ensembles."""

from pathlib import Path

import keras
import numpy as np
import pytest

from covidcxr.errors import InputError
from covidcxr.explain.drawing import Look, overlay
from covidcxr.explain.gradcam import FEW, build_explainer, explain, probabilities, together
from covidcxr.explain.measures import upsample
from tests.unit.tiny import SIZE, tiny_backbone, tiny_ensemble, tiny_images


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


def test_maps_of_pooling_and_one_dense_layer_are_class_activation_maps(
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
        found = explain(build_explainer(linear_model), images, [index] * 4)
        assert found.maps.dtype == np.float32
        np.testing.assert_allclose(found.maps[0], expected, atol=1e-5)


def test_classes_and_images_beyond_a_batch_are_those_given_one_by_one(
    linear_model: keras.Model,
) -> None:
    explainer = build_explainer(linear_model)
    images, classes = tiny_images([k % 3 for k in range(20)]), [k % 3 for k in range(20)]
    together = explain(explainer, images, classes)
    for k in (0, 15, 16, 19):
        alone = explain(explainer, images[k : k + 1], classes[k : k + 1])
        np.testing.assert_allclose(together.maps[:, k], alone.maps[:, 0], atol=1e-5)
    predicted = linear_model.predict(images[..., None], verbose=0)
    np.testing.assert_allclose(together.probabilities[0], predicted, atol=1e-6)
    np.testing.assert_allclose(probabilities(explainer, images)[0], predicted, atol=1e-6)


def test_an_ensemble_runs_its_backbone_once_and_explains_as_its_members_do(tmp_path: Path) -> None:
    ensemble, members = tiny_ensemble(3)
    ensemble.save(tmp_path / "ensemble.keras")
    explainer = build_explainer(keras.models.load_model(tmp_path / "ensemble.keras"))
    assert len(explainer.features.outputs) == 1
    images = tiny_images([k % 3 for k in range(20)])
    found = explain(explainer, images)
    scores = np.array([model.predict(images[..., None], verbose=0) for model in members])
    np.testing.assert_allclose(found.probabilities, scores, atol=1e-5)
    assert found.class_index.tolist() == scores.mean(axis=0).argmax(axis=1).tolist()
    np.testing.assert_allclose(
        ensemble.predict(images[..., None], verbose=0), scores.mean(axis=0), atol=1e-5
    )
    for k, model in enumerate(members):
        alone = explain(build_explainer(model), images, found.class_index)
        np.testing.assert_allclose(found.maps[k], alone.maps[0], atol=1e-4)


def test_ensembles_on_one_backbone_run_it_once_together_and_others_apart() -> None:
    """Two ensembles share a backbone, a third has its own; all explain as they do alone."""
    ensembles = [tiny_ensemble(2)[0] for _ in range(3)]
    for layer in ("first", "second"):
        kernel = ensembles[2].get_layer(layer).kernel
        kernel.assign(kernel * 1.5)
    alone = [build_explainer(model) for model in ensembles]
    every = together(alone)
    assert [place for place, _ in every.members] == [0, 0, 0, 0, 1, 1]
    images = tiny_images([k % 3 for k in range(FEW + 3)])
    index = [k % 3 for k in range(len(images))]
    found = explain(every, images, index)
    for k, one in enumerate(alone):
        own = explain(one, images[:20], index[:20])
        np.testing.assert_allclose(found.maps[2 * k : 2 * k + 2, :20], own.maps, atol=1e-4)
        scores = found.probabilities[2 * k : 2 * k + 2, :20]
        np.testing.assert_allclose(scores, own.probabilities, atol=1e-5)


def test_members_that_trained_their_last_layers_have_activations_of_their_own() -> None:
    backbone = tiny_backbone()
    outputs = []
    for k in range(2):
        x = keras.layers.Conv2D(4, 3, activation="relu", name=f"own{k}")(backbone.output)
        x = keras.layers.GlobalAveragePooling2D()(x)
        outputs.append(keras.layers.Softmax()(keras.layers.Dense(3)(x)))
    model = keras.Model(backbone.input, keras.layers.Average()(outputs))
    found = explain(build_explainer(model), tiny_images([0, 1]), [0, 1])
    for k, output in enumerate(outputs):
        alone = build_explainer(keras.Model(backbone.input, output))
        np.testing.assert_allclose(
            found.maps[k], explain(alone, tiny_images([0, 1]), [0, 1]).maps[0], atol=1e-5
        )


def test_models_without_softmax_or_pooling_are_refused(linear_model: keras.Model) -> None:
    with pytest.raises(InputError, match="softmax"):
        build_explainer(keras.Model(linear_model.input, linear_model.get_layer("logits").output))
    backbone = tiny_backbone()
    flat = keras.layers.Dense(3)(keras.layers.Flatten()(backbone.output))
    with pytest.raises(InputError, match="pooling"):
        build_explainer(keras.Model(backbone.input, keras.layers.Softmax()(flat)))


def test_upsampling_keeps_constants_and_range() -> None:
    np.testing.assert_allclose(upsample(np.full((2, 3, 3), 0.5, np.float32), 12), 0.5)
    assert upsample(np.zeros((0, 3, 3), np.float32), SIZE).shape == (0, SIZE, SIZE)


def test_overlay_of_no_and_full_opacity_are_the_image_and_the_colours() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2) * 80
    heat = np.array([[0, 1], [0.5, 0.25]], np.float32)
    np.testing.assert_allclose(overlay(image, heat, Look("jet", 0.0))[..., 1], image / 255)
    np.testing.assert_allclose(overlay(image, heat, Look("gray", 1.0))[..., 0], heat, atol=0.01)
