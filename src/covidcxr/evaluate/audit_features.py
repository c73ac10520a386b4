"""Audit of the synthetic images in the backbones' feature space: copies, a classifier, a distance.

Frechet distances are not computed: between samples of about a hundred images and features of 512
or more dimensions both covariances are singular, and the estimate's bias is larger than what is to
be measured (Binkowski et al. 2018, "Demystifying MMD GANs", section 4). The kernel inception
distance is unbiased at any sample size.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import (
    REPLICATES,
    Interval,
    exact_bounds,
    interval,
    patient_weights,
    percentile_bounds,
    share_of,
)
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.seeding import generator

log = logging.getLogger("covidcxr")

Floats = npt.NDArray[np.float64]

COPYING, CLASSIFIER = "copying", "classifier"
KERNEL, KERNEL_STANDARDISED = "kernel_distance", "kernel_distance_standardised"
SYNTHETIC, SOURCE, TARGET, HALVES = "synthetic", "source", "target", "target halves"
TRAINING, TEST = "training", "test"
COMPARISONS = (
    (SYNTHETIC, TARGET),
    (SOURCE, TARGET),
    (SYNTHETIC, SOURCE),
)
"""What is compared: the synthetic images, the films that they were made from (`source`) and the
training images of the target class. The second pair is where the translation starts from."""

RESAMPLES = 1000
"""Random halves of the images between which the kernel distance is computed."""
HALVINGS = 10
"""Random halves of the real target images on which the classifier is tried."""
FOLDS = 5
PENALTY = 0.01
"""C of the logistic regression: features outnumber images, so it is held back strongly."""


@dataclass(frozen=True)
class Cohort:
    """Features of a set of images.

    Attributes
    ----------
    features
        float64 [n, d].
    patients
        str [n]; images of one patient are never taken for independent.
    ids
        str [n], names of the images.
    """

    features: Floats
    patients: npt.NDArray[np.str_]
    ids: npt.NDArray[np.str_]


UNKNOWN = Interval(np.nan, np.nan, np.nan)
"""Where there are too few images."""


def write_audit_features(
    features: Mapping[str, tuple[str | Path, str | Path]],
    manifest: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    output_table: str | Path,
    output_neighbours: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    seed: int,
) -> None:
    """Audit the synthetic images in the feature space of every backbone.

    Parameters
    ----------
    features
        Backbone -> `clean.npy` of the images of the manifest, and of the synthetic ones.
    manifest, holdout
        `manifest.csv` and `holdout.csv` of the run.
    synthetic
        `synthetic.csv`: image_id, label, source_image_id, patient_id (of the source).
    output_table
        backbone, measure (`copying`, see `copying`; `classifier`, see `two_sample`;
        `kernel_distance`, see `kernel_estimate`, on the features as they are, and
        `kernel_distance_standardised` on standardised ones), first, second (what is compared),
        n_first, n_second, value, low, high (95 % interval), p (copying only).
    output_neighbours
        backbone, image_id, kind (`synthetic` or `test`), neighbour (the nearest training image of
        the target class), distance (in standardised features), nearest_is_source (of a synthetic
        image: whether of all training images the one that it was made from lies nearest).
    png, svg
        The figure.
    seed
        Of the run.

    Raises
    ------
    InputError
        Features and tables do not belong together, or there is no synthetic image.
    """
    real = read_manifest(manifest)
    sides = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    trains = (real["image_id"].map(sides) == "train").to_numpy()
    made = read_table(synthetic, ["image_id", "label", "source_image_id", "patient_id"])
    if made.empty:
        raise InputError(f"{synthetic} lists no images: there is nothing to audit")
    target = (real["label"] == made["label"].iloc[0]).to_numpy()
    position = pd.Series(real.index, real["image_id"])
    unknown = made.loc[~made["source_image_id"].isin(position.index), "source_image_id"]
    if len(unknown):
        raise InputError(
            f"{synthetic} names the source image {unknown.iloc[0]}, which is not in {manifest}; "
            "make the synthetic images anew"
        )
    sources = position[made["source_image_id"]].to_numpy()

    rows: list[pd.DataFrame] = []
    neighbours: list[pd.DataFrame] = []
    for backbone, (real_file, synthetic_file) in features.items():
        values = read_pooled(real_file, len(real))
        raw = {
            SYNTHETIC: Cohort(read_pooled(synthetic_file, len(made)), *_names(made)),
            SOURCE: Cohort(values[sources], *_names(real.iloc[sources])),
            **{
                name: Cohort(values[chosen], *_names(real[chosen]))
                for name, chosen in (
                    (TARGET, target & trains),
                    (TEST, target & ~trains),
                    (TRAINING, trains),
                )
            },
        }
        # As a head sees them.
        scale = StandardScaler().fit(values[trains]).transform
        scaled = {
            name: replace(cohort, features=scale(cohort.features))
            for name, cohort in raw.items()
            if len(cohort.ids)
        }
        found = neighbour_table(scaled, made["source_image_id"].to_numpy(str))
        measured = measure(raw, scaled, found, generator(seed, "audit_features", backbone))
        neighbours.append(found.assign(backbone=backbone))
        rows.append(measured.assign(backbone=backbone))
        log.info("%s: %d synthetic images audited", backbone, len(made))
    table, distances = _backbone_first(rows), _backbone_first(neighbours)
    write_table(table, output_table)
    write_table(distances.drop(columns="patient_id"), output_neighbours)
    with figure_style():
        save_figure(draw_audit(table, distances), png, svg)


def _names(table: pd.DataFrame) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    return table["patient_id"].to_numpy(str), table["image_id"].to_numpy(str)


def _backbone_first(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    joined = pd.concat(tables, ignore_index=True)
    return joined[["backbone", *joined.columns.drop("backbone")]]


def read_pooled(path: str | Path, count: int) -> Floats:
    """Read features of `count` images as float64 [count, d]; maps are averaged over their area.

    Raises
    ------
    InputError
        The file holds features of another number of images.
    """
    values = np.load(path, mmap_mode="r")
    if len(values) != count:
        raise InputError(
            f"{path} holds the features of {len(values)} images, not of {count}: make them anew"
        )
    inner = tuple(range(1, values.ndim - 1))
    return np.asarray(values.mean(axis=inner, dtype=np.float64) if inner else values, np.float64)


def neighbour_table(
    cohorts: Mapping[str, Cohort], source_ids: npt.NDArray[np.str_]
) -> pd.DataFrame:
    """Find the training image nearest to each synthetic and each real test image.

    Distances are Euclidean.

    Parameters
    ----------
    cohorts
        `synthetic`; `target`, the training images of the target class; `training`, those of all
        classes; and `test`, the test images of the target class, if there are any.
    source_ids
        [n], the image that each synthetic one was made from.

    Returns
    -------
    DataFrame
        patient_id, and the columns that `write_audit_features` describes.
    """
    made, target, training = cohorts[SYNTHETIC], cohorts[TARGET], cohorts[TRAINING]
    nearest = cdist(made.features, training.features).argmin(axis=1)
    from_source = np.where(training.ids[nearest] == source_ids, "yes", "no")
    parts = []
    for kind in (SYNTHETIC, TEST):
        if kind not in cohorts:
            continue
        distances = cdist(cohorts[kind].features, target.features)
        parts.append(
            pd.DataFrame(
                {
                    "image_id": cohorts[kind].ids,
                    "patient_id": cohorts[kind].patients,
                    "kind": kind,
                    "neighbour": target.ids[distances.argmin(axis=1)],
                    "distance": distances.min(axis=1),
                    "nearest_is_source": from_source if kind == SYNTHETIC else "",
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def measure(
    raw: Mapping[str, Cohort],
    scaled: Mapping[str, Cohort],
    neighbours: pd.DataFrame,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return every measure of one backbone, see `write_audit_features`.

    Parameters
    ----------
    raw, scaled
        The sets by name, with features as the backbone gives them, and standardised.
    neighbours
        Of `neighbour_table`.
    """
    made, test = (
        neighbours[neighbours["kind"] == kind].reset_index(drop=True) for kind in (SYNTHETIC, TEST)
    )
    copies, p = copying(made, test, rng)
    rows = [_row(COPYING, (SYNTHETIC, TEST), (len(made), len(test)), copies) | {"p": p}]
    for pair in COMPARISONS:
        for name, compare, cohorts in (
            (CLASSIFIER, two_sample, scaled),
            (KERNEL, kernel_distance, raw),
            (KERNEL_STANDARDISED, kernel_distance, scaled),
        ):
            first, second = (cohorts[part] for part in pair)
            sizes = len(first.ids), len(second.ids)
            rows.append(_row(name, pair, sizes, compare(first, second, rng)))
    count = len(raw[TARGET].ids)
    for name, apart, cohorts, draws in (
        (CLASSIFIER, partial(two_sample_accuracy, rng=rng), scaled, HALVINGS),
        (KERNEL, kernel_estimate, raw, RESAMPLES),
        (KERNEL_STANDARDISED, kernel_estimate, scaled, RESAMPLES),
    ):
        sizes = count - count // 2, count // 2
        found = over_halves(cohorts[TARGET], apart, draws, rng)
        rows.append(_row(name, (HALVES, HALVES), sizes, found))
    return pd.DataFrame(rows)


