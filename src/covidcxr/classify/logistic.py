"""The strongest simple baseline: logistic regression on the pooled features, in the same folds."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from covidcxr.classify.ensemble import combine
from covidcxr.classify.predictions import prediction_table
from covidcxr.classify.weights import sample_weights
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress

log = logging.getLogger("covidcxr")

PENALTIES = tuple(np.logspace(-4, 0, 9).tolist())
"""Inverse strengths C of the L2 penalty that are tried."""

TEST = -1
"""Fold of a test image."""

ITERATIONS = 2000

SPREAD_FLOOR = 1e-3
"""Share of the mean variance that is added to each, as `covidcxr.classify.model` does."""

Floats = npt.NDArray[np.float64]


class Fitted(Protocol):
    """A fitted baseline."""

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities [m, classes] of pooled features [m, channels]."""


@dataclass(frozen=True)
class Linear:
    """Logistic regression on raw features: `slopes` [channels, classes], `offsets` [classes].

    The offset of a class without a training image is -inf.
    """

    slopes: Floats
    offsets: Floats

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities [m, classes] of pooled features [m, channels]."""
        return softmax(features @ self.slopes + self.offsets, axis=1)


@dataclass(frozen=True)
class Cohort:
    """Images by row.

    Attributes
    ----------
    features
        Pooled, [n, channels].
    classes
        Positions, int64 [n].
    folds
        int64 [n], `TEST` for a test image.
    weights
        In the loss, [n]; all alike if None.
    """

    features: Floats
    classes: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    weights: Floats | None = None


def read_pooled(clean: str | Path, rows: str | Path, images: Sequence[str]) -> Floats:
    """Read the pooled features of images from a feature bank.

    Features that were cut inside the backbone are averaged over their height and width.

    Parameters
    ----------
    clean, rows
        `clean.npy` and `rows.csv` of the bank.
    images
        Image ids.

    Returns
    -------
    float64 [images, channels].

    Raises
    ------
    InputError
        An image has no features.
    """
    position = read_table(rows, ["image_id"], ["clean_row"]).set_index("image_id")["clean_row"]
    found = position.reindex(list(images))
    if found.isna().any():
        raise InputError(f"{rows} lacks image {found.index[found.isna()][0]}: make features anew")
    return pooled(np.load(clean, mmap_mode="r")[found.to_numpy(np.int64)])


def pooled(values: npt.NDArray[np.generic]) -> Floats:
    """Average features [n, ..., channels] over height and width, if they have some."""
    return values.astype(np.float64).mean(axis=tuple(range(1, values.ndim - 1)))


def standardisation(features: Floats) -> tuple[Floats, Floats]:
    """Return mean and spread of each feature [channels], as the network head standardises.

    The head's own function stands in a module that loads TensorFlow, which a fit of a second has no
    use for. A floor under the variance keeps features that are all but constant on the training
    images from being blown up on others, which plain standard scores let happen (EfficientNetB0).
    """
    variance = features.var(axis=0)
    floor = SPREAD_FLOOR * variance.mean() or 1.0
    return features.mean(axis=0), np.sqrt(variance + floor)


def fit(
    features: Floats,
    classes: npt.NDArray[np.int64],
    penalties: Sequence[float],
    *,
    count: int,
    weights: Floats | None = None,
) -> list[Linear]:
    """Fit on standardised `features` with each penalty.

    The standardised features are turned into their principal axes, all of them: the L2 penalty does
    not see a rotation, and n images span at most n of the thousands of axes, so this is the same
    model in a fraction of the time.

    Parameters
    ----------
    features, classes
        float64 [n, channels] and int64 [n] to fit on.
    penalties
        Values of C, weakest last for speed: each fit starts from the one before.
    count
        Number of classes.
    weights
        Of the images in the loss, [n].

    Returns
    -------
    One model for each penalty.
    """
    mean, spread = standardisation(features)
    axes = PCA(svd_solver="full")
    inner = axes.fit_transform((features - mean) / spread)
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    fitted = []
    for penalty in penalties:
        model.set_params(C=penalty).fit(inner, classes, sample_weight=weights)
        # Of two classes scikit-learn keeps the second one's slopes only.
        two = len(model.classes_) == 2
        turned = np.vstack([0 * model.coef_, model.coef_]) if two else model.coef_
        heights = np.append(0, model.intercept_) if two else model.intercept_
        inside = axes.components_.T @ turned.T
        slopes, offsets = np.zeros((features.shape[1], count)), np.full(count, -np.inf)
        slopes[:, model.classes_] = inside / spread[:, None]
        offsets[model.classes_] = heights - (mean / spread + axes.mean_) @ inside
        fitted.append(Linear(slopes, offsets))
    return fitted


def fit_predict(
    features: Floats,
    classes: npt.NDArray[np.int64],
    others: Floats,
    penalties: Sequence[float],
    *,
    count: int,
    weights: Floats | None = None,
) -> Floats:
    """Fit, see `fit`; return the probabilities of `others` [m, channels].

    Returns
    -------
    float64 [penalties, m, count]; 0 for a class without a training image.
    """
    fitted = fit(features, classes, penalties, count=count, weights=weights)
    return np.stack([model.probabilities(others) for model in fitted])


def cross_validate(
    cohort: Cohort, *, count: int, penalties: Sequence[float] = PENALTIES
) -> tuple[list[Linear], pd.DataFrame]:
    """Fit a model for each fold; choose the one penalty whose validation loss is lowest.

    Returns
    -------
    models
        For fold 0, 1, ...: the one that did not train on that fold (nor on test images).
    choice
        DataFrame: C, log_loss (mean over the folds), log_loss_sd, chosen (0 or 1).
    """
    folds = range(int(cohort.folds.max()) + 1)
    fitted, losses = [], np.zeros((len(penalties), len(folds)))
    for k in progress(folds, desc="folds", unit="fold"):
        training = (cohort.folds != TEST) & (cohort.folds != k)
        held_out = cohort.folds == k
        fitted.append(
            fit(
                cohort.features[training],
                cohort.classes[training],
                penalties,
                count=count,
                weights=None if cohort.weights is None else cohort.weights[training],
            )
        )
        losses[:, k] = [
            log_loss(
                cohort.classes[held_out],
                model.probabilities(cohort.features[held_out]),
                labels=list(range(count)),
            )
            for model in fitted[k]
        ]
    best = int(losses.mean(axis=1).argmin())
    choice = pd.DataFrame(
        {
            "C": penalties,
            "log_loss": losses.mean(axis=1),
            "log_loss_sd": losses.std(axis=1, ddof=1),
            "chosen": (np.arange(len(penalties)) == best).astype(int),
        }
    )
    return [models[best] for models in fitted], choice


def read_choice(path: str | Path) -> float:
    """Return the chosen C of a written choice, see `cross_validate`."""
    table = read_table(path, ["C", "chosen"], ["C", "chosen"])
    chosen = table.loc[table["chosen"] == 1, "C"]
    if len(chosen) != 1:
        raise InputError(f"{path} must choose one C; make it anew")
    return float(chosen.iloc[0])


def read_cohort(
    clean: str | Path,
    rows: str | Path,
    manifest: str | Path,
    split: str | Path,
    *,
    classes: Sequence[str],
    class_weights: bool,
    source_weights: bool,
) -> tuple[pd.DataFrame, Cohort]:
    """Read the run's images, and the cohort that they are, weighed as the run's heads are.

    Each fold's weights are of all training images: folds have all but the same shares.

    Parameters
    ----------
    clean, rows
        `clean.npy` and `rows.csv` of the backbone's feature bank; views are not used.
    manifest, split
        `data/manifest.csv` and `data/split.csv`.
    classes
        Class names.
    class_weights, source_weights
        See `covidcxr.classify.weights.sample_weights`.

    Returns
    -------
    images
        The split joined with the manifest, in the split's order.
    cohort
        The same by row.

    Raises
    ------
    InputError
        An image of the split has no class of the run, or no features.
    """
    images = read_split(split).merge(
        read_manifest(manifest), on="image_id", how="left", validate="one_to_one"
    )
    unknown = images.loc[~images["label"].isin(list(classes)), "image_id"]
    if len(unknown):
        raise InputError(f"{manifest} has no class of {list(classes)} for image {unknown.iloc[0]}")
    features = read_pooled(clean, rows, images["image_id"].tolist())
    folds = images["fold"].fillna(TEST).to_numpy(np.int64)
    training = folds != TEST
    weights = np.ones(len(images))
    weights[training] = sample_weights(
        images.loc[training, "label"].to_numpy(),
        images.loc[training, "source"].to_numpy(),
        by_class=class_weights,
        by_source=source_weights,
    )
    positions = np.array([list(classes).index(label) for label in images["label"]], np.int64)
    return images, Cohort(features, positions, folds, weights)


def write_models(
    models: Sequence[Fitted],
    cohort: Cohort,
    images: pd.DataFrame,
    output_models: str | Path,
    output_folds: Sequence[str | Path],
    output_ensemble: str | Path,
    *,
    classes: Sequence[str],
    **identity: str,
) -> None:
    """Write the folds' models, their predictions as those of the network heads, and the ensemble's.

    Parameters
    ----------
    models
        Of fold 0, 1, ...
    cohort, images
        See `read_cohort`.
    output_models
        Joblib file of the list of models, by which external sets are scored.
    output_folds
        Predictions of each fold's model: its validation images and all test images.
    output_ensemble
        Their ensemble, see `covidcxr.classify.ensemble.combine`.
    """
    frames = []
    for k, (model, path) in enumerate(zip(models, output_folds, strict=True)):
        own = np.isin(cohort.folds, [k, TEST])
        predicted = model.probabilities(cohort.features[own])
        frames.append(
            prediction_table(
                images.loc[own],
                predicted,
                classes,
                augmentation="none",
                model=f"fold{k}",
                set=images.loc[own, "split"].map({"train": "validation", "test": "test"}),
                **identity,
            )
        )
        write_table(frames[-1], path)
    write_table(combine(frames, images, classes), output_ensemble)
    with atomic(output_models) as temporary:
        joblib.dump(list(models), temporary)


def write_logistic(
    clean: str | Path,
    rows: str | Path,
    manifest: str | Path,
    split: str | Path,
    output_models: str | Path,
    output_folds: Sequence[str | Path],
    output_ensemble: str | Path,
    output_choice: str | Path,
    *,
    classes: Sequence[str],
    class_weights: bool,
    source_weights: bool,
    population: str = "study",
    backbone: str = "",
) -> None:
    """Fit the baseline in the run's folds; write what `write_models` does, and its choice.

    Parameters
    ----------
    clean, rows, manifest, split, classes, class_weights, source_weights
        See `read_cohort`.
    output_models, output_folds, output_ensemble
        See `write_models`.
    output_choice
        The penalty chosen, see `cross_validate`.

    Raises
    ------
    InputError
        Manifest, split and features do not belong together.
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
    models, choice = cross_validate(cohort, count=len(classes))
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
        classifier="logistic",
    )
    write_table(choice, output_choice)
    chosen = choice[choice["chosen"] == 1].iloc[0]
    log.info("C = %.3g chosen, validation log loss %.3f", chosen["C"], chosen["log_loss"])
