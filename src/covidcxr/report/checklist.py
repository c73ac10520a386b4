"""What a run can answer of a model card and of CLAIM, from its own tables; the rest is a gap."""

# Every filler takes the same two arguments, whatever it reads.
# ruff: noqa: ARG001

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import pandas as pd
import yaml

from covidcxr.report import facts
from covidcxr.report.facts import Run
from covidcxr.report.formats import count, listing, ratio, share, some

ANSWERED, PARTLY, GAP = "answered", "in part", "gap"
Tables = Mapping[str, pd.DataFrame]


class Answer(NamedTuple):
    """How far an item is answered (`answered`, `in part`, `gap`), and with what."""

    status: str
    text: str


Filler = Callable[[Run, Tables], Answer]


def read_items() -> dict[str, list[dict[str, str]]]:
    """Return the items of `checklist.yaml`: `card` and `claim`."""
    text = (files("covidcxr.report") / "checklist.yaml").read_text()
    items: dict[str, list[dict[str, str]]] = yaml.safe_load(text)
    return items


def answer(item: Mapping[str, str], run: Run, tables: Tables) -> Answer:
    """Answer an item by its filler, or name it a gap with the reason that stands there."""
    if "gap" in item:
        return Answer(GAP, item["gap"])
    return FILLERS[item["fill"]](run, tables)


def models(run: Run, tables: Tables) -> Answer:
    """Tell the backbones, augmentations, folds."""
    config = run.config
    count_of = len(config["backbones"]) * len(config["augmentations"]) * config["split"]["folds"]
    return Answer(
        ANSWERED,
        f"Image classifiers of {listing(run.classes)} by convolutional networks "
        f"({listing(config['backbones'])}), {some(count_of, 'model')}: augmentations "
        f"{listing(config['augmentations'])}, {config['split']['folds']} folds each.",
    )


def intended_use(run: Run, tables: Tables) -> Answer:
    """Tell that there is no clinical use."""
    return Answer(
        ANSWERED,
        "To reproduce a published study and to measure what such a study can and cannot show. "
        "There is no clinical role: not for diagnosis, triage or any decision on a patient.",
    )


def retrospective(run: Run, tables: Tables) -> Answer:
    """Tell that public collections are retrospective."""
    if facts.only_phantoms(run):
        return Answer(GAP, "The films are drawn by the package; no patient is in the run.")
    return Answer(ANSWERED, "Retrospective: films of public or own collections.")


def sources(run: Run, tables: Tables) -> Answer:
    """Tell the collections and how many films each gives."""
    counts = run.manifest["source"].value_counts(sort=False)
    told = listing(
        f"{name} ({run.config['sources'][name]['type']}, {count(number)})"
        for name, number in counts.items()
    )
    return Answer(ANSWERED, f"Films by source: {told}.")


def eligibility(run: Run, tables: Tables) -> Answer:
    """Tell the filters; the collections do not tell places and dates."""
    filters = [
        f"{label}: {part['where']}"
        for label, parts in run.config["classes"].items()
        for part in parts
        if part["where"]
    ]
    told = "; ".join(filters).replace("'", "") or "every film of the sources named"
    return Answer(PARTLY, f"Filters of the run: {told}. When and where films were taken: not told.")


def preprocessing(run: Run, tables: Tables) -> Answer:
    """Tell the decoding and scaling."""
    size = run.config["image_size"]
    return Answer(
        ANSWERED,
        f"Grey values, stretched to {size} × {size} pixels without regard to the aspect.",
    )


def selection(run: Run, tables: Tables) -> Answer:
    """Tell the seeded draw."""
    counts = run.manifest["label"].value_counts(sort=False)
    told = listing(f"{count(number)} {label}" for label, number in counts.items())
    return Answer(ANSWERED, f"{told}, drawn at random by the seed {run.config['seed']}.")


def missing(run: Run, tables: Tables) -> Answer:
    """Tell the quarantined files."""
    reasons = run.quarantine["reason"].value_counts()
    told = listing(f"{count(n)} {str(name).replace('_', ' ')}" for name, n in reasons.items())
    return Answer(
        ANSWERED,
        f"{some(len(run.manifest), 'film')} used; "
        + (f"left out and replaced by the next drawn: {told}." if told else "none was left out."),
    )


