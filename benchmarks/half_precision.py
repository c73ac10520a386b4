"""Features in half precision: which predictions and accuracies change when banks are rounded.

Heads of every fold train twice, on the features as they are and on features rounded to float16,
from the same weights and in the same order; arithmetic is float32 both times.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from covidcxr.classify.repeats import Arm, pooled, train_arm
from covidcxr.classify.train import Bank, read_bank
from covidcxr.config import complete, read_schema
from covidcxr.data.tables import read_manifest, read_split, read_table
from covidcxr.runtime import configure

SEED = 2020


def rounded(bank: Bank) -> Bank:
    """Return a bank with its features rounded to float16, kept as float32."""

    def halved(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        return np.asarray(values).astype(np.float16).astype(np.float32)

    return replace(bank, clean=halved(bank.clean), views=halved(bank.views))


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
    made = read_table(
        run / "data/synthetic.csv", ["image_id", "label", "source_image_id", "patient_id"]
    )
    classes = sorted(table["label"].unique())
    columns = [f"p_{name}" for name in classes]
    configure(threads=chosen.threads, seed=SEED)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    print(
        "| backbone, augmentation | largest feature | single models: other class | largest change "
        "of a probability | test accuracy, float32 | float16 | out of fold, float32 | float16 |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for backbone in chosen.backbones:
        full = tuple(
            read_bank(run / f"features/{backbone}/{name}") for name in ("manifest", "synthetic")
        )
        half = tuple(rounded(bank) for bank in full)
        largest = max(float(np.abs(bank.views).max()) for bank in full)
        for arm in (Arm("v1"), Arm("v2", synthetic=100)):
            single, whole = [], []
            for banks in (full, half):
                models = [
                    train_arm(
                        arm,
                        table,
                        k,
                        banks,
                        made,
                        classes=classes,
                        settings=study["training"],
                        seed=SEED,
                        name=("train", backbone, arm.name, k),
                    )
                    for k in range(5)
                ]
                single.append(pd.concat(models)[columns].to_numpy())
                whole.append(pooled(pd.concat(models), table, classes))
            flips = int((single[0].argmax(axis=1) != single[1].argmax(axis=1)).sum())
            cells = []
            for part in ("test", "validation"):
                for scored in whole:
                    of = scored[scored["split"] == part]
                    right = (
                        of["label"].to_numpy()
                        == np.array(classes)[of[columns].to_numpy().argmax(1)]
                    )
                    cells.append(f"{right.mean():.4f}")
            print(
                f"| {backbone} {arm.name} | {largest:.0f} | {flips} of {len(single[0]):,} | "
                f"{np.abs(single[0] - single[1]).max():.4f} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
