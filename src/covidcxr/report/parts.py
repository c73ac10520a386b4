"""The sections that every report has: what was studied, by which protocol, under which licences.

Each maker takes the run and returns a section; `MAKERS` at the end lists them.
"""

from collections.abc import Callable
from itertools import combinations

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.checklist import model_card
from covidcxr.report.facts import Run, records
from covidcxr.report.formats import Table, count, listing, sample, share, some, table_of
from covidcxr.report.section import FlowBox, Limit, Section, SectionTable

STUDY = (
    "Zebin T, Rezvy S. COVID-19 detection and disease progression visualization: Deep learning on "
    "chest X-rays for classification and coarse localization. Applied Intelligence 51, 1010–1021 "
    "(2021), doi:10.1007/s10489-020-01867-1."
)
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


def data(run: Run) -> Section:
    """Say what was studied, how it came to be that, and what it confounds."""
    return Section(
        ident="participants",
        title="Participant flow",
        part="data",
        paragraphs=(ages_text(run),),
        method=(
            "Images are sampled at random from those that meet the filters of the configuration. "
            "A file that is missing, cannot be decoded, is blank or duplicates another is set "
            "aside and replaced by the next one. "
            f"Whole {run.config['split']['unit']}s are assigned to the test set or to one fold by "
            "an integer program that meets the class counts asked for."
            if run.config["split"]["unit"] != "image"
            else "Images are split one by one, as in the study, whoever the patient.",
        ),
        limits=tuple(data_limits(run)),
        flow=flow(run),
        tables=(
            SectionTable("data", "Images of the study by class and source.", data_table(run)),
            SectionTable("quarantine", "Every file that was set aside, with the reason."),
        ),
    )


def ages_text(run: Run) -> str:
    """Say what is known of the classes' ages."""
    ages = records(facts.ages(run.manifest, run.classes))
    return "Age: " + "; ".join(f"{age['label']} {age_text(age)}" for age in ages) + "."


def age_text(age: facts.Row) -> str:
    """Say what is known of a class's ages, given a row of `ages`."""
    if not age["known"]:
        return "unknown"
    text = f"median {age['median']:.0f} years ({age['lowest']:.0f}–{age['highest']:.0f})"
    unknown = 1 - age["known"] / age["n"]
    return f"{text}, unknown for {share(unknown)}" if unknown else text


def flow(run: Run) -> tuple[FlowBox, ...]:
    """Count the images from the collections' tables to the test set."""
    reasons = run.quarantine["reason"].value_counts()
    missing = int(reasons.get("missing", 0))
    unusable = reasons.drop("missing", errors="ignore")
    images = run.images
    train, test = (images[images["split"] == name] for name in ("train", "test"))
    folds = train["fold"].value_counts().sort_index()
    boxes = []
    if len(run.collections):
        listed = int(run.collections["images"].sum())
        absent = listed - int(run.collections["files"].sum())
        kept = listed - absent - len(images) - int(unusable.sum())
        boxes = [
            FlowBox("Listed in the collections", listed),
            FlowBox("No file here", absent, kind="left out"),
        ]
        not_sampled = ("outside the filters, or not sampled",)
    if not boxes and missing:
        boxes = [FlowBox("No file here", missing, kind="left out")]
    if len(unusable):
        details = tuple(f"{count(n)} {str(name).replace('_', ' ')}" for name, n in unusable.items())
        boxes.append(FlowBox("Quarantined", int(unusable.sum()), details, kind="left out"))
    if len(run.collections):
        boxes.append(FlowBox("Excluded", max(kept, 0), not_sampled, kind="left out"))
    return (
        *boxes,
        FlowBox("Sampled", len(images), _by_class(images, run)),
        FlowBox(
            "Training",
            len(train),
            (
                *_by_class(train, run),
                f"{count(len(folds))} folds of {count(folds.min())}–{count(folds.max())} images"
                if len(folds)
                else "",
            ),
        ),
        FlowBox("Test", len(test), _by_class(test, run), kind="branch"),
    )


def _by_class(images: pd.DataFrame, run: Run) -> tuple[str, ...]:
    counts = images["label"].value_counts()
    return (
        some(images["patient_id"].nunique(), "patient"),
        ", ".join(f"{label} {count(counts.get(label, 0))}" for label in run.classes),
    )


def data_table(run: Run) -> Table:
    """Return images, patients, splits, views and ages of each class and source."""
    images, rows = run.images, []
    for label in run.classes:
        for source, part in images[images["label"] == label].groupby("source"):
            seen = part["view"].replace("", "unknown").value_counts()
            [age] = records(facts.ages(part, [label]))
            rows.append(
                {
                    "class": label,
                    "source": source,
                    "images": len(part),
                    "patients": part["patient_id"].nunique(),
                    "train": int((part["split"] == "train").sum()),
                    "test": int((part["split"] == "test").sum()),
                    "views": ", ".join(f"{view} {count(n)}" for view, n in seen.items()),
                    "age": age_text(age),
                }
            )
    return table_of(pd.DataFrame(rows))


