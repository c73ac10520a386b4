"""Figure 3: the architecture of the classifiers, drawn from the saved models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from covidcxr.errors import InputError
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.report.section import Section, SectionFigure, write_section

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
    """The boxes of one classifier, from image to probabilities."""

    image: Box
    backbone: Box
    head: tuple[Box, ...]


def describe(name: str, model: keras.Model) -> Architecture:
    """Read shapes and parameter counts from a complete model.

    Parameters
    ----------
    name
        Name of the backbone.
    model
        Of `covidcxr.classify.model.complete_model`.

    Raises
    ------
    InputError
        The model has no layer `pooled` between backbone and head.
    """
    pooled = next((i for i, x in enumerate(model.layers) if x.name == "pooled"), None)
    if pooled is None:
        raise InputError(f"figure 3: the model of {name} has no layer 'pooled'; train it again")
    size = model.input_shape[1]
    height, width, channels = model.layers[pooled].input.shape[1:]
    backbone, head = model.layers[:pooled], model.layers[pooled + 1 :]
    count = sum(layer.count_params() for layer in backbone)
    trained = sum(int(np.prod(w.shape)) for x in backbone for w in x.trainable_weights)
    state = "frozen" if trained == 0 else f"{trained / 1e6:.1f} M of them trained"
    added = sum(layer.count_params() for layer in head)
    return Architecture(
        Box("X-ray", f"{size} × {size}\ngray as RGB", IMAGE_COLOUR),
        Box(
            name,
            f"{height} × {width} × {channels}\n{count / 1e6:.1f} M parameters,\n{state}\n"
            f"head: {added / 1e3:.0f} k",
            BACKBONE_COLOUR,
        ),
        (Box("average\npooling", f"{channels} features", FIXED_COLOUR), *map(_head_box, head)),
    )


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

    Where the heads differ (the number of pooled features) a box tells the values of all.
    """
    heads = zip(*(one.head for one in architectures), strict=True)
    shared = [
        Box(boxes[0].title, "\n".join(dict.fromkeys(box.text for box in boxes)), boxes[0].colour)
        for boxes in heads
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
    _box(axes, architectures[0].image, 0, middle, HEAD_WIDTH)
    left = HEAD_WIDTH + GAP
    right = left + BACKBONE_WIDTH
    for i, one in enumerate(architectures):
        y = height - HEIGHT / 2 - i * (HEIGHT + GAP)
        _box(axes, one.backbone, left, y, BACKBONE_WIDTH)
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
    models: Sequence[str | Path],
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    backbones: Sequence[str],
) -> None:
    """Write figure 3.

    Parameters
    ----------
    models
        Complete model (`.keras`) of each of `backbones`.
    png, svg, section
        Figures and section of the report to write.
    """
    architectures = [
        describe(name, keras.models.load_model(path))
        for name, path in zip(backbones, models, strict=True)
    ]
    with figure_style():
        save_figure(draw(architectures), png, svg)
    write_section(
        section,
        Section(
            ident="architecture",
            title="Architecture",
            part="methods",
            figures=(
                SectionFigure(
                    "fig3_architecture",
                    "The classifier: a backbone without its top, global average pooling, a dense "
                    "layer with ReLU, dropout, and a softmax over the classes.",
                    "Diagram of the classifier: backbone, pooling, dense layer, softmax.",
                    folded=True,
                ),
            ),
        ),
    )
