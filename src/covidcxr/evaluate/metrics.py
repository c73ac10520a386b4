"""Measures of classification on weighted images, many weightings at once, for the bootstrap.

A weighting is a row of `weights`, float64 [resamples, images], see `covidcxr.evaluate.bootstrap`;
with weights of 1 these are scikit-learn's measures. scikit-learn computes one weighting a call,
which is too slow for thousands of resamples of a hundred models.

K is the number of classes. What is undefined (the sensitivity of a class without images) is NaN.
"""

import numpy as np

from covidcxr.array_types import Floats, Integers, Mask


def confusions(weights: Floats, truth: Integers, predicted: Integers, count: int) -> Floats:
    """Return float64 [resamples, K, K]: weight of the images by true and by predicted class.

    Parameters
    ----------
    weights
        float64 [resamples, images].
    truth, predicted
        int64 [images], 0..count-1.
    count
        K.
    """
    cells = np.eye(count * count)[truth * count + predicted]
    return (weights @ cells).reshape(len(weights), count, count)


def accuracy(matrices: Floats) -> Floats:
    """Return the share of weight on the diagonal, [resamples]."""
    return _divided(_diagonal(matrices).sum(axis=1), matrices.sum(axis=(1, 2)))


def sensitivity(matrices: Floats) -> Floats:
    """Return each class' share of its own images that are called so (recall), [resamples, K]."""
    return _divided(_diagonal(matrices), matrices.sum(axis=2))


def specificity(matrices: Floats) -> Floats:
    """Return each class' share of the other images that are not called so, [resamples, K]."""
    right = _diagonal(matrices)
    of_class, called = matrices.sum(axis=2), matrices.sum(axis=1)
    others = matrices.sum(axis=(1, 2))[:, None] - of_class
    return _divided(others - (called - right), others)


def precision(matrices: Floats) -> Floats:
    """Return the share of images called a class that are of it, [resamples, K]."""
    return _divided(_diagonal(matrices), matrices.sum(axis=1))


def balanced_accuracy(matrices: Floats) -> Floats:
    """Return the mean sensitivity over the classes that have images, [resamples]."""
    return _mean_of_defined(sensitivity(matrices))


def f1(matrices: Floats) -> Floats:
    """Return each class' harmonic mean of precision and sensitivity, [resamples, K].

    Defined where the class occurs, as truth or as prediction.
    """
    both = matrices.sum(axis=2) + matrices.sum(axis=1)
    return _divided(2 * _diagonal(matrices), both)


def macro_f1(matrices: Floats) -> Floats:
    """Return the mean F1 over the classes that occur, as truth or as prediction, [resamples]."""
    return _mean_of_defined(f1(matrices))


def auc(weights: Floats, scores: Floats, positive: Mask) -> Floats:
    """Return the area under the ROC curve, [resamples].

    The weighted share of pairs of a positive and a negative image in which the positive one scores
    higher, ties counting half (Mann and Whitney's statistic).

    Parameters
    ----------
    weights
        float64 [resamples, images].
    scores
        float64 [images], higher for positive.
    positive
        bool [images].
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ordered = weights[:, order]
    tied_positive = np.add.reduceat(ordered * positive[order], starts, axis=1)
    tied_negative = np.add.reduceat(ordered * ~positive[order], starts, axis=1)
    below = np.cumsum(tied_negative, axis=1) - tied_negative / 2
    pairs = tied_positive.sum(axis=1) * tied_negative.sum(axis=1)
    return _divided((tied_positive * below).sum(axis=1), pairs)


def share_of_pairs(weights: Floats, scores: Floats, positive: Mask, groups: Integers) -> Floats:
    """Return the weighted share of pairs of one group in which the positive image scores higher.

    Ties count half. With one group it is the AUC.

    Parameters
    ----------
    weights
        float64 [resamples, images].
    scores, positive, groups
        [images]; groups are numbered from 0.

    Returns
    -------
    float64 [resamples]; NaN where there is no pair.
    """
    concordant = np.zeros(len(weights))
    pairs = np.zeros(len(weights))
    for group in np.unique(groups):
        inside = groups == group
        own, sides = weights[:, inside], positive[inside]
        number = own[:, sides].sum(axis=1) * own[:, ~sides].sum(axis=1)
        area = auc(own, scores[inside], sides)
        concordant += np.where(number > 0, number * area, 0)
        pairs += number
    with np.errstate(invalid="ignore"):
        return np.asarray(concordant / pairs)


def _diagonal(matrices: Floats) -> Floats:
    return np.diagonal(matrices, axis1=1, axis2=2)


def _divided(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean_of_defined(values: Floats) -> Floats:
    defined = ~np.isnan(values)
    return _divided(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1).astype(float))