def _row(
    name: str, pair: tuple[str, str], sizes: tuple[int, int], found: Interval
) -> dict[str, object]:
    return {
        "measure": name,
        "first": pair[0],
        "second": pair[1],
        "n_first": sizes[0],
        "n_second": sizes[1],
        "value": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": np.nan,
    }


def copying(
    made: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator
) -> tuple[Interval, float]:
    """Tell whether synthetic images lie nearer to training images than unseen real ones do.

    The test for data copying of Meehan, Chaudhuri and Dasgupta (2020), in its global form.

    Parameters
    ----------
    made, test
        distance (to the nearest training image of the target class) and patient_id of the
        synthetic images and of real images of other patients.

    Returns
    -------
    Interval
        Probability that a synthetic image lies nearer than a test image, ties count half: 0.5
        without copying, 1 where each is a copy; below 0.5 they lie apart from real images. The
        interval resamples patients.
    float
        p of the one-sided Mann-Whitney test against 0.5, images taken for independent.
    """
    if made.empty or test.empty:
        return UNKNOWN, np.nan
    near, far = made["distance"].to_numpy(float), test["distance"].to_numpy(float)
    result = mannwhitneyu(far, near, alternative="greater")
    nearer = np.less.outer(near, far) + 0.5 * np.equal.outer(near, far)
    first = patient_weights(made["patient_id"].to_numpy(), REPLICATES, rng)
    second = patient_weights(test["patient_id"].to_numpy(), REPLICATES, rng)
    drawn = ((first @ nearer) * second).sum(axis=1) / (first.sum(axis=1) * second.sum(axis=1))
    return Interval(float(nearer.mean()), *_middle(drawn)), float(result.pvalue)


