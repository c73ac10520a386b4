"""With `--cache`, a group's runs share what is costly and the same for many: see README, "Share results in a group".

Snakemake refuses a benchmark on a rule whose result may come from the cache, and links a cached file into place
only where none stands, which `update()` would leave there. So both give way, here and not in the rules, where runs
without `--cache` keep them. What a failed job would have renewed is not lost: the cache has it.
"""

from snakemake.caching import AbstractOutputFileCache
from snakemake.caching.rule import RuleCache

SHARED = ("weights", "images", "features", "cyclegan")


def outputs_by_number(cache, job):
    """Files of a job, each with its ending in the cache; Snakemake (9.27) takes a name for one file only."""
    several = len(job.output) > 1
    for number, file in enumerate(job.output):
        yield file, f"_{number}{Path(file).suffix}" if several else Path(file).suffix


if workflow.enable_cache and os.environ.get("SNAKEMAKE_OUTPUT_CACHE"):
    AbstractOutputFileCache.get_outputfiles = outputs_by_number
    for shared in workflow.rules:
        if shared.name in (workflow.workflow_settings.cache or SHARED):
            shared.cache = RuleCache.from_rule(shared, True)
            shared._benchmark = None
            for file in shared.output:
                file.flags.pop("update", None)
