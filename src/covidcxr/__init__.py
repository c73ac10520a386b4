"""From raw chest X-ray collections to a three-class classifier and an honest report on it.

The package knows nothing of Snakemake. One subpackage per stage of the workflow (``data``,
``cyclegan``, ``features``, ``classify``, ``evaluate``, ``explain``, ``report``), one module per
step, whose function ``run`` reads files and writes others. Its arguments are described there but
for those that are the same everywhere:

classes
    Class names in the order of the config, which is that of models' outputs and of tables.
manifest, scores
    `manifest.csv` and `scores.csv` of the run.
network
    `.keras` file of the backbone, image -> feature map.
png, svg, section
    Figure in two formats, and section of the report, to write.
predictions
    `predictions.csv`, all predictions of the run.
seed
    Of the run; the random numbers of a step follow from it and the step's name.
threads
    Processor threads.
"""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"


def load(model: Any, **options: Any) -> Any:
    """Load a trained model; `load(path).predict(image)`. See `covidcxr.deploy.release.load`."""
    # By name: what this file imports would count as code of every step.
    return import_module("covidcxr.deploy.release").load(model, **options)
