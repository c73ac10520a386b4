"""Agreement of two sets of scores, a model's with a reader's or one reader's with another's.

Every measure is a `covidcxr.evaluate.bootstrap.Statistic`: it takes the weights of many resamples
of patients at once, so that its interval is that of the patient-clustered bootstrap.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from covidcxr.array_types import Floats, Integers, Mask, Texts
from covidcxr.evaluate.bootstrap import Statistic, interval, mean_of
from covidcxr.evaluate.metrics import share_of_pairs
from covidcxr.report.formats import interval as written
from covidcxr.report.formats import two

Measured = tuple[str, str, str, Statistic, Texts]
"""Judge, what is judged, measure, statistic, and the patient of each value that it is about."""


def row_of(statistic: Statistic, patients: Texts, rng: np.random.Generator) -> dict[str, float]:
    """Return a statistic as columns: estimate, low, high (95 % by patient), n, patients."""
    found = interval(statistic, patients, rng)._asdict()
    return found | {"n": len(patients), "patients": len(np.unique(patients))}


def texts_of(
    rows: pd.DataFrame, keys: Sequence[str], form: Callable[[float], str] = two
) -> dict[tuple[str, ...], str]:
    """Write each estimate with its interval, by the values of the columns `keys`."""
    bounds = rows[["estimate", "low", "high"]].itertuples(index=False)
    names = rows[list(keys)].itertuples(index=False, name=None)
    return {
        tuple(map(str, key)): written(value, low, high, form)
        for key, (value, low, high) in zip(names, bounds, strict=True)
    }


def auc(scores: Floats, answers: Mask, groups: Integers) -> Statistic:
    """Return the statistic: share of pairs of one group in which the positive scores higher."""
    return lambda weights: share_of_pairs(weights, scores, answers, groups)


Measure = Callable[[Floats, Floats], Statistic]
"""Reference scores [n] and scores [n] to judge -> statistic."""


def mean_over(statistics: Sequence[Statistic]) -> Statistic:
    """Return the statistic: mean of several on the same resample."""
    return lambda weights: np.mean([each(weights) for each in statistics], axis=0)


def mean_of_others(values: Floats, patients: Texts) -> Floats:
    """Return for each image the mean over the images of other patients."""
    groups = pd.Series(values).groupby(patients)
    own, count = groups.transform("sum").to_numpy(), groups.transform("size").to_numpy()
    return np.asarray((values.sum() - own) / (len(values) - count), np.float64)


def mean_absolute_error(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: mean absolute difference, in points of the score."""
    return mean_of(np.abs(scores - reference))


def bias(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: mean of scores minus reference."""
    return mean_of(scores - reference)


def limits_of_agreement(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: 1.96 standard deviations of the differences, about their mean.

    Half the distance between the limits of agreement (Bland JM, Altman DG. Statistical methods for
    assessing agreement between two methods of clinical measurement. Lancet 327, 307 (1986)).
    """
    difference = scores - reference
    mean, square = mean_of(difference), mean_of(difference**2)
    count = len(difference)

    def statistic(weights: Floats) -> Floats:
        variance = np.maximum(square(weights) - mean(weights) ** 2, 0)
        return np.asarray(1.96 * np.sqrt(variance * count / max(count - 1, 1)))

    return statistic


def _moments(weights: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Return weighted variance of a, of b, and covariance; a and b are [n] or [resamples, n]."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_a, mean_b = (weights * a).sum(axis=1) / total, (weights * b).sum(axis=1) / total
        # About the means: differences of large squares would lose what small variances hold.
        a, b = a - mean_a[:, None], b - mean_b[:, None]
        shares = weights / total[:, None]
        products = (shares * a * a, shares * b * b, shares * a * b)
    one, other, both = (product.sum(axis=1) for product in products)
    return one, other, both


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide; NaN where a variance is nought (to rounding)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 1e-12, above / below, np.nan))


def _correlation(weights: Floats, a: Floats, b: Floats) -> Floats:
    one, other, both = _moments(weights, a, b)
    return _ratio(both, np.sqrt(one * other))


def pearson(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: Pearson's correlation; NaN where either is constant."""
    return lambda weights: _correlation(weights, reference, scores)


def spearman(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: Spearman's rank correlation, ties at their middle rank.

    Ranks are those within each resample.
    """
    levels = [np.unique(x, return_inverse=True)[1] for x in (reference, scores)]
    orders = [np.argsort(level, kind="stable") for level in levels]

    def ranks(weights: Floats, level: Integers, order: Integers) -> Floats:
        starts = np.searchsorted(level[order], np.arange(level.max() + 1))
        held = np.add.reduceat(weights[:, order], starts, axis=1)
        return np.asarray((held.cumsum(axis=1) - held / 2)[:, level])

    def statistic(weights: Floats) -> Floats:
        return _correlation(
            weights, *(ranks(weights, *of) for of in zip(levels, orders, strict=True))
        )

    return statistic


def calibration_slope(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: slope of the reference regressed on the scores; 1 is calibrated.

    Below 1 the scores spread too far, above 1 they keep too near the mean.
    """

    def statistic(weights: Floats) -> Floats:
        _, spread, both = _moments(weights, reference, scores)
        return _ratio(both, spread)

    return statistic


def weighted_kappa(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: Cohen's kappa with quadratic weights, of levels as numbers.

    1 - E(a - b)^2 / E'(a - b)^2, where E' takes a and b for independent (Cohen J. Weighted kappa.
    Psychol Bull 70, 213 (1968)). Scores that are no levels must be rounded before.
    """
    squared = mean_of((scores - reference) ** 2)
    shift = mean_of(scores - reference)

    def statistic(weights: Floats) -> Floats:
        one, other, _ = _moments(weights, reference, scores)
        expected = one + other + shift(weights) ** 2
        return 1 - _ratio(squared(weights), expected)

    return statistic


def kappa_of_levels(reference: Floats, scores: Floats) -> Statistic:
    """Return the statistic: `weighted_kappa` of scores rounded to whole levels."""
    return weighted_kappa(np.rint(reference), np.rint(scores))


MEASURES: dict[str, Measure] = {
    "mae": mean_absolute_error,
    "pearson": pearson,
    "spearman": spearman,
    "slope": calibration_slope,
    "bias": bias,
    "limits": limits_of_agreement,
}
OF_TOTALS = {name: MEASURES[name] for name in ("mae", "pearson", "spearman", "bias", "limits")}
OF_ZONES: dict[str, Measure] = {"mae": mean_absolute_error, "kappa": kappa_of_levels}
