"""Figures 1, 2, 4 and 5: what they show, and that nothing is clipped."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from covidcxr.cyclegan import fig2_synthetic
from covidcxr.errors import InputError
from covidcxr.evaluate.fig1_diagnoses import draw_diagnoses, view_group
from covidcxr.evaluate.fig1_diagnoses import run as write_fig1_diagnoses
from covidcxr.evaluate.fig4_loss import draw_losses
from covidcxr.evaluate.fig4_loss import run as write_fig4_loss
from covidcxr.evaluate.fig5_confusion import confusion, draw_matrices
from covidcxr.evaluate.fig5_confusion import run as write_fig5_confusion
from covidcxr.evaluate.panels import panel_grid, panel_title
from covidcxr.evaluate.style import figure_style, save_figure
from covidcxr.report.section import read_section
from tests.unit.split_samples import images, manifest_of
from tests.unit.statistics_inputs import identified

BACKBONES = ["VGG16", "ResNet50", "EfficientNetB0"]
LONG = ["covid", "viral_pneumonia_of_adults", "bacterial_pneumonia", "normal", "effusion", "other"]


def texts(svg) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg.read_text())


def assert_nothing_clipped(png):
    """The outermost pixels are empty, so no text or line runs into the edge."""
    pixels = np.asarray(Image.open(png).convert("L"))
    border = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(),
                             pixels[:, -3:].ravel()])  # fmt: skip
    assert border.min() == 255
    assert pixels.min() < 100


def save(figure, folder):
    save_figure(figure, folder / "figure.png", folder / "figure.svg")
    assert_nothing_clipped(folder / "figure.png")
    return folder / "figure.svg"


def test_long_titles_of_neighbouring_panels_do_not_touch():
    """A line that is too long would run into the next panel's."""
    variants = [
        ("v1", "network"),
        ("v2", "network"),
        ("none", "logistic"),
        ("none", "support_vector"),
    ]
    with figure_style():
        figure, axes = panel_grid([("EfficientNetB0", *variant) for variant in variants])
        for kind, ax in axes.items():
            ax.set_title(panel_title(kind, "sens. 0.966, spec. 0.983"))
        figure.draw_without_rendering()
    titles = [ax.title.get_window_extent() for ax in axes.values()]
    assert all(left.x1 < right.x0 for left, right in pairwise(titles))


@pytest.fixture
def study(tmp_path):
    """Write a manifest of 12 images of each class, every third one tested, and its split."""
    frame = images({"covid": [1] * 12, "normal": [1] * 12})
    manifest_of(frame).to_csv(tmp_path / "manifest.csv", index=False)
    tested = np.arange(len(frame)) % 3 == 0
    split = pd.DataFrame(
        {
            "image_id": frame["image_id"],
            "split": np.where(tested, "test", "train"),
            "fold": pd.array([pd.NA if t else 0 for t in tested], "Int64"),
        }
    )
    split.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path, frame, tested


def test_same_figure_gives_the_same_bytes(tmp_path):
    written = []
    for k in range(2):
        with figure_style():
            figure = Figure()
            figure.subplots().plot([1, 3, 2], label="curve")
            figure.legend()
            save_figure(figure, tmp_path / f"{k}.png", tmp_path / f"{k}.svg")
        written.append([(tmp_path / f"{k}.{s}").read_bytes() for s in ("png", "svg")])
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("view", "group"),
    [
        ("AP", "frontal, AP"),
        ("AP Supine", "frontal, AP"),
        ("PA", "frontal, PA"),
        ("L", "lateral"),
        ("Axial", "CT"),
        ("", "view unknown"),
        ("?", "view unknown"),
    ],
)
def test_views_are_grouped(view, group):
    assert view_group(view) == group


