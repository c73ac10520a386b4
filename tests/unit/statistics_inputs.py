"""Predictions of two made-up backbones in two folds, for the tests of evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd

CLASSES = ["ill", "well", "other"]
IMAGES = 90
TEST = 30


def labels() -> list[str]:
    """Two images a patient, patients of the classes in turn."""
    return [CLASSES[k // 2 % 3] for k in range(IMAGES)]


def predicted(seed: int, test_seed: int) -> pd.DataFrame:
    """Predictions of all images, better than chance; the last `TEST` follow `test_seed`."""
    truth = np.array([CLASSES.index(name) for name in labels()])
    own, other = np.random.default_rng(seed), np.random.default_rng([seed, test_seed])
    logits = np.concatenate([own.normal(size=(IMAGES - TEST, 3)), other.normal(size=(TEST, 3))])
    logits += 1.5 * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(scores, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "image_id", [f"i{k:03d}" for k in range(IMAGES)])
    frame.insert(1, "patient_id", [f"s:{k // 2}" for k in range(IMAGES)])
    frame.insert(2, "label", labels())
    return frame


def write_predictions(folder: Path, test_seed: int = 0) -> list[tuple[str, str, str, Path]]:
    """Write split.csv and the predictions; return their records (all of fold 0 and 1, ensemble)."""
    test = np.arange(IMAGES) >= IMAGES - TEST
    fold = pd.array([None if t else k // 2 % 2 for k, t in enumerate(test)], "Int64")
    split = pd.DataFrame(
        {
            "image_id": [f"i{k:03d}" for k in range(IMAGES)],
            "split": np.where(test, "test", "train"),
            "fold": fold,
        }
    )
    split.to_csv(folder / "split.csv", index=False)
    records = []
    for b, backbone in enumerate("AB"):
        for m, model in enumerate(("fold0", "fold1", "ensemble")):
            own = test | (model == "ensemble") | (split["fold"] == m).fillna(False).to_numpy(bool)
            path = folder / f"{backbone}-{model}.csv"
            predicted(10 * b + m, test_seed)[own].to_csv(path, index=False)
            records.append((backbone, "v1", model, path))
    return records
