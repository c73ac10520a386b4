"""The complete model of one fold, from image to probabilities, made where somebody asks for it."""

from collections.abc import Mapping, Sequence

from covidcxr.classify.card import ModelCard
from covidcxr.classify.model import write_model


def run(
    network: str,
    head: str,
    model: str,
    *,
    classes: Sequence[str],
    trainable: str,
    wildcards: Mapping[str, str],
) -> None:
    """Write the complete model of a fold.

    Parameters
    ----------
    head
        What the fold's training wrote.
    model
        `.keras` file to write, with a `ModelCard`. Its layers are named as in the head.
    trainable
        Where the features were cut.
    wildcards
        population, backbone, augmentation, fold.
    """
    known = {name: value for name, value in wildcards.items() if name != "fold"}
    card = ModelCard(tuple(classes), **known, model=wildcards["fold"])
    write_model(network, [head], model, card, trainable)
