"""The measures of the maps, one row a backbone and augmentation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from covidcxr.data.tables import read_table, write_table
from covidcxr.evaluate.bootstrap import Floats, Statistic, interval
from covidcxr.seeding import generator

STAGES = ("head", "last_block", "all")
NUMBERS = ("lungs_share", "lungs_area", "lesion_share", "lesion_area", "empty")


def weighted_mean(values: npt.NDArray[np.float64]) -> Statistic:
    """Return the statistic: mean of values [images], all of them known."""

    def statistic(weights: Floats) -> Floats:
        return np.asarray(weights @ values / weights.sum(axis=1))

    return statistic


def summarise(
    images: pd.DataFrame, curves: pd.DataFrame, randomised: pd.DataFrame, rng: np.random.Generator
) -> dict[str, float]:
    """Return the measures of one backbone and augmentation.

    Parameters
    ----------
    images
        Test images: patient_id, empty, lungs_share, lungs_area, lesion_share, lesion_area.
    curves
        map (`Grad-CAM`, `random`), deletion_area, insertion_area.
    randomised
        stage, correlation.

    Returns
    -------
    images, empty (maps of zeros), for `lungs` and `lesion` the number of images with a map and
    such a region, the mean share of the map in it with its 95 % interval, and the region's mean
    share of the same images; curve_images, deletion and insertion of the maps and of random ones;
    correlation with the maps of the randomised network by stage.
    """
    found: dict[str, float] = {"images": len(images), "empty": int(images["empty"].sum())}
    for name in ("lungs", "lesion"):
        known = images.loc[images[f"{name}_share"].notna()]
        found[f"{name}_images"] = len(known)
        if len(known):
            shares = known[f"{name}_share"].to_numpy(np.float64)
            bounds = interval(weighted_mean(shares), known["patient_id"].tolist(), rng)
            low, high = bounds.low, bounds.high
        else:
            low = high = np.nan
        found[f"{name}_share"] = known[f"{name}_share"].mean()
        found[f"{name}_low"], found[f"{name}_high"] = low, high
        found[f"{name}_area"] = known[f"{name}_area"].mean()
    own, random = (curves.loc[curves["map"] == kind] for kind in ("Grad-CAM", "random"))
    found["curve_images"] = len(own)
    for kind in ("deletion", "insertion"):
        found[kind] = own[f"{kind}_area"].mean()
        found[f"{kind}_random"] = random[f"{kind}_area"].mean()
    for stage in STAGES:
        found[f"correlation_{stage}"] = randomised.loc[
            randomised["stage"] == stage, "correlation"
        ].mean()
    return found


def write_explanation_table(
    backbones: Sequence[tuple[str, str | Path, str | Path, str | Path]],
    output: str | Path,
    dated: str | Path,
    *,
    seed: int,
) -> None:
    """Write the measures of all backbones, and the course of the dated patients.

    Parameters
    ----------
    backbones
        (backbone, image table, curves, randomisation) of `covidcxr.explain.explanations`.
    output
        CSV: backbone, augmentation and the measures of `summarise`.
    dated
        CSV: the rows of the dated patients' images, with backbone.
    """
    rows, courses = [], []
    for backbone, image_file, curve_file, random_file in backbones:
        images = read_table(image_file, ["augmentation", "cohort"], [*NUMBERS, "dated", "day"])
        curves = read_table(curve_file, ["augmentation"], ["deletion_area", "insertion_area"])
        randomised = read_table(random_file, ["augmentation"], ["correlation"])
        for augmentation in dict.fromkeys(images["augmentation"]):
            measured = summarise(
                images.loc[(images["augmentation"] == augmentation) & (images["cohort"] == "test")],
                curves.loc[curves["augmentation"] == augmentation],
                randomised.loc[randomised["augmentation"] == augmentation],
                generator(seed, "explanation table", backbone, augmentation),
            )
            rows.append({"backbone": backbone, "augmentation": augmentation} | measured)
        followed = images.loc[images["dated"] == 1].drop(columns="dated")
        courses.append(followed.assign(backbone=backbone))
    write_table(pd.DataFrame(rows), output)
    course = pd.concat(courses, ignore_index=True)
    write_table(course[["backbone", *course.columns.drop("backbone")]], dated)
