"""Do the synthetic images help? Arms of the repeats compared in pairs, and what can be detected."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from covidcxr.data.tables import read_table, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import REPLICATES, patient_weights, percentile_bounds
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.seeding import generator

ALPHA, POWER = 0.05, 0.8
ACCURACY, SENSITIVITY = "accuracy", "sensitivity"

Floats = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]


def write_synthetic_effect(
    repeats: Mapping[str, str | Path],
    output: str | Path,
    output_repeats: str | Path,
    output_detectable: str | Path,
    png: str | Path,
    svg: str | Path,
    *,
    classes: Sequence[str],
    target_class: str,
    synthetic_arms: Sequence[str],
    seed: int,
) -> None:
    """Compare the arms of the repeats, and write what a test set of this size can show.

    Parameters
    ----------
    repeats
        Backbone -> the table of `covidcxr.classify.repeats.write_repeats`.
    output
        Table of `compare_arms` for all backbones.
    output_repeats
        backbone, arm, reference, split, measure, repeat, difference.
    output_detectable
        Table of `detectable_effects`.
    png, svg
        The figure.
    classes
        Class names, in the order of the probabilities.
    target_class
        The class whose sensitivity is compared.
    synthetic_arms
        Arms that train with synthetic images.
    seed
        Of the run.
    """
    compared, each = [], []
    for backbone, path in repeats.items():
        scored = read_repeats(path, classes)
        rows, single = compare_arms(
            scored,
            classes=classes,
            target_class=target_class,
            synthetic_arms=synthetic_arms,
            rng=generator(seed, "synthetic_effect", backbone),
        )
        compared.append(rows.assign(backbone=backbone))
        each.append(single.assign(backbone=backbone))
    table, singles = (
        pd.concat(parts, ignore_index=True).pipe(
            lambda frame: frame[["backbone", *frame.columns.drop("backbone")]]
        )
        for parts in (compared, each)
    )
    # One family: every test that is made on the test images.
    tested = (table["split"] == "test") & table["p"].notna()
    table.loc[tested, "p_holm"] = multipletests(table.loc[tested, "p"], method="holm")[1]
    write_table(table, output)
    write_table(singles, output_repeats)
    write_table(detectable_effects(table, synthetic_arms), output_detectable)
    with figure_style():
        save_figure(draw_effects(table, singles, target_class), png, svg)


def read_repeats(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read a table of repeats: numbers as float, repeat as int.

    Raises
    ------
    InputError
        The arms or repeats do not predict the same images.
    """
    columns = [f"p_{name}" for name in classes]
    named = ["repeat", "arm", "image_id", "patient_id", "label", "split", *columns]
    table = read_table(path, named, ["repeat", *columns])
    table["repeat"] = table["repeat"].astype(int)
    if (table.groupby(["repeat", "arm"])["image_id"].agg(tuple).nunique()) != 1:
        raise InputError(f"{path}: arms and repeats predict different images; repeat anew")
    return table


