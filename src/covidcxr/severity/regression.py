"""Regression of readers' scores on features of the lungs' zones.

A zone's score is learned from the features of that zone, those of both lungs, and its level, so
that every image with zone scores gives six examples; the score of an image is the sum over zones.
A score that was read of whole images is learned from the mean of the zones, or, where another score
has zones, from that one's prediction: what both measure is one disease, and the zones are the
richer teacher.

Bayesian ridge regression (MacKay DJC. Bayesian interpolation. Neural Comput 4, 415 (1992)) finds
its penalty by the evidence of the training images alone, so cross-validation by patient is nested
without an inner search.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from covidcxr.array_types import Floats, Reals, Values
from covidcxr.errors import InputError
from covidcxr.severity.zones import LEVELS, ZONES

FOLDS = 5
VARIANCE = 0.999
COVERAGE = 0.9
"""Of the prediction intervals."""


@dataclass(frozen=True)
class ScoredImages:
    """Images with what was read of them; NaN where it was not.

    Attributes
    ----------
    features
        float [n, 6, channels], of `covidcxr.severity.zones.ZONES`.
    patients
        [n].
    totals
        The score to learn, float64 [n].
    zones
        The zones to learn from, of this score or another, float64 [n, 6]; None where there are
        none.
    own_zones
        `zones` are those of the score to learn, which then is their sum.
    """

    features: Reals
    patients: Values
    totals: Floats
    zones: Floats | None
    own_zones: bool

    def take(self, rows: npt.NDArray[np.intp]) -> "ScoredImages":
        """Return some of the images."""
        zones = None if self.zones is None else self.zones[rows]
        kept = self.features[rows], self.patients[rows], self.totals[rows]
        return ScoredImages(*kept, zones, self.own_zones)


@dataclass(frozen=True)
class Prediction:
    """Scores of images: `totals` [n] and `zones` [n, 6]; the latter None without zone scores."""

    totals: Floats
    zones: Floats | None


@dataclass(frozen=True)
class SeverityModel:
    """A fitted model.

    Attributes
    ----------
    limits, zone_limits
        Lowest and highest value of the score and of a zone; predictions are kept inside.
    zones
        Zone's design [rows, columns] -> zone's score; None where no zones were scored.
    whole
        Predicted sum of the zones, or mean features of the lungs, to the score; None where the
        score is the sum.
    half_width
        Half the width of the prediction interval, in points of the score; NaN until it is known.
    """

    limits: tuple[float, float]
    zone_limits: tuple[float, float]
    zones: Pipeline | None
    whole: Pipeline | LinearRegression | None
    half_width: float = float("nan")

    def predict(self, features: Reals) -> Prediction:
        """Score images by their features [n, 6, channels]."""
        if self.zones is None:
            assert self.whole is not None
            totals = self.whole.predict(lungs(features))
            return Prediction(np.clip(totals, *self.limits), None)
        zones = predict_zones(self.zones, features, self.zone_limits)
        totals = zones.sum(axis=1)
        if self.whole is not None:
            totals = self.whole.predict(totals[:, None])
        return Prediction(np.clip(totals, *self.limits), zones)

    def interval(self, totals: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper bounds of the 90 % prediction interval, within the limits."""
        low, high = totals - self.half_width, totals + self.half_width
        return np.clip(low, *self.limits), np.clip(high, *self.limits)


def lungs(features: Reals) -> Floats:
    """Return the mean of the zones' features, [n, channels]."""
    return features.mean(axis=1).astype(np.float64)


