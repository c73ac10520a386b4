"""Classifiers on pooled features: a registry of scikit-learn pipelines.

One more is one entry of `CLASSIFIERS`: a function of the inner folds, pairs of row numbers
(training, left out) that share no patient, by which a pipeline chooses and calibrates itself.
Planning a run reads their names, so NumPy and scikit-learn are imported where one is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

from covidcxr.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from sklearn.pipeline import Pipeline

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

Folds = Sequence[tuple["Integers", "Integers"]]

PENALTIES = tuple(10 ** (k / 2 - 4) for k in range(9))
"""Inverse strengths C of the logistic regression's L2 penalty that are tried."""

MARGIN_PENALTY = 10.0
"""C of the support vector machine, the price of a wrong side; 3 to 30 differ little."""

MOST_FOR_KERNEL, FEWEST = 5000, 100
"""Images that the support vector machine learns from at most, whose time grows with their square,
and of a class at least, where it has them."""

INNER_FOLDS = 4
TEST = -1
"""Fold of a test image."""


def regression(penalty: float) -> Pipeline:
    """Return logistic regression with a fixed penalty on standardised features.

    The features are turned into their principal axes, all of them: the L2 penalty does not see a
    rotation, and n images span at most n of the thousands of axes, so this is the same model in a
    fraction of the time.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from covidcxr.classify.transformers import Standardise

    model = LogisticRegression(C=penalty, max_iter=2000)
    return make_pipeline(Standardise(), PCA(svd_solver="full"), model)


def logistic(folds: Folds) -> Pipeline:
    """Return logistic regression whose penalty has the lowest log loss in the inner folds."""
    from sklearn.model_selection import GridSearchCV

    name, model = regression(1.0).steps[-1]
    search = GridSearchCV(model, {"C": PENALTIES}, scoring="neg_log_loss", cv=folds)
    return regression(1.0).set_params(**{name: search})


def chosen_penalty(models: Iterable[Pipeline]) -> float:
    """Return the median C that the folds' logistic regressions chose (a lower one of two)."""
    return float(median_low(model.steps[-1][1].best_params_["C"] for model in models))


def support_vector(folds: Folds) -> Pipeline:
    """Return a support vector machine with a radial kernel, calibrated in the inner folds.

    The study's head and logistic regression see each feature's mean alone; a radial kernel measures
    how like two images are over all of them. gamma is 1 / (channels * variance). The signed square
    root before it lets rare strong responses dominate distances less (power normalisation:
    Perronnin, Sanchez and Mensink, ECCV 2010, section 3.2, with exponent 0.5).
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import SVC

    from covidcxr.classify.transformers import Standardise, signed_root

    machine = SVC(C=MARGIN_PENALTY, gamma="scale", decision_function_shape="ovr")
    calibrated = CalibratedClassifierCV(machine, method="sigmoid", cv=folds, ensemble=False)
    return make_pipeline(FunctionTransformer(signed_root), Standardise(), calibrated)


CLASSIFIERS: dict[str, Callable[[Folds], Pipeline]] = {
    "logistic": logistic,
    "support_vector": support_vector,
}


@dataclass(frozen=True)
class Examples:
    """Images by row.

    Attributes
    ----------
    features
        Pooled, [n, channels].
    classes
        Positions, int64 [n].
    patients
        [n].
    weights
        In the loss, [n]; all alike if None. Classifiers that know no weights go without.
    """

    features: Floats
    classes: Integers
    patients: npt.NDArray[np.str_]
    weights: Floats | None = None

    def rows(self, chosen: npt.NDArray[np.generic]) -> Examples:
        """Return the chosen rows (positions, or bool [n])."""
        weights = None if self.weights is None else self.weights[chosen]
        return Examples(self.features[chosen], self.classes[chosen], self.patients[chosen], weights)


def fit(build: Callable[[Folds], Pipeline], examples: Examples) -> Pipeline:
    """Build a pipeline on inner folds of examples, disjoint by patient, and fit it on all of them.

    Raises
    ------
    InputError
        A class has images of one patient only.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    from covidcxr.arrays import spread

    if build is support_vector:
        share = min(1, MOST_FOR_KERNEL / len(examples.classes))
        rows = [np.flatnonzero(examples.classes == one) for one in np.unique(examples.classes)]
        kept = [of[spread(len(of), max(FEWEST, round(share * len(of))))] for of in rows]
        examples = examples.rows(np.sort(np.concatenate(kept)))
    classes, patients = examples.classes, examples.patients
    most = min(len(np.unique(patients[classes == one])) for one in np.unique(classes))
    if most < 2:
        raise InputError(
            "a classifier is chosen on other patients than it trains on, and a class has training "
            "images of one patient only: take more images, or fewer folds"
        )
    folds = StratifiedGroupKFold(min(INNER_FOLDS, most))
    splits = list(folds.split(examples.features, classes, patients))
    return fitted(build(splits), examples)


def fitted(pipeline: Pipeline, examples: Examples) -> Pipeline:
    """Fit a pipeline in place, weighed if its last step can be; return it."""
    from sklearn.utils.validation import has_fit_parameter

    name, last = pipeline.steps[-1]
    weights = {}
    if has_fit_parameter(getattr(last, "estimator", last), "sample_weight"):
        weights = {f"{name}__sample_weight": examples.weights}
    pipeline.fit(examples.features, examples.classes, **weights)
    return pipeline


def fit_folds(
    build: Callable[[Folds], Pipeline], examples: Examples, folds: Integers
) -> list[Pipeline]:
    """Return for fold 0, 1, ... the pipeline that trained on neither it nor the test images.

    Parameters
    ----------
    folds
        [n], `TEST` for a test image.
    """
    return [
        fit(build, examples.rows((folds != TEST) & (folds != k)))
        for k in range(int(folds.max()) + 1)
    ]


def probabilities(model: Pipeline, features: Floats, count: int) -> Floats:
    """Return float64 [m, count], 0 for a class without a training image, of [m, channels]."""
    import numpy as np

    found = np.zeros((len(features), count))
    found[:, model.classes_] = model.predict_proba(features)
    return found
