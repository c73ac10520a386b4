"""Predictions of two made-up backbones in two folds, for the tests of evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from covidcxr.classify.predictions import IDENTITY, completed
from covidcxr.evaluate import bootstrap

CLASSES = ["ill", "well", "other"]
IMAGES = 90
TEST = 30


def few(number: int, function: Callable[..., Any], *values: Any, **options: Any) -> Any:
    """Call a function that resamples, with this number of resamples."""
    with mock.patch.object(bootstrap, "REPLICATES", number):
        return function(*values, **options)


def labels() -> list[str]:
    """Two images a patient, patients of the classes in turn."""
    return [CLASSES[k // 2 % 3] for k in range(IMAGES)]


def predicted(seed: int, test_seed: int, skill: float = 1.5) -> pd.DataFrame:
    """Predictions of all images, better than chance; the last `TEST` depend on `test_seed`."""
    truth = np.array([CLASSES.index(name) for name in labels()])
    own, other = np.random.default_rng(seed), np.random.default_rng([seed, test_seed])
    logits = np.concatenate([own.normal(size=(IMAGES - TEST, 3)), other.normal(size=(TEST, 3))])
    logits += skill * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    frame = pd.DataFrame(scores, columns=[f"p_{name}" for name in CLASSES])
    frame.insert(0, "image_id", [f"i{k:03d}" for k in range(IMAGES)])
    frame.insert(1, "patient_id", [f"s:{k // 2}" for k in range(IMAGES)])
    frame.insert(2, "label", labels())
    return frame


def identified(frame: pd.DataFrame, **identity: object) -> pd.DataFrame:
    """Add a model's identity, by default that of a network of backbone A, its ensemble, on test."""
    values = ("study", "A", "v1", "network", "ensemble", "test")
    frame = frame.assign(**(dict(zip(IDENTITY, values, strict=True)) | identity))
    return frame[[*IDENTITY, *frame.columns.drop(IDENTITY)]]


def predictions(test_seed: int = 0, skill: float = 1.5) -> pd.DataFrame:
    """Predictions of folds 0 and 1 of backbones A and B, their ensembles, and all backbones'."""
    test = np.arange(IMAGES) >= IMAGES - TEST
    fold = np.arange(IMAGES) // 2 % 2
    parts = []
    for b, backbone in enumerate("AB"):
        for k in range(2):
            own = test | (fold == k)
            frame = predicted(10 * b + k, test_seed, skill)[own]
            sets = np.where(test[own], "test", "validation")
            parts.append(identified(frame, backbone=backbone, model=f"fold{k}", set=sets))
    return completed(pd.concat(parts, ignore_index=True), CLASSES)


def write_predictions(folder: Path, test_seed: int = 0) -> Path:
    """Write `predictions` as a run does."""
    predictions(test_seed).to_csv(folder / "predictions.csv", index=False)
    return folder / "predictions.csv"
