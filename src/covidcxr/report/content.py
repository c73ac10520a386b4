"""What the report says in words: notices, the key result, limits, captions, works to cite.

Every number comes from the tables of the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import THIN, count, listing, ratio, sample, share, some

NIH_REFERENCE = (
    "Wang X, Peng Y, Lu L, et al. ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks "
    "on Weakly-Supervised Classification and Localization of Common Thorax Diseases. CVPR 2017. "
    "Labels were mined from reports."
)
REFERENCES = {
    "covid_chestxray": (
        "Cohen JP, Morrison P, Dao L, et al. COVID-19 Image Data Collection: Prospective "
        "Predictions Are the Future. 2020, arXiv:2006.11988. Each image carries its own licence."
    ),
    "kermany": (
        "Kermany D, Zhang K, Goldbaum M. Labeled Optical Coherence Tomography (OCT) and Chest "
        "X-Ray Images for Classification. Mendeley Data, version 2, 2018, "
        "doi:10.17632/rscbjbr9sj.2, CC BY 4.0."
    ),
    "nih": NIH_REFERENCE,
    "nih_subset": (
        f"{NIH_REFERENCE} The subset: Ozturk T, Talo M, Yildirim EA, et al. Automated Detection of "
        "COVID-19 Cases Using Deep Neural Networks with X-ray Images. Computers in Biology and "
        "Medicine 121, 103792 (2020)."
    ),
}
METHOD_REFERENCES = (
    "CycleGAN: Zhu JY, Park T, Isola P, Efros AA. Unpaired Image-to-Image Translation using "
    "Cycle-Consistent Adversarial Networks. ICCV 2017.",
    "Grad-CAM: Selvaraju RR, Cogswell M, Das A, et al. Grad-CAM: Visual Explanations from Deep "
    "Networks via Gradient-based Localization. ICCV 2017.",
    "Shortcuts: DeGrave AJ, Janizek JD, Lee SI. AI for radiographic COVID-19 detection selects "
    "shortcuts over signal. Nature Machine Intelligence 3, 610 (2021).",
    "Pitfalls: Roberts M, Driggs D, Thorpe M, et al. Common pitfalls and recommendations for using "
    "machine learning to detect and prognosticate for COVID-19. Nature Machine Intelligence 3, "
    "199 (2021).",
)


FIGURES = (
    "fig1_diagnoses",
    "fig2_synthetic",
    "fig3_architecture",
    "fig4_loss",
    "fig5_confusion",
    "fig6_gradcam",
    "fig7_timeline",
    "cyclegan_samples",
)


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


def age_text(age: Row) -> str:
    """Say what is known of a class' ages, given a row of `ages`."""
    if not age["known"]:
        return "unknown"
    text = f"median {age['median']:.0f} years ({age['lowest']:.0f}–{age['highest']:.0f})"
    unknown = 1 - age["known"] / age["n"]
    return f"{text}, unknown for {share(unknown)}" if unknown else text