def two_sample(first: Cohort, second: Cohort, rng: np.random.Generator) -> Interval:
    """Tell two sets of images apart by a classifier (Lopez-Paz and Oquab 2017).

    Returns
    -------
    Interval
        Balanced accuracy of `two_sample_hits`: 0.5 where the sets cannot be told apart. The
        interval resamples patients, the predictions being given.
    """
    hits = two_sample_hits(first, second, rng)
    if hits is None:
        return UNKNOWN
    belongs = np.arange(len(hits)) < len(first.ids)
    shares = share_of(hits, belongs), share_of(hits, ~belongs)
    patients = np.concatenate([first.patients, second.patients])
    found = interval(lambda weights: (shares[0](weights) + shares[1](weights)) / 2, patients, rng)
    if found.estimate < 1:
        return found
    # No resample could show an error.
    fewest = min(len(set(first.patients)), len(set(second.patients)))
    return Interval(1.0, *exact_bounds(1.0, fewest))


def two_sample_accuracy(first: Cohort, second: Cohort, rng: np.random.Generator) -> float:
    """Return the balanced accuracy of `two_sample_hits`, NaN where there are too few patients."""
    hits = two_sample_hits(first, second, rng)
    return np.nan if hits is None else _balanced(hits, np.arange(len(hits)) < len(first.ids))


