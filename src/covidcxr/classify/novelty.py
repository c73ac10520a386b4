"""Whether an image is like any that a model was trained on.

Its distance to the nearest training image in the space of pooled features (Sun et al. 2022,
Out-of-distribution detection with deep nearest neighbors, arXiv:2204.06507), held against what
training images of each source have to those of other patients. A model answers on a hand as surely
as on a chest; this says that it should not have been asked.
"""

import io
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from covidcxr.array_types import Floats, Reals, Texts
from covidcxr.arrays import spread
from covidcxr.classify.card import add_member, read_member
from covidcxr.features.bank import standardisation

MEMBER = "covidcxr-training.npz"
"""Name of the reference inside a `.keras` file."""
QUANTILE = 0.99
"""Share of a source's training images that are no further from the others than its limit."""
MOST = 2000
"""Training images that a model file holds at most."""


@dataclass(frozen=True)
class Reference:
    """Pooled features of training images, to hold new images against.

    Attributes
    ----------
    mean, scale
        float32 [channels]: features are centred and divided by these.
    features
        float16 [n, channels], so standardised.
    limits
        float32 [n]: the limit of each image's source.
    """

    mean: Reals
    scale: Reals
    features: Reals
    limits: Reals

    def novelty(self, features: Reals) -> Floats:
        """Return the distance of images to the training images over the limit.

        The limit is that of the source of the nearest training image; above 1 an image is further
        than nearly all images of it are.

        Parameters
        ----------
        features
            [m, channels], pooled features as the model has them.

        Returns
        -------
        float64 [m], >= 0.
        """
        distances = cdist(_standardised(features, self.mean, self.scale), self.features)
        nearest = distances.argmin(axis=1)
        return np.asarray(distances[np.arange(len(distances)), nearest] / self.limits[nearest])


def reference_of(features: Reals, sources: Texts, patients: Texts) -> Reference:
    """Return the reference of training images.

    Parameters
    ----------
    features
        [n, channels], pooled features.
    sources, patients
        [n]; an image's own patient is no neighbour in the limit of its source.
    """
    kept = spread(len(features), MOST)
    features, sources, patients = features[kept], sources[kept], patients[kept]
    mean, variance = standardisation(features)
    scale = np.sqrt(variance)
    known = _standardised(features, mean, scale)
    distances = cdist(known, known)
    distances[patients[:, None] == patients[None]] = np.inf
    nearest = distances.min(axis=1)
    limits = np.empty(len(known))
    for source in np.unique(sources):
        limits[sources == source] = np.quantile(
            nearest[sources == source], QUANTILE, method="higher"
        )
    return Reference(
        mean.astype(np.float32),
        scale.astype(np.float32),
        known.astype(np.float16),
        np.maximum(limits, 1e-6).astype(np.float32),
    )


def _standardised(features: Reals, mean: Reals, scale: Reals) -> Floats:
    return np.asarray((features.astype(np.float64) - mean) / scale)


def add_reference(model: str | Path, reference: Reference) -> None:
    """Put a reference into a saved `.keras` file."""
    content = io.BytesIO()
    np.savez(content, **asdict(reference))
    add_member(model, MEMBER, content.getvalue())


def read_reference(model: str | Path) -> Reference | None:
    """Return the reference of a model file, None if it holds none."""
    if not zipfile.is_zipfile(model):
        return None
    member = read_member(model, MEMBER)
    if member is None:
        return None
    with np.load(io.BytesIO(member)) as content:
        return Reference(**content)
