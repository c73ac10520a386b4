"""A user's own random transform in place of rotation, shift and flip."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from covidcxr.array_types import Grey
from covidcxr.errors import InputError
from covidcxr.seeding import generator

Image = Grey
OwnTransform = Callable[[Image, np.random.Generator], Image]
"""Image uint8 [height, width] and random numbers to draw from -> a view of the same shape."""


def load_transform(place: str) -> OwnTransform:
    """Load `file.py:function`, the file relative to the current folder.

    Raises
    ------
    InputError
        The text has another form, there is no such file, or the file cannot be run or has no such
        function.
    """
    file, _, name = place.rpartition(":")
    if not file or not name.isidentifier():
        raise InputError(f"transform: function: {place!r} must be of the form file.py:function")
    if not Path(file).is_file():
        raise InputError(f"transform: function: there is no file {file}")
    spec = importlib.util.spec_from_file_location("covidcxr_own_transform", file)
    if spec is None or spec.loader is None:
        raise InputError(f"transform: function: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    # It is the user's code: anything can come of it.
    except Exception as error:
        raise InputError(f"transform: function: {file} cannot be run: {error!r}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"transform: function: {file} has no function {name}")
    return function


def own_view(transform: OwnTransform, image: Image, image_id: str, view: int, seed: int) -> Image:
    """Return view number `view` of an image; it depends on seed, name and view alone.

    Raises
    ------
    InputError
        The function fails, or gives something else than an image of the same shape and type.
    """
    given = image.copy()
    try:
        made = transform(given, generator(seed, "own transform", image_id, view))
    except Exception as error:
        raise InputError(f"transform: function: fails on image {image_id}: {error!r}") from error
    if not isinstance(made, np.ndarray) or made.shape != image.shape or made.dtype != np.uint8:
        found = (
            f"{made.dtype} {list(made.shape)}"
            if isinstance(made, np.ndarray)
            else type(made).__name__
        )
        raise InputError(
            f"transform: function: gives {found} for image {image_id}; it must give uint8 "
            f"{list(image.shape)}"
        )
    return made
