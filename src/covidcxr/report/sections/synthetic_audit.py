"""The report's section on what the synthetic images are: copies, fakes, and what was changed."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import MINUS, Table, count, listing, ratio, share, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

FEATURES, CHANGES, CYCLE = "audit_features", "audit_summary", "cycle_error"
NEIGHBOURS = "audit_neighbours"

NO_FRECHET = (
    "No Fréchet distance is given: with fewer images than features the covariances that it "
    "compares are singular, and its bias is larger than what is to be measured. The kernel "
    "distance is unbiased at any number of images (Bińkowski et al. 2018, the kernel inception "
    "distance, here in each backbone's own features). Features of random weights say little."
)


def section(run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has no synthetic images."""
    features, changes, cycle = (tables.get(name) for name in (FEATURES, CHANGES, CYCLE))
    if features is None and changes is None:
        return None
    paragraphs: list[str] = []
    figures: list[SectionFigure] = []
    shown: list[SectionTable] = []
    if features is not None:
        paragraphs += [
            *feature_texts(features, facts.random_backbones(run.config)),
            *source_texts(tables.get(NEIGHBOURS)),
            NO_FRECHET,
        ]
        figures.append(
            SectionFigure(
                FEATURES,
                "Synthetic images in the backbones' feature space. Above: share of images whose "
                "nearest training image of the class lies within a distance; copies would lie "
                "near 0. Below: balanced accuracy of telling two sets apart (0.5 is chance), and "
                "kernel distance in multiples of the 97.5th percentile between halves of the real "
                "images (at 1 and below, chance explains it). 'Target' are real training images "
                "of the class, 'source' the images that were translated; bars are 95 % intervals.",
                "Distribution of nearest-neighbour distances, and dot plots of two-sample tests.",
            )
        )
        shown.append(
            SectionTable(
                FEATURES,
                "The audit in feature space. Copying: probability that a synthetic image lies "
                "nearer to a training image than a real test image does (0.5 without copying).",
                feature_table(features),
                folded=True,
            )
        )
    if changes is not None:
        paragraphs.append(change_text({row["measure"]: row for row in records(changes)}))
        figures.append(
            SectionFigure(
                "audit_changes",
                "What the translation changes. Above: mean images. Below: mean change, the "
                "difference between the real classes for comparison, and the spread of the change "
                "between patients. The line surrounds where half of the sources have lungs (masks "
                "of phantoms, radiologists' boxes, else an estimate from the image).",
                "Mean images before and after translation and maps of their differences.",
            )
        )
    if cycle is not None:
        paragraphs.append(cycle_text(cycle))
    return Section(
        ident="synthetic-audit",
        title="What the synthetic images are",
        paragraphs=paragraphs,
        figures=figures,
        tables=shown,
    )


def feature_texts(features: pd.DataFrame, random: list[str]) -> list[str]:
    """Say what copying, the classifier and the kernel distance found, for each backbone."""
    texts = []
    for backbone in dict.fromkeys(features["backbone"].astype(str)):
        own = features[features["backbone"] == backbone]
        at = {(row["measure"], row["first"], row["second"]): row for row in records(own)}
        name = f"{backbone} (random weights)" if backbone in random else backbone
        apart = at["classifier", "synthetic", "target"]
        sentence = (
            f"{name}: {_copying(at['copying', 'synthetic', 'test'])}; a classifier tells synthetic "
            f"from real images of the class with balanced accuracy {_value(apart)} "
            f"(0.5 would be chance); {_nearer(at)}."
        )
        texts.append(sentence)
    return texts


def _copying(row: Row) -> str:
    if pd.isna(row["value"]):
        return "too few images to look for copies"
    if row["low"] > 0.5:
        found = "synthetic images lie nearer to training images than unseen real ones do"
    elif row["high"] < 0.5:
        found = "no sign of copying, synthetic images lie farther from training images than real"
    else:
        found = "no sign of copying"
    return f"{found} (probability to lie nearer {_value(row)})"


