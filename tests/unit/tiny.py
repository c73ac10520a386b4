"""A tiny backbone, images and tables for the tests of features, training and Grad-CAM."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd

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
    table["source"] = "s"
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
