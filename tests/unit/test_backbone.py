"""Backbones against `keras.applications`, weight files that do not fit, and where they are cut."""

from functools import cache
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from covidcxr.errors import InputError
from covidcxr.features.backbone import (
    build_backbone,
    cut_layer,
    initialise_weights,
    load_weights,
    read_summary,
    run,
    split_backbone,
    with_layers,
)

SIZE = 64
FILES = {
    "VGG16": "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "EfficientNetB0": "efficientnetb0_notop.h5",
}


@cache
def built(name: str) -> keras.Model:
    """Build a network once for all tests; each gives it the weights that it needs."""
    return build_backbone(name, SIZE)


def output(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Call a network without building a graph first, which takes longer than two images."""
    return np.asarray(model(images, training=False))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 1), np.uint8)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ResNet50 weights in the layout of the official files."""
    path = tmp_path_factory.mktemp("weights") / "resnet50_notop.h5"
    network = keras.applications.ResNet50(
        weights=None, include_top=False, input_shape=(SIZE, SIZE, 3)
    )
    rng = np.random.default_rng(1)
    for weight in network.weights:
        if "moving_mean" in weight.path or "bias" in weight.path:
            weight.assign(rng.normal(0, 0.1, weight.shape))
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, network)
    return path


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "EfficientNetB0"])
def test_features_equal_those_of_keras_with_imagenet_weights(
    name: str,
    images: np.ndarray,
    resnet_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if name == "ResNet50":
        path = resnet_file
    else:
        path = request.getfixturevalue("shared") / "weights" / FILES[name]
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
    network = getattr(keras.applications, name)
    module = {
        "VGG16": keras.applications.vgg16,
        "ResNet50": keras.applications.resnet50,
        "EfficientNetB0": keras.applications.efficientnet,
    }[name]
    reference = network(weights="imagenet", include_top=False, input_shape=(SIZE, SIZE, 3))
    rgb = np.repeat(images, 3, axis=-1).astype(np.float32)
    expected = output(reference, module.preprocess_input(rgb))

    run(path, tmp_path / "b.keras", tmp_path / "b.json", backbone=name, size=SIZE, seed=0)
    loaded = keras.models.load_model(tmp_path / "b.keras")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(output(loaded, images) / scale, expected / scale, atol=1e-4)


def test_gray_and_rgb_images_agree(images: np.ndarray) -> None:
    model = built("MobileNetV2")
    initialise_weights(model, 0)
    np.testing.assert_allclose(
        output(model, images),
        output(model, np.repeat(images, 3, axis=-1)),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("name", ["ResNet50", "EfficientNetB0", "VGG16"])
def test_random_weights_keep_images_apart_and_follow_the_seed(name: str) -> None:
    rng = np.random.default_rng(2)
    images = np.stack(
        [rng.normal(mean, 30, (SIZE, SIZE, 1)).clip(0, 255) for mean in (60, 120, 180)]
    )
    model = built(name)
    initialise_weights(model, 0)
    extractor, _ = split_backbone(model, "head")
    first = output(extractor, images)
    assert np.isfinite(first).all()
    assert (first.std(axis=0) > 1e-3).mean() > 0.5
    kernel = next(x.kernel for x in model.layers if hasattr(x, "kernel"))
    before = kernel.numpy()
    initialise_weights(model, 0)
    np.testing.assert_array_equal(kernel.numpy(), before)
    initialise_weights(model, 1)
    assert np.abs(kernel.numpy() - before).max() > 0.01


def test_every_weight_file_that_does_not_fit_is_named(tmp_path: Path, resnet_file: Path) -> None:
    truncated = tmp_path / "truncated.h5"
    truncated.write_bytes(resnet_file.read_bytes()[:10_000])
    page = tmp_path / "page.h5"
    page.write_text("<html>not found</html>")
    with_top = tmp_path / "top.h5"
    network = keras.applications.ResNet50(weights=None, input_shape=(SIZE, SIZE, 3), classes=5)
    with h5py.File(with_top, "w") as file:
        save_weights_to_hdf5_group(file, network)
    for name, path in [
        ("EfficientNetB0", resnet_file),
        ("ResNet50", truncated),
        ("ResNet50", page),
        ("ResNet50", with_top),
        ("ResNet50", tmp_path / "missing.h5"),
        ("ResNet50", tmp_path),
    ]:
        with pytest.raises(InputError) as error:
            load_weights(built(name), path)
        assert str(path) in str(error.value)
        assert name in str(error.value)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    network = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(SIZE, SIZE, 3)
    )
    network.weights[0].assign(np.full(network.weights[0].shape, np.nan))
    network.save_weights(tmp_path / "nan.weights.h5")
    with pytest.raises(InputError, match="NaN"):
        load_weights(built("MobileNetV2"), tmp_path / "nan.weights.h5")


def test_unknown_networks_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="VGG61"):
        build_backbone("VGG61", SIZE)
    with pytest.raises(InputError, match="vgg16"):
        build_backbone("vgg16", SIZE)
    with pytest.raises(InputError, match="InceptionV3"):
        build_backbone("InceptionV3", 32)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("VGG16", "block4_pool"),
        ("VGG19", "block4_pool"),
        ("ResNet50", "conv4_block6_out"),
        ("EfficientNetB0", "block6d_add"),
        ("DenseNet121", "pool4_pool"),
    ],
)
def test_last_block_is_cut_where_the_final_stage_begins(name: str, layer: str) -> None:
    assert cut_layer(built(name), "last_block") == layer


