"""Grad-CAM of every test image and every dated patient, and what can be measured of the maps."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.data.images import resize
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.errors import InputError
from covidcxr.explain.committee import Committee, build_committee, consult, probabilities_of
from covidcxr.explain.gradcam import build_explainer
from covidcxr.explain.maps import upsample
from covidcxr.explain.measures import (
    area_under,
    curves,
    energy_share,
    extent,
    random_map,
    rank_correlation,
)
from covidcxr.features.backbone import cut_layer
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.runtime import configure
from covidcxr.seeding import generator, integer_seed

log = logging.getLogger("covidcxr")

STEPS = 8
"""Steps of the deletion and insertion curves."""

DATED = 3
"""Dated images from which on a patient is followed over days."""

DESCRIBED = ("image_id", "patient_id", "label", "day", "cohort")

STAGES = ("head", "last_block", "all")
"""What of a network is randomised, from the output downwards (Adebayo et al. 2018)."""


def dated_patients(table: pd.DataFrame) -> pd.DataFrame:
    """Return the images of patients with `DATED` or more of known day, by patient and day."""
    known = table.loc[table["day"].notna()]
    counts = known.groupby("patient_id")["image_id"].transform("count")
    return known.loc[counts >= DATED].sort_values(["patient_id", "day"], kind="stable")


def choose(labels: "pd.Series[str]", count: int, seed: int) -> list[int]:
    """Choose up to `count` positions, classes in turn, each class in its own seeded order."""
    queues = []
    for name in sorted(set(labels)):
        places = np.flatnonzero((labels == name).to_numpy())
        queues.append(generator(seed, "explanations", name).permutation(places).tolist())
    turns = [
        queue[turn]
        for turn in range(max(map(len, queues), default=0))
        for queue in queues
        if turn < len(queue)
    ]
    return sorted(turns[:count])


def lesion_region(path: str, folder: str | Path, size: int) -> npt.NDArray[np.bool_]:
    """Return the lesion mask of a phantom at the size the networks see, bool [size, size].

    Raises
    ------
    InputError
        There is no mask.
    """
    file = Path(folder) / "images" / "masks" / f"{Path(path).stem}_lesion.png"
    mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise InputError(f"{file} is missing or no image: delete {folder} to draw it anew")
    return np.asarray(resize(np.asarray(mask, np.uint8), size) >= 128)


def randomised(file: str | Path, stage: str, seed: int) -> keras.Model:
    """Return a model whose upper part has its weights shuffled, each tensor within itself.

    Shuffling keeps the spread of the weights, so that activations stay in their range.

    Parameters
    ----------
    file
        Complete model.
    stage
        `head`: what follows the pooling; `last_block`: also the backbone's last block; `all`.

    Raises
    ------
    InputError
        `last_block`, where the backbone has no single tensor before its last block.
    """
    model = keras.models.load_model(file, compile=False)
    features = build_explainer(model).features
    named = keras.Model(features.input, features.output, name=model.name)
    kept: set[str] = set()
    if stage != "all":
        # `head` of `cut_layer` is the backbone's output: everything up to it keeps its weights.
        cut = cut_layer(named, stage)
        names = [operation.name for operation in named.operations]
        kept = set(names[: names.index(cut) + 1])
    for layer in model.layers:
        if layer.name in kept or isinstance(layer, keras.layers.Normalization):
            continue
        for k, weight in enumerate(layer.weights):
            values = weight.numpy()
            rng = generator(seed, "randomise", model.name, layer.name, k)
            if values.ndim:
                weight.assign(rng.permutation(values.ravel()).reshape(values.shape))
    return model


def write_explanations(
    models: Sequence[tuple[str, Sequence[str | Path]]],
    manifest: str | Path,
    images: str | Path,
    split: str | Path,
    lungs: str | Path,
    timeline: str | Path,
    timeline_images: str | Path,
    output_maps: str | Path,
    output_images: str | Path,
    output_curves: str | Path,
    output_randomised: str | Path,
    *,
    classes: Sequence[str],
    phantoms: Mapping[str, str | Path],
    count: int,
    seed: int,
    threads: int,
) -> None:
    """Explain the test images and the dated patients by the models of one backbone.

    A test or timeline image is explained by all folds' models (mean map, mean probability), a
    dated training image by the one fold's model that did not train on it. Explained is the class
    the image is labelled with.

    Parameters
    ----------
    models
        (augmentation, complete models of fold 0, 1, ...).
    manifest, images, split
        `manifest.csv`, uint8 [n, size, size], `split.csv`.
    lungs
        bool [n, size, size], the lungs of each image of the manifest.
    timeline, timeline_images
        Patients kept out of training and test; may be empty.
    output_maps
        npz: image_id [m], pixels uint8 [m, size, size], and for each augmentation
        maps_<augmentation> float16 [m, h, w] in [0, 1], at the resolution of the layer.
    output_images
        CSV, one row an augmentation and image: backbone's model (`ensemble` or `fold<k>`),
        probability, extent, share of the map in lungs and lesion, and these regions' share of the
        image.
    output_curves
        CSV, one row an augmentation, image and kind of map (`Grad-CAM`, `random`): deletion and
        insertion at each step and their areas.
    output_randomised
        CSV, one row an augmentation, image and stage: rank correlation with the trained map.
    classes
        Class names, in the order of the models' outputs.
    phantoms
        Of each source of phantoms its folder, with lesion masks in `images/masks`.
    count
        Test images for curves and randomisation.
    seed, threads
        Of the run.
    """
    configure(threads=threads, seed=integer_seed(seed, "explanations"))
    table, pixels = explained_images(
        read_manifest(manifest), images, read_split(split), read_manifest(timeline), timeline_images
    )
    regions = np.load(lungs, mmap_mode="r")
    index = np.array([list(classes).index(label) for label in table["label"]])
    members = [(name, fold, file) for name, files in models for fold, file in enumerate(files)]
    committee = build_committee(
        [keras.models.load_model(file, compile=False) for _, _, file in members]
    )
    log.info("%d images, %d models", len(table), committee.size)
    verdict = consult(committee, pixels, index)
    names = np.array([name for name, _, _ in members])
    folds = np.array([fold for _, fold, _ in members])
    size = pixels.shape[-1]
    records: list[dict[str, object]] = []
    maps: dict[str, npt.NDArray[np.float32]] = {}
    for name, _ in models:
        own = np.empty(verdict.maps.shape[1:], np.float32)
        for k, row in enumerate(table.to_dict("records")):
            trained = None if pd.isna(row["fold"]) else int(row["fold"])
            voting = (names == name) & (True if trained is None else folds == trained)
            own[k] = verdict.maps[voting, k].mean(axis=0)
            scores = verdict.probabilities[voting, k].mean(axis=0)
            heat = upsample(own[k : k + 1], size)[0]
            lung = None if row["place"] < 0 else np.asarray(regions[row["place"]])
            folder = phantoms.get(row["source"])
            lesion = None if folder is None else lesion_region(row["path"], folder, size)
            records.append(
                {
                    "augmentation": name,
                    **{column: row[column] for column in DESCRIBED},
                    "dated": int(row["dated"]),
                    "model": "ensemble" if trained is None else f"fold{trained}",
                    **{f"p_{c}": float(p) for c, p in zip(classes, scores, strict=True)},
                    "empty": int(heat.max() <= 0),
                    "extent": extent(heat),
                    **_shares("lungs", heat, lung),
                    **_shares("lesion", heat, lesion),
                }
            )
        maps[name] = own
    write_table(pd.DataFrame(records), output_images)
    arrays: dict[str, Any] = {f"maps_{name}": own.astype(np.float16) for name, own in maps.items()}
    with atomic(output_maps) as temporary:
        np.savez_compressed(
            temporary, image_id=table["image_id"].to_numpy(np.str_), pixels=pixels, **arrays
        )

    tests = np.flatnonzero((table["cohort"] == "test").to_numpy())
    sample = tests[choose(table["label"].iloc[tests].reset_index(drop=True), count, seed)]
    write_table(
        perturbation_table(
            committee,
            pixels[sample],
            index[sample],
            {name: own[sample] for name, own in maps.items()},
            {name: names == name for name in maps},
            table["image_id"].iloc[sample].tolist(),
            seed,
        ),
        output_curves,
    )
    write_table(
        randomisation_table(
            [(name, files[0]) for name, files in models],
            pixels[sample],
            index[sample],
            {name: verdict.maps[names == name][0][sample] for name, _ in models},
            table["image_id"].iloc[sample].tolist(),
            seed,
        ),
        output_randomised,
    )


def explained_images(
    manifest: pd.DataFrame,
    images: str | Path,
    split: pd.DataFrame,
    timeline: pd.DataFrame,
    timeline_images: str | Path,
) -> tuple[pd.DataFrame, npt.NDArray[np.uint8]]:
    """Return the test images and those of dated patients, with their pixels.

    Returns
    -------
    table
        Columns of the manifest, `fold` (missing: no model trained on the image), `place` (row in
        the manifest, -1 for the timeline), `cohort` (`test`, `train` or `timeline`), `dated`.
    pixels
        uint8 [rows, size, size].
    """
    own = manifest.merge(split, on="image_id", how="left", validate="one_to_one")
    own = own.rename(columns={"split": "cohort"}).assign(place=range(len(own)), row=range(len(own)))
    other = timeline.assign(
        cohort="timeline",
        fold=pd.array([None] * len(timeline), "Int64"),
        place=-1,
        row=range(len(timeline)),
    )
    everything = pd.concat([own, other], ignore_index=True) if len(other) else own
    dated = set(dated_patients(everything)["image_id"])
    everything["dated"] = everything["image_id"].isin(list(dated))
    table = everything.loc[(everything["cohort"] == "test") | everything["dated"]]
    table = table.reset_index(drop=True)
    held, kept = np.load(images, mmap_mode="r"), np.load(timeline_images, mmap_mode="r")
    pixels = [
        (kept if cohort == "timeline" else held)[row]
        for cohort, row in zip(table["cohort"], table["row"], strict=True)
    ]
    return table, np.array(pixels, np.uint8)


def perturbation_table(
    committee: Committee,
    images: npt.NDArray[np.uint8],
    class_index: npt.NDArray[np.int64],
    maps: Mapping[str, npt.NDArray[np.float32]],
    votes: Mapping[str, npt.NDArray[np.bool_]],
    image_ids: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return deletion and insertion curves of each augmentation's maps and of random maps.

    Parameters
    ----------
    images, class_index
        uint8 [n, size, size]; the class whose probability is followed, [n].
    maps
        For each augmentation [n, h, w].
    votes
        For each augmentation bool [members], its models.
    """
    size = images.shape[-1]
    shape = next(iter(maps.values())).shape[1:]
    heats = {name: upsample(own, size) for name, own in maps.items()}
    noise = [
        random_map((shape[0], shape[1]), size, generator(seed, "random map", name))
        for name in image_ids
    ]
    heats[""] = np.array(noise, np.float32).reshape(len(images), size, size)

    def probability(stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        scores = [
            probabilities_of(committee, changes)[..., chosen]
            for changes, chosen in zip(
                progress(stack, desc="changed images", unit="image"), class_index, strict=True
            )
        ]
        return np.stack(scores, axis=1)

    rng = generator(seed, "perturbation")
    found = curves(images, heats, probability, STEPS, rng)
    records = []
    for augmentation, voting in votes.items():
        for kind, name in (("Grad-CAM", augmentation), ("random", "")):
            deletion, insertion = (part[voting].mean(axis=0) for part in found[name])
            for k, image_id in enumerate(image_ids):
                records.append(
                    {
                        "augmentation": augmentation,
                        "image_id": image_id,
                        "map": kind,
                        "deletion_area": float(area_under(deletion[k])),
                        "insertion_area": float(area_under(insertion[k])),
                        **{f"deletion_{s}": float(p) for s, p in enumerate(deletion[k])},
                        **{f"insertion_{s}": float(p) for s, p in enumerate(insertion[k])},
                    }
                )
    return pd.DataFrame(records)


def randomisation_table(
    files: Sequence[tuple[str, str | Path]],
    images: npt.NDArray[np.uint8],
    class_index: npt.NDArray[np.int64],
    trained: Mapping[str, npt.NDArray[np.float32]],
    image_ids: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return the rank correlation of maps with those of the same network randomised.

    Parameters
    ----------
    files
        (augmentation, one model of it).
    trained
        For each augmentation the maps [n, h, w] of that model.
    """
    records = []
    for name, file in progress(files, desc="randomised", unit="model"):
        for stage in STAGES:
            try:
                model = randomised(file, stage, seed)
            except InputError:
                log.info("%s has no separate last block: stage left out", file)
                continue
            maps = consult(build_committee([model]), images, class_index).maps[0]
            for image_id, one, other in zip(image_ids, trained[name], maps, strict=True):
                records.append(
                    {
                        "augmentation": name,
                        "image_id": image_id,
                        "stage": stage,
                        "correlation": rank_correlation(one, other),
                    }
                )
    return pd.DataFrame(records, columns=["augmentation", "image_id", "stage", "correlation"])


def _shares(
    name: str, heat: npt.NDArray[np.float32], region: npt.NDArray[np.bool_] | None
) -> dict[str, float]:
    """Return the share of a map in a region and of the region in the image; NaN where unknown."""
    known = region is not None and bool(region.any())
    return {
        f"{name}_share": energy_share(heat, region) if known and region is not None else np.nan,
        f"{name}_area": float(region.mean()) if known and region is not None else np.nan,
    }