def data_limits(run: Run) -> list[Limit]:
    """Return what the run cannot show because of its data and its protocol."""
    config, found = run.config, []
    if config.get("notice"):
        found.append(Limit(" ".join(config["notice"].split()), first=True))
    phantoms = facts.phantom_sources(config)
    drawn = run.manifest["source"].isin(phantoms)
    if drawn.any():
        which = "All" if drawn.all() else f"{count(drawn.sum())} of {count(len(drawn))}"
        found.append(
            Limit(
                f"{which} images are computer-drawn phantoms: no figure here says anything about "
                "patients.",
                first=True,
            )
        )
    randoms = facts.random_backbones(config)
    if randoms:
        found.append(
            Limit(
                f"Random instead of pretrained weights ({listing(randoms)}): no comparison with "
                "published figures holds.",
                first=True,
            )
        )
    both = facts.shared_patients(run.images)
    if both or config["split"]["unit"] == "image":
        found.append(
            Limit(
                f"{some(len(both), 'patient')} with images in both the training and the test set: "
                "test accuracy is partly recognition of patients.",
                first=True,
            )
        )
    found += [Limit(text) for text in _limits_of_classes(run.manifest, run.classes)]
    found += [Limit(text) for text in _limits_of_synthetic(run)]
    if facts.mirror_used(config):
        found.append(
            Limit(
                f"Data or weights from the mirror {config['mirror']} were not checked against the "
                "pinned files."
            )
        )
    if not drawn.all():
        found.append(Limit("Labels are the collections' own; no image was read again."))
    return found


def _limits_of_classes(manifest: pd.DataFrame, classes: list[str]) -> list[str]:
    found = []
    sizes = manifest["label"].value_counts()
    for label, source in facts.confounded_classes(manifest).items():
        found.append(
            f"Every {label} image ({sample(sizes[label])}) and no other is from source {source}: "
            "what is typical of the source names the class."
        )
    views = facts.confounded_classes(manifest, "view")
    if views:
        names = listing(f"{label} ({view})" for label, view in views.items())
        found.append(f"View and label go together for {names}; no other class has such a view.")
    ages = records(facts.ages(manifest, classes))
    unknown = [age["label"] for age in ages if not age["known"]]
    if unknown:
        found.append(
            f"Ages of {listing(unknown)} images are unknown; the classes may differ in age."
        )
    apart = [
        f"{a['label']} ({age_text(a)}) and {b['label']} ({age_text(b)})"
        for a, b in combinations([age for age in ages if age["known"]], 2)
        if a["highest"] < b["lowest"] or b["highest"] < a["lowest"]
    ]
    if apart:
        found.append(f"Known ages do not overlap: {'; '.join(apart)}. Age alone separates them.")
    return found


def _limits_of_synthetic(run: Run) -> list[str]:
    used = [name for name, a in run.config["augmentations"].items() if a["synthetic"]]
    cyclegan, found = run.config["cyclegan"], []
    if used and not cyclegan["per_fold"]:
        found.append(
            "The CycleGAN learned from all folds: out-of-fold scores of "
            f"{listing(used)} depend on it, test scores do not."
        )
    target = cyclegan["target_class"]
    both = run.manifest[run.manifest["label"].isin([cyclegan["source_class"], target])]
    if used and target in facts.confounded_classes(both):
        found.append(
            "The CycleGAN translates whatever separates its two classes, and these share no source."
        )
    return found


def methods(run: Run) -> Section:
    """Say by which protocol the run was made, and with what software."""
    training, folds = run.config["training"], run.config["split"]["folds"]
    departures = facts.departures(run.config)
    return Section(
        ident="protocol",
        title="Protocol",
        part="methods",
        paragraphs=(
            f"{listing(run.config['backbones'])}, input {run.config['image_size']} × "
            f"{run.config['image_size']} pixels, global average pooling, "
            f"{training['dense_units']} dense units (ReLU), dropout {training['dropout']:g}, "
            f"softmax over {len(run.classes)} classes; trained: "
            f"{training['trainable'].replace('_', ' ')}, Adam, learning rate "
            f"{training['learning_rate']:g}, batches of {training['batch_size']}, "
            f"{training['epochs']} epochs, {folds} folds. The ensemble of a model is the mean "
            "probability of its folds. "
            + (
                f"{some(len(departures), 'setting')} differ from the published study."
                if len(departures)
                else "All settings are those of the published study."
            ),
        ),
        tables=(
            SectionTable(
                "departures",
                "Where this run departs from the published study.",
                table_of(departures, {"this_run": "This run"}) if len(departures) else None,
                folded=True,
            ),
            SectionTable(
                "config",
                "Every setting of the run, defaults filled in.",
                table_of(
                    pd.DataFrame(facts.flatten(run.config).items(), columns=["setting", "value"])
                ),
                folded=True,
            ),
            SectionTable(
                "versions",
                "Software that wrote this report.",
                table_of(pd.DataFrame(run.versions.items(), columns=["package", "version"])),
                folded=True,
            ),
        ),
    )


def licences(run: Run) -> Section:
    """Say what may be passed on, and what to cite."""
    types = dict.fromkeys(source["type"] for source in run.config["sources"].values())
    works = [STUDY, *(REFERENCES[name] for name in types if name in REFERENCES), *METHOD_REFERENCES]
    text = (
        "All images were drawn by the package; no patient's image is in this report."
        if facts.only_phantoms(run)
        else "The figures hold images of the collections, so whoever passes this report on passes "
        "them on. Images without a stated licence may not be redistributed, the others only under "
        "their own terms."
    )
    frame = (
        run.manifest.assign(license=run.manifest["license"].replace("", "not stated"))
        .groupby(["source", "license"], as_index=False)
        .agg(images=("image_id", "size"))
        .sort_values(["source", "images"], ascending=[True, False], kind="stable")
    )
    return Section(
        ident="licences",
        title="Licences and citing",
        part="methods",
        paragraphs=(text, *works),
        tables=(
            SectionTable(
                "licences",
                "Licences of the images, as the collections state them.",
                table_of(frame, {"license": "Licence"}),
            ),
        ),
        folded=True,
    )


MAKERS: tuple[Callable[[Run], Section], ...] = (data, methods, licences, model_card)