def reference(run: Run, tables: Tables) -> Answer:
    """Tell that labels are the collections'."""
    if facts.only_phantoms(run):
        return Answer(ANSWERED, "What the package drew.")
    return Answer(
        PARTLY,
        "The labels of the collections, taken as they are: no second reading, and no test (RT-PCR, "
        "follow-up) is checked. Some labels of public collections are known to be wrong.",
    )


def sample_size(run: Run, tables: Tables) -> Answer:
    """Tell that counts follow the study, without a calculation."""
    return Answer(
        PARTLY,
        f"{some(len(run.manifest), 'film')}, as configured; no power calculation was made.",
    )


def _by_class(images: pd.DataFrame, classes: list[str]) -> str:
    counts = images["label"].value_counts()
    told = listing(f"{count(counts.get(label, 0))} {label}" for label in classes)
    return f"{told} of {some(images['patient_id'].nunique(), 'patient')}"


def training_films(run: Run, tables: Tables) -> Answer:
    """Tell the counts by class, and synthetic images."""
    images = run.images
    text = _by_class(images[images["split"] == "train"], run.classes) + "."
    if len(run.synthetic):
        text += f" {some(len(run.synthetic), 'synthetic image')} joins training where configured."
        text = text.replace("images joins", "images join")
    return Answer(ANSWERED, text)


def test_films(run: Run, tables: Tables) -> Answer:
    """Tell the counts by class of the run's own test set."""
    images = run.images
    return Answer(ANSWERED, _by_class(images[images["split"] == "test"], run.classes) + ".")


def partitions(run: Run, tables: Tables) -> Answer:
    """Tell the shares of test and training."""
    tests = float((run.split["split"] == "test").mean())
    return Answer(
        ANSWERED,
        f"{share(tests)} test, the rest in {run.config['split']['folds']} folds, by integer "
        "program with the class counts asked.",
    )


def disjoint(run: Run, tables: Tables) -> Answer:
    """Tell the unit of the split, and what the leakage audit found."""
    unit = run.config["split"]["unit"]
    if "leakage_summary" not in tables:
        return Answer(PARTLY, f"By {unit}; not audited.")
    found = int(tables["leakage_summary"]["found"].sum())
    audited = f"The leakage audit has {some(found, 'finding')}."
    return Answer(ANSWERED if unit == "patient" and not found else PARTLY, f"By {unit}. {audited}")


def architecture(run: Run, tables: Tables) -> Answer:
    """Tell the head and cut."""
    training = run.config["training"]
    return Answer(
        ANSWERED,
        f"Figure 3: global average pooling, {training['dense_units']} units (ReLU), dropout "
        f"{training['dropout']:g}, softmax over {len(run.classes)} classes; trained: "
        f"{training['trainable'].replace('_', ' ')}.",
    )


def software(run: Run, tables: Tables) -> Answer:
    """Tell where versions stand in the report."""
    return Answer(ANSWERED, "Versions are listed above; the lock file pins all of them.")


def initial_weights(run: Run, tables: Tables) -> Answer:
    """Tell the weights by backbone."""
    weights = run.config["weights"]
    told = listing(f"{name}: {weights[name]}" for name in run.config["backbones"])
    return Answer(PARTLY if facts.random_backbones(run.config) else ANSWERED, f"{told}.")


def training(run: Run, tables: Tables) -> Answer:
    """Tell the hyperparameters."""
    settings = run.config["training"]
    return Answer(
        ANSWERED,
        f"Adam {settings['learning_rate']:g}, batches of {settings['batch_size']}, "
        f"{settings['epochs']} epochs; the whole configuration is in this report.",
    )


def final_model(run: Run, tables: Tables) -> Answer:
    """Tell the best validation epoch."""
    return Answer(
        PARTLY,
        "Of each model the epoch of lowest validation loss. No single final model is chosen; where "
        "this report names the best, it is by the test set.",
    )


def ensembles(run: Run, tables: Tables) -> Answer:
    """Tell the mean of the folds."""
    return Answer(ANSWERED, "Mean probability of the folds.")


def measures(run: Run, tables: Tables) -> Answer:
    """Tell the what is measured where."""
    return Answer(
        ANSWERED,
        "Accuracy, precision, recall and F1 of every model on validation and test films.",
    )


