"""Features in half precision: which predictions and accuracies change when banks are rounded.

Heads of every fold of v1 train three times, from the same weights and in the same order: on the
features as they are, on features rounded to float16, and, to tell what rounding does from what any
disturbance does, on features with relative noise of 1e-6. Arithmetic is float32.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from covidcxr.classify.fitting import Arm, Fitter, Material, Training
from covidcxr.classify.repeats import PLAIN, mean_over_folds, train_head
from covidcxr.config import complete, read_schema
from covidcxr.data.tables import read_manifest, read_split
from covidcxr.features.bank import read_bank
from covidcxr.runtime import configure

SEED = 2020


def rounded(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return values rounded to float16, kept as float32."""
    return np.asarray(values).astype(np.float16).astype(np.float32)


def disturbed(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Return float32 values with uniform relative noise of up to 1e-6."""
    noise = np.random.default_rng(0).uniform(-1e-6, 1e-6, values.shape)
    return (np.asarray(values) * (1 + noise)).astype(np.float32)


VARIANTS: dict[str, Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]] = {
    "float32": np.asarray,
    "float16": rounded,
    "noise of 1e-6": disturbed,
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("results/real"), help="a finished run")
    parser.add_argument("--backbones", nargs="+", default=["VGG16", "ResNet50", "EfficientNetB0"])
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    run = chosen.run
    if not (run / "data/split.csv").is_file():
        print(f"{run} is no finished run: run `make real` first, or name another by --run")
        return
    study = complete(
        yaml.safe_load(Path("config/config.yaml").read_text()),
        read_schema("workflow/schemas/config.schema.yaml"),
    )
    table = read_manifest(run / "data/manifest.csv").merge(
        read_split(run / "data/split.csv"), on="image_id"
    )
    classes = sorted(table["label"].unique())
    columns = [f"p_{name}" for name in classes]
    configure(threads=chosen.threads, seed=SEED)
    print(
        "| backbone | largest feature | features | models: other class | largest change of a "
        "probability | ensembles: test accuracy | out of fold |\n|---|---|---|---|---|---|---|"
    )
    for backbone in chosen.backbones:
        full = read_bank(
            *(
                run / f"features/{backbone}/manifest" / f
                for f in ("clean.npy", "views.npy", "rows.csv")
            )
        )
        largest = float(np.abs(full.views).max())
        fitter = Fitter(Training(**study["training"]))
        reference: npt.NDArray[np.float64] | None = None
        for variant, change in VARIANTS.items():
            bank = replace(full, clean=change(full.clean), views=change(full.views))
            models = pd.concat(
                train_head(
                    Material(table, classes, bank),
                    Arm(PLAIN),
                    k,
                    fitter,
                    SEED,
                    ("train", backbone, k),
                )
                for k in range(table["fold"].nunique())
            )
            scores = models[columns].to_numpy()
            reference = scores if reference is None else reference
            flips = int((scores.argmax(axis=1) != reference.argmax(axis=1)).sum())
            whole = mean_over_folds(models, table, classes)
            named = np.array(classes)[whole[columns].to_numpy().argmax(axis=1)]
            right = whole["label"].to_numpy() == named
            test, held = (
                f"{right[whole['split'] == part].mean():.4f}" for part in ("test", "validation")
            )
            print(
                f"| {backbone} | {largest:.0f} | {variant} | {flips} of {len(scores):,} | "
                f"{np.abs(scores - reference).max():.4f} | {test} | {held} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
