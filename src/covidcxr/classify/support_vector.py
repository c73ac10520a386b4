"""A curved boundary on the pooled features: a support vector machine, in the same folds.

The study's head and logistic regression see each feature's mean alone; a radial kernel measures how
like two films are over all of them. On adults of other patients it was better than both wherever it
was tried (`docs/better_models.md`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import SVC

from covidcxr.classify.logistic import (
    TEST,
    Cohort,
    Floats,
    read_cohort,
    standardisation,
    write_models,
)
from covidcxr.errors import InputError
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

PENALTY = 10.0
"""C, the price of a film on the wrong side; from 3 to 30 it matters little."""

CALIBRATION_FOLDS = 4


@dataclass(frozen=True)
class SupportVectors:
    """A fitted machine: `mean` and `spread` of rooted features [channels]; `count` classes."""

    mean: Floats
    spread: Floats
    model: CalibratedClassifierCV
    count: int

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities [m, classes] of pooled features [m, channels].

        A class without a training image has 0.
        """
        found = np.zeros((len(features), self.count))
        scaled = (rooted(features) - self.mean) / self.spread
        found[:, self.model.classes_] = self.model.predict_proba(scaled)
        return found


def rooted(features: Floats) -> Floats:
    """Return the signed square root, by which rare strong responses dominate distances less.

    Power normalisation: Perronnin, Sánchez and Mensink, ECCV 2010, section 3.2, with exponent 0.5.
    """
    return np.sign(features) * np.sqrt(np.abs(features))


def fit(
    features: Floats,
    classes: npt.NDArray[np.int64],
    patients: npt.NDArray[np.str_],
    *,
    count: int,
    weights: Floats | None = None,
) -> SupportVectors:
    """Fit the machine; turn its scores into probabilities by folds of the same images.

    Each class's score against the others gets a logistic curve (Platt's scaling), fitted on the
    scores of films whose patients the scoring machine did not train on; the curves' values are
    divided by their sum. The final machine is of all images.

    Parameters
    ----------
    features, classes
        float64 [n, channels] and int64 [n].
    patients
        [n]; none stands on both sides of a calibration fold.
    count
        Number of classes.
    weights
        Of the images, [n].

    Raises
    ------
    InputError
        A class has one patient only.
    """
    most = min(len(np.unique(patients[classes == one])) for one in np.unique(classes))
    if most < 2:
        raise InputError(
            "a support vector machine is calibrated on other patients than it trains on, and a "
            "class has training images of one patient only: take more images, or fewer folds"
        )
    values = rooted(features)
    mean, spread = standardisation(values)
    scaled = (values - mean) / spread
    folds = StratifiedGroupKFold(min(CALIBRATION_FOLDS, most)).split(scaled, classes, patients)
    # gamma: 1 / (channels * variance), scikit-learn's "scale".
    model = CalibratedClassifierCV(
        SVC(C=PENALTY, gamma="scale", decision_function_shape="ovr"),
        method="sigmoid",
        cv=list(folds),
        ensemble=False,
    )
    model.fit(scaled, classes, sample_weight=weights)
    return SupportVectors(mean, spread, model, count)


def fit_folds(
    cohort: Cohort, patients: npt.NDArray[np.str_], *, count: int
) -> list[SupportVectors]:
    """Return for fold 0, 1, ... the machine that trained on neither it nor the test images."""
    models = []
    for k in progress(range(int(cohort.folds.max()) + 1), desc="folds", unit="fold"):
        training = (cohort.folds != TEST) & (cohort.folds != k)
        models.append(
            fit(
                cohort.features[training],
                cohort.classes[training],
                patients[training],
                count=count,
                weights=None if cohort.weights is None else cohort.weights[training],
            )
        )
    return models


def write_support_vector(
    clean: str | Path,
    rows: str | Path,
    manifest: str | Path,
    split: str | Path,
    output_models: str | Path,
    output_folds: Sequence[str | Path],
    output_ensemble: str | Path,
    *,
    classes: Sequence[str],
    class_weights: bool,
    source_weights: bool,
    population: str = "study",
    backbone: str = "",
) -> None:
    """Fit the machine in the run's folds; write what `write_models` does.

    Parameters
    ----------
    clean, rows, manifest, split, classes, class_weights, source_weights
        See `covidcxr.classify.logistic.read_cohort`.
    output_models, output_folds, output_ensemble
        See `covidcxr.classify.logistic.write_models`.

    Raises
    ------
    InputError
        Manifest, split and features do not belong together; a class has one patient.
    """
    images, cohort = read_cohort(
        clean,
        rows,
        manifest,
        split,
        classes=classes,
        class_weights=class_weights,
        source_weights=source_weights,
    )
    models = fit_folds(cohort, images["patient_id"].to_numpy(str), count=len(classes))
    write_models(
        models,
        cohort,
        images,
        output_models,
        output_folds,
        output_ensemble,
        classes=classes,
        population=population,
        backbone=backbone,
        classifier="support_vector",
    )
    vectors = [len(one.model.calibrated_classifiers_[0].estimator.support_) for one in models]
    log.info("%d folds, %d to %d support vectors", len(models), min(vectors), max(vectors))
