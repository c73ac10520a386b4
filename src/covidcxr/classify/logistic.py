"""The strongest simple baseline: logistic regression on the pooled features, in the same folds."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from covidcxr.classify.ensemble import combine
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.errors import InputError
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


@dataclass(frozen=True)
class Cohort:
    """Images by row: pooled features [n, channels], class positions int64 [n], fold int64 [n]."""

    features: Floats
    classes: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]


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
    values = np.load(clean, mmap_mode="r")[found.to_numpy(np.int64)].astype(np.float64)
    return values.mean(axis=tuple(range(1, values.ndim - 1)))


def standardisation(features: Floats) -> tuple[Floats, Floats]:
    """Return mean and spread of each feature [channels], as the network head standardises.

    The head's own function stands in a module that loads TensorFlow, which a fit of a second has no
    use for. A floor under the variance keeps features that are all but constant on the training
    images from being blown up on others, which plain standard scores let happen (EfficientNetB0).
    """
    variance = features.var(axis=0)
    floor = SPREAD_FLOOR * variance.mean() or 1.0
    return features.mean(axis=0), np.sqrt(variance + floor)


def fit_predict(
    features: Floats,
    classes: npt.NDArray[np.int64],
    others: Floats,
    penalties: Sequence[float],
    *,
    count: int,
    class_weights: bool = False,
) -> Floats:
    """Fit on standardised `features` with each penalty; return the probabilities of `others`.

    The standardised features are turned into their principal axes, all of them: the L2 penalty does
    not see a rotation, and n images span at most n of the thousands of axes, so this is the same
    model in a fraction of the time.

    Parameters
    ----------
    features, classes
        float64 [n, channels] and int64 [n] to fit on.
    others
        float64 [m, channels].
    penalties
        Values of C, weakest last for speed: each fit starts from the one before.
    count
        Number of classes.
    class_weights
        Weigh the loss by inverse class frequency.

    Returns
    -------
    float64 [penalties, m, count]; 0 for a class without a training image.
    """
    mean, spread = standardisation(features)
    axes = PCA(svd_solver="full")
    inner = axes.fit_transform((features - mean) / spread)
    outer = axes.transform((others - mean) / spread)
    model = LogisticRegression(
        max_iter=ITERATIONS, warm_start=True, class_weight="balanced" if class_weights else None
    )
    result = np.zeros((len(penalties), len(others), count))
    for probabilities, penalty in zip(result, penalties, strict=True):
        model.set_params(C=penalty).fit(inner, classes)
        probabilities[:, model.classes_] = model.predict_proba(outer)
    return result


def cross_validate(
    cohort: Cohort,
    *,
    count: int,
    penalties: Sequence[float] = PENALTIES,
    class_weights: bool = False,
) -> tuple[list[Floats], pd.DataFrame]:
    """Fit a model for each fold; choose the one penalty whose validation loss is lowest.

    Returns
    -------
    probabilities
        For fold 0, 1, ...: float64 [n, count], those of the model that did not train on that fold,
        for all rows (its own training rows too, which nobody must use).
    choice
        DataFrame: C, log_loss (mean over the folds), log_loss_sd, chosen (0 or 1).
    """
    folds = range(int(cohort.folds.max()) + 1)
    fitted, losses = [], np.zeros((len(penalties), len(folds)))
    for k in progress(folds, desc="folds", unit="fold"):
        training = (cohort.folds != TEST) & (cohort.folds != k)
        held_out = cohort.folds == k
        fitted.append(
            fit_predict(
                cohort.features[training],
                cohort.classes[training],
                cohort.features,
                penalties,
                count=count,
                class_weights=class_weights,
            )
        )
        losses[:, k] = [
            log_loss(cohort.classes[held_out], values[held_out], labels=list(range(count)))
            for values in fitted[k]
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
    return [values[best] for values in fitted], choice


def read_choice(path: str | Path) -> float:
    """Return the chosen C of a written choice, see `cross_validate`."""
    table = read_table(path, ["C", "chosen"], ["C", "chosen"])
    chosen = table.loc[table["chosen"] == 1, "C"]
    if len(chosen) != 1:
        raise InputError(f"{path} must choose one C; make it anew")
    return float(chosen.iloc[0])


def write_logistic(
    clean: str | Path,
    rows: str | Path,
    manifest: str | Path,
    split: str | Path,
    output_folds: Sequence[str | Path],
    output_ensemble: str | Path,
    output_choice: str | Path,
    *,
    classes: Sequence[str],
    class_weights: bool,
) -> None:
    """Fit the baseline in the run's folds; write its predictions as those of the network heads.

    Parameters
    ----------
    clean, rows
        `clean.npy` and `rows.csv` of the backbone's feature bank; views are not used.
    manifest, split
        `data/manifest.csv` and `data/split.csv`.
    output_folds
        Predictions of each fold's model: its validation images and all test images.
    output_ensemble
        Their ensemble, see `covidcxr.classify.ensemble.combine`.
    output_choice
        The penalty chosen, see `cross_validate`.
    classes
        Class names.
    class_weights
        Weigh the loss by inverse class frequency.

    Raises
    ------
    InputError
        Manifest, split and features do not belong together.
    """
    table = read_manifest(manifest)
    places = read_split(split)
    joined = places.merge(table, on="image_id", how="left", validate="one_to_one")
    unknown = joined.loc[~joined["label"].isin(list(classes)), "image_id"]
    if len(unknown):
        raise InputError(f"{manifest} has no class of {list(classes)} for image {unknown.iloc[0]}")
    cohort = Cohort(
        read_pooled(clean, rows, joined["image_id"].tolist()),
        np.array([list(classes).index(label) for label in joined["label"]], np.int64),
        joined["fold"].fillna(TEST).to_numpy(np.int64),
    )
    fitted, choice = cross_validate(cohort, count=len(classes), class_weights=class_weights)
    frames = []
    for k, (probabilities, path) in enumerate(zip(fitted, output_folds, strict=True)):
        frame = joined[["image_id", "patient_id", "label"]].assign(
            **{f"p_{name}": probabilities[:, c] for c, name in enumerate(classes)}
        )
        frames.append(frame[np.isin(cohort.folds, [k, TEST])])
        write_table(frames[-1], path)
    write_table(combine(frames, places, classes), output_ensemble)
    write_table(choice, output_choice)
    chosen = choice[choice["chosen"] == 1].iloc[0]
    log.info("C = %.3g chosen, validation log loss %.3f", chosen["C"], chosen["log_loss"])
