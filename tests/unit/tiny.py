"""A tiny backbone, images and tables for the tests of features, training and Grad-CAM."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from covidcxr.classify import train
from covidcxr.classify.card import ModelCard
from covidcxr.classify.model import assembled, attach, build_head, write_model
from covidcxr.features import features

CLASSES = ["covid", "normal", "pneumonia"]
SIZE = 16
TRANSFORM = {
    "rotation": 5.0,
    "width_shift": 0.05,
    "height_shift": 0.05,
    "horizontal_flip": True,
    "vertical_flip": False,
}


def tiny_backbone() -> keras.Model:
    """Two convolutional stages with batch normalisation, random weights from seed 0."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(x)
    x = keras.layers.MaxPooling2D(name="first_pool")(x)
    x = keras.layers.Conv2D(8, 3, padding="same", strides=2, name="second")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="last")(x)
    return keras.Model(image, x, name="tiny")


def tiny_ensemble(members: int) -> tuple[keras.Model, list[keras.Model]]:
    """An ensemble of heads with random weights on the tiny backbone, and its members."""
    backbone = tiny_backbone()
    keras.utils.set_random_seed(3)
    pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    outputs = []
    for k in range(members):
        head = build_head(3)
        for layer in head:
            layer.name = f"fold{k}_{layer.name}"
        outputs.append(attach(pooled, head))
    mean = keras.layers.Average(name="ensemble")(outputs)
    models = [keras.Model(backbone.input, output) for output in outputs]
    return keras.Model(backbone.input, mean, name="tiny"), models


def tiny_images(labels: list[int], seed: int = 0) -> np.ndarray:
    """Noise with rows, columns or nothing brightened, uint8 [n, SIZE, SIZE]."""
    images = np.random.default_rng(seed).integers(0, 120, (len(labels), SIZE, SIZE))
    for image, label in zip(images, labels, strict=True):
        if label == 0:
            image[::4] += 120
        elif label == 1:
            image[:, ::4] += 120
    return images.astype(np.uint8)


def tiny_manifest(labels: list[int]) -> pd.DataFrame:
    """A manifest with one patient per two images."""
    names = [f"s-{i:03d}" for i in range(len(labels))]
    table = pd.DataFrame({"image_id": names, "path": names, "label": [CLASSES[k] for k in labels]})
    table["patient_id"] = [f"s:{i // 2}" for i in range(len(labels))]
    table[["source", "site"]] = "s"
    table["view"] = ""
    table[["day", "age"]] = np.nan
    table[["sex", "subtype", "license"]] = ""
    table["sha256"] = [f"{i:064x}" for i in range(len(labels))]
    return table


def tiny_study(folder: Path) -> Path:
    """Write backbone, images, manifest and split: 48 training images in 3 folds, 12 test images."""
    labels = [i // 2 % 3 for i in range(60)]
    table = tiny_manifest(labels)
    split = table[["image_id"]].copy()
    split["split"] = ["test" if i >= 48 else "train" for i in range(60)]
    split["fold"] = pd.array([None if i >= 48 else i // 6 % 3 for i in range(60)], "Int64")
    table.to_csv(folder / "manifest.csv", index=False)
    split.to_csv(folder / "split.csv", index=False)
    np.save(folder / "images.npy", tiny_images(labels))
    tiny_backbone().save(folder / "tiny.keras")
    return folder


def tiny_bank(folder: Path, name: str = "bank", *, cut: str = "head", views: int = 1) -> list[Path]:
    """Write the feature bank of a study's images; return its files."""
    return write_bank(folder, name, "images.npy", "manifest.csv", "split.csv", cut, views)


def write_bank(
    folder: Path, name: str, images: str, table: str, holdout: str | None, cut: str, views: int
) -> list[Path]:
    """Write the feature bank of images that a table lists; return its files."""
    files = [folder / name / file for file in ("clean.npy", "views.npy", "rows.csv")]
    features.run(
        folder / "tiny.keras",
        folder / images,
        folder / table,
        folder / holdout if holdout else None,
        *files,
        settings={"trainable": cut, "views": views, "transform": TRANSFORM, "seed": 1},
        threads=1,
    )
    return files


def synthetic_of(folder: Path, cut: str = "head", name: str = "synthetic") -> list[Path]:
    """Write six synthetic images of covid and their bank; return their table and its files."""
    manifest = pd.read_csv(folder / "manifest.csv")
    sources = manifest.loc[manifest["label"] == "normal"].iloc[:6]
    pd.DataFrame(
        {
            "image_id": [f"synthetic-{k}" for k in range(6)],
            "label": "covid",
            "source_image_id": sources["image_id"].to_numpy(),
            "patient_id": sources["patient_id"].to_numpy(),
        }
    ).to_csv(folder / "synthetic.csv", index=False)
    np.save(folder / "synthetic.npy", tiny_images([0] * 6, seed=1))
    bank = write_bank(folder, name, "synthetic.npy", "synthetic.csv", None, cut, 2)
    return [folder / "synthetic.csv", *bank]


def train_tiny(
    folder: Path,
    bank: list[Path],
    out: Path,
    *,
    fold: int = 0,
    augmentation: str = "v1",
    split: Path | None = None,
    made: list[Path] | None = None,
    **settings: object,
) -> Path:
    """Train a fold of a study; return its head, beside which history.csv, predictions.csv stand."""
    train.run(
        folder / "tiny.keras",
        bank,
        [folder / "manifest.csv", split or folder / "split.csv"],
        made or [],
        out / "head.keras",
        out / "history.csv",
        out / "predictions.csv",
        settings={"classes": CLASSES, "synthetic": 0, "seed": 1, **settings},
        wildcards={
            "population": "study",
            "backbone": "tiny",
            "augmentation": augmentation,
            "fold": f"fold{fold}",
        },
        threads=1,
    )
    return out / "head.keras"


def assemble_tiny(folder: Path, heads: list[Path], out: Path, cut: str = "head") -> Path:
    """Write the complete model of a study's heads: of one its fold's, of several the ensemble."""
    card = ModelCard(tuple(CLASSES), "study", "tiny", "v1", "ensemble" if heads[1:] else "fold0")
    write_model(str(folder / "tiny.keras"), [str(head) for head in heads], str(out), card, cut)
    return out


def complete(backbone: keras.Model, layers: list[keras.Layer]) -> keras.Model:
    """The complete model of one head, of `build_head`, on the pooled features of a backbone."""
    vector = keras.Input((backbone.output_shape[-1],))
    head = keras.Model(vector, attach(vector, layers))
    return assembled(backbone, {"": head}, "head")
