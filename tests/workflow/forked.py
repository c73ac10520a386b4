"""Snakemake in processes that begin with it imported: half of a plan's time is that import.

Each is a fork of one process that has imported it and done nothing else, so it is as good as new.
"""

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["snakemake.cli", "snakemake_executor_plugin_slurm"])


def snakemake(
    folder: Path, arguments: list[str], environment: Mapping[str, str]
) -> CompletedProcess[str]:
    """Do what `python -m snakemake` does in a folder."""
    with tempfile.TemporaryDirectory() as place:
        said = [f"{place}/stdout", f"{place}/stderr"]
        process = FORKS.Process(target=_run, args=(folder, arguments, dict(environment), said))
        process.start()
        process.join()
        assert process.exitcode is not None
        return CompletedProcess(
            ["snakemake", *arguments], process.exitcode, *(Path(file).read_text() for file in said)
        )


def _run(folder: Path, arguments: list[str], environment: dict[str, str], said: list[str]) -> None:
    gc.disable()  # The process is short, and Snakemake's objects are many.
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(folder))
    for descriptor, file in enumerate(said, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    from snakemake.cli import main

    main(arguments)