def two_sample_hits(
    first: Cohort, second: Cohort, rng: np.random.Generator
) -> npt.NDArray[np.bool_] | None:
    """Return which images of two sets a classifier assigns rightly, bool [n_first + n_second].

    Logistic regression on standardised features, cross-validated by patient: the image is one that
    the classifier has not seen, of a patient whom it has not seen. None where a set has images of
    one patient only.
    """
    folds = min(FOLDS, len(set(first.patients)), len(set(second.patients)))
    if folds < 2:
        return None
    features = np.concatenate([first.features, second.features])
    labels = np.repeat([0, 1], [len(first.ids), len(second.ids)])
    patients = np.concatenate([first.patients, second.patients])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=int(rng.integers(2**31)))
    hits = np.zeros(len(labels), bool)
    for training, held_out in splitter.split(features, labels, patients):
        known = np.unique(labels[training])
        if len(known) == 1:  # very few patients
            hits[held_out] = labels[held_out] == known[0]
            continue
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000),
        ).fit(features[training], labels[training])
        hits[held_out] = model.predict(features[held_out]) == labels[held_out]
    return hits


def _balanced(hits: npt.NDArray[np.bool_], belongs: npt.NDArray[np.bool_]) -> float:
    return float((hits[belongs].mean() + hits[~belongs].mean()) / 2)


