"""From raw chest X-ray collections to a three-class classifier and an honest report on it.

The package knows nothing of Snakemake. One subpackage per stage of the workflow (``data``,
``cyclegan``, ``features``, ``classify``, ``evaluate``, ``explain``, ``report``), one module per
step.
"""

__version__ = "0.1.0"
