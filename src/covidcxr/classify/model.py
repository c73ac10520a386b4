"""The classifier: a new head, and the complete model from image to probabilities."""

import keras
import numpy as np
import numpy.typing as npt

SPREAD_FLOOR = 1e-3


def build_head(
    classes: int,
    *,
    dense_units: int = 64,
    dropout: float = 0.5,
    reference: npt.NDArray[np.float32] | None = None,
) -> list[keras.Layer]:
    """Return the layers of the classifier's head, pooled features -> probabilities.

    [`standardisation`] -> `hidden` (dense, ReLU) -> `dropout` -> `logits` (dense) ->
    `probabilities` (softmax). Softmax is a layer of its own so that Grad-CAM can take the gradient
    of the logit.

    Parameters
    ----------
    classes
        Number of classes.
    dense_units
        Width of the hidden layer.
    dropout
        Share of the hidden units dropped in training.
    reference
        float32 [n, channels], pooled features of the training images. The head standardises by
        their mean and spread, see `standardisation`. None leaves standardisation out.
    """
    layers: list[keras.Layer] = []
    if reference is not None:
        mean, variance = standardisation(reference)
        layers.append(
            keras.layers.Normalization(
                mean=mean.tolist(), variance=variance.tolist(), name="standardisation"
            )
        )
    return [
        *layers,
        keras.layers.Dense(dense_units, activation="relu", name="hidden"),
        keras.layers.Dropout(dropout, name="dropout"),
        keras.layers.Dense(classes, name="logits"),
        keras.layers.Softmax(name="probabilities"),
    ]


def standardisation(
    features: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and variance of each feature, both float64 [channels].

    To each variance `SPREAD_FLOOR` times the mean variance is added: a feature that is all but
    constant on the training images would otherwise be blown up on others.
    """
    values = features.astype(np.float64)
    variance = values.var(axis=0)
    # A bank of constant features has no spread at all; any positive number leaves them at 0.
    floor = SPREAD_FLOOR * variance.mean() or 1.0
    return values.mean(axis=0), variance + floor


def attach(tensor: keras.KerasTensor, layers: list[keras.Layer]) -> keras.KerasTensor:
    """Apply layers one after the other to a tensor; the graph stays flat."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def complete_model(backbone: keras.Model, head: list[keras.Layer]) -> keras.Model:
    """Join backbone, global average pooling and head into one flat model.

    The layers are shared with `backbone` and `head`, not copied.

    Returns
    -------
    keras.Model
        Images [n, size, size, channels] in 0..255 -> probabilities float32 [n, classes]. A saved
        file loads with `keras.models.load_model` without custom objects.
    """
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    return keras.Model(backbone.input, attach(pooled, head), name=backbone.name)
