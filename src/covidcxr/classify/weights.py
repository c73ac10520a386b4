"""Weights of training images by class and source."""

from collections.abc import Sequence

import numpy as np

from covidcxr.array_types import Floats, Values

MADE = "synthetic"
"""Source of synthetic images."""


def sample_weights(
    labels: Sequence[str] | Values,
    sources: Sequence[str] | Values,
    *,
    by_class: bool,
    by_source: bool,
) -> Floats:
    """Return how much each training image counts in the loss.

    A source that gives a class most of its images, with its scanners and ages, otherwise decides
    what that class looks like; a class's total does not change by `by_source`.

    Parameters
    ----------
    labels, sources
        Class and source of each of n images.
    by_class
        Every class counts as much as any other.
    by_source
        Every source of a class counts as much as any other source of that class.

    Returns
    -------
    float64 [n], > 0, of mean 1.
    """
    classes = np.unique(np.asarray(labels), return_inverse=True)[1]
    pairs = classes * (len(sources) + 1) + np.unique(np.asarray(sources), return_inverse=True)[1]
    weights = np.ones(len(classes))
    if by_source:
        _, pair, count = np.unique(pairs, return_inverse=True, return_counts=True)
        for one in np.unique(classes):
            here = classes == one
            weights[here] = here.sum() / (len(np.unique(pair[here])) * count[pair[here]])
    if by_class:
        total = np.bincount(classes)
        weights *= (len(classes) / (len(total) * total))[classes]
    return weights
