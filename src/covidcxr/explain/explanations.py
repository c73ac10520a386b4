"""Grad-CAM of every test image and every dated patient, and what can be measured of the maps."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from covidcxr.array_types import Grey, Integers, Mask, Singles
from covidcxr.data.images import read_mask
from covidcxr.data.tables import read_manifest, read_split, write_table
from covidcxr.errors import InputError
from covidcxr.explain.gradcam import Explainer, build_explainer, explain, probabilities, together
from covidcxr.explain.measures import (
    GRADCAM,
    RANDOM,
    area_under,
    energy_share,
    extent,
    perturbed,
    random_map,
    rank_correlation,
    upsample,
)
from covidcxr.features.backbone import cut_layer
from covidcxr.files import atomic
from covidcxr.logs import log, progress
from covidcxr.runtime import configure
from covidcxr.seeding import generator, integer_seed

STEPS = 8
"""Steps of the deletion and insertion curves."""

DATED = 3
"""Dated images from which on a patient is followed over days."""

DESCRIBED = ("image_id", "patient_id", "label", "day", "cohort")

STAGES = ("head", "last_block", "all")
"""What of a network is randomised, from the output downwards (Adebayo et al. 2018)."""


def run(
    models: Sequence[str | Path],
    study: Sequence[str | Path],
    timeline: Sequence[str | Path],
    maps: str | Path,
    tables: Sequence[str | Path],
    *,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    backbone: str,
    augmentations: Sequence[str],
) -> None:
    """Explain the test images, the timeline and the dated patients by a backbone's ensembles.

    The ensembles share what passes a frozen backbone. A test or timeline image is explained by all
    folds' models (mean map, mean probability), a dated training image by the one fold's model that
    did not train on it. Explained is the class the image is labelled with.

    Parameters
    ----------
    models
        The ensemble of each augmentation, images -> mean probability, its members in the order of
        the folds.
    study
        `manifest.csv`, `split.csv`, the images uint8 [n, size, size] and their lungs bool
        [n, size, size].
    timeline
        Table and images of the patients kept out of training and test; may be empty.
    maps
        npz to write: augmentation [a], image_id [m], pixels uint8 [m, size, size], maps float16
        [a, m, h, w] in [0, 1], at the resolution of the layer.
    tables
        Three CSV files to write, each with backbone and augmentation. Images: a row an image, with
        model (`ensemble` or `fold<k>`), probability, extent, share of the map in lungs and lesion,
        and these regions' share of the image. Curves: a row an image and kind of map (`Grad-CAM`,
        `random`), deletion and insertion at each step and their areas. Randomisation: a row an
        image and stage, rank correlation with the trained map.
    settings
        classes (in the order of the model's outputs), sampled (test images for curves and
        randomisation), masked (sources whose images have lesion masks beside them).
    """
    configure(threads=threads, seed=integer_seed(seed, "explanations"))
    manifest, split, images, lungs = study
    classes = list(settings["classes"])
    table, pixels = explained_images(
        read_manifest(manifest), read_split(split), images, read_manifest(timeline[0]), timeline[1]
    )
    regions = np.load(lungs, mmap_mode="r")
    index = np.array([classes.index(label) for label in table["label"]])
    ensembles = [keras.models.load_model(file, compile=False) for file in models]
    explainer = together([build_explainer(ensemble) for ensemble in ensembles])
    log.info("%d images, %d models", len(table), len(explainer.members))
    found = explain(explainer, pixels, index)
    each = by_ensemble(found.maps, len(ensembles))
    scores = by_ensemble(found.probabilities, len(ensembles))
    records, own = [], []
    for name, its_maps, its_scores in zip(augmentations, each, scores, strict=True):
        mean, rows = measured_maps(table, pixels, regions, its_maps, its_scores, settings)
        own.append(mean)
        records.append(pd.DataFrame(rows).assign(augmentation=name))
    with atomic(maps) as temporary:
        np.savez_compressed(
            temporary,
            augmentation=np.array(augmentations, np.str_),
            image_id=table["image_id"].to_numpy(np.str_),
            pixels=pixels,
            maps=np.array(own, np.float16),
        )
    tests = np.flatnonzero((table["cohort"] == "test").to_numpy())
    chosen = choose(table["label"].iloc[tests].reset_index(drop=True), settings["sampled"], seed)
    sample = tests[chosen]
    names = table["image_id"].iloc[sample].tolist()
    shown, explained = pixels[sample], index[sample]
    trained = dict(zip(augmentations, each[:, 0][:, sample], strict=True))
    heats = {name: mean[sample] for name, mean in zip(augmentations, own, strict=True)}
    made = (
        pd.concat(records),
        perturbation_table(explainer, shown, explained, heats, names, seed),
        randomisation_table(ensembles, shown, explained, trained, names, seed),
    )
    for frame, path in zip(made, tables, strict=True):
        frame.insert(0, "augmentation", frame.pop("augmentation"))
        frame.insert(0, "backbone", backbone)
        write_table(frame, path)


def by_ensemble(values: Singles, count: int) -> Singles:
    """Return what members gave, [count * folds, ...], by ensemble, [count, folds, ...]."""
    return values.reshape(count, -1, *values.shape[1:])


def measured_maps(
    table: pd.DataFrame,
    pixels: Grey,
    regions: Mask,
    maps: Singles,
    probabilities: Singles,
    settings: Mapping[str, Any],
) -> tuple[Singles, list[dict[str, object]]]:
    """Average the maps of the models that did not train on an image, and measure them.

    Parameters
    ----------
    table, pixels
        As `explained_images` returns them, n rows.
    regions
        Lungs of the manifest's images, bool [m, size, size].
    maps, probabilities
        Of the members of one ensemble, [members, n, h, w] and [members, n, classes].
    settings
        Of `run`.

    Returns
    -------
    maps
        [n, h, w].
    records
        Rows of the table of images that `run` writes.
    """
    size = pixels.shape[-1]
    own = np.empty(maps.shape[1:], np.float32)
    records: list[dict[str, object]] = []
    for k, row in enumerate(table.to_dict("records")):
        trained = None if pd.isna(row["fold"]) else int(row["fold"])
        voting = slice(None) if trained is None else slice(trained, trained + 1)
        own[k] = maps[voting, k].mean(axis=0)
        scores = probabilities[voting, k].mean(axis=0)
        heat = upsample(own[k : k + 1], size)[0]
        lung = None if row["place"] < 0 else np.asarray(regions[row["place"]])
        masked = row["source"] in settings["masked"]
        lesion = lesion_region(row["path"], size) if masked else None
        records.append(
            {
                **{column: row[column] for column in DESCRIBED},
                "dated": int(row["dated"]),
                "model": "ensemble" if trained is None else f"fold{trained}",
                **{f"p_{c}": float(p) for c, p in zip(settings["classes"], scores, strict=True)},
                "empty": int(heat.max() <= 0),
                "extent": extent(heat),
                **_shares("lungs", heat, lung),
                **_shares("lesion", heat, lesion),
            }
        )
    return own, records


def explained_images(
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    images: str | Path,
    timeline: pd.DataFrame,
    timeline_images: str | Path,
) -> tuple[pd.DataFrame, Grey]:
    """Return the test images, the timeline and the images of dated patients, with their pixels.

    Returns
    -------
    table
        Columns of the manifest, `fold` (missing: no model trained on the image), `place` (row in
        the manifest, -1 for the timeline), `cohort` (`test`, `train` or `timeline`), `dated`
        (whether the patient is followed over days, see `dated_patients`).
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
    shown = everything["cohort"].isin(["test", "timeline"]) | everything["dated"]
    table = everything.loc[shown].reset_index(drop=True)
    held, kept = np.load(images, mmap_mode="r"), np.load(timeline_images, mmap_mode="r")
    pixels = [
        (kept if cohort == "timeline" else held)[row]
        for cohort, row in zip(table["cohort"], table["row"], strict=True)
    ]
    return table, np.array(pixels, np.uint8)


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
    turns = [place for turn in zip_longest(*queues) for place in turn if place is not None]
    return sorted(turns[:count])


