"""The model card and the items of CLAIM, answered from the run's own data; the rest are gaps."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from covidcxr.report import facts
from covidcxr.report.facts import Run, records
from covidcxr.report.formats import Column, Table, count, listing, share, some
from covidcxr.report.section import Section, SectionTable

ANSWERED, PARTLY, GAP = "answered", "in part", "gap"
POWER = "synthetic-effect"
"""Section that says which differences the test set can detect."""


def model_card(run: Run) -> Section:
    """Fill the model card and the checklist."""
    items = yaml.safe_load((files("covidcxr.report") / "checklist.yaml").read_text("utf-8"))
    known = facts_of(run)
    card = [[item["heading"], answer(item, run, known)[1]] for item in items["card"]]
    claim = [[item["item"], item["asks"], *answer(item, run, known)] for item in items["claim"]]
    number = {state: sum(row[2] == state for row in claim) for state in (ANSWERED, PARTLY, GAP)}
    return Section(
        ident="checklist",
        title="Model card and checklist",
        part="card",
        paragraphs=(
            f"Of {count(len(claim))} groups of items of CLAIM (the checklist for artificial "
            f"intelligence in medical imaging) the run answers {count(number[ANSWERED])}, "
            f"{count(number[PARTLY])} in part; {count(number[GAP])} are gaps. These models have no "
            "clinical use.",
        ),
        tables=(
            SectionTable(
                "model_card",
                "Model card.",
                Table([Column("About"), Column("This run")], card),
                folded=True,
            ),
            SectionTable(
                "claim",
                "Items of CLAIM, in short. Those that only an article can answer are left out.",
                Table([Column("Item"), Column("Asks"), Column("State"), Column("Answer")], claim),
                folded=True,
            ),
        ),
    )


def answer(item: Mapping[str, Any], run: Run, known: Mapping[str, Any]) -> tuple[str, str]:
    """Return how far an item of `checklist.yaml` is answered, and with what."""
    if "gap" in item:
        return GAP, item["gap"]
    if "phantoms" in item and facts.only_phantoms(run):
        return ANSWERED, item["phantoms"]
    text = item.get("says", "").format(**known)
    partly = item.get("partly", False)
    state = PARTLY if (known[partly] if isinstance(partly, str) else partly) else ANSWERED
    if "check" in item:
        found = run.checks.get(item["check"])
        if found is None or found[0].state == "not run":
            return GAP, f"{text} {item['check']}: not checked in this run.".strip()
        state = PARTLY if found[0].state == "warning" else state
        text = f"{text} {found[0].text}".strip()
    if "see" in item:
        titles = {section.ident: section.title for section in run.sections}
        if item["see"] not in titles:
            return GAP, f"{text} Not part of this run.".strip()
        text = f"{text} See '{titles[item['see']]}'.".strip()
    return state, text


def facts_of(run: Run) -> dict[str, Any]:
    """Return what the items may name in braces."""
    config, images = run.config, run.images
    ages = facts.ages(run.manifest, run.classes)
    sexes = float((run.manifest["sex"] != "").mean())
    unlicensed = int((run.manifest["license"] == "").sum())
    models = len(config["backbones"]) * len(config["augmentations"]) * config["split"]["folds"]
    filters = [
        f"{label}: {part['where']}"
        for label, parts in config["classes"].items()
        for part in parts
        if part["where"]
    ]
    labels = run.manifest["label"].value_counts(sort=False)
    sources = run.manifest["source"].value_counts(sort=False)
    powered = any(section.ident == POWER for section in run.sections)
    return {
        "models": f"Classifiers of {listing(run.classes)} on frozen or trained "
        f"{listing(config['backbones'])}; {some(models, 'model')}: augmentations "
        f"{listing(config['augmentations'])}, {config['split']['folds']} folds each.",
        "training": _by_class(run, "train"),
        "test": _by_class(run, "test"),
        "finding": run.finding or "No ensemble was scored",
        "unlicensed": some(unlicensed, "image"),
        "unlicensed_count": unlicensed,
        "images": some(len(run.manifest), "image"),
        "sources": listing(
            f"{name} ({config['sources'][name]['type']}, {count(number)})"
            for name, number in sources.items()
        ),
        "filters": "; ".join(filters).replace("'", "") or "every image of the sources named",
        "size": config["image_size"],
        "seed": config["seed"],
        "classes": listing(f"{count(number)} {label}" for label, number in labels.items()),
        "quarantined": some(len(run.quarantine), "file"),
        "power": "The differences that the test set can detect are given with the effect of "
        "synthetic images."
        if powered
        else "No power calculation was made.",
        "test_share": share(float((images["split"] == "test").mean())),
        "folds": config["split"]["folds"],
        "unit": config["split"]["unit"],
        "weights": listing(f"{name}: {config['weights'][name]}" for name in config["backbones"]),
        "random": len(facts.random_backbones(config)),
        "ages": listing(
            f"{row['label']}: "
            + (f"median {row['median']:.0f} years, " if row["known"] else "")
            + f"age known for {count(row['known'])} of {count(row['n'])}"
            for row in records(ages)
        )
        + ".",
        "sexes": share(sexes),
        "incomplete": int((ages["known"] < ages["n"]).any() or sexes < 1),
        "limits": some(len(run.limits), "limit"),
    }


def _by_class(run: Run, split: str) -> str:
    images = run.images
    part = images[images["split"] == split]
    counts = part["label"].value_counts()
    named = listing(f"{count(counts.get(label, 0))} {label}" for label in run.classes)
    return f"{named}, of {some(part['patient_id'].nunique(), 'patient')}."
