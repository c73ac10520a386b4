"""Audit of the synthetic images in the backbones' feature space: copies, a classifier, a distance.

Frechet distances are not computed: between samples of about a hundred images and features of 512
or more dimensions both covariances are singular, and the estimate's bias is larger than what is to
be measured (Binkowski et al. 2018, "Demystifying MMD GANs", section 4). The kernel inception
distance is unbiased at any sample size.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from covidcxr.array_types import Floats, Integers, Mask, Texts
from covidcxr.arrays import open_rows, spread
from covidcxr.cyclegan.synthetic import read_synthetic
from covidcxr.data.tables import read_manifest, read_table, stacked, write_table
from covidcxr.evaluate import bootstrap
from covidcxr.evaluate.style import PALETTE, dots, figure_style, save_figure
from covidcxr.features.bank import pooled
from covidcxr.logs import log
from covidcxr.report.formats import MINUS, Table, count, listing, table_of
from covidcxr.report.formats import interval as written
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

Row = dict[Hashable, Any]

COPYING, CLASSIFIER, KERNEL = "copying", "classifier", "kernel_distance"
SYNTHETIC, SOURCE, TARGET, HALVES = "synthetic", "source", "target", "target halves"
TRAINING, TEST = "training", "test"
MEASURED = ["measure", "first", "second", "n_first", "n_second", "value", "low", "high"]
COMPARISONS = ((SYNTHETIC, TARGET), (SOURCE, TARGET), (SYNTHETIC, SOURCE))
"""What is compared: the synthetic images, the images that they were made from (`source`) and the
training images of the target class. The second pair is where the translation starts from."""

MOST = 2000
"""Images of a set that are compared: the kernel holds every pair of them."""
RESAMPLES = 1000
"""Random halves of the images between which the kernel distance is computed."""
FOLDS = 5
PENALTY = 0.01
"""C of the logistic regression: features outnumber images, so it is held back strongly."""


@dataclass(frozen=True)
class Sample:
    """Features of a set of images.

    Attributes
    ----------
    features
        float64 [n, d].
    patients
        str [n]; images of one patient are never taken as independent.
    ids
        str [n], names of the images.
    """

    features: Floats
    patients: Texts
    ids: Texts

    def of(self, chosen: Mask | Integers) -> "Sample":
        """Return the chosen images."""
        return Sample(self.features[chosen], self.patients[chosen], self.ids[chosen])


def run(
    *,
    features: Sequence[str | Path],
    manifest: str | Path,
    holdout: str | Path,
    synthetic: str | Path,
    tables: Sequence[str | Path],
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    weights: Mapping[str, str],
    seed: int,
) -> None:
    """Audit the synthetic images in the feature space of every backbone.

    Parameters
    ----------
    features
        For each backbone `clean.npy` of the images of the manifest, then that of the synthetic.
    manifest, holdout
        `manifest.csv` and `holdout.csv` of the run.
    synthetic
        `synthetic.csv`: image_id, label, source_image_id, patient_id (of the source).
    tables
        Two CSV files to write. The first: backbone, measure (`copying`, see `copying`;
        `classifier`, see `two_sample`; `kernel_distance`, see `kernel_distance`), first, second
        (what is compared), n_first, n_second, value, low, high (95 % interval).
        The second: backbone, image_id, kind (`synthetic` or `test`), neighbour (the nearest
        training image of the target class), distance (in standardised features), nearest_is_source
        (of a synthetic image: whether of all training images the one that it was made from lies
        nearest).
    weights
        Weights of each backbone, in the order of `features`; `random` is said in the section.

    Raises
    ------
    InputError
        Features and tables do not belong together, or there is no synthetic image.
    """
    real = read_manifest(manifest)
    sides = read_table(holdout, ["image_id", "split"]).set_index("image_id")["split"]
    trains = (real["image_id"].map(sides) == "train").to_numpy()
    made, sources = read_synthetic(synthetic, manifest)
    target = (real["label"] == made["label"].iloc[0]).to_numpy()

    measured: dict[str, pd.DataFrame] = {}
    neighbours: dict[str, pd.DataFrame] = {}
    for backbone, files in zip(
        weights, zip(features[::2], features[1::2], strict=True), strict=True
    ):
        of_real, of_made = (
            Sample(
                pooled(open_rows(file, path, len(table))),
                table["patient_id"].to_numpy(str),
                table["image_id"].to_numpy(str),
            )
            for file, path, table in zip(files, (manifest, synthetic), (real, made), strict=True)
        )
        raw = {
            SYNTHETIC: of_made,
            SOURCE: of_real.of(sources),
            TARGET: of_real.of(target & trains),
            TEST: of_real.of(target & ~trains),
            TRAINING: of_real.of(trains),
        }
        # As a head sees them.
        scale = StandardScaler().fit(raw[TRAINING].features).transform
        scaled = {
            name: replace(sample, features=scale(sample.features))
            for name, sample in raw.items()
            if len(sample.ids)
        }
        found = neighbour_table(scaled, made["source_image_id"].to_numpy(str))
        rng = generator(seed, "audit_features", backbone)
        neighbours[backbone], measured[backbone] = found, measure(raw, found, rng)
        log.info("%s: %d synthetic images audited", backbone, len(made))
    table, distances = (stacked(parts, "backbone") for parts in (measured, neighbours))
    write_table(table, tables[0])
    write_table(distances.drop(columns="patient_id"), tables[1])
    with figure_style():
        save_figure(draw_audit(table, distances), png, svg)
    random = [backbone for backbone, origin in weights.items() if origin == "random"]
    write_section(section, section_of(table, distances, random))


def neighbour_table(samples: Mapping[str, Sample], source_ids: Texts) -> pd.DataFrame:
    """Find the training image nearest to each synthetic and each real test image.

    Distances are Euclidean.

    Parameters
    ----------
    samples
        `synthetic`; `target`, the training images of the target class; `training`, those of all
        classes; and `test`, the test images of the target class, if there are any.
    source_ids
        [n], the image that each synthetic one was made from.

    Returns
    -------
    DataFrame
        patient_id, and the columns that `run` describes.
    """
    made, target, training = samples[SYNTHETIC], samples[TARGET], samples[TRAINING]
    nearest = cdist(made.features, training.features).argmin(axis=1)
    from_source = np.where(training.ids[nearest] == source_ids, "yes", "no")
    parts = []
    for kind in (SYNTHETIC, TEST):
        if kind in samples:
            distances = cdist(samples[kind].features, target.features)
            part = {
                "image_id": samples[kind].ids,
                "patient_id": samples[kind].patients,
                "kind": kind,
                "neighbour": target.ids[distances.argmin(axis=1)],
                "distance": distances.min(axis=1),
                "nearest_is_source": from_source if kind == SYNTHETIC else "",
            }
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def measure(
    samples: Mapping[str, Sample], neighbours: pd.DataFrame, rng: np.random.Generator
) -> pd.DataFrame:
    """Return every measure of one backbone, see `run`.

    Parameters
    ----------
    samples
        By name, with features as the backbone gives them.
    neighbours
        Of `neighbour_table`.
    """
    made, test = (
        neighbours[neighbours["kind"] == kind].reset_index(drop=True) for kind in (SYNTHETIC, TEST)
    )
    rows = [(COPYING, SYNTHETIC, TEST, len(made), len(test), *copying(made, test, rng))]
    samples = {name: one.of(spread(len(one.ids), MOST)) for name, one in samples.items()}
    for pair in COMPARISONS:
        first, second = (samples[part] for part in pair)
        for name, compare in ((CLASSIFIER, two_sample), (KERNEL, kernel_distance)):
            found = compare(first, second, rng)
            rows.append((name, *pair, len(first.ids), len(second.ids), *found))
    # What no difference looks like.
    target = samples[TARGET]
    halves = random_halves(target.patients, RESAMPLES, rng)
    chance = kernel_estimates(target, halves, ~halves)
    sizes = len(target.ids) - len(target.ids) // 2, len(target.ids) // 2
    rows.append((KERNEL, HALVES, HALVES, *sizes, pd.Series(chance).mean(), *_middle(chance)))
    return pd.DataFrame(rows, columns=MEASURED)


def copying(made: pd.DataFrame, test: pd.DataFrame, rng: np.random.Generator) -> bootstrap.Interval:
    """Test whether synthetic images lie nearer to training images than unseen real ones do.

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
    """
    if made.empty or test.empty:
        return bootstrap.UNKNOWN
    near, far = made["distance"].to_numpy(float), test["distance"].to_numpy(float)
    nearer = np.less.outer(near, far) + 0.5 * np.equal.outer(near, far)
    first = bootstrap.patient_weights(made["patient_id"].to_numpy(), bootstrap.REPLICATES, rng)
    second = bootstrap.patient_weights(test["patient_id"].to_numpy(), bootstrap.REPLICATES, rng)
    resampled = ((first @ nearer) * second).sum(axis=1) / (first.sum(axis=1) * second.sum(axis=1))
    return bootstrap.Interval(float(nearer.mean()), *_middle(resampled))


def two_sample(first: Sample, second: Sample, rng: np.random.Generator) -> bootstrap.Interval:
    """Return the classifier two-sample test of two sets of images (Lopez-Paz and Oquab 2017).

    Logistic regression on standardised features, cross-validated by patient: the image is one that
    the classifier has not seen, of a patient whom it has not seen.

    Returns
    -------
    Interval
        Balanced accuracy: 0.5 where the sets cannot be separated. The interval resamples patients,
        the predictions being given. Unknown where a set has images of one patient only.
    """
    folds = min(FOLDS, len(set(first.patients)), len(set(second.patients)))
    if folds < 2:
        return bootstrap.UNKNOWN
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
    shares = [bootstrap.mean_of(hits, labels == side) for side in (0, 1)]
    found = bootstrap.interval(
        lambda weights: (shares[0](weights) + shares[1](weights)) / 2, patients, rng
    )
    if found.estimate < 1:
        return found
    # No resample could show an error.
    fewest = min(len(set(first.patients)), len(set(second.patients)))
    return bootstrap.Interval(1.0, *bootstrap.exact_bounds(1.0, fewest))


def kernel_distance(first: Sample, second: Sample, rng: np.random.Generator) -> bootstrap.Interval:
    """Return the kernel distance of two sets, see `kernel_estimates`, with its interval.

    The spread is that over random halves of the patients, without repetition: repeated images
    would count as pairs of perfect likeness. A half differs from the whole about as much as the
    whole from the population (delete-d jackknife with d = n/2, Shao and Wu 1989).
    """
    parts = zip(vars(first).values(), vars(second).values(), strict=True)
    both = Sample(*map(np.concatenate, parts))
    in_first = np.arange(len(both.ids)) < len(first.ids)
    value = float(kernel_estimates(both, in_first[None], ~in_first[None])[0])
    halves = random_halves(both.patients, RESAMPLES, rng)
    found = kernel_estimates(both, halves & in_first, halves & ~in_first)
    spread = float(np.nanstd(found)) if np.isfinite(found).sum() > 1 else np.nan
    return bootstrap.Interval(value, value - 1.96 * spread, value + 1.96 * spread)


def kernel_estimates(sample: Sample, first: Mask, second: Mask) -> Floats:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3.

    With a network's features this is the kernel inception distance (Binkowski et al. 2018). Pairs
    of images of one patient are left out, since they are alike whatever the sets are; where every
    image has its own patient, that is the usual U-statistic.

    Parameters
    ----------
    first, second
        bool [r, n], the images of either set, r times.

    Returns
    -------
    float64 [r]; NaN where no pair is left.
    """
    counted = np.not_equal.outer(sample.patients, sample.patients).astype(np.float64)
    values = polynomial_kernel(sample.features, degree=3, coef0=1) * counted
    a, b = first.astype(np.float64), second.astype(np.float64)

    def mean(rows: Floats, columns: Floats) -> Floats:
        total, pairs = (((rows @ of) * columns).sum(axis=1) for of in (values, counted))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / pairs)

    return np.asarray(mean(a, a) + mean(b, b) - 2 * mean(a, b))


