"""Words of the report about what no step describes yet."""

from dataclasses import dataclass

import pandas as pd

from covidcxr.report.facts import Run, records
from covidcxr.report.formats import count, listing, ratio

SEEN = {
    "film": "the whole film, framing, margins and letters included",
    "thorax": "the thorax, cut out alike, contrast stretched and letters painted over",
}
"""What the CycleGAN sees, by `cyclegan.region`."""


@dataclass(frozen=True)
class Notice:
    """A statement for the top of the report. `kind` is `warning` or `note`."""

    kind: str
    text: str


def figure_captions(run: Run) -> dict[str, str]:
    """Return the caption of each figure, by file stem."""
    config = run.config
    cyclegan = config["cyclegan"]
    source, target = cyclegan["source_class"], cyclegan["target_class"]
    maps = (
        f"Heat maps: mean over the folds' models trained with {config['explain']['augmentation']}; "
        "warm colours mark what raised the score of the class explained,"
    )
    return {
        "fig2_synthetic": (
            f"Training images of {source} (top), the {target} images that the CycleGAN made of "
            f"them (middle; {count(len(run.synthetic))} made in all), and real training images of "
            f"{target} (bottom). What the network changes is whatever tells its classes apart in "
            f"what it sees, {SEEN[cyclegan['region']]}."
        ),
        "fig6_gradcam": (
            "Grad-CAM for one test image of each class, drawn without regard to any prediction, "
            f"originals above. {maps} which is the true class of each image. "
            + explanations_text(run.explanations, "fig6_gradcam")
        ).strip(),
        "fig7_timeline": (
            "Grad-CAM over the days of patients kept out of training and test, originals above. "
            f"{maps} which is {listing(_explained(run.explanations)) or 'the same'} throughout. "
            + explanations_text(run.explanations, "fig7_timeline")
        ).strip(),
        "cyclegan_samples": (
            f"Samples of the CycleGAN after {count(cyclegan['iterations'])} iterations at "
            f"{cyclegan['image_size']} × {cyclegan['image_size']} pixels. "
            f"Rows from the top: {source} images, translated to {target}, translated back; real "
            f"{target} images. It sees {SEEN[cyclegan['region']]}."
        ),
    }


def _explained(explanations: pd.DataFrame) -> list[str]:
    if explanations.empty:
        return []
    timeline = explanations[explanations["figure"] == "fig7_timeline"]
    return list(dict.fromkeys(timeline["explained"]))


def explanations_text(explanations: pd.DataFrame, figure: str) -> str:
    """Say what each model predicted for the images of a Grad-CAM figure, and how surely.

    Images of figure 7 go by their day, where known, those of figure 6 by their true class.
    """
    if explanations.empty or not (explanations["figure"] == figure).any():
        return ""
    shown = explanations[explanations["figure"] == figure]
    sentences = ["Image → predicted class and its probability."]
    for backbone, part in shown.groupby("backbone", sort=False):
        words = []
        for row in records(part):
            dated = figure == "fig7_timeline" and pd.notna(row["day"])
            what = f"day {row['day']:g}" if dated else row["label"]
            words.append(f"{what} → {row['predicted']} {ratio(row['probability'])}")
        sentences.append(f"{backbone}: {', '.join(words)}.")
    return " ".join(sentences)


def figure_alts(run: Run) -> dict[str, str]:
    """Return what each figure shows, for readers who cannot see it."""
    models = listing(run.config["backbones"])
    classes = listing(run.classes)
    return {
        "fig2_synthetic": "Rows of chest images: originals, their CycleGAN translations, and "
        "real images of the class translated to.",
        "fig6_gradcam": f"Images of {classes} with Grad-CAM heat maps of {models} over them.",
        "fig7_timeline": f"Images of patients by day with Grad-CAM heat maps of {models}.",
        "cyclegan_samples": "Sample images of the CycleGAN in four rows.",
    }
