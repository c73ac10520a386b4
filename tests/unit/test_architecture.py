"""Figure 3 and the sizes of models, against the complete models that they describe."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from covidcxr.classify.model import assembled, attach, build_head
from covidcxr.evaluate.architecture import architecture, run
from covidcxr.features.backbone import build_backbone, read_summary, split_backbone
from covidcxr.features.backbone import run as make_backbone
from covidcxr.report.section import read_section
from tests.unit.test_figures import assert_nothing_clipped, texts

SIZE = 32


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    make_backbone(None, folder / "b.keras", folder / "b.json", backbone="VGG16", size=SIZE, seed=1)
    return folder / "b.json"


def head_of(cut: str) -> tuple[keras.Model, keras.Model]:
    """Return a head as training writes it, and the complete model."""
    backbone = build_backbone("VGG16", SIZE)
    backbone.trainable = False
    _, rest = split_backbone(backbone, cut)
    for layer in rest.layers:
        layer.trainable = True
    head = keras.Model(rest.input, attach(rest.output, build_head(3)))
    return head, assembled(backbone, {"": head}, cut)


@pytest.mark.parametrize("cut", ["head", "last_block"])
def test_counts_are_those_of_the_complete_model(summary: Path, cut: str) -> None:
    head, complete = head_of(cut)
    row = architecture(read_summary(summary), head).row()
    assert row["parameters"] == complete.count_params()
    trained = sum(int(np.prod(weight.shape)) for weight in head.trainable_weights)
    assert row["trainable_parameters"] == trained
    assert trained == 33_027 + (7_079_424 if cut == "last_block" else 0)


def test_size_is_that_of_the_complete_model_s_file(summary: Path, tmp_path: Path) -> None:
    head, complete = head_of("head")
    complete.save(tmp_path / "complete.keras")
    found = architecture(read_summary(summary), head).row()["size_mb"]
    assert found == pytest.approx((tmp_path / "complete.keras").stat().st_size / 1e6, rel=0.01)


def test_table_and_figure_hold_every_model_and_each_backbone_once(
    summary: Path, tmp_path: Path
) -> None:
    head_of("head")[0].save(tmp_path / "head.keras")
    figure = [tmp_path / f"3.{kind}" for kind in ("png", "svg", "json")]
    run(
        [summary],
        [tmp_path / "head.keras"] * 2,
        tmp_path / "models.csv",
        *figure,
        models=[("VGG16", "v1"), ("VGG16", "v2")],
    )
    assert pd.read_csv(tmp_path / "models.csv")["augmentation"].tolist() == ["v1", "v2"]
    assert_nothing_clipped(figure[0])
    shown = texts(figure[1])
    assert shown.count("VGG16") == 1
    assert "64 units," in shown
    assert "frozen" in shown
    assert read_section(figure[2]).tables[0].name == "models"
