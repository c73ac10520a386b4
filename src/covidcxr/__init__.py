"""From raw chest X-ray collections to a three-class classifier and an honest report on it.

The package knows nothing of Snakemake. One subpackage per stage of the workflow (``data``,
``cyclegan``, ``features``, ``classify``, ``evaluate``, ``explain``, ``report``), one module per
step.
"""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"


def load(model: Any, **options: Any) -> Any:
    """Load a trained model; `load(path).predict(image)`. See `covidcxr.deploy.release.load`."""
    # By name: what this file imports would count as code of every step.
    return import_module("covidcxr.deploy.release").load(model, **options)
