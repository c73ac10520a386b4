"""Intervals by the patient-clustered bootstrap: patients are resampled, with all their images.

Images of one patient are alike, so they are no independent draws; resampling images would give
intervals that are too narrow. Resampling whole patients keeps what is alike together (the cluster
bootstrap; Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 69, 369 (2007)). It is
written here because scipy.stats.bootstrap resamples single observations only.

A resample is a weight for each image: how often its patient was sampled. A statistic takes the
weights of many resamples at once, float64 [resamples, images], and returns one value, or an array,
for each: `weights @ correct / weights.sum(axis=1)` is the accuracy.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from covidcxr.array_types import Floats, Mask, Reals, Values

REPLICATES = 2000
LEVEL = 0.95
CHUNK = 4_000_000
"""Weights held in memory at a time."""

Patients = Sequence[str] | Values
Statistic = Callable[[Floats], Floats]
"""Weights float64 [resamples, images] -> values float64 [resamples, ...]; NaN where undefined."""


class Interval(NamedTuple):
    """An estimate on the images as they are, and the bounds of its interval."""

    estimate: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """Return them as columns of a table: `name`, `name_low` and `name_high`."""
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}


UNKNOWN = Interval(np.nan, np.nan, np.nan)
"""Where there is nothing to estimate from."""


def patient_weights(patients: Patients, replicates: int, rng: np.random.Generator) -> Floats:
    """Draw as many patients as there are, with replacement, `replicates` times.

    Parameters
    ----------
    patients
        Patient of each image.

    Returns
    -------
    float64 [replicates, images]: how often the patient of each image was sampled.
    """
    names, cluster = np.unique(np.asarray(patients), return_inverse=True)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return counts[:, cluster.ravel()].astype(np.float64)


def resampled(statistic: Statistic, patients: Patients, rng: np.random.Generator) -> Floats:
    """Return a statistic on resampled patients, float64 [`REPLICATES`, ...].

    Statistics that are called with generators in the same state see the same resamples, so that
    their differences are paired.
    """
    size = max(1, CHUNK // max(1, len(patients)))
    parts = [
        statistic(patient_weights(patients, min(size, REPLICATES - start), rng))
        for start in range(0, REPLICATES, size)
    ]
    return np.concatenate(parts)


def percentile_bounds(values: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Return lower and upper bounds [...] of the central `level` of values [replicates, ...].

    Resamples in which a statistic is undefined (NaN: a class was not sampled) do not count; bounds
    are NaN where all are.
    """
    defined = ~np.isnan(values)
    usable = np.where(defined.any(axis=0), values, 0.0)
    low, high = np.nanquantile(usable, [(1 - level) / 2, (1 + level) / 2], axis=0)
    nothing = ~defined.any(axis=0)
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def interval(
    statistic: Statistic, patients: Patients, rng: np.random.Generator, level: float = LEVEL
) -> Interval:
    """Return a statistic (one value a resample) with its percentile interval."""
    low, high = percentile_bounds(resampled(statistic, patients, rng), level)
    return Interval(estimate_of(statistic, len(patients)).item(), float(low), float(high))


def estimate_of(statistic: Statistic, images: int) -> Floats:
    """Return a statistic on the images as they are: every weight 1."""
    return np.asarray(statistic(np.ones((1, images)))[0])


def mean_of(values: Reals | Mask, among: Mask | None = None) -> Statistic:
    """Return the statistic: mean of `values` [images] over those of `among` (all by default).

    Of hits (bool) it is their share.
    """
    base = np.ones(len(values)) if among is None else among.astype(np.float64)

    def statistic(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ (base * values)) / (weights @ base))

    return statistic


def difference_of(one: Statistic, other: Statistic) -> Statistic:
    """Return the statistic: one minus the other, on the same resample."""
    return lambda weights: one(weights) - other(weights)


def share_interval(
    hits: Mask,
    patients: Patients,
    rng: np.random.Generator,
    *,
    among: Mask | None = None,
    level: float = LEVEL,
) -> Interval:
    """Return the share of `hits` among `among` (all by default), as accuracy or sensitivity is.

    Where all or none are hits, every resample is alike and the bootstrap would claim certainty;
    `exact_bounds` over patients take its place.
    """
    found = interval(mean_of(hits, among), patients, rng, level)
    if found.estimate not in (0.0, 1.0):
        return found
    counted = np.asarray(patients) if among is None else np.asarray(patients)[among]
    return Interval(found.estimate, *exact_bounds(found.estimate, len(np.unique(counted)), level))


def exact_bounds(share: float, patients: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) bounds of a share of 0 or 1 over independent patients.

    A patient counts once, however many images there are of him: his images are right or wrong
    together at worst.
    """
    low, high = proportion_confint(
        round(share * patients), patients, alpha=1 - level, method="beta"
    )
    return float(low), float(high)
