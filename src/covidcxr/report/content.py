"""Words of the report about what no step describes yet."""

from dataclasses import dataclass

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Run, records
from covidcxr.report.formats import THIN, count, listing, ratio, sample, some

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


def key_result(run: Run) -> tuple[str, list[str]]:
    """Return the best test result in one sentence, and a sentence for every backbone."""
    best = facts.test_ensembles(run.classification)
    if best.empty:
        return "No ensemble has been scored on the test set.", []
    top = best.iloc[0]
    low, high = facts.accuracy_interval(run, top["backbone"], top["augmentation"])
    labels = run.images.loc[lambda t: t["split"] == "test", "label"]
    baseline = labels.value_counts(normalize=True).max()
    sentence = (
        f"Best of {count(len(best))} ensembles on the test set: {top['backbone']} with "
        f"{top['augmentation']}, accuracy {ratio(top['accuracy'])} "
        f"({sample(top['n'])}, 95{THIN}% interval {ratio(low)}–{ratio(high)}); naming the "
        f"largest class every time would give {ratio(baseline)}."
    )
    scores = best.set_index(["backbone", "augmentation"])["accuracy"]
    per_backbone = []
    for backbone in run.config["backbones"]:
        texts = [
            f"{augmentation} {ratio(scores[backbone, augmentation])}"
            for augmentation in run.config["augmentations"]
            if (backbone, augmentation) in scores
        ]
        note = " (random weights)" if backbone in facts.random_backbones(run.config) else ""
        if texts:
            per_backbone.append(f"{backbone}{note}: {', '.join(texts)}")
    return sentence, per_backbone


def test_set_limits(run: Run) -> list[str]:
    """Return what the test set cannot show."""
    best = facts.test_ensembles(run.classification)
    if best.empty:
        return []
    test = run.images.loc[lambda t: t["split"] == "test", "patient_id"]
    reach = [
        facts.accuracy_interval(run, row["backbone"], row["augmentation"]) for row in records(best)
    ]
    accuracy, (low, high) = float(best["accuracy"].iloc[0]), reach[0]
    text = (
        f"The test set has {some(len(test), 'image')} of {some(test.nunique(), 'patient')}. "
        f"The accuracy of {ratio(accuracy)} on it has a 95{THIN}% interval of {ratio(low)}–"
        f"{ratio(high)}, {ratio(high - low)} wide, with patients as the independent units."
    )
    found = [text]
    if len(best) > 1:
        spread = accuracy - float(best["accuracy"].iloc[-1])
        overlap = max(low for low, _ in reach) <= min(high for _, high in reach)
        found.append(
            f"The best of {count(len(best))} ensembles is named by the same test set that scores "
            f"it, which favours it. Best and worst differ by {ratio(spread)}; "
            + (
                "the intervals of all of them overlap, so their order may be chance."
                if overlap
                else "not all of their intervals overlap."
            )
        )
    return found


def figure_captions(run: Run) -> dict[str, str]:
    """Return the caption of each figure, by file stem."""
    config, training = run.config, run.config["training"]
    cyclegan = config["cyclegan"]
    source, target = cyclegan["source_class"], cyclegan["target_class"]
    best = facts.test_ensembles(run.classification)
    n = f" ({sample(best['n'].iloc[0])})" if len(best) else ""
    maps = (
        f"Heat maps: mean over the folds' models trained with {config['explain']['augmentation']}; "
        "warm colours mark what raised the score of the class explained,"
    )
    return {
        "fig1_diagnoses": "Diagnoses in the raw collections, by view. "
        + collections_text(run.collections),
        "fig2_synthetic": (
            f"Training images of {source} (top), the {target} images that the CycleGAN made of "
            f"them (middle; {count(len(run.synthetic))} made in all), and real training images of "
            f"{target} (bottom). What the network changes is whatever tells its classes apart in "
            f"what it sees, {SEEN[cyclegan['region']]}."
        ),
        "fig3_architecture": (
            f"The classifier. Input {config['image_size']} × {config['image_size']} × 3; "
            f"backbone without its top; global average pooling; dense layer of "
            f"{training['dense_units']} units (ReLU); dropout "
            f"{training['dropout']}; softmax over {len(run.classes)} classes."
        ),
        "fig4_loss": (
            f"Training and validation loss over {training['epochs']} epochs, "
            f"{config['split']['folds']} folds: each fold "
            "thin, their mean thick, a mark at the epoch whose model was kept."
        ),
        "fig5_confusion": (
            f"Confusion matrices of the ensembles on the test set{n}. Rows: predicted class; "
            "columns: true class; cells: images. Above each, its overall accuracy."
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


def collections_text(collections: pd.DataFrame) -> str:
    """Say what each raw collection lists, how much is there, and its commonest diagnosis."""
    sentences = []
    if len(collections):
        for source, part in collections.groupby("source", sort=False):
            by_diagnosis = part.groupby("diagnosis")["images"].sum().sort_values(ascending=False)
            sentences.append(
                f"{source}: {count(part['images'].sum())} images listed, "
                f"{count(part['files'].sum())} files present, most often {by_diagnosis.index[0]} "
                f"({count(by_diagnosis.iloc[0])})."
            )
    return " ".join(sentences)


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
        "fig1_diagnoses": "Bar chart of the number of images of each diagnosis in the collections.",
        "fig2_synthetic": "Rows of chest images: originals, their CycleGAN translations, and "
        "real images of the class translated to.",
        "fig3_architecture": "Diagram of the classifier: backbone, pooling, dense layer, softmax.",
        "fig4_loss": f"Line charts of loss against epoch for {models}.",
        "fig5_confusion": f"Confusion matrices over {classes} for {models}; the same results stand "
        "as numbers in the tables of this section.",
        "fig6_gradcam": f"Images of {classes} with Grad-CAM heat maps of {models} over them.",
        "fig7_timeline": f"Images of patients by day with Grad-CAM heat maps of {models}.",
        "cyclegan_samples": "Sample images of the CycleGAN in four rows.",
    }


TABLE_CAPTIONS = {
    "published_accuracy": (
        "Test accuracy beside the published one. A difference is this run minus the published "
        "value; the test sets are not the same images."
    ),
    "published_comparison": (
        "Precision and accuracy beside published systems. The systems were tested on different "
        "images, so a difference between rows is no ranking."
    ),
    "ensembles": (
        "Ensembles (mean probability over the folds' models) on the test set, best first: the "
        "study's models, all backbones together (mean of their probabilities), and a logistic "
        "regression and a support vector machine on the pooled features of each backbone, without "
        "augmentation, in the same folds. Accuracy with its 95 % patient-clustered bootstrap "
        "interval, mean ± standard deviation over single folds, recall and precision of each class."
    ),
    "classification": "Every model: each fold on its validation images and on the test set, and "
    "the ensembles.",
    "models": "Size and parameters of the models.",
}
