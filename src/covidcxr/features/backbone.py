"""Convolutional backbones of `keras.applications`: built, given weights, cut in two."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import log
from covidcxr.seeding import generator

# Statistics of ImageNet's pixels in [0, 1], RGB.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def build_backbone(name: str, size: int) -> keras.Model:
    """Build a network of `keras.applications` without its classifier, on raw images.

    The three channels of the network's input are the mean over the channels of the image, so a
    grayscale image and the same image stored as RGB give the same result. The network's own
    preprocessing is part of the graph, which is flat (no model is nested as a layer).

    Parameters
    ----------
    name
        An image network of `keras.applications`, such as `VGG16`.
    size
        Side of the images, in pixels.

    Returns
    -------
    keras.Model
        [n, size, size, any channels] in 0..255 -> last feature map, float32 [n, h, w, c].

    Raises
    ------
    InputError
        There is no such network, or it does not take images of this size.
    """
    network = getattr(keras.applications, name, None)
    if not name[:1].isupper() or not callable(network):
        known = sorted(key for key in dir(keras.applications) if key[:1].isupper())
        raise InputError(
            f"backbones: keras.applications has no network {name!r}; it has {', '.join(known)}"
        )
    image = keras.Input((size, size, None), name="image")
    gray = ops.mean(image, axis=-1, keepdims=True)
    rgb = ops.concatenate([gray, gray, gray], axis=-1)
    preprocess = sys.modules[network.__module__].preprocess_input
    try:
        model: keras.Model = network(
            include_top=False,
            weights=None,
            input_tensor=preprocess(rgb),
            input_shape=(size, size, 3),
        )
    except ValueError as error:
        raise InputError(f"{name} cannot be built for images of {size} px: {error}") from error
    return keras.Model(image, model.output, name=name)


def load_weights(model: keras.Model, path: str | Path) -> None:
    """Load a weight file without the classifier ("notop") into a backbone.

    The official EfficientNet files hold the standard deviation where the normalisation layer
    expects the variance; Keras mends that only for `weights="imagenet"`, by a further layer
    (tensorflow/tensorflow issue 49930). Here the loaded value is squared, which is the same
    function.

    Raises
    ------
    InputError
        The file is missing or damaged, or belongs to another network or to one with a classifier.
    """
    path = Path(path)
    advice = (
        f"weights: {model.name}: give the network's own no-top file (Keras' layout), "
        "'imagenet' or 'random'"
    )
    if not path.is_file():
        raise InputError(f"weight file {path} of {model.name} does not exist; {advice}")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"weight file {path} is damaged or not of {model.name} without its classifier "
            f"({reason}); {advice}"
        ) from error
    for layer in _normalisations(model):
        variance = ops.convert_to_numpy(layer.adapt_variance)
        holds_deviation = np.allclose(variance.ravel(), IMAGENET_STD, atol=1e-3)
        _set_normalisation(layer, layer.adapt_mean, variance**2 if holds_deviation else variance)
    broken = [w.path for w in model.weights if not np.isfinite(ops.convert_to_numpy(w)).all()]
    if broken:
        raise InputError(f"weight file {path} of {model.name} holds NaN in {broken[0]}; {advice}")


def initialise_weights(model: keras.Model, seed: int) -> None:
    """Give a backbone random weights that carry an image through to its last layer.

    Kernels are sampled from He et al.'s normal distribution (2015), biases are 0. Each batch
    normalisation gets the statistics of its input on smoothed noise images, as otherwise features
    grow or fade by orders of magnitude with depth; the input normalisation gets ImageNet's.
    """
    rng = generator(seed, "backbone", model.name)
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        fan_in = np.prod(kernel.shape[:2] if depthwise else kernel.shape[:-1])
        kernel.assign(rng.normal(0, np.sqrt(2 / fan_in), kernel.shape).astype(np.float32))
    for layer in _normalisations(model):
        _set_normalisation(layer, IMAGENET_MEAN, IMAGENET_STD**2)
    _calibrate(model, rng)


def _normalisations(model: keras.Model) -> list[keras.layers.Normalization]:
    """Return the input normalisations whose statistics come with the weights."""
    return [x for x in model.layers if isinstance(x, keras.layers.Normalization) and x.weights]


def _set_normalisation(
    layer: keras.layers.Normalization, mean: np.ndarray, variance: np.ndarray
) -> None:
    layer.adapt_mean.assign(ops.reshape(mean, layer.adapt_mean.shape))
    layer.adapt_variance.assign(ops.reshape(variance, layer.adapt_variance.shape))
    layer.finalize_state()


def _calibrate(model: keras.Model, rng: np.random.Generator) -> None:
    """Set the moving statistics of all batch normalisations to those of a batch of smooth noise."""
    size = model.input_shape[1]
    noise = ops.image.resize(rng.uniform(0, 255, (16, 8, 8, 1)), (size, size), "bicubic")
    # Without momentum a pass in training mode leaves the batch's own statistics behind.
    silenced = {keras.layers.BatchNormalization: "momentum", keras.layers.Dropout: "rate"}
    with ExitStack() as stack:
        for layer in model.layers:
            for kind, name in silenced.items():
                if isinstance(layer, kind):
                    stack.callback(setattr, layer, name, getattr(layer, name))
                    setattr(layer, name, 0.0)
        model(noise, training=True)


def with_layers(backbone: keras.Model, names: Sequence[str]) -> keras.Model:
    """Put the maps of inner layers beside a backbone's last feature map (hypercolumns).

    Larger maps are averaged down to the last one's height and width, in windows that do not
    overlap, so the global average of each channel is what it was on its own layer. Pooling, heads
    and Grad-CAM thus see one map, whose channels stem from several depths (Hariharan et al.,
    "Hypercolumns for object segmentation and fine-grained localization", CVPR 2015).

    Parameters
    ----------
    backbone
        A flat model, image -> feature map [n, h, w, c].
    names
        Layers whose maps [n, k * h, l * w, ...] are added, in this order; none leaves it as it is.

    Returns
    -------
    keras.Model
        Image -> [n, h, w, channels of the named layers and c]. It shares the layers of `backbone`.

    Raises
    ------
    InputError
        There is no such layer, or its map is no whole multiple of the last one.
    """
    if not names:
        return backbone
    last = backbone.output
    maps = []
    for name in names:
        found = [x.output for x in backbone.layers if x.name == name]
        shape: tuple[int, ...] = tuple(found[0].shape) if found else ()
        if len(shape) != 4:
            near = [x.name for x in backbone.layers if len(getattr(x.output, "shape", ())) == 4]
            raise InputError(
                f"pooled_layers: {backbone.name} has no feature map {name!r}; it has "
                f"{', '.join(near)}"
            )
        windows = [
            divmod(side, final) for side, final in zip(shape[1:3], last.shape[1:3], strict=True)
        ]
        if any(rest or not window for window, rest in windows):
            raise InputError(
                f"pooled_layers: {backbone.name}: the map of {name} has {shape[1]} x {shape[2]} "
                f"places, no whole multiple of the last map's {last.shape[1]} x {last.shape[2]}; "
                "choose another layer or image_size"
            )
        size = tuple(window for window, _ in windows)
        averaged = keras.layers.AveragePooling2D(size, name=f"{name}_averaged")(found[0])
        maps.append(averaged)
    joined = keras.layers.Concatenate(name="layers_joined")([*maps, last])
    return keras.Model(backbone.input, joined, name=backbone.name)


@dataclass(frozen=True)
class Summary:
    """What a backbone is, for whoever needs not build it.

    Attributes
    ----------
    name
        As `keras.applications` has it.
    size
        Side of the images, in pixels.
    map
        Height, width and channels of the last feature map, inner pooled layers among them.
    parameters
        Number of weights.
    size_mb
        Of the `.keras` file, in MB of 1e6 bytes.
    """

    name: str
    size: int
    map: tuple[int, int, int]
    parameters: int
    size_mb: float


def read_summary(path: str | Path) -> Summary:
    """Read the JSON file that `run` wrote beside a backbone."""
    found = json.loads(Path(path).read_text())
    return Summary(**found | {"map": tuple(found["map"])})


def run(
    weights: str | Path | None,
    network: str | Path,
    summary: str | Path,
    *,
    backbone: str,
    size: int,
    seed: int,
    pooled_layers: Sequence[str] = (),
) -> None:
    """Write a backbone to a `.keras` file.

    Parameters
    ----------
    weights
        The network's no-top weight file; None or empty for random weights.
    network
        The file to write.
    summary
        JSON file to write: `Summary`.
    backbone
        A network of `keras.applications`.
    size
        Side of the images, in pixels.
    seed
        Seed of the run, for random weights.
    pooled_layers
        Inner layers that are pooled beside the last feature map, see `with_layers`.
    """
    model = build_backbone(backbone, size)
    if weights:
        load_weights(model, weights)
    else:
        initialise_weights(model, seed)
    model = with_layers(model, pooled_layers)
    with atomic(network) as temporary:
        model.save(temporary)
    shape = tuple(model.output_shape[1:])
    size_mb = Path(network).stat().st_size / 1e6
    found = Summary(model.name, size, shape, model.count_params(), size_mb)
    with atomic(summary) as temporary:
        temporary.write_text(json.dumps(asdict(found)))
    log.info("%s: %d parameters, output %s", backbone, model.count_params(), model.output_shape[1:])


def cut_layer(backbone: keras.Model, trainable: str) -> str:
    """Name the operation of the backbone after which training starts.

    `head` cuts at the backbone's output, `all` at its input. `last_block` cuts before the last
    block: EfficientNetB* at the end of block 6, any other network at the last tensor that
    everything passes through before the first layer with weights of the final resolution (VGG16
    `block4_pool`, ResNet50 `conv4_block6_out`).

    Raises
    ------
    InputError
        `trainable` is none of the three, or no single tensor separates the last block.
    """
    operations = backbone.operations
    if trainable == "all":
        return str(operations[0].name)
    if trainable == "head":
        return str(operations[-1].name)
    if trainable != "last_block":
        raise InputError(
            f"training: trainable: {trainable!r} is unknown; use head, last_block or all"
        )
    if re.fullmatch(r"EfficientNetB\d", backbone.name):
        return str([op.name for op in operations if re.fullmatch(r"block6[a-z]_add", op.name)][-1])
    weighted = [i for i, op in enumerate(operations) if getattr(op, "weights", [])]
    final = operations[weighted[-1]].output.shape[1:3]
    first = next(i for i in weighted if operations[i].output.shape[1:3] == final)
    passages = [
        i
        for i in _passages(operations)
        # A passage far above the final resolution stands before more than the last block.
        if i < first and operations[i].output.shape[1] <= 4 * final[0]
    ]
    if not passages:
        raise InputError(
            f"training: trainable: last_block: no single tensor separates the last block of "
            f"{backbone.name}; use head or all"
        )
    return str(operations[passages[-1]].name)


def split_backbone(backbone: keras.Model, trainable: str) -> tuple[keras.Model, keras.Model]:
    """Cut a backbone into the part that is run once per image and the part that is trained.

    Parameters
    ----------
    backbone
        A flat model, image -> last feature map.
    trainable
        `head`, `last_block` or `all`, see `cut_layer`.

    Returns
    -------
    extractor
        Image [n, size, size, channels] -> array to cache. For `all` that is the image itself.
    remainder
        Cached array -> pooled vector [n, c]. For `head` the extractor pools, and this is the
        identity. Shares its layers with `backbone`.
    """
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    if trainable == "head":
        vector = keras.Input(pooled.shape[1:], name="pooled_features")
        return keras.Model(backbone.input, pooled), keras.Model(vector, vector)
    name = cut_layer(backbone, trainable)
    cut = next(op.output for op in backbone.operations if op.name == name)
    return keras.Model(backbone.input, cut), keras.Model(cut, pooled)


def _passages(operations: list[keras.Operation]) -> list[int]:
    """Return the positions whose output everything passes through.

    `operations` is in topological order: each stands after those it depends on.
    """
    position = {operation.name: i for i, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for i, operation in enumerate(operations):
        for node in operation._inbound_nodes:
            for parent in node.parent_nodes:
                source = position.get(parent.operation.name)
                if source is not None:
                    last_use[source] = max(last_use[source], i)
    furthest = np.maximum.accumulate([0, *last_use])[:-1]
    return [i for i in range(len(operations)) if furthest[i] <= i]