def random_halves(patients: Texts, number: int, rng: np.random.Generator) -> Mask:
    """Return the images of random halves of the patients, bool [number, n]."""
    names = np.unique(patients)
    return np.stack(
        [np.isin(patients, rng.permutation(names)[: len(names) // 2]) for _ in range(number)]
    )


def _middle(values: Floats) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of values, NaN left out."""
    low, high = bootstrap.percentile_bounds(values)
    return float(low), float(high)


def draw_audit(table: pd.DataFrame, neighbours: pd.DataFrame) -> Figure:
    """Draw nearest-neighbour distances, classifier accuracies and kernel distances.

    Parameters
    ----------
    table, neighbours
        As `run` writes them.
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
    axes = lower.subplots(1, 2, sharey=True)
    labels = {
        CLASSIFIER: "two-sample classifier:\nbalanced accuracy",
        KERNEL: "kernel distance,\nmultiples of chance",
    }
    for ax, (name, label) in zip(axes, labels.items(), strict=True):
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
        dots(ax, height, values, i, backbone, width=1, size=3)
    labels = [first if first == second else f"{first} / {second}" for first, second in pairs]
    ax.set_yticks(range(len(pairs)), labels)


def section_of(table: pd.DataFrame, neighbours: pd.DataFrame, random: Sequence[str]) -> Section:
    """Say what the audit found; `random` are the backbones without trained weights."""
    return Section(
        ident="audit_features",
        title="Synthetic images in feature space",
        part="synthetic",
        folded=True,
        paragraphs=(source_text(neighbours), *feature_texts(table, random)),
        method=(
            "No Fréchet distance is given: with fewer images than features the covariances that it "
            "compares are singular, and its bias is larger than what is to be measured. The kernel "
            "distance is unbiased at any number of images (Bińkowski et al. 2018, the kernel "
            "inception distance, here in each backbone's own features). Features of random weights "
            "say little.",
        ),
        figures=(
            SectionFigure(
                "audit_features",
                "Synthetic images in the backbones' feature space. Above: share of images whose "
                "nearest training image of the class lies within a distance; copies would lie "
                "near 0. Below: balanced accuracy of a classifier that separates two sets (0.5 is "
                "chance), and kernel distance in multiples of the 97.5th percentile between halves "
                "of the real images (at 1 and below, chance explains it). 'Target' are real "
                "training images of the class, 'source' the images that were translated; bars are "
                "95 % intervals.",
                source_text(neighbours),
            ),
        ),
        tables=(
            SectionTable(
                "audit_features",
                "The audit in feature space. Copying: probability that a synthetic image lies "
                "nearer to a training image than a real test image does (0.5 without copying).",
                feature_table(table),
                folded=True,
            ),
            SectionTable("audit_neighbours", "The nearest training image of each image."),
        ),
    )


def feature_texts(table: pd.DataFrame, random: Sequence[str]) -> list[str]:
    """Say what copying, the classifier and the kernel distance found, for each backbone."""
    texts = []
    for backbone, own in table.groupby("backbone", sort=False):
        at = {(row["measure"], row["first"], row["second"]): row for row in own.to_dict("records")}
        name = f"{backbone} (random weights)" if backbone in random else str(backbone)
        texts.append(
            f"{name}: {_copying(at[COPYING, SYNTHETIC, TEST])}; a classifier separates synthetic "
            "from real images of the class with balanced accuracy "
            f"{_written(at[CLASSIFIER, SYNTHETIC, TARGET])} (0.5 would be chance); {_nearer(at)}."
        )
    return texts


def _written(row: Row) -> str:
    return written(row["value"], row["low"], row["high"])


def _copying(row: Row) -> str:
    if pd.isna(row["value"]):
        return "too few images to look for copies"
    if row["low"] > 0.5:
        found = "synthetic images lie nearer to training images than unseen real ones do"
    elif row["high"] < 0.5:
        found = "no sign of copying, synthetic images lie farther from training images than real"
    else:
        found = "no sign of copying"
    return f"{found} (probability to lie nearer {_written(row)})"


def _nearer(at: Mapping[tuple[str, str, str], Row]) -> str:
    """Compare the kernel distances to the target before and after translation."""
    before, after = (at[KERNEL, first, TARGET] for first in (SOURCE, SYNTHETIC))
    if after["high"] < before["low"]:
        place = "nearer"
    elif after["low"] > before["high"]:
        place = "farther"
    else:
        place = "as far, within their intervals"
    return (
        "by kernel distance to the real class, the translations lie, against the images that they "
        f"were made from, {place}"
    )


def source_text(neighbours: pd.DataFrame) -> str:
    """Say how many synthetic images have their own source as the nearest training image."""
    made = neighbours[neighbours["kind"] == SYNTHETIC]
    own = made["nearest_is_source"].eq("yes").groupby(made["backbone"], sort=False)
    parts = [f"{count(found.sum())} of {count(len(found))} ({backbone})" for backbone, found in own]
    return (
        "Of all training images the one that it was made from lies nearest to the synthetic image "
        f"for {listing(parts)}."
    )


def feature_table(table: pd.DataFrame) -> Table:
    """Set the audit in feature space as a table."""
    frame = table.assign(
        measure=table["measure"].str.replace("_", " "),
        **{name: table[name].map(_number) for name in ("value", "low", "high")},
    )
    labels = {"n_first": "n first", "n_second": "n second", "low": "95 % from", "high": "to"}
    return table_of(frame, labels)


def _number(value: float) -> str:
    """Write a number of any size with three digits; kernel distances span many powers of ten."""
    return "" if pd.isna(value) else f"{value:.3g}".replace("-", MINUS)