def notices(run: Run) -> list[Notice]:
    """Return what a reader must know before any number, most important first."""
    config, found = run.config, []
    if config.get("notice"):
        found.append(Notice("warning", " ".join(config["notice"].split())))
    phantoms = facts.phantom_sources(config)
    drawn = run.manifest["source"].isin(phantoms)
    if facts.only_phantoms(run):
        found.append(
            Notice(
                "warning",
                "All images are computer-drawn phantoms; no figure here says anything about "
                "patients.",
            )
        )
    elif drawn.any():
        found.append(
            Notice(
                "warning",
                f"{count(drawn.sum())} of {count(len(drawn))} images are computer-drawn phantoms "
                f"(source {listing(phantoms)}); no figure here says anything about patients.",
            )
        )
    sizes = run.manifest["label"].value_counts()
    for label, source in facts.confounded_classes(run.manifest).items():
        found.append(
            Notice(
                "warning",
                f"Every {label} image ({sample(sizes[label])}) comes from source {source}, and "
                "no image of another class does: source and label cannot be told apart.",
            )
        )
    randoms = facts.random_backbones(config)
    if randoms:
        has = "has" if len(randoms) == 1 else "have"
        found.append(
            Notice(
                "warning",
                f"{listing(randoms)} {has} random weights, not pretrained ones: what is given "
                f"for {'it' if len(randoms) == 1 else 'them'} says nothing about the published "
                "network.",
            )
        )
    if run.config["split"]["unit"] == "image":
        both = len(facts.shared_patients(run.images))
        found.append(
            Notice(
                "warning",
                f"Images were split one by one, not by patient: {some(both, 'patient')} with "
                "images in both the training and the test set, so test accuracy is too high.",
            )
        )
    if facts.mirror_used(config):
        found.append(
            Notice(
                "note",
                f"Downloads came from the mirror {config['mirror']} and were not held against the "
                "pinned checksums.",
            )
        )
    if not facts.only_phantoms(run):
        known = records(facts.ages(run.manifest, run.classes))
        texts = [f"{age['label']} {age_text(age)}" for age in known]
        found.append(Notice("note", f"Age: {'; '.join(texts)}."))
    found.append(
        Notice("note", "For research only. Not a medical device; not for diagnosis or triage.")
    )
    return found


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
    return sentence, [*per_backbone, *_baseline_lines(run)]


def _baseline_lines(run: Run) -> list[str]:
    """Say what all backbones together reach, and simple models of the same features."""
    if run.baselines.empty:
        return []
    found = facts.test_ensembles(run.baselines)
    simple = found["augmentation"].isin(list(facts.ON_FEATURES))
    lines = []
    for title, part, name in (
        ("All backbones together", found[~simple], "augmentation"),
        *(
            (
                f"{text.capitalize()} on the same features, for comparison",
                found[found["augmentation"] == model],
                "backbone",
            )
            for model, text in facts.ON_FEATURES.items()
        ),
    ):
        texts = [f"{row[name]} {ratio(row['accuracy'])}" for row in records(part)]
        if texts:
            lines.append(f"{title}: {', '.join(texts)}")
    return lines


def limits(run: Run) -> list[str]:
    """Return what this run cannot show, each with the numbers that say so."""
    if facts.only_phantoms(run):
        return [
            *_limits_of_test_set(run),
            "The phantoms are drawn by rules that a network can learn better than any film's; the "
            "run shows that the steps work, not how well films can be told apart.",
            *_limits_of_protocol(run),
        ]
    return [
        *_limits_of_test_set(run),
        *_limits_of_classes(run.manifest, run.classes),
        "No external validation: the test images come from the same collections as the training "
        "images. Accuracy on films of another hospital is not known from this run.",
        *_limits_of_protocol(run),
        "Labels are those that the collections give; nobody has read the films again for this run.",
    ]


def _limits_of_test_set(run: Run) -> list[str]:
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


