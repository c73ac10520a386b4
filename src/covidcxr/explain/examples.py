"""Figures 6 and 7: Grad-CAM for one test image of each class, and over the days of a patient."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covidcxr.errors import InputError
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.explain.drawing import Caption, Look, draw_grid, read_explained, text_only
from covidcxr.explain.measures import read_measured, read_severity
from covidcxr.report.formats import listing, ratio
from covidcxr.report.section import Section, SectionFigure, write_section
from covidcxr.seeding import generator

NO_DATES = "This run has no dated images\n(config: timeline)."
SEVERITY = "Under the day: predicted severity with its 90\u202f% interval, and what readers saw. "
HEAT = (
    "Heat maps: mean over the folds' models; bright colours mark what raised the score of the true "
    "class."
)


def run(
    rows: Sequence[str | Path],
    maps: Sequence[str | Path],
    severity: Sequence[str | Path],
    fig6: Sequence[str | Path],
    fig7: Sequence[str | Path],
    section: str | Path,
    *,
    augmentation: str,
    classes: Sequence[str],
    look: Mapping[str, Any],
    seed: int,
) -> None:
    """Draw figures 6 and 7, each image explained for its true class, and write their section.

    Parameters
    ----------
    rows, maps
        Table of images and maps of each backbone, see `covidcxr.explain.explanations`.
    severity
        Severity of the images, see `covidcxr.severity.severity_of`; none where no score is learned.
    fig6, fig7
        PNG and SVG to write of each.
    augmentation
        Whose maps are drawn.
    look
        `colormap` and `opacity` of the maps.
    """
    style = Look(**look)
    images = read_measured(rows[:1])
    images = images[images["augmentation"] == augmentation]
    dated = images.loc[images["cohort"] == "timeline"].sort_values("day", kind="stable")
    chosen = select_examples(images, classes, seed), dated["image_id"].tolist()
    examples, course = (
        [
            read_explained(*files, augmentation, names, style)
            for files in zip(rows, maps, strict=True)
        ]
        for names in chosen
    )

    if severity:
        known = read_severity(severity).set_index("image_id")
        course = [own.join(known) for own in course]

    def prediction(row: "pd.Series[float]") -> str:
        label, best = row["label"], predicted(row, classes)
        text = f"{label} {row[f'p_{label}']:.2f}"
        return text if best == label else f"{text}\npredicted {best} {row[f'p_{best}']:.2f}"

    with figure_style():
        save_figure(draw_grid(examples, true_class, prediction, style), *fig6)
        figure = draw_grid(course, state, prediction, style) if len(dated) else text_only(NO_DATES)
        save_figure(figure, *fig7)
    write_section(section, section_of(examples, course, classes))


def select_examples(rows: pd.DataFrame, classes: Sequence[str], seed: int) -> list[str]:
    """Choose one test image of each class at random, without regard to any prediction.

    Parameters
    ----------
    rows
        image_id, label, cohort.

    Returns
    -------
    Image names in the order of `classes`; each depends on the seed and its class's test images
    alone.

    Raises
    ------
    InputError
        A class has no test image.
    """
    chosen = []
    for name in classes:
        own = (rows["cohort"] == "test") & (rows["label"] == name)
        candidates = sorted(rows.loc[own, "image_id"])
        if not candidates:
            raise InputError(f"no test image of class {name} to show in the Grad-CAM figure")
        chosen.append(str(generator(seed, "gradcam examples", name).choice(candidates)))
    return chosen


def section_of(
    examples: Sequence[pd.DataFrame], course: Sequence[pd.DataFrame], classes: Sequence[str]
) -> Section:
    """Say what the figures show and what was predicted for their images."""
    backbones = listing(own["backbone"].iloc[0] for own in examples)
    figures = [
        SectionFigure(
            "fig6_gradcam",
            f"Grad-CAM for one test image of each class, chosen at random, originals above. {HEAT}",
            f"Images of {listing(classes)} with Grad-CAM heat maps of {backbones} over them. "
            f"{predictions(examples, true_class, classes)}",
        )
    ]
    if len(course[0]):
        figures.append(
            SectionFigure(
                "fig7_timeline",
                "The same over the days of patients kept out of training and test. "
                + (SEVERITY if "predicted" in course[0] else ""),
                f"Images of patients by day with Grad-CAM heat maps of {backbones}. "
                f"{predictions(course, day, classes)}",
            )
        )
    return Section(
        ident="explanations",
        title="Examples of heat maps",
        part="explanations",
        paragraphs=(
            "A heat map shows coarsely where a network's evidence for a class lies, not that the "
            "evidence is disease: letters, tubes, borders and framing light up as well.",
        ),
        figures=tuple(figures),
    )


def true_class(row: "pd.Series[float]") -> str:
    """Return the class of an image."""
    return str(row["label"])


def day(row: "pd.Series[float]") -> str:
    """Return the day of an image in words."""
    return "day unknown" if pd.isna(row["day"]) else f"day {row['day']:g}"


def state(row: "pd.Series[float]") -> str:
    """Return the day of an image and, where known, its severity with the interval."""
    if pd.isna(row.get("predicted")):
        return day(row)
    read = "" if pd.isna(row["read"]) else f"\nread {row['read']:.3g}"
    bounds = f"({row['low']:.1f}\u2013{row['high']:.1f})"
    return f"{day(row)}\n{row['score']} {row['predicted']:.1f} {bounds}{read}"


def predicted(row: "pd.Series[float]", classes: Sequence[str]) -> str:
    """Return the class of the highest probability."""
    return max(classes, key=lambda name: row[f"p_{name}"])


def predictions(explained: Sequence[pd.DataFrame], title: Caption, classes: Sequence[str]) -> str:
    """Say what each ensemble predicted for the images of a figure, and how surely."""
    sentences = ["Image → predicted class and its probability."]
    for own in explained:
        found = [(title(row), predicted(row, classes), row) for _, row in own.iterrows()]
        words = [f"{image} → {best} {ratio(row[f'p_{best}'])}" for image, best, row in found]
        sentences.append(f"{own['backbone'].iloc[0]}: {', '.join(words)}.")
    return " ".join(sentences)
