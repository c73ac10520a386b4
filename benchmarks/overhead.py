"""Overheads: imports of each step, Snakemake's planning of 1,000 trainings.

A step's imports are what a job does before its first useful work, after Python has started.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

RULES = Path("workflow/rules")


def steps() -> list[str]:
    """Return `<stage>/<step>` of every rule."""
    rules = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
    return sorted(set(re.findall(r'step=step\("(\w+/\w+)"\)', rules)))


def seconds(*command: str) -> tuple[float, float, str]:
    """Run a command; return its wall-clock and CPU seconds (children included) and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": "src"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout.strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1, help="the least of so many is told")
    repeats = parser.parse_args().repeats
    print("| what | seconds | CPU seconds | TensorFlow |\n|---|---|---|---|")
    for name in steps():
        module = f"covidcxr.{name.replace('/', '.')}"
        code = "import sys\nfrom covidcxr.environment import quick_imports\nwith quick_imports():\n"
        code += f"    import {module}\nprint('tensorflow' in sys.modules)"
        wall, cpu, loaded = min(seconds(sys.executable, "-c", code) for _ in range(repeats))
        print(f"| start of {name} | {wall:.2f} | {cpu:.2f} | {loaded} |", flush=True)
    demo = yaml.safe_load(Path("config/demo.yaml").read_text())
    many = demo | {
        "run": "thousand",
        "backbones": ["VGG16"],
        "augmentations": {f"a{k}": {"synthetic": 0} for k in range(100)},
        "explain": {"augmentation": "a0"},
        "split": demo["split"] | {"test": 0.2, "folds": 10},
    }
    for name, config in (("the demo", demo), ("1,000 training jobs", many)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(yaml.safe_dump(config))
            command = (sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all")
            wall, cpu, _ = seconds(*command, "--configfile", str(path))
        print(f"| dry run of {name} | {wall:.1f} | {cpu:.1f} | |", flush=True)


if __name__ == "__main__":
    main()