def _limits_of_classes(manifest: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    found = []
    confounded = facts.confounded_classes(manifest)
    if confounded:
        names = listing(f"{label} (all from {source})" for label, source in confounded.items())
        found.append(
            f"Source and label go together for {names}: exposure, framing, markers or age typical "
            "of a source are enough to name the class. A high accuracy does not show that disease "
            "was found."
        )
    views = facts.confounded_classes(manifest, "view")
    if views:
        names = listing(f"{label} ({view})" for label, view in views.items())
        found.append(f"View and label go together for {names}, no other class has such a view.")
    ages = records(facts.ages(manifest, classes))
    unknown = [age["label"] for age in ages if not age["known"]]
    if unknown:
        found.append(
            f"Ages of {listing(unknown)} images are unknown, so it cannot be checked whether the "
            "classes differ in age."
        )
    apart = [
        f"{a['label']} ({age_text(a)}) and {b['label']} ({age_text(b)})"
        for a, b in combinations([age for age in ages if age["known"]], 2)
        if a["highest"] < b["lowest"] or b["highest"] < a["lowest"]
    ]
    if apart:
        found.append(f"Known ages do not overlap: {'; '.join(apart)}. Age alone tells them apart.")
    return found


def _limits_of_protocol(run: Run) -> list[str]:
    config, found = run.config, []
    both = facts.shared_patients(run.images)
    if both:
        found.append(
            f"{some(len(both), 'patient')} with images in both the training and the test set: test "
            "accuracy is partly recognition of patients."
        )
    synthetic = [name for name, a in config["augmentations"].items() if a["synthetic"]]
    if synthetic and len(run.synthetic):
        if not config["cyclegan"]["per_fold"]:
            found.append(
                "The CycleGAN learned from the training images of all folds, so the validation "
                f"scores of {listing(synthetic)} are not independent of it; the test scores are."
            )
        found.append(
            "The CycleGAN translates whatever tells its two classes apart in what it sees "
            f"({SEEN[config['cyclegan']['region']]}): besides the disease also source and age."
        )
    if facts.mirror_used(config):
        found.append(
            f"Data or weights came from {config['mirror']}; that they equal the pinned files was "
            "not checked."
        )
    randoms = facts.random_backbones(config)
    if randoms:
        found.append(
            f"{listing(randoms)} started from random weights: no comparison with a published "
            "accuracy holds there."
        )
    return found


def files_text(collections: pd.DataFrame, quarantine: pd.DataFrame) -> str:
    """Say how many listed files are not there, how many were set aside, and why."""
    return f"{_absent_text(collections)} {_reasons_text(quarantine)}".strip()


def _absent_text(collections: pd.DataFrame) -> str:
    if collections.empty:
        return ""
    listed, present = int(collections["images"].sum()), int(collections["files"].sum())
    return (
        f"The collections' tables list {some(listed, 'image')}; of these {count(listed - present)} "
        f"({share(1 - present / listed)}) have no file here."
    )


def _reasons_text(quarantine: pd.DataFrame) -> str:
    if quarantine.empty:
        return "No file was set aside."
    counts = quarantine["reason"].value_counts()
    missing = int(counts.get("missing", 0))
    kept = counts.drop("missing", errors="ignore")
    parts = []
    if missing:
        parts.append(f"{some(missing, 'image')} without a file")
    if len(kept):
        named = listing(f"{count(n)} {str(reason).replace('_', ' ')}" for reason, n in kept.items())
        parts.append(f"{some(kept.sum(), 'file')} of no use ({named})")
    return f"Drawn for the study and set aside: {'; '.join(parts)}."


def licence_text(run: Run) -> str:
    """Say what passing the report on means."""
    if facts.only_phantoms(run):
        return "All images were drawn by the package; no patient's image is in this report."
    return (
        "The figures hold images of the collections, so whoever passes this report on passes them "
        "on. Images without a stated licence may not be redistributed, the others only under their "
        "own terms."
    )


def references(run: Run) -> list[str]:
    """Return the works to cite for the data that the run used and its methods."""
    types = dict.fromkeys(source["type"] for source in run.config["sources"].values())
    return [REFERENCES[name] for name in types if name in REFERENCES] + list(METHOD_REFERENCES)


def split_checks(run: Run) -> list[tuple[bool, str]]:
    """Return checks of the split, each passed or not, worked out from the files."""
    images = run.images
    both, several = facts.shared_patients(images), facts.patients_in_several_folds(images)
    leaked = facts.synthetic_from_test(run)
    unknown = len(run.manifest) - len(images)
    checks = [
        (not both, f"Patients in both the training and the test set: {count(len(both))}"),
        (not several, f"Patients in more than one training fold: {count(len(several))}"),
        (unknown == 0, f"Images of the manifest without a place in the split: {count(unknown)}"),
    ]
    if len(run.synthetic):
        checks.append((leaked == 0, f"Synthetic images made from test images: {count(leaked)}"))
    return checks


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
    "data": "Images of the study by class and source. Views and ages as the collections give them.",
    "quarantine": "Files set aside before the study, by reason.",
    "quarantined": "Every file set aside.",
    "split": "The split, counted from the manifest and the split file.",
    "losses": "CycleGAN losses at the start and at the end of training.",
    "licences": "Licences of the images, as the collections state them.",
    "config": "Every setting of the run, defaults filled in.",
    "versions": "Software of the process that wrote this report.",
    "departures": "Where this run departs from the published study.",
}
