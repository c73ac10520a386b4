"""A model to hand on: an ensemble with, in the same file, all that its next user must know."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from covidcxr import __version__
from covidcxr.array_types import Grey
from covidcxr.classify.card import add_member, read_card, read_member
from covidcxr.classify.predictions import ENSEMBLE
from covidcxr.data.decode import decode_gray
from covidcxr.data.images import resize
from covidcxr.data.tables import read_images, read_table
from covidcxr.deploy.predict import Network, load_network
from covidcxr.deploy.request import NOTICE, Request, class_names, find_model
from covidcxr.files import atomic
from covidcxr.logs import log
from covidcxr.provenance import PACKAGE, code_digest, commit

MEMBER = "covidcxr_release.json"
"""Name of what a released model says beside its card, inside the `.keras` file."""
NUMBERS = ["estimate", "low", "high", "n", "patients"]
INPUT = (
    "grayscale 0-255, any size: decoded as `covidcxr predict` does, scaled to the model's square; "
    "the network's own preprocessing is part of the model"
)


def run(
    model: str | Path,
    images: Sequence[str | Path],
    scores: str | Path,
    release: str | Path,
    *,
    title: str,
    notice: str,
    seed: int,
) -> None:
    """Copy a model and put into it what it was trained on and how well it does.

    Parameters
    ----------
    model
        An ensemble, with its card.
    images
        Manifest and split of the run.
    scores
        Table of scores of the run; those of this ensemble are taken, with their intervals.
    release
        `.keras` file to write.
    """
    card = read_card(model)
    assert card is not None  # the rule `model` has written it
    manifest = read_images(*images)
    manifest = manifest.rename(columns={"label": "class"})
    counts = manifest.groupby(["split", "class"]).agg(
        images=("image_id", "size"), patients=("patient_id", "nunique")
    )
    rows = read_table(scores, numbers=NUMBERS)
    own = (rows["model"] == ENSEMBLE) & (rows["classifier"] == "network") & (rows["group"] == "")
    for name in ("population", "backbone", "augmentation"):
        own &= rows[name] == getattr(card, name)
    said = {
        "title": title,
        "warnings": [text for text in (NOTICE, notice) if text],
        "input": INPUT,
        "data": counts.reset_index().to_dict("records"),
        "licences": manifest.groupby("source")["license"].unique().map(sorted).to_dict(),
        "metrics": rows.loc[own, ["set", "metric", "class", *NUMBERS]].to_dict("records"),
        "code": {
            "covidcxr": __version__,
            "commit": commit(),
            "digest": code_digest(PACKAGE / "classify/train.py"),
            "seed": seed,
        },
    }
    with atomic(release) as temporary:
        shutil.copyfile(model, temporary)
        add_member(temporary, MEMBER, json.dumps(said))


def describe(model: str | Path) -> dict[str, Any]:
    """Return all that a model file says of itself: its card, and what a release adds.

    Raises
    ------
    InputError
        It is no model file.
    """
    card = read_card(model)
    said = json.loads(read_member(model, MEMBER) or "{}")
    return (vars(card) | {"classes": list(card.classes)} if card else {}) | said


@dataclass(frozen=True)
class Classifier:
    """A loaded model, see `load`.

    Attributes
    ----------
    classes
        Class names.
    card
        What its file says, see `describe`.
    """

    classes: tuple[str, ...]
    card: dict[str, Any]
    _network: Network

    def predict(self, image: str | Path | Grey) -> dict[str, float]:
        """Return the probability of each class, the mean over the folds. For research only.

        A warning is logged for an image unlike all training images.

        Parameters
        ----------
        image
            A file that `covidcxr predict` reads, or uint8 [height, width].

        Raises
        ------
        InputError
            The file cannot be read.
        """
        gray = image if isinstance(image, np.ndarray) else decode_gray(Path(image))
        members, _, novelty = self._network.run(resize(gray, self._network.size)[None])
        if novelty is not None and novelty[0] > 1:
            log.warning("the image is unlike all training images: its prediction means nothing")
        return dict(zip(self.classes, members.mean(axis=0)[0].tolist(), strict=True))


def load(model: str | Path, *, threads: int = 2) -> Classifier:
    """Load a model file, or the one in a folder.

    Raises
    ------
    InputError
        It cannot be loaded here, or does not hold the names of its classes.
    """
    file = find_model(model)
    request = Request(file, class_names(file, None), (), Path())
    return Classifier(request.classes, describe(file), load_network(request, False, threads))