def performance(run: Run, tables: Tables) -> Answer:
    """Tell the best ensemble on the test set with its interval."""
    best = facts.test_ensembles(run.classification).iloc[0]
    low, high = facts.accuracy_interval(run, best["backbone"], best["augmentation"])
    return Answer(
        ANSWERED,
        f"{best['backbone']} {best['augmentation']}, ensemble: accuracy {ratio(best['accuracy'])} "
        f"({ratio(low)}–{ratio(high)}, 95 %, patients resampled) on {some(best['n'], 'film')}, the "
        "highest of several and so optimistic. Intervals of every measure stand above.",
    )


def external(run: Run, tables: Tables) -> Answer:
    """Tell the external sets, or the gap."""
    if "external" not in tables:
        return Answer(GAP, "No external test set was given: nothing is known of other films.")
    rows = tables["external"]
    rows = rows[rows["model"] == facts.ENSEMBLE]
    told = listing(
        f"{name}: {ratio(group['accuracy'].min())} to {ratio(group['accuracy'].max())}"
        for name, group in rows.groupby("set", sort=False)
    )
    return Answer(ANSWERED, f"Accuracy of the ensembles on external sets: {told}.")


def shortcuts(run: Run, tables: Tables) -> Answer:
    """Tell what the shortcut controls reach."""
    if "controls" not in tables:
        return Answer(GAP, "Not measured.")
    rows = tables["controls"].set_index("control")["accuracy"].drop(index="whole")
    told = listing(f"{str(name).replace('_', ' ')} {ratio(value)}" for name, value in rows.items())
    return Answer(ANSWERED, f"Accuracy of controls without what a reader needs: {told}.")


def explanations(run: Run, tables: Tables) -> Answer:
    """Tell of Grad-CAM."""
    measured = "explanations" in tables and not tables["explanations"].empty
    return Answer(
        PARTLY,
        "Grad-CAM (figures 6 and 7). "
        + ("How well the maps do is measured above. " if measured else "The maps are not tested. ")
        + "No reader has judged whether they show disease.",
    )


def demographics(run: Run, tables: Tables) -> Answer:
    """Tell the age and sex by class, as far as told."""
    rows = facts.ages(run.manifest, run.classes)
    told = listing(
        f"{row['label']} "
        + (f"median {row['median']:.0f} years, " if row["known"] else "")
        + f"age told of {count(row['known'])} of {count(row['n'])}"
        for _, row in rows.iterrows()
    )
    sexes = float((run.manifest["sex"] != "").mean())
    complete = bool((rows["known"] == rows["n"]).all()) and sexes == 1
    return Answer(
        ANSWERED if complete else PARTLY, f"{told}. Sex is told of {share(sexes)} of the films."
    )


def failures(run: Run, tables: Tables) -> Answer:
    """Tell the confusion matrices only."""
    return Answer(
        PARTLY, "Confusion matrices (figure 5); the films that were misread were not read again."
    )


def limitations(run: Run, tables: Tables) -> Answer:
    """Tell the confounding by source and what the top of the report warns of."""
    told = ["The statements at the top of this report"]
    alone = facts.confounded_classes(run.manifest)
    if alone:
        told.append(
            f"the source alone gives {listing(alone)} away, so accuracy is no measure of "
            "finding disease"
        )
    return Answer(ANSWERED, "; ".join(told) + ".")


def licences(run: Run, tables: Tables) -> Answer:
    """Tell the images without a stated licence."""
    unknown = int((run.manifest["license"] == "").sum())
    return Answer(
        PARTLY if unknown else ANSWERED,
        f"{some(unknown, 'film')} without a stated licence, of {count(len(run.manifest))}; films "
        "are not redistributed. Whether a patient consented is the collections’ to say.",
    )


FILLERS: dict[str, Filler] = {
    filler.__name__: filler
    for filler in (
        *(models, intended_use, retrospective, sources, eligibility, preprocessing, selection),
        *(missing, reference, sample_size, training_films, test_films, partitions, disjoint),
        *(architecture, software, initial_weights, training, final_model, ensembles, measures),
        *(performance, external, shortcuts, explanations, demographics, failures, limitations),
        licences,
    )
}


def counts(answers: list[Answer]) -> dict[str, Any]:
    """Return how many answers have each status."""
    return {
        status: sum(one.status == status for one in answers) for status in (ANSWERED, PARTLY, GAP)
    }