def design(features: Reals) -> Floats:
    """Return what a zone is scored from: its features, those of the lungs, and its level.

    Parameters
    ----------
    features
        [n, 6, channels].

    Returns
    -------
    float64 [n * 6, 2 * channels + 3].
    """
    n = len(features)
    around = np.repeat(lungs(features)[:, None], len(ZONES), axis=1)
    level = np.tile(np.eye(LEVELS), (n, len(ZONES) // LEVELS, 1))
    joined = np.concatenate([features, around, level], axis=2)
    return joined.reshape(n * len(ZONES), -1).astype(np.float64)


def predict_zones(model: Pipeline, features: Reals, limits: tuple[float, float]) -> Floats:
    """Return the zones' scores, float64 [n, 6], within `limits`."""
    return np.clip(model.predict(design(features)), *limits).reshape(-1, len(ZONES))


def regression() -> Pipeline:
    """Return an unfitted regression: Bayesian ridge on the principal axes of standardised columns.

    The axes hold 99.9 % of the variance: ridge does not see the rotation, and there are fewer axes
    than examples, which spares the singular value decomposition of a wide matrix: it can fail to
    converge.
    """
    axes = PCA(VARIANCE, svd_solver="covariance_eigh")
    return make_pipeline(StandardScaler(), axes, BayesianRidge())


def patient_folds(patients: Values, seed: int) -> list[tuple[npt.NDArray[np.intp], ...]]:
    """Divide images into five folds, or as many as there are patients: (training, held out) rows.

    Raises
    ------
    InputError
        There are fewer than three patients.
    """
    count = len(np.unique(patients))
    if count < 3:
        raise InputError(f"scores are of {count} patients; a regression needs at least three")
    folds = GroupKFold(min(FOLDS, count), shuffle=True, random_state=seed)
    return list(folds.split(np.zeros(len(patients)), groups=patients))


def fit(
    images: ScoredImages, limits: tuple[float, float], zone_limits: tuple[float, float], seed: int
) -> SeverityModel:
    """Fit a model; images without a score help where they have zones.

    Parameters
    ----------
    seed
        Of the folds in which predicted zones are made for the images that a score is learned from.

    Raises
    ------
    InputError
        There are fewer than three patients.
    """
    known = np.isfinite(images.totals)
    if images.zones is None:
        whole = regression().fit(lungs(images.features[known]), images.totals[known])
        return SeverityModel(limits, zone_limits, None, whole)
    zones = fit_zones(images)
    if images.own_zones:
        return SeverityModel(limits, zone_limits, zones, None)
    sums = np.empty(len(known))
    for training, held_out in patient_folds(images.patients, seed):
        model = fit_zones(images.take(training))
        sums[held_out] = predict_zones(model, images.features[held_out], zone_limits).sum(axis=1)
    whole = LinearRegression().fit(sums[known, None], images.totals[known])
    return SeverityModel(limits, zone_limits, zones, whole)


def fit_zones(images: ScoredImages) -> Pipeline:
    """Fit the regression of zones on the images that have zones."""
    assert images.zones is not None
    known = np.isfinite(images.zones).all(axis=1)
    if not known.any():
        raise InputError("no image that may be learned from has zone scores; score more images")
    return regression().fit(design(images.features[known]), images.zones[known].ravel())


def out_of_fold(
    images: ScoredImages, limits: tuple[float, float], zone_limits: tuple[float, float], seed: int
) -> Prediction:
    """Predict each image by a model that saw no image of its patient.

    Returns
    -------
    totals [n] and zones [n, 6] of all images, scored or not.
    """
    totals = np.empty(len(images.totals))
    zones = None if images.zones is None else np.empty((len(totals), len(ZONES)))
    for training, held_out in patient_folds(images.patients, seed):
        model = fit(images.take(training), limits, zone_limits, seed)
        found = model.predict(images.features[held_out])
        totals[held_out] = found.totals
        if zones is not None and found.zones is not None:
            zones[held_out] = found.zones
    return Prediction(totals, zones)


def half_width(errors: Floats, patients: Values) -> float:
    """Return half the width of an interval that holds a new patient's score with 90 % chance.

    The quantile of the absolute errors of images whose patients were held out (cross-conformal
    prediction: Vovk V. Ann Math Artif Intell 74, 9 (2015)), each patient with one weight in all,
    with the finite-sample correction of one more patient.

    Parameters
    ----------
    errors
        float64 [n], predicted minus read.
    patients
        [n].
    """
    names, cluster, images = np.unique(patients, return_inverse=True, return_counts=True)
    weights = 1 / images[cluster]
    order = np.argsort(np.abs(errors))
    share = np.cumsum(weights[order]) / (len(names) + 1)
    place = min(int(np.searchsorted(share, COVERAGE)), len(order) - 1)
    return float(np.abs(errors)[order][place])