def _nearer(at: Mapping[tuple[str, str, str], Row]) -> str:
    """Compare the kernel distances to the target before and after translation."""
    words = []
    for measure, name in (
        ("kernel_distance", "raw"),
        ("kernel_distance_standardised", "standardised"),
    ):
        before, after = (at[measure, first, "target"] for first in ("source", "synthetic"))
        if after["high"] < before["low"]:
            place = "nearer"
        elif after["low"] > before["high"]:
            place = "farther"
        else:
            place = "as far, within their intervals"
        words.append(f"{place} ({name} features)")
    return (
        "by kernel distance to the real class, the translations lie, against the films that they "
        f"were made from, {listing(words)}"
    )


def _value(row: Row) -> str:
    if pd.isna(row["value"]):
        return "unknown"
    return f"{ratio(row['value'])} ({ratio(row['low'])}–{ratio(row['high'])})"


def source_texts(neighbours: pd.DataFrame | None) -> list[str]:
    """Say how many synthetic images have their own source as the nearest training image."""
    if neighbours is None:
        return []
    made = neighbours[neighbours["kind"] == "synthetic"]
    if made["nearest_is_source"].dtype == bool:
        own = made["nearest_is_source"]
    else:
        own = made["nearest_is_source"] == "yes"
    parts = [
        f"{count(found.sum())} of {count(len(found))} ({backbone})"
        for backbone, found in own.groupby(made["backbone"], sort=False)
    ]
    return [
        "Of all training images the one that it was made from lies nearest to the synthetic image "
        f"for {listing(parts)}."
    ]


def feature_table(features: pd.DataFrame) -> Table:
    """Set the audit in feature space as a table."""
    frame = features.assign(
        measure=features["measure"].str.replace("_", " "),
        **{name: [_number(value) for value in features[name]] for name in ("value", "low", "high")},
    )
    labels = {"n_first": "n first", "n_second": "n second", "low": "95 % from", "high": "to"}
    return table_of(frame, labels, {"p": lambda p: "< 0.001" if p < 0.001 else ratio(p)})


def _number(value: float) -> str:
    """Write a number of any size with three digits; kernel distances span many powers of ten."""
    return "" if pd.isna(value) else f"{value:.3g}".replace("-", MINUS)


def change_text(found: Mapping[str, Row]) -> str:
    """Say how the change divides, and whether it lies in the lungs."""

    def value(name: str) -> float:
        return float(found[name]["value"])

    enrichment = found["enrichment"]
    if pd.isna(enrichment["value"]):
        where = "where it lies cannot be told"
    elif enrichment["low"] > 1:
        where = "it lies in the lungs more than elsewhere"
    elif enrichment["high"] < 1:
        where = "it lies in the lungs less than elsewhere"
    else:
        where = "it lies in the lungs no more than elsewhere"
    return (
        f"Translation changes the images by {value('change'):.1f} grey levels (root mean square). "
        f"Of the squared change {share(value('intensity'))} is one change of brightness and "
        f"contrast of the whole image, {share(value('common'))} is the same at the same place for "
        f"all patients (framing, margins, width of the body), and {share(value('individual'))} "
        f"differs between patients. Of that, {_share(found['individual_in_lungs'])} lies in the "
        f"lungs, which take {share(value('lungs'))} of the image: {where} ({_value(enrichment)} "
        "times their area). The mean change correlates with the difference between the mean real "
        f"images of the two classes at {ratio(value('likeness'))}: at 1 the generator has learnt, "
        "on average, just what tells the collections apart, framing included."
    )


def _share(row: Row) -> str:
    if pd.isna(row["value"]):
        return "an unknown share"
    return f"{share(row['value'])} ({share(row['low'])}–{share(row['high'])})"


def cycle_text(cycle: pd.DataFrame) -> str:
    """Say how well images come back, and whether faint noise prevents it."""
    means = cycle.groupby("split").mean(numeric_only=True)
    parts = [
        f"{error:.1f} grey levels for {count((cycle['split'] == split).sum())} "
        f"{'training' if split == 'train' else 'test'} images (translation itself changes them by "
        f"{change:.1f})"
        for split, error, change in means[["cycle_error", "change"]].itertuples()
    ]
    first = means.iloc[-1]
    return (
        f"Translated there and back, images differ from themselves by {listing(parts)}, mean "
        f"absolute difference. With noise of 2 grey levels, which no eye sees, added on the way it "
        f"is {first['cycle_error_noisy']:.1f}: were it much more, the way back would read a code "
        "hidden in the translation instead of its anatomy."
    )
