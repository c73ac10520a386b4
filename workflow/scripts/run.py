"""Run the step that a rule names: the rule's names are the arguments of the step's function `run`.

Inputs, outputs and parameters are all handed over by name; wildcards and threads where `run` has an
argument of their name (`wildcards` takes all of them as a mapping). The parameter `content` is no
argument: a digest of what a job reads beside its inputs, which makes its results stale.
"""

import importlib
import inspect

from covidcxr.environment import pin, quick_imports
from covidcxr.logs import step

pin()


def plain(values):
    """Return Snakemake's named values as built-in types: a list where a name has several."""
    return {
        name: value if isinstance(value, (str, int, float, dict, type(None))) else list(value)
        for name, value in values.items()
    }


with step(snakemake.log[0]):
    params = plain(snakemake.params)
    module = params.pop("step").split()[0]
    params.pop("content", None)
    with quick_imports():
        run = importlib.import_module(f"covidcxr.{module.replace('/', '.')}").run
    given = {**plain(snakemake.input), **plain(snakemake.output), **params}
    wildcards = dict(snakemake.wildcards.items())
    around = {**wildcards, "wildcards": wildcards, "threads": snakemake.threads} | given
    run(
        **given
        | {name: around[name] for name in inspect.signature(run).parameters if name in around}
    )