def test_fig1_counts_images_files_and_drawn_by_source(study):
    folder, _, _ = study
    pd.DataFrame(
        [
            ("src", "COVID-19", "AP", 300, 200),
            ("src", "COVID-19", "PA", 100, 20),
            ("src", "A diagnosis of a good many words that must be wrapped", "AP", 7, 7),
            ("hospital", "normal", "", 1583, 424),
        ],
        columns=["source", "diagnosis", "view", "images", "files"],
    ).to_csv(folder / "collections.csv", index=False)
    write_fig1_diagnoses(
        folder / "collections.csv",
        folder / "manifest.csv",
        folder / "1.png",
        folder / "1.svg",
        folder / "1.json",
    )
    assert_nothing_clipped(folder / "1.png")
    shown = texts(folder / "1.svg")
    assert "src: 407 images listed, 227 present, 24 in this run" in shown
    assert "hospital: 1,583 images listed, 424 present, 0 in this run" in shown
    assert "400 (220)" in shown
    [figure] = read_section(folder / "1.json").figures
    assert "src: 407 images listed, 227 files present, most often COVID-19 (400)." in figure.alt
    assert "7" in shown


def test_fig1_stacks_the_views_of_a_diagnosis():
    table = pd.DataFrame(
        [("s", "d", "AP", 30, 30), ("s", "d", "AP Supine", 5, 5), ("s", "d", "L", 2, 2)],
        columns=["source", "diagnosis", "view", "images", "files"],
    )  # fmt: skip
    with figure_style():
        bars = draw_diagnoses(table, pd.Series(dtype=int)).axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0, 35), (35, 2)]


def test_fig1_without_images_is_refused(study):
    folder, _, _ = study
    (folder / "collections.csv").write_text("source,diagnosis,view,images,files\n")
    with pytest.raises(InputError, match="lists no images"):
        write_fig1_diagnoses(
            folder / "collections.csv",
            folder / "manifest.csv",
            folder / "1.png",
            folder / "1.svg",
            folder / "1.json",
        )


def write_fig2(study, made):
    """Paint image i of the manifest with gray value i, its translation with 200 + position."""
    folder, frame, _ = study
    pixels = np.arange(len(frame), dtype=np.uint8)[:, None, None] * np.ones((1, 16, 16), np.uint8)
    np.save(folder / "manifest.npy", pixels)
    columns = ["image_id", "label", "source_image_id"]
    pd.DataFrame(made, columns=columns).assign(patient_id="a:1").to_csv(
        folder / "synthetic.csv", index=False
    )
    np.save(folder / "synthetic.npy", np.full((len(made), 16, 16), 200, np.uint8)
            + np.arange(len(made), dtype=np.uint8)[:, None, None])  # fmt: skip
    drawn = []
    original = Figure.savefig

    def keep(self, *args, **options):
        drawn[:] = [[int(i.get_array()[0, 0]) for i in ax.images] for ax in self.axes]
        original(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        patch.setattr(fig2_synthetic, "COLUMNS", 4)
        fig2_synthetic.run(
            manifest=folder / "manifest.csv",
            images=folder / "manifest.npy",
            holdout=folder / "split.csv",
            synthetic=folder / "synthetic.csv",
            synthetic_images=folder / "synthetic.npy",
            png=folder / "2.png",
            svg=folder / "2.svg",
            section=folder / "2.json",
            seed=1,
        )
    return np.array(drawn, object).reshape(3, 4, -1)[:, :, 0].tolist()


def test_fig2_puts_each_translation_below_its_source_and_shows_training_images_only(study):
    folder, frame, tested = study
    sources = [i for i in range(12, 24) if not tested[i]][::-1]
    made = [(f"s{k}", "covid", frame["image_id"][i]) for k, i in enumerate(sources)]
    above, below, real = write_fig2(study, made)
    assert [sources[value - 200] for value in below] == above
    assert len(set(above)) == 4
    assert all(i < 12 and not tested[i] for i in real)
    assert_nothing_clipped(folder / "2.png")


def test_fig2_refuses_no_images_and_strangers(study):
    with pytest.raises(InputError, match="lists no images"):
        write_fig2(study, [])
    with pytest.raises(InputError, match="source image gone"):
        write_fig2(study, [("s0", "covid", "gone")])


def history(epochs: int, best: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "accuracy": 0.5,
            "val_loss": 1 / epoch + 0.1,
            "val_accuracy": 0.5,
            "best": (epoch == best).astype(int),
        }
    )