def compare_arms(
    scored: pd.DataFrame,
    *,
    classes: Sequence[str],
    target_class: str,
    synthetic_arms: Sequence[str],
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every arm with the first, and the arms with synthetic images with the other remedies.

    Parameters
    ----------
    scored
        Of `read_repeats`.

    Returns
    -------
    DataFrame
        arm, reference, split (`test`, `validation`), measure (`accuracy`, `sensitivity` to the
        target class), n, patients, repeats; reference_value, value, difference (means over the
        repeats) and its 95 % interval low, high, from resampled patients and repeats at once;
        better, worse (repeats whose difference is positive, negative); only_arm, only_reference
        (images that only one of the two gets right, when the probabilities are averaged over the
        repeats), p of McNemar's exact test on these; significant (repeats whose own McNemar test
        gives p < 0.05); discordance (share of images on which the arms differ, mean over repeats).
    DataFrame
        arm, reference, split, measure, repeat, difference.
    """
    names = list(dict.fromkeys(scored["arm"]))
    others = [name for name in names[1:] if name not in synthetic_arms]
    pairs = [(name, names[0]) for name in names[1:]]
    pairs += [(name, other) for name in names if name in synthetic_arms for other in others]
    rows, single = [], []
    for split, part in scored.groupby("split", sort=False):
        first = part[(part["arm"] == names[0]) & (part["repeat"] == 0)]
        truth = first["label"].to_numpy()
        patients = first["patient_id"].to_numpy()
        probabilities = _probabilities(part, names, classes)
        right = {
            name: np.array(classes)[values.argmax(axis=2)] == truth
            for name, values in probabilities.items()
        }
        together = {
            name: np.array(classes)[values.mean(axis=0).argmax(axis=1)] == truth
            for name, values in probabilities.items()
        }
        count = len(right[names[0]])
        by_patient = patient_weights(patients, REPLICATES, rng)
        by_repeat = patient_weights(np.arange(count), REPLICATES, rng) / count
        for measure, among in (
            (ACCURACY, np.ones(len(truth), bool)),
            (SENSITIVITY, truth == target_class),
        ):
            weights = by_patient * among
            for arm, reference in pairs:
                gains = right[arm].astype(float) - right[reference]
                with np.errstate(invalid="ignore"):
                    drawn = ((weights @ gains.T) * by_repeat).sum(axis=1) / weights.sum(axis=1)
                low, high = percentile_bounds(drawn)
                differences = gains[:, among].mean(axis=1)
                won, lost = discordant(together[arm][among], together[reference][among])
                rows.append(
                    {
                        "arm": arm,
                        "reference": reference,
                        "split": split,
                        "measure": measure,
                        "n": int(among.sum()),
                        "patients": len(np.unique(patients[among])),
                        "repeats": count,
                        "reference_value": right[reference][:, among].mean(),
                        "value": right[arm][:, among].mean(),
                        "difference": differences.mean(),
                        "low": float(low),
                        "high": float(high),
                        "better": int((differences > 0).sum()),
                        "worse": int((differences < 0).sum()),
                        "only_arm": won,
                        "only_reference": lost,
                        "p": mcnemar_p(won, lost),
                        "significant": sum(
                            mcnemar_p(*discordant(a[among], b[among])) < ALPHA
                            for a, b in zip(right[arm], right[reference], strict=True)
                        ),
                        "discordance": float((gains[:, among] != 0).mean()),
                    }
                )
                single.append(
                    pd.DataFrame(
                        {
                            "arm": arm,
                            "reference": reference,
                            "split": split,
                            "measure": measure,
                            "repeat": range(count),
                            "difference": differences,
                        }
                    )
                )
    return pd.DataFrame(rows), pd.concat(single, ignore_index=True)


def _probabilities(
    part: pd.DataFrame, names: Sequence[str], classes: Sequence[str]
) -> dict[str, Floats]:
    """Return float64 [repeats, images, classes] by arm."""
    columns = [f"p_{name}" for name in classes]
    return {
        name: np.stack(
            [
                repeat[columns].to_numpy(float)
                for _, repeat in part[part["arm"] == name].groupby("repeat")
            ]
        )
        for name in names
    }


def discordant(first: Hits, second: Hits) -> tuple[int, int]:
    """Return how many images only the first and only the second gets right."""
    return int((first & ~second).sum()), int((~first & second).sum())


def mcnemar_p(won: int, lost: int) -> float:
    """Return p of McNemar's exact test, two-sided; 1 without discordant images."""
    return float(mcnemar([[0, won], [lost, 0]], exact=True).pvalue)


def mcnemar_power(n: int, gain: float, loss: float, alpha: float = ALPHA) -> float:
    """Return the probability that McNemar's exact test finds a gain, computed exactly.

    The number of discordant images is binomial, and so is that of the gained among them; summed
    over all outcomes in which the two-sided test rejects in favour of the gain.

    Parameters
    ----------
    n
        Test images, taken for independent.
    gain, loss
        Probabilities that only the new, only the old model gets an image right.
    """
    discordance = gain + loss
    if discordance == 0:
        return 0.0
    numbers = np.arange(n + 1)
    # The most losses among d discordant images with which the test still rejects; -1 for none.
    allowed = binom.ppf(alpha / 2, numbers, 0.5).astype(int)
    allowed -= 2 * binom.cdf(allowed, numbers, 0.5) > alpha
    rejects = np.where(allowed >= 0, binom.cdf(allowed, numbers, loss / discordance), 0.0)
    return float((binom.pmf(numbers, n, discordance) * rejects).sum())


