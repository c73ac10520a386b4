"""Severity of new images: values, their intervals and the zones, by a model of `severity_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from covidcxr.array_types import Floats, Grey
from covidcxr.data.lung_shape import estimate_boxes
from covidcxr.errors import InputError
from covidcxr.severity.zones import ZONES, zone_boxes

if TYPE_CHECKING:
    from covidcxr.severity.severity_model import SavedSeverity

INK = (255, 220, 60)


@dataclass(frozen=True)
class Reading:
    """What is read off an image.

    Attributes
    ----------
    values
        By column of the table: `<score>`, its 90 % interval `_low`, `_high`, and its zones.
    boxes
        Of `ZONES`, float64 [6, 4]: left, top, right, bottom as shares of the image's sides.
    """

    values: dict[str, float]
    boxes: Floats

    @property
    def text(self) -> str:
        """The score with its interval, `extent 3.2 (1.0 to 5.4)`."""
        name, (value, low, high) = next(iter(self.values)), [*self.values.values()][:3]
        return f"{name} {value:.1f} ({low:.1f} to {high:.1f})"


@dataclass(frozen=True)
class SeverityReader:
    """A model, and the file of the network whose features it reads."""

    saved: SavedSeverity
    backbone: Path

    @property
    def columns(self) -> list[str]:
        """Columns of the table that it fills."""
        score = self.saved.score
        own = ZONES if self.saved.model.zones is not None else ()
        return [score, f"{score}_low", f"{score}_high"] + [
            f"{score}_{zone.replace(' ', '_')}" for zone in own
        ]

    def load(self) -> Callable[[Grey], list[Reading]]:
        """Load the network; return what reads images, uint8 [n, size, size]."""
        import keras

        from covidcxr.severity.severity_features import features_of, up_to

        network = up_to(keras.models.load_model(self.backbone), self.saved.layer)

        def read(pixels: Grey) -> list[Reading]:
            found = self.saved.model.predict(features_of(network, pixels))
            rows = [found.totals, *self.saved.model.interval(found.totals)]
            rows += [] if found.zones is None else list(found.zones.T)
            boxes = [zone_boxes(estimate_boxes(one)) for one in pixels]
            return [
                Reading(dict(zip(self.columns, map(float, values), strict=True)), box)
                for values, box in zip(np.array(rows).T, boxes, strict=True)
            ]

        return read


def open_reader(file: str | Path) -> SeverityReader:
    """Open a model `<run>/severity/<backbone>/<score>.joblib`, beside `<run>/backbones`.

    Loading a model runs what its file says, so take files that you trust only.

    Raises
    ------
    InputError
        The file is no such model, or the network is not there.
    """
    import joblib

    from covidcxr.severity.severity_model import SavedSeverity

    path = Path(file)
    try:
        saved = joblib.load(path)
    # A pickle can raise anything.
    except Exception as error:
        raise InputError(f"{path} is no model of severity: {error}") from error
    if not isinstance(saved, SavedSeverity):
        raise InputError(f"{path} is no model of severity, as `snakemake severity` makes them")
    backbone = path.absolute().parents[2] / "backbones" / f"{saved.backbone}.keras"
    if not backbone.is_file():
        raise InputError(
            f"{path} reads features of {saved.backbone}, and there is no {backbone}; keep the "
            "run's folders severity/ and backbones/ side by side"
        )
    return SeverityReader(saved, backbone)


def draw_zones(picture: Image.Image, height: int, reading: Reading) -> None:
    """Draw the zones with their values on a picture whose upper `height` pixels are the image."""
    draw = ImageDraw.Draw(picture)
    values = [*reading.values.values()][3:]
    for value, box in zip(values, reading.boxes, strict=False):
        left, top, right, bottom = np.rint(box * np.tile([picture.width - 1, height - 1], 2))
        draw.rectangle((left, top, right, bottom), outline=INK)
        draw.text((left + 4, top + 2), f"{value:.1f}", INK, ImageFont.load_default(14))
