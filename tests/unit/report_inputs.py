"""A made-up run on disk for the tests of the report: small tables and figures, no training."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from covidcxr.config import complete, read_schema
from covidcxr.report.formats import table_of
from covidcxr.report.section import (
    Check,
    KeyRow,
    Limit,
    Section,
    SectionFigure,
    SectionTable,
    write_section,
)

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"covid": "clinic", "normal": "hospital", "pneumonia": "hospital"}
PER_CLASS = {"covid": 20, "normal": 40, "pneumonia": 40}


@dataclass
class Inputs:
    """What the report step of a run reads, as objects to change before they are written."""

    folder: Path
    config: dict[str, Any]
    frames: dict[str, pd.DataFrame]
    figures: dict[str, Path]
    sections: list[Section]

    def arguments(self) -> dict[str, Any]:
        """Write the files and return the arguments of `covidcxr.report.report.run`."""
        tables = {}
        for name, frame in self.frames.items():
            tables[name] = self.folder / f"{name}.csv"
            frame.to_csv(tables[name], index=False)
        sections = []
        for section in self.sections:
            sections.append(self.folder / f"{section.ident}.json")
            write_section(sections[-1], section)
        data = ("manifest", "split", "quarantine", "collections")
        return {
            **{name: tables.pop(name) for name in data},
            "sections": sections,
            "shown": [tables["comparisons"], *self.figures.values()],
            "config": self.config,
        }


def made_up_run(folder: Path) -> Inputs:
    """Make a run of three classes, two patients' images each second, four fifths of it training."""
    random = np.random.default_rng(7)
    config = complete(
        {
            "run": "made-up",
            "title": "A <made-up> run & its report",
            "sources": {
                "clinic": {"type": "covid_chestxray"},
                "hospital": {"type": "kermany"},
            },
            "classes": {
                label: [{"source": source, "count": PER_CLASS[label]}]
                for label, source in CLASSES.items()
            },
            "split": {"test": {label: n // 5 for label, n in PER_CLASS.items()}, "folds": 3},
            "backbones": ["VGG16", "ResNet50"],
            "weights": {"VGG16": "imagenet", "ResNet50": "random"},
        },
        read_schema(ROOT / "workflow/schemas/config.schema.yaml"),
    )
    manifest = _manifest(random)
    frames = {
        "manifest": manifest,
        "split": _split(manifest),
        "quarantine": pd.DataFrame(
            [(f"images/{k}.png", "covid", "clinic", "missing", "") for k in range(7)]
            + [("images/x.png", "normal", "hospital", "duplicate_bytes", "same as images/y.png")],
            columns=["path", "label", "source", "reason", "detail"],
        ),
        "classification": _classification(config, random),
        "collections": pd.DataFrame(
            [
                ("clinic", "COVID-19", "AP", 300, 211),
                ("clinic", "SARS", "PA", 16, 3),
                ("hospital", "normal", "", 1583, 424),
            ],
            columns=["source", "diagnosis", "view", "images", "files"],
        ),
        "comparisons": pd.DataFrame({"first": ["a"], "second": ["b"], "p": [0.5]}),
    }
    return Inputs(folder, config, frames, _figures(folder, random), _sections())


def _sections() -> list[Section]:
    """Sections as steps would write them: the main result, two checks, and each kind of content."""
    models = pd.DataFrame(
        {
            "backbone": ["VGG16"] * 4 + ["ResNet50"] * 4,
            "classifier": ["network", "logistic"] * 4,
            "augmentation": ["v1", "v1", "v2", "v2"] * 2,
            "accuracy": ["0.900 (0.800–0.950)", *(f"0.{k}00 (0.100–0.950)" for k in range(1, 8))],
            "precision_covid": np.linspace(0.1, 0.9, 8),
            "precision_normal": np.linspace(0.2, 0.8, 8),
        }
    )
    return [
        Section(
            ident="performance-models",
            title="Performance",
            part="performance",
            paragraphs=("The ensemble of VGG16 v1 is right in 0.900 of images. Holm and ECE.",),
            method=("Patients were resampled.",),
            finding="VGG16 v1 names the class of 20 test images with accuracy 0.900 (0.800–0.950)",
            key_rows=(
                KeyRow("Recommended model", "VGG16 v1", "best out of fold"),
                KeyRow("Accuracy", "0.900 (0.800–0.950)", "20 images"),
                KeyRow("Majority class", "0.400"),
            ),
            limits=(Limit("The test set has 20 images of 10 patients."),),
            figures=(
                SectionFigure("fig5_confusion", "Confusion matrices.", "Most images are right."),
                SectionFigure("fig4_loss", "Loss by epoch.", "The loss falls in all folds.", True),
                SectionFigure("curve", "A curve.", "The curve rises with more images."),
            ),
            tables=(
                SectionTable("models", "Every model.", table_of(models)),
                SectionTable("folds", "Every fold.", table_of(models), folded=True),
                SectionTable("comparisons", "Every pair of models."),
            ),
        ),
        Section(
            ident="leakage",
            title="Leakage",
            part="validity",
            checks=(Check("Leakage", "pass", "No copy on two sides."),),
        ),
        Section(
            ident="shortcuts",
            title="Shortcut controls",
            part="validity",
            paragraphs=("Lungs blacked out still give 0.880.",),
            checks=(Check("Shortcuts", "warning", "Lungs blacked out give 0.880 of 0.900."),),
        ),
        Section(
            ident="calibration",
            title="Calibration",
            part="performance",
            paragraphs=("First of it.", "Rest of it."),
            checks=(Check("Calibration", "pass", "ECE 0.020."),),
            tables=(SectionTable("bins", "Bins.", table_of(models)),),
            folded=True,
        ),
    ]


def _manifest(random: np.random.Generator) -> pd.DataFrame:
    rows = []
    for label, source in CLASSES.items():
        for k in range(PER_CLASS[label]):
            known = label == "covid" and k % 4
            rows.append(
                {
                    "image_id": f"{source}-{label}{k}",
                    "path": f"raw/{source}/{label}{k}.png",
                    "label": label,
                    "patient_id": f"{source}:{label}{k // 2}",
                    "source": source,
                    "site": source,
                    "view": ("AP" if k % 3 else "AP Supine") if label == "covid" else "",
                    "day": np.nan,
                    "age": float(random.integers(30, 80)) if known else np.nan,
                    "sex": "",
                    "subtype": "",
                    "license": "CC BY 4.0" if source == "hospital" else ("" if k % 2 else "CC0"),
                    "sha256": hashlib.sha256(f"{label}{k}".encode()).hexdigest(),
                }
            )
    return pd.DataFrame(rows)


def _split(manifest: pd.DataFrame) -> pd.DataFrame:
    # Patients have two images each, in a row: the first fifth of a class is its test set.
    rank = manifest.groupby("label").cumcount()
    test = rank < manifest["label"].map(PER_CLASS) // 5
    fold = (rank // 2 % 3).astype("Int64").mask(test)
    split = np.where(test, "test", "train")
    return pd.DataFrame({"image_id": manifest["image_id"], "split": split, "fold": fold})


def _classification(config: dict[str, Any], random: np.random.Generator) -> pd.DataFrame:
    best = {"VGG16": 18, "ResNet50": 10}
    rows = []
    for backbone, right in best.items():
        for augmentation in config["augmentations"]:
            for model in ("fold0", "fold1", "fold2", "ensemble"):
                for split in ("validation", "test") if model != "ensemble" else ("test",):
                    rows.append(
                        {
                            "backbone": backbone,
                            "augmentation": augmentation,
                            "classifier": "network",
                            "model": model,
                            "split": split,
                            "n": 20,
                            "accuracy": (right - (augmentation == "v2")) / 20,
                            **{
                                f"{metric}_{label}": random.uniform(0.4, 1)
                                for metric in ("precision", "recall", "f1")
                                for label in CLASSES
                            },
                        }
                    )
    return pd.DataFrame(rows)


def _figures(folder: Path, random: np.random.Generator) -> dict[str, Path]:
    sizes = {"fig5_confusion": (1200, 800), "fig4_loss": (1200, 700), "curve": (900, 500)}
    paths = {}
    for name, (width, height) in sizes.items():
        paths[name] = folder / f"{name}.png"
        blocks = random.integers(90, 255, (height // 50, width // 50), dtype=np.uint8)
        Image.fromarray(blocks.repeat(50, 0).repeat(50, 1)).save(paths[name], dpi=(200, 200))
    return paths
