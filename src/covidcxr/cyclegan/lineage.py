"""Proof, from the files, that no CycleGAN saw an image that its results are tested on.

Nothing here trusts the code that chose the images. Each training wrote down a digest of every array
it was fed (`inputs.seen_table`). They are looked up among the digests of all images of the run, and
what is found is held against the split: by image, by patient, and by perceptual hash.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.arrays import open_rows
from covidcxr.cyclegan.inputs import SEEN_COLUMNS, pixel_digest
from covidcxr.data.examination import MAX_DISTANCE, perceptual_hash
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.errors import InputError

log = logging.getLogger("covidcxr")

IMAGE, PATIENT, COPY = "a held-out image", "a patient of one", "a near copy of one"
UNKNOWN, MISNAMED, UNSEEN = "no image of the run", "another image than named", "source never seen"

SYNTHETIC_COLUMNS = ["image_id", "source_image_id", "patient_id"]

Hashes = npt.NDArray[np.uint64]


class Generator(NamedTuple):
    """Files of one training and of what was made with it.

    Attributes
    ----------
    name
        `all` for the one on all training images, else the fold left out, `fold0`, ...
    seen
        What it was fed, `inputs.SEEN_COLUMNS`.
    synthetic
        `synthetic.csv` of the images made with it.
    """

    name: str
    seen: pd.DataFrame
    synthetic: pd.DataFrame


class Run(NamedTuple):
    """All images of a run: names, patients and splits, digests of pixels, perceptual hashes.

    Attributes
    ----------
    table
        image_id, patient_id, split, fold.
    pixels
        SHA-256 of the pixels of each row's frame.
    hashes
        uint64 [n, 4], of the images.
    """

    table: pd.DataFrame
    pixels: list[str]
    hashes: Hashes


def write_lineage(
    images: str | Path,
    frames: str | Path,
    manifest: str | Path,
    split: str | Path,
    seen: Sequence[str | Path],
    synthetic: Sequence[str | Path],
    output: str | Path,
    *,
    names: Sequence[str],
    by_patient: bool,
) -> None:
    """Check all generators of a run; write what was found, or stop.

    Parameters
    ----------
    images, frames, manifest, split
        `images/manifest.npy` and `images/frames.npy` (uint8 [n, size, size]; what a CycleGAN sees
        of each image), `data/manifest.csv`, `data/split.csv`.
    seen, synthetic
        `inputs.csv` and `synthetic.csv` of each generator.
    output
        CSV: generator, images (those `fed` to it, those `translated` by it), check, compared (how
        many), found (how many of them fail the check), first (one that does).
    names
        Of the generators, see `Generator`.
    by_patient
        Whether the split keeps patients together. Otherwise a patient on two sides is counted, but
        is what was asked for.

    Raises
    ------
    InputError
        A generator saw what it must not have seen; the message names the first such image.
    """
    run = read_run(images, frames, manifest, split)
    found = pd.concat(
        [
            check(
                Generator(name, read_table(fed, SEEN_COLUMNS), read_table(made, SYNTHETIC_COLUMNS)),
                run,
            )
            for name, fed, made in zip(names, seen, synthetic, strict=True)
        ],
        ignore_index=True,
    )
    forbidden = found[found["found"] > 0]
    if not by_patient:
        forbidden = forbidden[forbidden["check"] != PATIENT]
    if len(forbidden):
        worst = forbidden.iloc[0]
        raise InputError(
            f"CycleGAN '{worst['generator']}': {worst['found']} of {worst['compared']} images are "
            f"{worst['check']}, such as {worst['first']}; its results prove nothing. Delete "
            f"{seen[list(names).index(worst['generator'])]} and run again; if that does not mend "
            "it, report it as an error of this program"
        )
    log.info("lineage of %d CycleGANs: none saw an image that it must not have seen", len(names))
    write_table(found, output)


def read_run(
    images: str | Path, frames: str | Path, manifest: str | Path, split: str | Path
) -> Run:
    """Read the images of a run; take the digests of their frames and their own hashes."""
    table = read_manifest(manifest)[["image_id", "patient_id"]].merge(
        read_split(split), on="image_id", how="left", validate="one_to_one"
    )
    pictures, cut = (open_rows(path, manifest, len(table)) for path in (images, frames))
    digests = [pixel_digest(np.asarray(frame)) for frame in cut]
    hashes = np.stack([perceptual_hash(np.asarray(picture)) for picture in pictures])
    return Run(table, digests, hashes)


def check(generator: Generator, run: Run) -> pd.DataFrame:
    """Hold what a generator was fed, and what was made of it, against the split.

    Held out are the test images and, for the generator of a fold, the images of that fold.

    Returns
    -------
    DataFrame
        generator, images (`fed`, `translated`), check, compared, found, first; see `write_lineage`.
    """
    table = run.table
    held_out = table["split"].ne("train").to_numpy(bool)
    if generator.name != "all":
        fold = int(generator.name.removeprefix("fold"))
        held_out = held_out | table["fold"].eq(fold).fillna(False).to_numpy(bool)
    rows_of: dict[str, list[int]] = {}
    for row, pixels in enumerate(run.pixels):
        rows_of.setdefault(pixels, []).append(row)
    names = table["image_id"].to_numpy(str)
    patients = table["patient_id"].to_numpy(str)
    held_out_patients = set(patients[held_out])

    seen = generator.seen
    rows = [rows_of.get(pixels, []) for pixels in seen["pixels"]]
    by_name = {name: row for row, name in enumerate(names)}
    sources = [by_name.get(name) for name in generator.synthetic["source_image_id"]]
    fed = {row for found in rows for row in found}

    def near_copy(found: list[int]) -> bool:
        return any(
            (
                np.bitwise_count(run.hashes[held_out] ^ run.hashes[row]).sum(axis=1) <= MAX_DISTANCE
            ).any()
            for row in found
        )

    def made(row: int | None, patient: str) -> dict[str, bool]:
        return {
            IMAGE: row is not None and bool(held_out[row]),
            PATIENT: patient in held_out_patients,
            MISNAMED: row is None or patients[row] != patient,
            UNSEEN: row not in fed,
        }

    of_fed = [
        {
            UNKNOWN: not found,
            MISNAMED: bool(found) and name not in names[found],
            IMAGE: bool(held_out[found].any()),
            PATIENT: bool(held_out_patients & set(patients[found])),
            COPY: near_copy(found),
        }
        for name, found in zip(seen["image_id"], rows, strict=True)
    ]
    of_made = [
        made(row, patient)
        for row, patient in zip(sources, generator.synthetic["patient_id"], strict=True)
    ]
    return pd.DataFrame(
        [
            *_counts(generator.name, "fed", of_fed, seen["image_id"]),
            *_counts(generator.name, "translated", of_made, generator.synthetic["source_image_id"]),
        ],
        columns=["generator", "images", "check", "compared", "found", "first"],
    )


def _counts(
    generator: str, images: str, verdicts: list[dict[str, bool]], names: "pd.Series[str]"
) -> list[tuple[str, str, str, int, int, str]]:
    counted = []
    for what in verdicts[0] if verdicts else ():
        found = [name for name, verdict in zip(names, verdicts, strict=True) if verdict[what]]
        first = found[0] if found else ""
        counted.append((generator, images, what, len(verdicts), len(found), first))
    return counted
