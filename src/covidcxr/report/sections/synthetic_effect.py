"""The report's section on whether synthetic images help."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import count, difference, listing, ratio, share, some, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

NAME, DETECTABLE = "synthetic_effect", "detectable_effect"


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the study was not repeated."""
    effects, reach = tables.get(NAME), tables.get(DETECTABLE)
    if effects is None or reach is None:
        return None
    target = run.config["cyclegan"]["target_class"]
    synthetic = [
        name for name, settings in run.config["augmentations"].items() if settings["synthetic"]
    ]
    test = effects[effects["split"] == "test"]
    reference = str(test["reference"].iloc[0])
    remedies = [
        name
        for name in dict.fromkeys(test["arm"].astype(str))
        if name not in synthetic and name != reference
    ]
    random = facts.random_backbones(run.config)
    return Section(
        ident="synthetic-effect",
        title="Whether the synthetic images help",
        paragraphs=[
            *(finding(test, arm, reference, target, random) for arm in synthetic),
            *remedy_texts(test, synthetic, remedies, target),
            *reach_texts(reach),
            "A repeat draws the folds, the first weights of every head, the order of the batches, "
            "dropout and the copied images anew. The test set, the CycleGAN, its images and the "
            "augmented views stay: the CycleGAN has seen the training images, so a test set drawn "
            "from these would favour it. For the same reason the table's validation rows favour "
            "it, though they rest on more images. 'Copied images' takes as many real training "
            "images of the class twice as there would be synthetic ones; 'class weights' weighs "
            "the loss instead. McNemar's exact test takes images as independent; the intervals "
            "resample patients and repeats.",
        ],
        figures=[
            SectionFigure(
                NAME,
                f"Difference from training with {reference}, on the test set, in accuracy and in "
                f"sensitivity to {target}. Points are means over the repeats, bars their 95 % "
                "intervals by resampled patients and repeats, ticks the single repeats.",
                "Dot plot of differences in accuracy and sensitivity with their intervals.",
            )
        ],
        tables=[
            SectionTable(
                NAME,
                "Every comparison. 'Only arm' and 'only reference' are images that one of the two "
                "alone gets right when the repeats' probabilities are averaged, p is McNemar's "
                "exact test on them, p holm corrected for all comparisons on the test set; "
                "'significant' counts repeats that reach p < 0.05 by themselves.",
                table_of(effects.drop(columns=["patients", "discordance"])),
                folded=True,
            )
        ],
    )


def finding(test: pd.DataFrame, arm: str, reference: str, target: str, random: list[str]) -> str:
    """Say in one sentence what an arm with synthetic images does, whichever way it falls."""
    own = test[(test["arm"] == arm) & (test["reference"] == reference)]
    rows = records(own)
    verdicts = []
    for measure, name in (("accuracy", "accuracy"), ("sensitivity", f"sensitivity to {target}")):
        part = [row for row in rows if row["measure"] == measure]
        raised = [str(row["backbone"]) for row in part if row["low"] > 0]
        lowered = [str(row["backbone"]) for row in part if row["high"] < 0]
        words = [
            *([f"raised it with {listing(raised)}"] if raised else []),
            *([f"lowered it with {listing(lowered)}"] if lowered else []),
        ]
        verdicts.append(
            f"test {name}: "
            + (listing(words) if words else "no change beyond chance with any backbone")
            + f" ({'; '.join(_change(row, random) for row in part)})"
        )
    first = rows[0]
    return (
        f"Finding: over {some(first['repeats'], 'repeat')}, {arm} with its synthetic images "
        f"against {reference} without, {'; '.join(verdicts)}."
    )


def _change(row: Row, random: list[str]) -> str:
    note = ", random weights" if row["backbone"] in random else ""
    return (
        f"{row['backbone']}{note}: {ratio(row['reference_value'])} to {ratio(row['value'])}, "
        f"{difference(row['difference'])}, 95 % interval {_interval(row)}, McNemar p = "
        f"{ratio(row['p'])}"
    )


def _interval(row: Row) -> str:
    return f"{difference(row['low'])} to {difference(row['high'])}"


def remedy_texts(
    test: pd.DataFrame, synthetic: list[str], remedies: list[str], target: str
) -> list[str]:
    """Compare the arms with synthetic images with each simpler remedy."""
    texts = []
    for arm in synthetic:
        for remedy in remedies:
            rows = records(test[(test["arm"] == arm) & (test["reference"] == remedy)])
            parts = []
            for row in rows:
                name = "accuracy" if row["measure"] == "accuracy" else f"sensitivity to {target}"
                beyond = "" if row["low"] > 0 or row["high"] < 0 else ", not beyond chance"
                parts.append(
                    f"{row['backbone']} {name} {difference(row['difference'])} "
                    f"({_interval(row)}{beyond})"
                )
            texts.append(f"{arm} against {remedy}: {'; '.join(parts)}.")
    return texts


def reach_texts(reach: pd.DataFrame) -> list[str]:
    """Say how large an effect the test set can detect."""
    texts = []
    for measure, own in reach.groupby("measure", sort=False):
        n = own["n"].iloc[0]
        seen = [
            f"{share(row['detectable'])} with {row['backbone']} ({share(row['discordance'])})"
            for row in records(own.dropna(subset="detectable"))
        ]
        texts.append(
            f"What the test set can show, {measure}: {some(n, 'image')} find a difference of "
            f"{share(own['best_case'].iloc[0])} with power 0.8 (McNemar's exact test, two-sided, "
            "0.05) where the better model loses no image, and, at the share of images on which "
            f"the arms were seen to differ, {listing(seen) if seen else 'none'}; below "
            f"{share(own['fewest'].iloc[0])} ({count(own['fewest'].iloc[0] * n)} images, all in "
            "favour of one) no result can be significant."
        )
    return texts
