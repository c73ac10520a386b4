"""The benchmarks compare like with like."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from covidcxr import config
from covidcxr.classify.card import read_card
from covidcxr.classify.model import build_head
from covidcxr.features.bank import Bank
from covidcxr.features.features import feature_rows
from tests.unit.tiny import SIZE, TRANSFORM, complete, tiny_backbone

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_the_usual_script_trains_the_same_head_on_the_same_frozen_backbone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = benchmark("usual_script", monkeypatch).usual_model(tiny_backbone(), 3, 64, 0.5)
    backbone = tiny_backbone()
    ours = complete(backbone, build_head(3, dense_units=64, dropout=0.5))
    head = [w.shape for layer in ours.layers[len(backbone.layers) :] for w in layer.weights]
    assert [tuple(w.shape) for w in usual.trainable_variables] == [tuple(s) for s in head]
    assert [x.rate for x in usual.layers if isinstance(x, keras.layers.Dropout)] == [0.5]
    ours.set_weights(usual.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 1)).astype(np.float32)
    assert np.allclose(usual(images), ours(images), atol=1e-6)


def test_the_job_timed_beside_the_usual_script_is_a_training_job_of_the_workflow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = benchmark("usual_script", monkeypatch)
    schema = config.read_schema(BENCHMARKS.parent / "workflow/schemas/config.schema.yaml")
    study = config.complete(
        yaml.safe_load((BENCHMARKS.parent / "config/config.yaml").read_text()), schema
    )
    usual.write_job(tmp_path, 8, 2)
    usual.train_job(tmp_path, "VGG16", study["training"] | {"epochs": 1})
    card = read_card(tmp_path / "head.keras")
    assert card is not None
    assert card.augmentation == "v1"
    assert len(pd.read_csv(tmp_path / "history.csv")) == 1


def test_the_usual_scripts_views_are_new_in_every_epoch_and_keep_their_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = np.full((6, SIZE, SIZE), 10, np.uint8) * np.arange(1, 7, dtype=np.uint8)[:, None, None]
    images[:, :3] = 200
    data = benchmark("usual_script", monkeypatch).usual_data(images, np.arange(6), TRANSFORM, 4)

    def epoch() -> list[np.ndarray]:
        batches = [(xs.numpy(), ys.numpy()) for xs, ys in data]
        views, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        assert sorted(labels) == list(range(6))
        return list(views[np.argsort(labels)])

    first, second = epoch(), epoch()
    assert not np.array_equal(first[0], second[0])
    for label, view in enumerate(first):
        assert np.median(view[-5:]) == pytest.approx(10 * (label + 1))


def test_the_fresh_views_of_the_curve_are_those_of_their_epoch_and_never_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    views = benchmark("views", monkeypatch)
    names = ["a", "b", "c"]
    rows = feature_rows(names, {"a", "c"}).set_index("image_id")
    seen = np.arange(2 * 4 * 2, dtype=np.float32).reshape(2, 4, 2)
    compared = views.banks(Bank(np.full((3, 2), -1, np.float32), seen, rows), [0, 2])
    for epoch in range(4):
        found = compared[views.USUAL].epoch_of(["c", "a"], epoch)
        assert np.array_equal(found, seen[[1, 0], epoch])
        assert (compared["0"].epoch_of(["c", "a"], epoch) == -1).all()
    assert np.array_equal(compared["2"].epoch_of(["a"], 2), seen[[0], 1])


def test_a_seeds_interval_is_students(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, half = benchmark("views", monkeypatch).interval(np.array([0.1, 0.2, 0.3]))
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)
