"""Do the synthetic images help? Arms of the repeats compared in pairs, and what can be detected."""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from covidcxr.array_types import Mask
from covidcxr.classify.predictions import probabilities_of, score_columns
from covidcxr.data.tables import read_table, stacked, write_table
from covidcxr.errors import InputError
from covidcxr.evaluate.bootstrap import REPLICATES, patient_weights, percentile_bounds
from covidcxr.evaluate.style import dots, figure_style, save_figure
from covidcxr.report.formats import count, difference, interval, listing, share, some
from covidcxr.report.section import Check, Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator

ALPHA, POWER = 0.05, 0.8
FEWEST = math.ceil(1 - math.log2(ALPHA))
"""Images that must differ, all in favour of one model, for McNemar's p = 2 * 0.5^n <= ALPHA."""
ACCURACY, SENSITIVITY = "accuracy", "sensitivity"


def run(
    *,
    repeats: Sequence[str | Path],
    tables: Sequence[str | Path],
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    weights: Mapping[str, str],
    classes: Sequence[str],
    target_class: str,
    synthetic_arms: Sequence[str],
    seed: int,
) -> None:
    """Compare the arms of the repeats, and write what a test set of this size can show.

    Parameters
    ----------
    repeats
        For each backbone the table of `covidcxr.classify.repeats`.
    tables
        Three CSV files to write: that of `compare_arms` for all backbones; the differences of the
        single repeats (backbone, arm, reference, split, measure, repeat, difference); that of
        `detectable_effects`.
    weights
        Weights of each backbone, in the order of `repeats`; `random` is said in the section.
    target_class
        The class whose sensitivity is compared.
    synthetic_arms
        Arms that train with synthetic images.
    """
    compared, each = {}, {}
    for backbone, path in zip(weights, repeats, strict=True):
        scored = read_repeats(path, classes)
        rng = generator(seed, "synthetic_effect", backbone)
        compared[backbone], each[backbone] = compare_arms(
            scored, classes, target_class, synthetic_arms, rng
        )
    table, singles = stacked(compared, "backbone"), stacked(each, "backbone")
    # One family: every test that is made on the test images.
    tested = (table["split"] == "test") & table["p"].notna()
    table.loc[tested, "p_holm"] = multipletests(table.loc[tested, "p"], method="holm")[1]
    reach = detectable_effects(table, synthetic_arms)
    for frame, path in zip((table, singles, reach), tables, strict=True):
        write_table(frame, path)
    with figure_style():
        save_figure(draw_effects(table, singles, target_class), png, svg)
    random = [backbone for backbone, origin in weights.items() if origin == "random"]
    write_section(section, section_of(table, reach, target_class, synthetic_arms, random))


def read_repeats(path: str | Path, classes: Sequence[str]) -> pd.DataFrame:
    """Read a table of repeats: numbers as float, repeat as int.

    Raises
    ------
    InputError
        The arms or repeats do not predict the same images.
    """
    columns = score_columns(classes)
    named = ["repeat", "arm", "image_id", "patient_id", "label", "split", *columns]
    table = read_table(path, named, ["repeat", *columns]).astype({"repeat": int})
    if (table.groupby(["repeat", "arm"])["image_id"].agg(tuple).nunique()) != 1:
        raise InputError(f"{path}: arms and repeats predict different images; repeat again")
    return table


