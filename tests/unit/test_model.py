"""The head and the complete model."""

from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler

from covidcxr.classify.model import assembled, attach, build_head
from covidcxr.features.backbone import split_backbone
from covidcxr.features.bank import standardisation
from tests.unit.tiny import complete, tiny_backbone, tiny_images


def test_standardisation_is_that_of_scikit_learn_but_for_the_floor() -> None:
    features = np.random.default_rng(0).normal(3, [1, 2, 3], (50, 3)).astype(np.float32)
    mean, variance = standardisation(features)
    reference = StandardScaler().fit(features)
    np.testing.assert_allclose(mean, reference.mean_, rtol=1e-5)
    np.testing.assert_allclose(variance, reference.var_, rtol=1e-2)


@given(arrays(np.float32, (5, 4), elements=st.floats(-1e3, 1e3, width=32)))
def test_standardised_features_are_finite_even_where_constant(features: np.ndarray) -> None:
    mean, variance = standardisation(features)
    assert (variance > 0).all()
    assert np.isfinite((features - mean) / np.sqrt(variance)).all()


def test_a_feature_constant_in_training_is_not_blown_up_elsewhere() -> None:
    features = np.random.default_rng(0).normal(0, 1, (50, 4)).astype(np.float32)
    features[:, 0] = 2
    mean, variance = standardisation(features)
    assert abs(2.1 - mean[0]) / np.sqrt(variance[0]) < 5


@pytest.mark.parametrize("standardise", [True, False])
def test_the_complete_model_is_flat_and_reloads_without_custom_objects(
    standardise: bool, tmp_path: Path
) -> None:
    reference = np.random.default_rng(0).normal(0, 1, (9, 8)).astype(np.float32)
    head = build_head(4, dense_units=5, reference=reference if standardise else None)
    model = complete(tiny_backbone(), head)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = tiny_images([0, 1, 2])[..., None]
    scores = loaded.predict(images, verbose=0)
    np.testing.assert_allclose(scores, model.predict(images, verbose=0), atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert scores.shape == (3, 4)
    assert not any(isinstance(layer, keras.Model) for layer in loaded.layers)


@pytest.mark.parametrize("trainable", ["head", "last_block", "all"])
def test_an_ensemble_is_one_flat_model_with_the_mean_of_its_folds(
    trainable: str, tmp_path: Path
) -> None:
    backbone = tiny_backbone()
    images = tiny_images([0, 1, 2])[..., None]
    heads, expected = {}, []
    for k in range(2):
        extractor, rest = split_backbone(tiny_backbone(), trainable)
        for layer in rest.layers:
            layer.set_weights([w + 0.1 * (k + 1) for w in layer.get_weights()])
        head = keras.Model(rest.input, attach(rest.output, build_head(3)))
        heads[f"fold{k}_"] = head
        expected.append(head(extractor(images)).numpy())
    model = assembled(backbone, heads, trainable)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    found = loaded.predict(images, verbose=0)
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=1e-5)
    assert not any(isinstance(layer, keras.Model) for layer in loaded.layers)
    names = [layer.name for layer in loaded.layers]
    assert {"fold0_logits", "fold1_logits", "ensemble"} <= set(names)
    assert ("pooled" in names) == (trainable == "head")
    assert len([name for name in names if "pooled" in name]) == (1 if trainable == "head" else 2)
    # The frozen part stands in the file once.
    assert len([name for name in names if name.endswith("first")]) == (
        2 if trainable == "all" else 1
    )


def test_the_head_has_the_published_number_of_parameters() -> None:
    backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    model = complete(backbone, build_head(3))
    added = model.count_params() - backbone.count_params()
    assert added == 512 * 64 + 64 + 64 * 3 + 3
