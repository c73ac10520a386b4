"""Proof, from the files, that no CycleGAN saw an image that its results are tested on.

Nothing here trusts the code that chose the images. Each training wrote down a digest of every array
it was fed (`inputs.seen_table`). They are looked up among the digests of all images of the run, and
what is found is compared with the split: by image, by patient, and by copies
(`data.same_image`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet

from covidcxr.arrays import open_rows
from covidcxr.cyclegan.inputs import SEEN_COLUMNS, pixel_digest
from covidcxr.data.same_image import same_images
from covidcxr.data.tables import read_manifest, read_split, read_table, write_table
from covidcxr.errors import InputError
from covidcxr.logs import log
from covidcxr.report.formats import count, some, table_of
from covidcxr.report.section import Section, SectionTable, write_section

IMAGE, PATIENT, COPY = "a held-out image", "a patient of one", "a near copy of one"
UNKNOWN, MISNAMED, UNSEEN = "no image of the run", "another image than named", "source never seen"

SYNTHETIC_COLUMNS = ["image_id", "source_image_id", "patient_id"]


def run(
    *,
    images: str | Path,
    frames: str | Path,
    manifest: str | Path,
    split: str | Path,
    seen: Sequence[str | Path],
    synthetic: Sequence[str | Path],
    table: str | Path,
    section: str | Path,
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
    table
        CSV to write: generator, images (those `fed` to it, those `translated` by it), check,
        compared (how many), found (how many of them fail the check), first (one that does).
    names
        Of the generators: `all` for the one on all training images, else the fold left out,
        `fold0`, ...
    by_patient
        Whether the split keeps patients together. Otherwise a patient on two sides is counted, but
        is what was asked for.

    Raises
    ------
    InputError
        A generator saw what it must not have seen; the message names the first such image.
    """
    known = read_images(images, frames, manifest, split)
    found = pd.concat(
        [
            check(name, read_table(fed, SEEN_COLUMNS), read_table(made, SYNTHETIC_COLUMNS), known)
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
    write_table(found, table)
    write_section(section, section_of(found))


def read_images(
    images: str | Path, frames: str | Path, manifest: str | Path, split: str | Path
) -> pd.DataFrame:
    """Return the images of a run.

    Returns
    -------
    DataFrame
        image_id, patient_id, split, fold; pixels (SHA-256 of those of the frame) and group (one
        number for copies of one image).
    """
    table = read_manifest(manifest)[["image_id", "patient_id"]].merge(
        read_split(split), on="image_id", how="left", validate="one_to_one"
    )
    whole, cropped = (open_rows(path, manifest, len(table)) for path in (images, frames))
    table["pixels"] = [pixel_digest(np.asarray(frame)) for frame in cropped]
    groups = DisjointSet(range(len(table)))
    for pair in same_images(list(whole)):
        groups.merge(pair.first, pair.second)
    table["group"] = [groups[row] for row in range(len(table))]
    return table


def check(
    name: str, seen: pd.DataFrame, synthetic: pd.DataFrame, known: pd.DataFrame
) -> pd.DataFrame:
    """Compare what a generator was fed, and what was made of it, with the split.

    Held out are the test images and, for the generator of a fold, the images of that fold.

    Parameters
    ----------
    name
        See `run`.
    seen, synthetic
        Of the generator.
    known
        Of `read_images`.

    Returns
    -------
    DataFrame
        generator, images (`fed`, `translated`), check, compared, found, first; see `run`.
    """
    held_out = known["split"].ne("train")
    if name != "all":
        held_out |= known["fold"].eq(int(name.removeprefix("fold"))).fillna(False)
    known = known.assign(held_out=held_out.astype(bool))
    copies = set(known.loc[known["held_out"], "group"])
    patients = set(known.loc[known["held_out"], "patient_id"])
    by_pixels = dict(list(known.groupby("pixels")))
    held_out_names = set(known.loc[known["held_out"], "image_id"])
    patient_of = dict(zip(known["image_id"], known["patient_id"], strict=True))
    fed_names: set[str] = set()

    def fed(image: str, pixels: str) -> dict[str, bool]:
        same = by_pixels.get(pixels, known.iloc[:0])
        fed_names.update(same["image_id"])
        return {
            UNKNOWN: same.empty,
            MISNAMED: not same.empty and image not in set(same["image_id"]),
            IMAGE: bool(same["held_out"].any()),
            PATIENT: not patients.isdisjoint(same["patient_id"]),
            COPY: not copies.isdisjoint(same["group"]),
        }

    def made(source: str, patient: str) -> dict[str, bool]:
        return {
            IMAGE: source in held_out_names,
            PATIENT: patient in patients,
            MISNAMED: patient_of.get(source) != patient,
            UNSEEN: source not in fed_names,
        }

    rows = []
    for images, sources, verdict, second in (
        ("fed", seen["image_id"], fed, seen["pixels"]),
        ("translated", synthetic["source_image_id"], made, synthetic["patient_id"]),
    ):
        verdicts = pd.DataFrame(list(map(verdict, sources, second)), index=sources)
        for what, failed in verdicts.items():
            first = failed.idxmax() if failed.any() else ""
            rows.append((name, images, what, len(failed), int(failed.sum()), first))
    return pd.DataFrame(
        rows, columns=["generator", "images", "check", "compared", "found", "first"]
    )


def section_of(found: pd.DataFrame) -> Section:
    """Say that the checks passed; `found` of `check` for all generators."""
    compared = found.groupby("images")["compared"].max()
    return Section(
        ident="lineage",
        title="What the CycleGAN saw",
        part="synthetic",
        paragraphs=(
            f"{some(found['generator'].nunique(), 'CycleGAN')}: of {count(compared['fed'])} "
            f"training and {count(compared['translated'])} translated images none is a test image, "
            "a near copy of one, or of a test patient.",
        ),
        tables=(SectionTable("lineage", "What was checked.", table_of(found), folded=True),),
        folded=True,
    )