@pytest.mark.parametrize(("backbones", "augmentations"), [(1, 1), (1, 3), (3, 2)])
def test_fig4_is_not_clipped_in_any_grid(tmp_path, backbones, augmentations):
    histories = {
        (backbone, f"augmentation{a}", "network"): [history(6, 4), history(6, 6)]
        for backbone in BACKBONES[:backbones]
        for a in range(augmentations)
    }
    with figure_style():
        shown = texts(save(draw_losses(histories), tmp_path))
    for backbone, augmentation, _ in histories:
        assert f"{backbone} {augmentation}" in shown


def test_fig4_marks_the_kept_epochs_and_draws_the_mean_of_the_folds(tmp_path):
    folds = [history(6, 4), history(6, 6)]
    folds[1]["loss"] += 1
    with figure_style():
        lines = draw_losses({("VGG16", "v1", "network"): folds}).axes[0].lines
    marks = [line for line in lines if line.get_marker() == "o"]
    assert [mark.get_xdata().tolist() for mark in marks] == [[4], [6]]
    assert [mark.get_ydata().tolist() for mark in marks] == [[1 / 4 + 0.1], [1 / 6 + 0.1]]
    np.testing.assert_allclose(lines[2].get_ydata(), folds[0]["loss"] + 0.5)


def test_fig4_names_a_history_without_epochs(tmp_path):
    history(0, 1).to_csv(tmp_path / "fold0.csv", index=False)
    with pytest.raises(InputError, match=r"fold0\.csv has no epochs"):
        write_fig4_loss(
            [tmp_path / "fold0.csv"],
            tmp_path / "4.png",
            tmp_path / "4.svg",
            tmp_path / "4.json",
            models=[("VGG16", "v1")],
        )


def test_confusion_has_predictions_in_rows_and_truth_in_columns():
    truth = np.array(["a", "a", "a", "b", "c"])
    predicted = np.array(["a", "b", "b", "b", "a"])
    assert confusion(truth, predicted, ["a", "b", "c"]).tolist() == [
        [1, 0, 1],
        [2, 1, 0],
        [0, 0, 0],
    ]


@pytest.mark.parametrize(("backbones", "augmentations"), [(1, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("classes", [2, 6])
def test_fig5_is_not_clipped_in_any_grid(tmp_path, backbones, augmentations, classes):
    matrix = np.arange(classes * classes).reshape(classes, classes) * 40
    matrices = {
        (backbone, f"v{a}", "network"): matrix
        for backbone in BACKBONES[:backbones]
        for a in range(augmentations)
    }
    with figure_style():
        shown = texts(save(draw_matrices(matrices, LONG[:classes]), tmp_path))
    assert shown.count(f"{matrix.max():,}") == len(matrices)


def test_fig5_scores_the_test_images_of_the_ensemble(study):
    folder, frame, tested = study
    wrong = tested & (np.arange(len(frame)) < 6)  # images 0 and 3: tested, of class covid
    covid = (frame["label"] == "covid").to_numpy()
    table = frame[["image_id", "patient_id", "label"]].assign(
        p_covid=np.where(covid != wrong, 0.9, 0.1), p_normal=np.where(covid != wrong, 0.1, 0.9)
    )
    identified(table, set=np.where(tested, "test", "validation")).to_csv(
        folder / "predictions.csv", index=False
    )
    write_fig5_confusion(
        folder / "predictions.csv",
        folder / "5.png",
        folder / "5.svg",
        folder / "5.json",
        classes=["covid", "normal"],
    )
    assert_nothing_clipped(folder / "5.png")
    shown = texts(folder / "5.svg")
    assert any("accuracy 0.750 (6 of 8)" in text for text in shown)
    # Cells row by row: predicted covid (2 true, 0 false), predicted normal (2 false, 4 true).
    assert [text for text in shown if text.isdigit()] == ["2", "0", "2", "4"]
    [figure] = read_section(folder / "5.json").figures
    assert figure.alt == "A v1: 0.750 of 8 right"