def kernel_distance(first: Cohort, second: Cohort, rng: np.random.Generator) -> Interval:
    """Return the kernel distance of two sets, see `kernel_estimate`, with its interval.

    The spread is that over random halves of the patients, without repetition: repeated images
    would count as pairs of perfect likeness. A half differs from the whole about as much as the
    whole from the population (delete-d jackknife with d = n/2, Shao and Wu 1989).
    """
    value = kernel_estimate(first, second)
    patients = np.unique(np.concatenate([first.patients, second.patients]))
    kernels = _Kernels.of(first, second)
    drawn = []
    for _ in range(RESAMPLES):
        half = rng.permutation(patients)[: len(patients) // 2]
        drawn.append(
            kernels.estimate(np.isin(first.patients, half), np.isin(second.patients, half))
        )
    spread = float(np.nanstd(drawn)) if np.isfinite(drawn).sum() > 1 else np.nan
    return Interval(value, value - 1.96 * spread, value + 1.96 * spread)


def kernel_estimate(first: Cohort, second: Cohort) -> float:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

    With a network's features this is the kernel inception distance (Binkowski et al. 2018). Pairs
    of images of one patient are left out, since they are alike whatever the sets are; where every
    image has its own patient, that is the usual U-statistic. NaN where no pair is left.
    """
    everything = (np.ones(len(cohort.ids), bool) for cohort in (first, second))
    return _Kernels.of(first, second).estimate(*everything)


@dataclass(frozen=True)
class _Kernels:
    """Kernel values of all pairs within and between two sets, and which pairs count."""

    within: tuple[Floats, Floats]
    between: Floats
    counts_within: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
    counts_between: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, first: Cohort, second: Cohort) -> "_Kernels":
        def others(a: Cohort, b: Cohort) -> npt.NDArray[np.bool_]:
            return np.not_equal.outer(a.patients, b.patients)

        def kernel(a: Cohort, b: Cohort) -> Floats:
            if not (len(a.ids) and len(b.ids)):
                return np.zeros((len(a.ids), len(b.ids)))
            return np.asarray(polynomial_kernel(a.features, b.features, degree=3, coef0=1))

        return cls(
            (kernel(first, first), kernel(second, second)),
            kernel(first, second),
            (others(first, first), others(second, second)),
            others(first, second),
        )

    def estimate(self, rows: npt.NDArray[np.bool_], columns: npt.NDArray[np.bool_]) -> float:
        """Return the estimate from chosen images of the first and of the second set."""
        total = 0.0
        for values, counted, a, b, sign in (
            (self.within[0], self.counts_within[0], rows, rows, 1),
            (self.within[1], self.counts_within[1], columns, columns, 1),
            (self.between, self.counts_between, rows, columns, -2),
        ):
            pairs = counted & a[:, None] & b
            if not pairs.any():
                return np.nan
            total += sign * float(values[pairs].mean())
        return total


def over_halves(
    cohort: Cohort,
    compare: Callable[[Cohort, Cohort], float],
    draws: int,
    rng: np.random.Generator,
) -> Interval:
    """Compare random halves (of the patients) of one set: what no difference looks like.

    Returns
    -------
    Interval
        Mean over the draws, and the middle 95 % of them.
    """
    patients = np.unique(cohort.patients)
    found = []
    for _ in range(draws):
        inside = np.isin(cohort.patients, rng.permutation(patients)[: len(patients) // 2])
        halves = (
            Cohort(cohort.features[part], cohort.patients[part], cohort.ids[part])
            for part in (inside, ~inside)
        )
        found.append(compare(*halves))
    if not np.isfinite(found).any():
        return UNKNOWN
    return Interval(float(np.nanmean(found)), *_middle(found))


def _middle(values: npt.ArrayLike) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of values, NaN left out."""
    low, high = percentile_bounds(np.asarray(values, np.float64))
    return float(low), float(high)


def draw_audit(table: pd.DataFrame, neighbours: pd.DataFrame) -> Figure:
    """Draw nearest-neighbour distances, classifier accuracies and kernel distances.

    Parameters
    ----------
    table, neighbours
        As `write_audit_features` writes them.
    """
    backbones = list(dict.fromkeys(table["backbone"]))
    figure = Figure(figsize=(7.0, 4.8))
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.0, 1.1))
    upper, lower = parts[:, 0]
    for ax, backbone in zip(
        upper.subplots(1, len(backbones), squeeze=False)[0], backbones, strict=True
    ):
        own = neighbours[neighbours["backbone"] == backbone]
        for kind, colour, name in (
            (SYNTHETIC, PALETTE[5], "synthetic"),
            (TEST, PALETTE[0], "real, test set"),
        ):
            if (own["kind"] == kind).any():
                ax.ecdf(own.loc[own["kind"] == kind, "distance"], color=colour, label=name)
        ax.set(title=backbone, xlabel="distance to the nearest\ntraining image of the class")
        ax.set(xlim=(0, None), ylim=(0, 1))
    upper.axes[0].set_ylabel("share of images")
    upper.legend(*upper.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    pairs = [*COMPARISONS, (HALVES, HALVES)]
    axes = lower.subplots(1, 3, sharey=True)
    for ax, name, label in zip(
        axes,
        (CLASSIFIER, KERNEL, KERNEL_STANDARDISED),
        (
            "told apart: balanced accuracy",
            "kernel distance,\nmultiples of chance",
            "the same, on\nstandardised features",
        ),
        strict=True,
    ):
        own = table[table["measure"] == name].copy()
        if name != CLASSIFIER:
            # Backbones scale their features differently; what chance does is the common measure.
            chance = own[own["first"] == HALVES].set_index("backbone")["high"]
            own[["value", "low", "high"]] = own[["value", "low", "high"]].div(
                own["backbone"].map(chance), axis=0
            )
            ax.set_xscale("symlog", linthresh=1)
        _dots(ax, own, pairs, backbones)
        ax.axvline(0.5 if name == CLASSIFIER else 1, color="0.6", lw=0.8, zorder=0)
        ax.set_xlabel(label)
    axes[0].invert_yaxis()
    axes[0].set_xlim(0.3, 1.03)
    lower.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _dots(
    ax: Axes, table: pd.DataFrame, pairs: Sequence[tuple[str, str]], backbones: Sequence[str]
) -> None:
    """Draw values with intervals: a line of the axes for each pair, a colour for each backbone."""
    for i, backbone in enumerate(backbones):
        own = table[table["backbone"] == backbone].set_index(["first", "second"])
        values = own.reindex(list(pairs))[["value", "low", "high"]].to_numpy(float)
        height = np.arange(len(pairs)) + 0.5 * ((i + 0.5) / len(backbones) - 0.5)
        ax.hlines(height, values[:, 1], values[:, 2], color=PALETTE[i % len(PALETTE)], lw=1)
        ax.plot(values[:, 0], height, "o", ms=3, color=PALETTE[i % len(PALETTE)], label=backbone)
    labels = [first if first == second else f"{first} / {second}" for first, second in pairs]
    ax.set_yticks(range(len(pairs)), labels)
