"""From a folder of images and a spreadsheet to a report: the walk of docs/own_images.md."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from .conftest import TINY, Workflow

MINE = '''"""My own random transform."""

import numpy as np


def darker(image, rng):
    return np.rint(image * rng.uniform(0.7, 1.0)).astype(np.uint8)
'''


def own_study(workflow: Workflow, folder: Path) -> dict[str, Any]:
    """Take the finished run's phantoms for a user's folder, with two classes of other names."""
    phantoms = workflow.folder / "results/tiny/phantoms/phantoms"
    metadata = pd.read_csv(phantoms / "metadata.csv", dtype=str)
    for name in metadata["filename"]:
        shutil.copy(phantoms / "images" / name, folder / name)
    pd.DataFrame(
        {
            "path": metadata["filename"],
            "label": metadata["diagnosis"].map(lambda d: "clear" if d == "normal" else "opacity"),
            "patient_id": metadata["patient_id"],
        }
    ).to_csv(folder / "images.csv", index=False)
    (folder / "mine.py").write_text(MINE)
    return {
        **{name: TINY[name] for name in ("image_size", "training", "explain", "performance")},
        "run": "ours",
        "sources": {"hospital": {"type": "csv", "table": str(folder / "images.csv")}},
        "classes": {
            name: [{"source": "hospital", "count": 8, "where": {"diagnosis": [name]}}]
            for name in ("opacity", "clear")
        },
        "split": {"test": 0.25, "folds": 2},
        "backbones": ["MobileNetV2"],
        "weights": {"MobileNetV2": "random"},
        "views": 1,
        "transform": {"function": f"{folder / 'mine.py'}:darker"},
        "augmentations": {"plain": {"synthetic": 0}, "more": {"synthetic": 2}},
        "repeats": 0,
        "explain": {"images": 2, "augmentation": "plain"},
        "cyclegan": TINY["cyclegan"] | {"source_class": "clear", "target_class": "opacity"},
    }


def test_own_classes_source_backbone_transform_and_target_class_lead_to_a_report(
    finished: Workflow, tmp_path: Path
) -> None:
    config = own_study(finished, tmp_path)
    done = finished.snakemake(config)
    assert done.returncode == 0, done.stdout + done.stderr
    results = finished.folder / "results/ours"
    scores = pd.read_csv(results / "tables/classification.csv")
    assert {"precision_opacity", "recall_clear"} <= set(scores.columns)
    assert set(scores["augmentation"]) == {"plain", "more", "none"}
    assert set(pd.read_csv(results / "data/synthetic.csv")["label"]) == {"opacity"}
    report = (results / "report.html").read_text()
    assert "opacity" in report
    assert "MobileNetV2" in report

    stale = {"features", "train", "predictions", "report"}
    mine = tmp_path / "mine.py"
    mine.write_text(MINE + "\n# a comment\n")
    assert finished.planned(config) == {}
    mine.write_text(MINE.replace("0.7", "0.5"))
    assert stale <= set(finished.planned(config))
    assert not {"cyclegan", "images", "manifest"} & set(finished.planned(config))
