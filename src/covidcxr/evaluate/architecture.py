"""Figure 3 and the size of the classifiers, from a backbone's summary and the trained heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from covidcxr.data.tables import write_table
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.features.backbone import Summary, read_summary
from covidcxr.report.formats import table_of
from covidcxr.report.section import Section, SectionFigure, SectionTable, write_section

BYTES = 4
"""Of a weight, float32."""
GAP = 0.28
"""Between boxes, in inches, the unit of the drawing."""
HEAD_WIDTH, BACKBONE_WIDTH, HEIGHT = 0.9, 1.45, 0.8
MARGIN = 0.03
TITLE_LINE, TEXT_LINE = 0.145, 0.12
"""Height of a line of text, in inches."""
IMAGE_COLOUR, BACKBONE_COLOUR, FIXED_COLOUR, TRAINED_COLOUR = (
    "#FFFFFF",
    PALETTE[4],
    "#DDDDDD",
    PALETTE[1],
)


@dataclass(frozen=True)
class Box:
    """One box of the figure: what it is, what comes out of it, and its colour."""

    title: str
    text: str
    colour: str


@dataclass(frozen=True)
class Architecture:
    """A classifier of one fold: its backbone and the layers of its head.

    Attributes
    ----------
    backbone
        See `covidcxr.features.backbone.Summary`.
    head
        Layers from pooled features to probabilities.
    trained
        Weights of the backbone that training changed.
    """

    backbone: Summary
    head: tuple[keras.Layer, ...]
    trained: int

    @property
    def added(self) -> int:
        """Weights of the head."""
        return sum(layer.count_params() for layer in self.head)

    def row(self) -> dict[str, float]:
        """Return size_mb, parameters and trainable_parameters, see `run`."""
        kept = sum(int(np.prod(w.shape)) for x in self.head for w in x.trainable_weights)
        return {
            "size_mb": self.backbone.size_mb + BYTES * self.added / 1e6,
            "parameters": self.backbone.parameters + self.added,
            "trainable_parameters": self.trained + kept,
        }

    def boxes(self) -> list[Box]:
        """Return image, backbone, pooling and head."""
        size, (height, width, channels) = self.backbone.size, self.backbone.map
        state = "frozen" if not self.trained else f"{self.trained / 1e6:.1f} M of them trained"
        return [
            Box("X-ray", f"{size} × {size}\ngray as RGB", IMAGE_COLOUR),
            Box(
                self.backbone.name,
                f"{height} × {width} × {channels}\n{self.backbone.parameters / 1e6:.1f} M "
                f"parameters,\n{state}\nhead: {self.added / 1e3:.0f} k",
                BACKBONE_COLOUR,
            ),
            Box("average\npooling", f"{channels} features", FIXED_COLOUR),
            *map(_head_box, self.head),
        ]


def architecture(backbone: Summary, head: keras.Model) -> Architecture:
    """Return the architecture of a complete model from what its training wrote.

    Parameters
    ----------
    head
        Cached features -> probabilities; layers of the backbone that were trained stand in it
        before the layer `pooled`.
    """
    layers = [layer for layer in head.layers if not isinstance(layer, keras.layers.InputLayer)]
    pooled = next((k + 1 for k, layer in enumerate(layers) if layer.name == "pooled"), 0)
    trained = sum(int(np.prod(w.shape)) for x in layers[:pooled] for w in x.trainable_weights)
    return Architecture(backbone, tuple(layers[pooled:]), trained)


def _head_box(layer: keras.Layer) -> Box:
    """Describe one layer of the head."""
    if isinstance(layer, keras.layers.Dense):
        activation = keras.activations.serialize(layer.activation)
        title = "dense,\nReLU" if activation == "relu" else "dense"
        return Box(title, f"{layer.units} units,\ntrained", TRAINED_COLOUR)
    if isinstance(layer, keras.layers.Dropout):
        return Box("dropout", f"{layer.rate:g}", FIXED_COLOUR)
    if isinstance(layer, keras.layers.Softmax):
        return Box("softmax", f"{layer.output.shape[-1]} classes", FIXED_COLOUR)
    return Box("standard-\nised", "", FIXED_COLOUR)


def draw(architectures: Sequence[Architecture]) -> Figure:
    """Draw the image, the backbones one above the other, and the head that they share.

    Where the heads differ (the number of pooled features) a box has the values of all.
    """
    boxes = [one.boxes() for one in architectures]
    shared = [
        Box(found[0].title, "\n".join(dict.fromkeys(box.text for box in found)), found[0].colour)
        for found in zip(*(own[2:] for own in boxes), strict=True)
    ]
    width = BACKBONE_WIDTH + (1 + len(shared)) * (HEAD_WIDTH + GAP)
    height = len(architectures) * (HEIGHT + GAP) - GAP
    middle = height / 2
    # A little more than the boxes, for the width of their lines.
    figure = Figure(figsize=(width + 2 * MARGIN, height + 2 * MARGIN))
    figure.set_layout_engine("constrained", w_pad=0, h_pad=0)
    axes = figure.add_subplot()
    axes.set(xlim=(-MARGIN, width + MARGIN), ylim=(-MARGIN, height + MARGIN))
    axes.axis("off")
    _box(axes, boxes[0][0], 0, middle, HEAD_WIDTH)
    left = HEAD_WIDTH + GAP
    right = left + BACKBONE_WIDTH
    for i, own in enumerate(boxes):
        y = height - HEIGHT / 2 - i * (HEIGHT + GAP)
        _box(axes, own[1], left, y, BACKBONE_WIDTH)
        _arrow(axes, (HEAD_WIDTH, middle), (left, y))
        _arrow(axes, (right, y), (right + GAP, middle))
    for i, box in enumerate(shared):
        x = right + GAP + i * (HEAD_WIDTH + GAP)
        _box(axes, box, x, middle, HEAD_WIDTH)
        if i:
            _arrow(axes, (x - GAP, middle), (x, middle))
    return figure


def _box(axes: Axes, box: Box, x: float, y: float, width: float) -> None:
    """Draw a box whose left edge is at `x` and whose middle is at height `y`."""
    patch = FancyBboxPatch(
        (x, y - HEIGHT / 2),
        width,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=box.colour,
        edgecolor="black",
        linewidth=0.8,
    )
    axes.add_patch(patch)
    title_height = TITLE_LINE * (1 + box.title.count("\n"))
    text_height = TEXT_LINE * (1 + box.text.count("\n")) if box.text else 0
    top = y + (title_height + text_height) / 2
    middle = x + width / 2
    axes.text(middle, top, box.title, ha="center", va="top", weight="bold")
    axes.text(middle, top - title_height, box.text, ha="center", va="top", fontsize=7)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 0.8})


def run(
    summaries: Sequence[str | Path],
    heads: Sequence[str | Path],
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    models: Sequence[tuple[str, str]],
) -> None:
    """Write the size of every classifier, and figure 3, from the parts that models are made of.

    Parameters
    ----------
    summaries
        Of each backbone, `covidcxr.features.backbone.Summary` as JSON.
    heads
        Head of one fold (`.keras`) of each of `models`. Those of all folds are of one size.
    table
        CSV to write: backbone, augmentation, size_mb (file of a single fold's complete model in MB
        of 1e6 bytes), parameters (all weights), trainable_parameters (those that training changes).
    models
        Backbone and augmentation of each head, in the order of the rows.
    """
    backbones = {one.name: one for one in map(read_summary, summaries)}
    found = {
        model: architecture(backbones[model[0]], keras.models.load_model(path, compile=False))
        for model, path in zip(map(tuple, models), heads, strict=True)
    }
    sizes = pd.DataFrame(
        [{"backbone": b, "augmentation": a} | one.row() for (b, a), one in found.items()]
    )
    write_table(sizes, table)
    first = {one.backbone.name: one for one in reversed(found.values())}
    with figure_style():
        save_figure(draw([first[name] for name in backbones]), png, svg)
    write_section(
        section,
        Section(
            ident="architecture",
            title="Architecture and size",
            part="methods",
            folded=True,
            figures=(
                SectionFigure(
                    "fig3_architecture",
                    "The classifier: a backbone without its top, global average pooling, a dense "
                    "layer with ReLU, dropout, and a softmax over the classes.",
                    "Diagram of the classifier: backbone, pooling, dense layer, softmax.",
                ),
            ),
            tables=(
                SectionTable(
                    "models",
                    "Size of a single fold's model in MB of 1e6 bytes, and its parameters.",
                    table_of(sizes),
                ),
            ),
        ),
    )