def lesion_region(path: str, size: int) -> Mask:
    """Return the lesion mask of a phantom at the size the networks see, bool [size, size].

    Raises
    ------
    InputError
        There is no mask beside the image.
    """
    file = Path(path).parent / "masks" / f"{Path(path).stem}_lesion.png"
    return read_mask(file, size, file.parents[1])


def perturbation_table(
    explainer: Explainer,
    images: Grey,
    class_index: Integers,
    maps: Mapping[str, Singles],
    image_ids: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return deletion and insertion curves of each ensemble's maps, and of random maps.

    Parameters
    ----------
    images, class_index
        uint8 [n, size, size]; the class whose mean probability is followed, [n].
    maps
        Of each augmentation [n, h, w], in the order of its members in the explainer.
    """
    size = images.shape[-1]
    heats = [upsample(own, size) for own in maps.values()]
    grain = next(iter(maps.values())).shape[1:]
    noise = [random_map(grain, size, generator(seed, "random map", name)) for name in image_ids]
    heats.append(np.array(noise, np.float32))
    # Curves share their ends, and random maps all ensembles: each picture is predicted once.
    pictures: dict[bytes, int] = {}
    places = np.empty((len(image_ids), len(heats), 2, STEPS + 1), np.int64)
    for k, name in enumerate(image_ids):
        for which, each in enumerate(heats):
            rng = generator(seed, "perturbation", name)
            changed = np.array(perturbed(images[k], each[k], STEPS, rng))
            for at in np.ndindex(changed.shape[:2]):
                picture = changed[at].tobytes()
                places[k, which, *at] = pictures.setdefault(picture, len(pictures))
    shown = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, size, size)
    predicted = by_ensemble(probabilities(explainer, shown), len(maps))
    records = []
    for position, (augmentation, own) in enumerate(zip(maps, predicted.mean(axis=1), strict=True)):
        for kind, heat in {GRADCAM: position, RANDOM: -1}.items():
            for k, image_id in enumerate(image_ids):
                deletion, insertion = own[places[k, heat], class_index[k]]
                records.append(
                    {
                        "augmentation": augmentation,
                        "image_id": image_id,
                        "map": kind,
                        "deletion_area": float(area_under(deletion)),
                        "insertion_area": float(area_under(insertion)),
                        **{f"deletion_{s}": float(p) for s, p in enumerate(deletion)},
                        **{f"insertion_{s}": float(p) for s, p in enumerate(insertion)},
                    }
                )
    return pd.DataFrame(records)


def randomisation_table(
    ensembles: Sequence[keras.Model],
    images: Grey,
    class_index: Integers,
    trained: Mapping[str, Singles],
    image_ids: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return the rank correlation of maps with those of the same networks randomised.

    Parameters
    ----------
    ensembles
        Of one backbone, of each of which the first member is compared. They stay randomised.
    trained
        Of each augmentation the maps [n, h, w] of that member.
    """
    records = []
    weights = [ensemble.get_weights() for ensemble in ensembles]
    for stage in progress(STAGES, desc="randomised", unit="stage"):
        try:
            for ensemble, own in zip(ensembles, weights, strict=True):
                ensemble.set_weights(own)
                randomise(ensemble, stage, seed)
        except InputError:
            log.info("%s has no separate last block: stage left out", ensembles[0].name)
            continue
        explainer = together([build_explainer(ensemble) for ensemble in ensembles])
        maps = by_ensemble(explain(explainer, images, class_index).maps, len(ensembles))
        for (augmentation, before), after in zip(trained.items(), maps[:, 0], strict=True):
            records += [
                {
                    "augmentation": augmentation,
                    "image_id": image_id,
                    "stage": stage,
                    "correlation": rank_correlation(one, other),
                }
                for image_id, one, other in zip(image_ids, before, after, strict=True)
            ]
    return pd.DataFrame(records, columns=["augmentation", "image_id", "stage", "correlation"])


def randomise(model: keras.Model, stage: str, seed: int) -> None:
    """Shuffle the weights of a model's upper part in place, each tensor within itself.

    Shuffling keeps the spread of the weights, so that activations stay in their range.

    Parameters
    ----------
    model
        A complete model or an ensemble.
    stage
        `head`: what follows the pooling; `last_block`: also the backbone's last block; `all`.

    Raises
    ------
    InputError
        `last_block`, where the backbone has no single tensor before its last block.
    """
    features = build_explainer(model).features
    named = keras.Model(features.input, features.outputs[0], name=model.name)
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


def _shares(name: str, heat: Singles, region: Mask | None) -> dict[str, float]:
    """Return the share of a map in a region and of the region in the image; NaN where unknown."""
    if region is None or not region.any():
        return {f"{name}_share": np.nan, f"{name}_area": np.nan}
    return {f"{name}_share": energy_share(heat, region), f"{name}_area": float(region.mean())}