def test_a_network_without_a_bottleneck_has_no_last_block() -> None:
    with pytest.raises(InputError, match="NASNetMobile"):
        cut_layer(build_backbone("NASNetMobile", 224), "last_block")
    with pytest.raises(InputError, match="everything"):
        cut_layer(built("MobileNetV2"), "everything")


@pytest.mark.parametrize("trainable", ["head", "last_block", "all"])
def test_the_two_parts_compose_to_the_pooled_backbone(trainable: str, images: np.ndarray) -> None:
    model = built("MobileNetV2")
    initialise_weights(model, 0)
    extractor, remainder = split_backbone(model, trainable)
    whole = output(model, images).mean(axis=(1, 2))
    cached = output(extractor, images)
    np.testing.assert_allclose(output(remainder, cached), whole, rtol=1e-3, atol=1e-4)
    if trainable == "all":
        np.testing.assert_array_equal(cached, images)


def test_named_layers_are_averaged_beside_the_last_map(images: np.ndarray) -> None:
    model = built("VGG16")
    initialise_weights(model, 0)
    joined = with_layers(model, ["block3_pool", "block4_pool"])
    inner = keras.Model(
        model.input,
        [model.get_layer(name).output for name in ("block3_pool", "block4_pool", "block5_pool")],
    )
    maps = [np.asarray(one) for one in inner(images, training=False)]
    extractor, _ = split_backbone(joined, "head")
    expected = np.concatenate([one.mean(axis=(1, 2)) for one in maps], axis=1)
    pooled = output(extractor, images)
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)
    assert joined.output_shape[1:3] == model.output_shape[1:3]


def test_without_named_layers_the_backbone_stays_as_it_is() -> None:
    model = built("MobileNetV2")
    assert with_layers(model, []) is model


def test_a_backbone_with_named_layers_is_written_and_loads(
    images: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "vgg.keras"
    made = tmp_path / "vgg.json"
    run(None, path, made, backbone="VGG16", size=SIZE, seed=3, pooled_layers=["block4_pool"])
    summary = read_summary(made)
    plain = built("VGG16")
    initialise_weights(plain, 3)
    loaded = keras.models.load_model(path)
    assert loaded.name == summary.name == "VGG16"
    assert summary.map == tuple(loaded.output_shape[1:])
    assert (summary.size, summary.parameters) == (SIZE, loaded.count_params())
    assert summary.size_mb == pytest.approx(path.stat().st_size / 1e6)
    np.testing.assert_allclose(
        output(loaded, images),
        output(with_layers(plain, ["block4_pool"]), images),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("layer", "size", "message"),
    [
        ("block9_pool", 64, r"no feature map 'block9_pool'.*block4_pool"),
        ("block3_pool", 72, r"block3_pool has 9 x 9.*2 x 2"),
    ],
)
def test_layers_that_cannot_be_joined_are_named(layer: str, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_layers(build_backbone("VGG16", size), [layer])
