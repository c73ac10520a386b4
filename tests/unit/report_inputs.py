"""A made-up run on disk for the tests of the report: small tables and figures, no training."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from covidcxr.config import complete, read_schema

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"covid": "clinic", "normal": "hospital", "pneumonia": "hospital"}
PER_CLASS = {"covid": 20, "normal": 40, "pneumonia": 40}


@dataclass
class Inputs:
    """Arguments of `write_report`, and the frames that its tables were written from."""

    folder: Path
    config: dict[str, Any]
    frames: dict[str, pd.DataFrame]
    figures: dict[str, Path]
    gradcam: dict[str, Path]

    def arguments(self) -> dict[str, Any]:
        """Write the frames and return the keyword arguments."""
        tables = {}
        for name, frame in self.frames.items():
            tables[name] = self.folder / f"{name}.csv"
            frame.to_csv(tables[name], index=False)
        return {
            "config": self.config,
            "tables": tables,
            "figures": self.figures,
            "gradcam": self.gradcam,
            "versions": {"Python": "3.11.0", "keras": "3.15.1"},
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
        "classification": (classification := _classification(config, random)),
        "intervals": _intervals(classification),
        "synthetic": pd.DataFrame(
            {
                "image_id": ["synthetic-0", "synthetic-1"],
                "path": ["synthetic/0.png", "synthetic/1.png"],
                "label": "covid",
                "source_image_id": ["hospital-normal38", "hospital-normal39"],
                "patient_id": "hospital:normal19",
            }
        ),
        "losses": pd.DataFrame(
            {
                "iteration": range(1, 101),
                "learning_rate": 2e-4,
                "cycle": np.linspace(8, 2, 100),
                "identity": 1.5,
            }
        ),
        "collections": pd.DataFrame(
            [
                ("clinic", "COVID-19", "AP", 300, 211),
                ("clinic", "SARS", "PA", 16, 3),
                ("hospital", "normal", "", 1583, 424),
            ],
            columns=["source", "diagnosis", "view", "images", "files"],
        ),
        "published_accuracy": pd.DataFrame(
            {
                "backbone": ["VGG16", "ResNet50"],
                "augmentation": ["v1", "v1"],
                "n": [20, 20],
                "accuracy": [0.9, 0.5],
                "published_accuracy": [0.88, np.nan],
                "difference": [0.02, np.nan],
                **{f"fold_{name}": [0.85, 0.5] for name in ("mean", "min", "max")},
                **{
                    f"{beside}precision_{label}": [0.1, 0.2]
                    for label in CLASSES
                    for beside in ("", "published_", "difference_")
                },
            }
        ),
        "published_comparison": pd.DataFrame(
            {
                "system": ["this run, VGG16 v1", "COVIDNet-CXR Large"],
                "accuracy": [0.9, 0.943],
                **{f"precision_{label}": [0.8, 0.9] for label in CLASSES},
                "size_mb": [57.0, np.nan],
                "note": ["ensemble of 3 models of this size", "another test set"],
            }
        ),
        "jobs": _jobs(),
        "sizes": pd.DataFrame(
            {"folder": ["models/VGG16", "images"], "files": [6, 1], "size_mb": [342.0, 5.5]}
        ),
        "models": pd.DataFrame(
            {
                "backbone": ["VGG16", "ResNet50"],
                "parameters": [14_747_715, 23_719_107],
                "size_mb": [57.0, 97.2],
            }
        ),
    }
    figures, maps = _figures(folder, random), _gradcam(folder, config["backbones"])
    return Inputs(folder, config, frames, figures, maps)


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


def _intervals(classification: pd.DataFrame) -> pd.DataFrame:
    """Give each test accuracy an interval of 0.1 down and 0.05 up."""
    test = classification[classification["split"] == "test"]
    rows = test[["backbone", "augmentation", "model"]].assign(metric="accuracy", **{"class": ""})
    rows["estimate"] = test["accuracy"]
    rows["low"], rows["high"] = test["accuracy"] - 0.1, test["accuracy"] + 0.05
    return rows.assign(n=20, patients=10, method="bootstrap", fold_mean=0.85, fold_sd=0.01)


def _figures(folder: Path, random: np.random.Generator) -> dict[str, Path]:
    sizes = {
        "fig1_diagnoses": (900, 500),
        "fig2_synthetic": (1200, 500),
        "cyclegan_samples": (600, 400),
        "fig3_architecture": (1400, 400),
        "fig4_loss": (1200, 700),
        "fig5_confusion": (1200, 800),
        "fig6_gradcam": (900, 1000),
        "fig7_timeline": (1200, 700),
        "fig_jobs": (1200, 700),
    }
    paths = {}
    for name, (width, height) in sizes.items():
        paths[name] = folder / f"{name}.png"
        blocks = random.integers(90, 255, (height // 50, width // 50), dtype=np.uint8)
        Image.fromarray(blocks.repeat(50, 0).repeat(50, 1)).save(paths[name])
    return paths


def _gradcam(folder: Path, backbones: list[str]) -> dict[str, Path]:
    paths = {name: folder / f"{name}.npz" for name in backbones}
    for path in paths.values():
        np.savez(
            path,
            image_id=np.array(["a", "b", "c", "d"]),
            cohort=np.array(["test", "test", "test", "timeline"]),
            label=np.array([*CLASSES, "covid"]),
            day=np.array([3, np.nan, np.nan, 9]),
            class_index=np.array([0, 1, 2, 0]),
            probabilities=np.float32(
                [[0.2, 0.6128, 0.1872], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8], [0.98, 0.01, 0.01]]
            ),
        )
    return paths


def _jobs() -> pd.DataFrame:
    """Four jobs, two beside each other; one was over before anything could be measured."""
    rows = [
        ("manifest", "", 0, 12.0, 10.5, 150.0, "a"),
        ("train", "VGG16_v1_fold0", 12, 60.0, 110.0, 900.0, "a"),
        ("train", "VGG16_v1_fold1", 12, 70.0, 130.0, 950.0, "b"),
        ("fig1_diagnoses", "", 92, 0.4, np.nan, np.nan, ""),
    ]
    columns = ["rule", "job", "start", "seconds", "cpu_seconds", "peak_mb", "host"]
    table = pd.DataFrame(rows, columns=columns).assign(threads=2, gpus=0)
    begun = pd.Timestamp("2026-01-01T00:00:00Z") + pd.to_timedelta(table["start"], unit="s")
    ended = begun + pd.to_timedelta(table["seconds"], unit="s")
    return table.assign(
        start=[moment.isoformat() for moment in begun], end=[moment.isoformat() for moment in ended]
    )