def compare_arms(
    scored: pd.DataFrame,
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
        right, together = {}, {}
        for name, own in part.groupby("arm"):
            shape = own["repeat"].nunique(), len(truth), len(classes)
            ordered = own.sort_values("repeat", kind="stable")
            values = probabilities_of(ordered, classes).reshape(shape)
            right[name] = np.array(classes)[values.argmax(axis=2)] == truth
            together[name] = np.array(classes)[values.mean(axis=0).argmax(axis=1)] == truth
        times = len(right[names[0]])
        by_patient = patient_weights(patients, REPLICATES, rng)
        by_repeat = patient_weights(np.arange(times), REPLICATES, rng) / times
        for measure, among in (
            (ACCURACY, np.ones(len(truth), bool)),
            (SENSITIVITY, truth == target_class),
        ):
            weights = by_patient * among
            for arm, reference in pairs:
                gains = right[arm].astype(float) - right[reference]
                with np.errstate(invalid="ignore"):
                    resampled = ((weights @ gains.T) * by_repeat).sum(axis=1) / weights.sum(axis=1)
                low, high = percentile_bounds(resampled)
                differences = gains[:, among].mean(axis=1)
                won, lost = discordant(together[arm][among], together[reference][among])
                what = {"arm": arm, "reference": reference, "split": split, "measure": measure}
                rows.append(
                    what
                    | {
                        "n": int(among.sum()),
                        "patients": len(np.unique(patients[among])),
                        "repeats": times,
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
                single += [
                    what | {"repeat": repeat, "difference": value}
                    for repeat, value in enumerate(differences)
                ]
    return pd.DataFrame(rows), pd.DataFrame(single)


def discordant(first: Mask, second: Mask) -> tuple[int, int]:
    """Return how many images only the first and only the second gets right."""
    return int((first & ~second).sum()), int((~first & second).sum())


def mcnemar_p(won: int, lost: int) -> float:
    """Return p of McNemar's exact test, two-sided; 1 without discordant images."""
    return float(mcnemar([[0, won], [lost, 0]], exact=True).pvalue)


def mcnemar_power(n: int, gain: float, loss: float) -> float:
    """Return the probability that McNemar's exact test finds a gain, computed exactly.

    The number of discordant images is binomial, and so is that of the gained among them; summed
    over all outcomes in which the two-sided test rejects in favour of the gain.

    Parameters
    ----------
    n
        Test images, taken as independent.
    gain, loss
        Probabilities that only the new, only the old model gets an image right.
    """
    discordance = gain + loss
    if discordance == 0:
        return 0.0
    numbers = np.arange(n + 1)
    # The most losses among d discordant images with which the test still rejects; -1 for none.
    allowed = binom.ppf(ALPHA / 2, numbers, 0.5).astype(int)
    allowed -= 2 * binom.cdf(allowed, numbers, 0.5) > ALPHA
    rejects = np.where(allowed >= 0, binom.cdf(allowed, numbers, loss / discordance), 0.0)
    return float((binom.pmf(numbers, n, discordance) * rejects).sum())


def detectable(n: int, discordance: float) -> float:
    """Return the smallest true difference that McNemar's exact test finds with `POWER`.

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
        Difference of the accuracies; NaN where even the largest is not found.
    """

    def lacking(gained: float) -> float:
        total = max(discordance, gained)
        gain = (total + gained) / 2
        return POWER - mcnemar_power(n, gain, total - gain)

    return float(brentq(lacking, 0, 1, xtol=1e-6)) if lacking(1.0) <= 0 else np.nan


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
    rows["detectable"] = list(map(detectable, rows["n"], rows["discordance"]))
    rows["best_case"] = rows["n"].map({n: detectable(n, 0.0) for n in set(rows["n"])})
    rows["fewest"] = (FEWEST / rows["n"]).where(rows["n"] > 0).clip(upper=1.0)
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
    of_test = singles[(singles["split"] == "test") & (singles["reference"] == reference)]
    arms, backbones = (list(shown[name].unique()) for name in ("arm", "backbone"))
    of_repeats = dict(list(of_test.groupby(["measure", "arm", "backbone"])["difference"]))
    figure = Figure(figsize=(7.0, 1.1 + 0.75 * len(backbones)))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, measure in zip(axes, (ACCURACY, SENSITIVITY), strict=True):
        for i, arm in enumerate(arms):
            own = shown[(shown["measure"] == measure) & (shown["arm"] == arm)]
            heights = np.arange(len(own)) + 0.7 * ((i + 0.5) / len(arms) - 0.5)
            values = own[["difference", "low", "high"]].to_numpy(float)
            dots(ax, heights, values, i, arm, width=1.4)
            for height, backbone in zip(heights, own["backbone"], strict=True):
                each = of_repeats[measure, arm, backbone]
                ax.plot(each, np.full(len(each), height), "|", ms=5, mew=0.8, color="0.3")
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        n = int(shown.loc[shown["measure"] == measure, "n"].iloc[0])
        name = measure if measure == ACCURACY else f"sensitivity to {target_class}"
        ax.set_xlabel(f"difference of test {name}\nfrom {reference} (n = {n})")
    axes[0].set_yticks(range(len(backbones)), backbones)
    axes[0].set_ylim(len(backbones) - 0.5, -0.5)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(arms))
    return figure


def section_of(
    table: pd.DataFrame,
    reach: pd.DataFrame,
    target: str,
    synthetic: Sequence[str],
    random: Sequence[str],
) -> Section:
    """Say what the synthetic images do, whichever way it falls.

    Parameters
    ----------
    table, reach
        Of `compare_arms` with p_holm, and of `detectable_effects`.
    target
        Name of the target class.
    synthetic, random
        Arms with synthetic images, and backbones without trained weights.
    """
    test = table[table["split"] == "test"]
    reference = str(test["reference"].iloc[0])
    remedies = [arm for arm in test["arm"].unique() if arm not in (*synthetic, reference)]
    return Section(
        ident="synthetic-effect",
        title="Whether the synthetic images help",
        part="synthetic",
        paragraphs=tuple(finding(test, arm, reference, target, random) for arm in synthetic),
        checks=(check(test, synthetic, reference),),
        method=(
            "A repeat has its own folds, first weights of every head, order of the batches, "
            "dropout and copied images. The test set, the CycleGAN, its images and the augmented "
            "views stay: the CycleGAN has seen the training images, so a test set sampled from "
            "these would favour it. For the same reason the table's validation rows favour it, "
            "though they rest on more images. 'Copied images' takes as many real training images "
            "of the class twice as there would be synthetic ones; 'class weights' weighs the loss "
            "instead. McNemar's exact test takes images as independent; the intervals resample "
            "patients and repeats. Values are means over the repeats' own models, so they differ "
            "from the accuracy of the ensembles in the section on performance.",
            *(remedy_text(test, arm, remedy, target) for arm in synthetic for remedy in remedies),
            *reach_texts(reach),
        ),
        figures=(
            SectionFigure(
                "synthetic_effect",
                f"Difference from training with {reference}, on the test set, in accuracy and in "
                f"sensitivity to {target}: means over the repeats (ticks: single ones), 95 % "
                "intervals.",
                check(test, synthetic, reference).text,
            ),
        ),
        tables=(
            SectionTable("synthetic_effect", "Every comparison, with McNemar's exact test."),
            SectionTable("synthetic_effect_repeats", "Differences of the single repeats."),
            SectionTable("detectable_effect", "Smallest differences that the test set can show."),
        ),
    )


def finding(
    test: pd.DataFrame, arm: str, reference: str, target: str, random: Sequence[str]
) -> str:
    """Say what an arm with synthetic images does, whichever way it falls."""
    own = test[(test["arm"] == arm) & (test["reference"] == reference)]
    verdicts = []
    for measure, part in own.groupby("measure", sort=False):
        raised, lowered = part[part["low"] > 0]["backbone"], part[part["high"] < 0]["backbone"]
        words = [
            f"{what} with {listing(backbones)}"
            for what, backbones in (("higher", raised), ("lower", lowered))
            if len(backbones)
        ]
        changes = [
            f"{row['backbone']}{' (random weights)' if row['backbone'] in random else ''} "
            f"{_difference(row)}"
            for row in part.to_dict("records")
        ]
        verdicts.append(
            f"{_measure(str(measure), target)}: "
            + (listing(words) if words else "no change beyond chance")
            + f" ({'; '.join(changes)})"
        )
    return (
        f"{arm} with its synthetic images against {reference} without, differences over "
        f"{some(own['repeats'].iloc[0], 'repeat')} on the test set. "
        f"{'. '.join(text[:1].upper() + text[1:] for text in verdicts)}."
    )


def check(test: pd.DataFrame, synthetic: Sequence[str], reference: str) -> Check:
    """Pass where synthetic images raise a measure beyond chance and lower none."""
    own = test[test["arm"].isin(list(synthetic)) & (test["reference"] == reference)]
    raised, lowered = own[own["low"] > 0], own[own["high"] < 0]
    texts = [
        f"{part['measure'].iloc[0]} {what} with {listing(dict.fromkeys(part['backbone']))}"
        for found, what in ((raised, "higher"), (lowered, "lower"))
        for _, part in found.groupby("measure", sort=False)
    ]
    text = listing(texts) if texts else "no gain beyond chance with any backbone"
    passed = len(raised) and not len(lowered)
    return Check(
        "Synthetic images", "pass" if passed else "warning", f"{text[:1].upper()}{text[1:]}."
    )


def _measure(name: str, target: str) -> str:
    return name if name == ACCURACY else f"{name} to {target}"


def _difference(row: dict[Hashable, Any]) -> str:
    return interval(row["difference"], row["low"], row["high"], difference)


def remedy_text(test: pd.DataFrame, arm: str, remedy: str, target: str) -> str:
    """Compare an arm with synthetic images with a simpler remedy."""
    own = test[(test["arm"] == arm) & (test["reference"] == remedy)]
    parts = [
        f"{row['backbone']} {_measure(row['measure'], target)} {_difference(row)}"
        + ("" if row["low"] > 0 or row["high"] < 0 else ", not beyond chance")
        for row in own.to_dict("records")
    ]
    return f"{arm} against {remedy}: {'; '.join(parts)}."


def reach_texts(reach: pd.DataFrame) -> list[str]:
    """Say how large an effect the test set can detect."""
    texts = []
    for measure, own in reach.groupby("measure", sort=False):
        n, best, fewest = (own[name].iloc[0] for name in ("n", "best_case", "fewest"))
        seen = [
            f"{share(row['detectable'])} with {row['backbone']} ({share(row['discordance'])})"
            for row in own.dropna(subset="detectable").to_dict("records")
        ]
        texts.append(
            f"Minimum detectable difference in {measure} with {some(n, 'image')}, 80 % power "
            "(McNemar's exact test, two-sided, 0.05): "
            + ("none" if np.isnan(best) else share(best))
            + " where the better model loses no image; at the share of images on which the arms "
            f"differed: {listing(seen) if seen else 'none'}. Below {share(fewest)} "
            f"({count(fewest * n)} images, all in favour of one) no result can be significant."
        )
    return texts