def detectable(n: int, discordance: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true difference that McNemar's exact test finds with a given power.

    Parameters
    ----------
    n
        Test images.
    discordance
        Share of images on which the models differ; 0 asks for the best case, in which the new
        model loses no image. A larger difference raises it to itself.

    Returns
    -------
    float
        Difference of the accuracies, accurate to 1e-4; NaN where even the largest is not found.
    """

    def found(difference: float) -> bool:
        total = max(discordance, difference)
        gain = (total + difference) / 2
        return mcnemar_power(n, gain, total - gain, alpha) >= power

    low, high = 0.0, 1.0
    if not found(high):
        return np.nan
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def fewest_discordant(alpha: float = ALPHA) -> int:
    """Return how many images must differ, all in favour of one model, for p <= alpha."""
    number = 1
    while mcnemar_p(number, 0) > alpha:
        number += 1
    return number


def detectable_effects(table: pd.DataFrame, synthetic_arms: Sequence[str]) -> pd.DataFrame:
    """Return what the test set can show: backbone, arm, measure, n, discordance, and differences.

    `detectable` is the difference found with power 0.8 at the discordance that was seen between
    the arms, `best_case` that with no image lost, `fewest` the smallest difference that reaches
    p <= 0.05 at all (every discordant image in favour of one arm).
    """
    first = table["reference"].iloc[0]
    chosen = table[
        (table["split"] == "test")
        & table["arm"].isin(list(synthetic_arms))
        & (table["reference"] == first)
    ]
    rows = chosen[["backbone", "arm", "measure", "n", "discordance"]].reset_index(drop=True)
    sizes = rows["n"].tolist()
    rows["detectable"] = [
        detectable(n, seen) for n, seen in zip(sizes, rows["discordance"], strict=True)
    ]
    best = {n: detectable(n, 0.0) for n in set(sizes)}
    rows["best_case"] = [best[n] for n in sizes]
    rows["fewest"] = [min(1.0, fewest_discordant() / n) if n else np.nan for n in sizes]
    return rows


def draw_effects(table: pd.DataFrame, singles: pd.DataFrame, target_class: str) -> Figure:
    """Draw the differences of all arms from the first with their intervals, on the test images.

    Parameters
    ----------
    table, singles
        Of `compare_arms`, with the column backbone.
    """
    reference = table["reference"].iloc[0]
    shown = table[(table["split"] == "test") & (table["reference"] == reference)]
    arms, backbones = (list(dict.fromkeys(shown[name])) for name in ("arm", "backbone"))
    figure = Figure(figsize=(7.0, 1.1 + 0.75 * len(backbones)))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, measure in zip(axes, (ACCURACY, SENSITIVITY), strict=True):
        for i, arm in enumerate(arms):
            colour = PALETTE[i % len(PALETTE)]
            own = shown[(shown["measure"] == measure) & (shown["arm"] == arm)]
            heights = np.arange(len(own)) + 0.7 * ((i + 0.5) / len(arms) - 0.5)
            ax.hlines(heights, own["low"], own["high"], color=colour, lw=1.4)
            ax.plot(own["difference"], heights, "o", ms=4, color=colour, label=arm)
            for height, backbone in zip(heights, own["backbone"], strict=True):
                each = singles[
                    (singles["backbone"] == backbone)
                    & (singles["arm"] == arm)
                    & (singles["reference"] == reference)
                    & (singles["split"] == "test")
                    & (singles["measure"] == measure)
                ]["difference"]
                ax.plot(each, np.full(len(each), height), "|", ms=5, mew=0.8, color="0.3")
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        n = int(shown.loc[shown["measure"] == measure, "n"].iloc[0])
        name = measure if measure == ACCURACY else f"sensitivity to {target_class}"
        ax.set_xlabel(f"difference of test {name}\nfrom {reference} (n = {n})")
    axes[0].set_yticks(range(len(backbones)), backbones)
    axes[0].set_ylim(len(backbones) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(arms))
    return figure
