"""Accuracy against the number of augmented views, and against a fresh view in every epoch.

The usual script draws a fresh view of each image in every epoch. On cached features that is as many
views as epochs, the head training on view e in epoch e; ours goes round the image itself and few
views. Heads of both train on the same folds, from the same weights, in the same order of batches.

The defaults are for a look in a few minutes. The study's own protocol:

    python benchmarks/views.py --images 593 --epochs 50 --seeds 5
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from scipy import stats

from covidcxr.classify.fitting import Arm, Fitter, Material, Training
from covidcxr.classify.repeats import PLAIN, mean_over_folds, train_head
from covidcxr.config import complete, read_schema
from covidcxr.data.split import assign_folds
from covidcxr.data.tables import read_manifest, read_table
from covidcxr.features import features
from covidcxr.features.bank import Bank, positions, read_bank
from covidcxr.runtime import configure
from covidcxr.seeding import integer_seed

USUAL = "fresh every epoch"
SEED = 2020


@dataclass(frozen=True)
class FreshViews(Bank):
    """A bank of as many views as epochs: each epoch trains on one of its own, none on the image."""

    def epoch_of(self, ids: Sequence[str], epoch: int) -> npt.NDArray[np.generic]:
        """Return the features [len(ids), *cut] of view number `epoch`."""
        return np.asarray(self.views[positions(self.rows["view_row"], ids), epoch])


def banks(full: Bank, numbers: Sequence[int]) -> dict[str, Bank]:
    """Return a bank of each number of views, and the usual script's."""
    few = {str(n): replace(full, views=full.views[:, :n]) for n in numbers}
    return few | {USUAL: FreshViews(full.clean, full.views, full.rows)}


def accuracies(
    compared: dict[str, Bank],
    table: pd.DataFrame,
    settings: dict[str, Any],
    *,
    folds: int,
    seeds: int,
) -> Iterator[tuple[str, int, str, float]]:
    """Yield (bank, seed, `test` or `validation`, accuracy) of ensembles of `folds` heads."""
    classes = sorted(table["label"].unique())
    training = table["split"] == "train"
    fitter = Fitter(Training(**settings))
    for seed in range(seeds):
        fold = assign_folds(table[training], unit="patient", folds=folds, seed=seed)
        divided = table.assign(fold=fold.reindex(table.index).astype("Int64"))
        for name, bank in compared.items():
            predicted = [
                train_head(
                    Material(divided, classes, bank),
                    Arm(PLAIN),
                    k,
                    fitter,
                    seed,
                    ("train", k),
                )
                for k in range(folds)
            ]
            scored = mean_over_folds(pd.concat(predicted), divided, classes)
            chosen = np.array(classes)[
                scored[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
            ]
            right = scored["label"].to_numpy() == chosen
            for part in ("validation", "test"):
                yield name, seed, part, float(right[scored["split"] == part].mean())


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and half the width of its 95 % interval (Student's t, over the seeds)."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def lines(results: pd.DataFrame) -> Iterator[str]:
    """Yield a table: accuracy of each bank, and its difference from the usual script's by seed."""
    yield (
        "| views | "
        + " | ".join(
            f"{part}, {what}"
            for part in ("out of fold", "test")
            for what in ("accuracy", "difference")
        )
        + " |\n|---|---|---|---|---|"
    )
    wide = results.pivot(index="seed", columns=["part", "views"], values="accuracy")
    for name in results["views"].unique():
        cells = []
        for part in ("validation", "test"):
            own, usual = wide[part][name].to_numpy(), wide[part][USUAL].to_numpy()
            cells.append("{:.3f} ± {:.3f}".format(*interval(own)))
            cells.append("" if name == USUAL else "{:+.3f} ± {:.3f}".format(*interval(own - usual)))
        yield f"| {name} | {' | '.join(cells)} |"


def few_images(table: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the test images and the first `number` training images of a random order."""
    training = table[table["split"] == "train"]
    chosen = training.sample(frac=1, random_state=SEED).iloc[:number]
    return table[(table["split"] == "test") | table.index.isin(chosen.index)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("results/real"), help="a finished run")
    parser.add_argument("--backbone", default="EfficientNetB0")
    parser.add_argument("--images", type=int, default=120, help="training images at most")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--views", type=int, nargs="+", default=[0, 1, 2, 4, 10, 20, 50])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--features", type=Path, help="keep the features in this folder")
    chosen = parser.parse_args()
    images = chosen.run / "images/manifest.npy"
    if not images.is_file():
        print(f"{images} is absent: run `make real` first, or name another run by --run")
        return
    study = complete(
        yaml.safe_load(Path("config/config.yaml").read_text()),
        read_schema("workflow/schemas/config.schema.yaml"),
    )
    table = read_manifest(chosen.run / "data/manifest.csv").merge(
        read_table(chosen.run / "data/holdout.csv", ["image_id", "split"]), on="image_id"
    )
    used = few_images(table, chosen.images)
    settings = study["training"] | {"epochs": chosen.epochs}
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.features or Path(scratch)
        files = [folder / name for name in ("clean.npy", "views.npy", "rows.csv")]
        if not files[-1].is_file():
            # Only the chosen images: their rows of the array, their part of the tables.
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "images.npy", np.load(images, mmap_mode="r")[used.index])
            used[["image_id"]].to_csv(folder / "table.csv", index=False)
            used[["image_id", "split"]].to_csv(folder / "holdout.csv", index=False)
            names = ("images.npy", "table.csv", "holdout.csv")
            features.run(
                str(chosen.run / f"backbones/{chosen.backbone}.keras"),
                *(str(folder / name) for name in names),
                *map(str, files),
                settings={
                    "trainable": "head",
                    "views": chosen.epochs,
                    "transform": study["transform"],
                    "seed": SEED,
                },
                threads=chosen.threads,
            )
        configure(threads=chosen.threads, seed=integer_seed(SEED, "views"))
        compared = banks(read_bank(*files), [n for n in chosen.views if n <= chosen.epochs])
        found = accuracies(
            compared, used.reset_index(drop=True), settings, folds=5, seeds=chosen.seeds
        )
        results = pd.DataFrame(found, columns=["views", "seed", "part", "accuracy"])
    counts = used["split"].value_counts()
    print(
        f"{chosen.backbone}: {counts['train']} training and {counts['test']} test images, 5 folds, "
        f"{chosen.epochs} epochs, {chosen.seeds} seeds; accuracy of ensembles"
    )
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
