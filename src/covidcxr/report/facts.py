"""Facts of a run from its tables: who stands where, what confounds, how sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from covidcxr.report.formats import MISSING, listing
from covidcxr.report.section import Check, Limit, Section

Config = Mapping[str, Any]
Row = dict[str, Any]

ENSEMBLE = "ensemble"
DOWNLOADED_TYPES = ("covid_chestxray", "kermany", "nih_subset")

PUBLISHED_PROTOCOL: dict[str, Any] = {
    "image_size": 224,
    "split.unit": "image",
    "split.folds": 5,
    "transform.vertical_flip": False,
    "training.trainable": "head",
    "training.epochs": 50,
    "training.batch_size": 8,
    "training.learning_rate": 1e-4,
    "training.dense_units": 64,
    "training.dropout": 0.5,
    "training.normalize_features": False,
    "training.class_weights": False,
    "cyclegan.region": "film",
    "cyclegan.iterations": 5000,
}
"""Settings of the published study, by the dotted key of the config that stands for each."""


@dataclass(frozen=True)
class Run:
    """What the report knows of a run.

    Attributes
    ----------
    config
        The whole configuration, defaults filled in.
    manifest, split, quarantine, collections
        As `covidcxr.data.tables` reads them; what a run does not have is an empty frame.
    sections
        What its steps say of themselves, in the report's order.
    versions
        Versions by name of software.
    """

    config: Config
    manifest: pd.DataFrame
    split: pd.DataFrame
    quarantine: pd.DataFrame
    collections: pd.DataFrame = field(default_factory=pd.DataFrame)
    sections: Sequence[Section] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the config."""
        return list(self.config["classes"])

    @property
    def images(self) -> pd.DataFrame:
        """The manifest with the split and fold of each image."""
        return self.manifest.merge(self.split, on="image_id", how="inner", validate="one_to_one")

    @property
    def finding(self) -> str:
        """The main result as a clause; "" where there is none."""
        return next((part.finding for part in self.sections if part.finding), "")

    @property
    def checks(self) -> dict[str, tuple[Check, str]]:
        """Every check by title, and the section it stands in; of several of a title the worst.

        Those of `CHECKS` that no section makes are "not run".
        """
        found: dict[str, tuple[Check, str]] = {
            title: (Check(title, "not run", "Not part of this run."), "") for title in CHECKS
        }
        for section in self.sections:
            for check in section.checks:
                before = found.get(check.title)
                if before is None or WORSE.index(check.state) > WORSE.index(before[0].state):
                    found[check.title] = check, section.ident
        return found

    @property
    def limits(self) -> list[Limit]:
        """What the run cannot show: of its sections, and for want of a check."""
        found = [limit for section in self.sections for limit in section.limits]
        checks = self.checks
        for title, text in CHECKS.items():
            if text and checks[title][0].state == "not run":
                found.append(Limit(text))
        return list(dict.fromkeys(found))


CHECKS = {
    "Leakage": "Leakage between the training and the test set was not looked for.",
    "Shortcuts": "How far images without the lungs give the label was not measured.",
    "Confounding": "How far source, age and view predict the label was not measured.",
    "Synthetic images": "",
    "Calibration": "Whether the probabilities mean what they say was not measured.",
    "External validity": "No external validation: the test images come from the same collections "
    "as the training images. Accuracy on images of other collections is not known from this run.",
    "Grad-CAM on the lungs": "Whether the heat maps lie on the lungs was not measured.",
}
"""The checks of the first screen, and what a run cannot show that did not make one."""
WORSE = ("not run", "pass", "warning")


def records(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a frame as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def phantom_sources(config: Config) -> list[str]:
    """Return the names of the sources whose images are drawn by the package."""
    return [name for name, source in config["sources"].items() if source["type"] == "phantom"]


def only_phantoms(run: Run) -> bool:
    """Whether every image of the study is drawn by the package."""
    return bool(run.manifest["source"].isin(phantom_sources(run.config)).all())


def random_backbones(config: Config) -> list[str]:
    """Return the backbones of the run that start from random weights."""
    return [name for name in config["backbones"] if config["weights"].get(name) == "random"]


def mirror_used(config: Config) -> bool:
    """Whether anything of the run came through `mirror` instead of the pinned addresses."""
    if not config.get("mirror"):
        return False
    downloads = any(source["type"] in DOWNLOADED_TYPES for source in config["sources"].values())
    return downloads or "imagenet" in [config["weights"].get(name) for name in config["backbones"]]


def confounded_classes(manifest: pd.DataFrame, column: str = "source") -> dict[str, str]:
    """Return the classes that share no value of `column` with another class, and their values.

    For such a class the column alone gives the label away. Unknown values ("") tell nothing.
    """
    found = {}
    for label, values in manifest.groupby("label", sort=False)[column]:
        own = set(values)
        others = manifest.loc[manifest["label"] != label, column]
        if "" not in own and len(others) and not others.isin(own).any():
            found[str(label)] = listing(sorted(own))
    return found


def ages(manifest: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return label, n, known (images with an age), median, lowest and highest age in years."""
    rows = []
    for label in classes:
        age = manifest.loc[manifest["label"] == label, "age"]
        rows.append((label, len(age), int(age.notna().sum()), age.median(), age.min(), age.max()))
    return pd.DataFrame(rows, columns=["label", "n", "known", "median", "lowest", "highest"])


def shared_patients(images: pd.DataFrame) -> set[str]:
    """Return the patients with images in both the training and the test set."""
    by_split = images.groupby("split")["patient_id"].agg(set)
    return set(by_split.get("train", set())) & set(by_split.get("test", set()))


def flatten(config: Any, prefix: str = "") -> dict[str, str]:
    """Return the config as dotted keys and texts, in its own order; lists of parts one key each."""
    if isinstance(config, Mapping) and config:
        return {
            key: text
            for name, value in config.items()
            for key, text in flatten(value, f"{prefix}.{name}" if prefix else str(name)).items()
        }
    if isinstance(config, list) and any(isinstance(item, Mapping) for item in config):
        return {
            key: text
            for position, item in enumerate(config)
            for key, text in flatten(item, f"{prefix}[{position}]").items()
        }
    if isinstance(config, list):
        return {prefix: ", ".join(map(str, config)) or MISSING}
    if isinstance(config, bool):
        return {prefix: "yes" if config else "no"}
    return {prefix: MISSING if config in (None, "", {}) else str(config)}


def departures(config: Config) -> pd.DataFrame:
    """Return the settings in which the run differs from the published study.

    Returns
    -------
    DataFrame with columns setting, published, this_run; the settings are `PUBLISHED_PROTOCOL`,
    the weights, the pooled layers, and the fresh views per epoch. A key that the config lacks is
    passed over.
    """
    rows = []
    for key, published in PUBLISHED_PROTOCOL.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and value != published:
            texts = [flatten({"": item})[""] for item in (published, value)]
            rows.append((key, *texts))
    for backbone in config["backbones"]:
        weights = config["weights"].get(backbone)
        if weights != "imagenet":
            rows.append((f"weights.{backbone}", "imagenet", str(weights)))
        layers = config.get("pooled_layers", {}).get(backbone)
        if layers:
            rows.append((f"pooled_layers.{backbone}", "the last", f"{', '.join(layers)}, the last"))
    views, epochs = config.get("views"), config.get("training", {}).get("epochs")
    if views is not None and epochs is not None and views < epochs:
        rows.append(("views", "a new one every epoch", f"{views} and the image itself, in turn"))
    return pd.DataFrame(rows, columns=["setting", "published", "this_run"])
