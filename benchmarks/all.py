"""Run every benchmark in turn and write what each prints to `benchmarks/results/<name>.md`.

Each file begins with machine, date and U, the CPU seconds of an import of TensorFlow in the same
run: times of two machines are compared in U. All of it takes under half an hour on two idle cores.
"""

import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from statistics import median

from overhead import seconds

HERE = Path(__file__).resolve().parent
NEED_A_RUN = ("half_precision.py", "views.py")
BY_HAND = ("all.py", "whole.py")


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Measure U, run what can run here, write the results."""
    unit = median(seconds(sys.executable, "-c", "import tensorflow")[1] for _ in range(3))
    head = f"{date.today()}, {processor()}, {os.cpu_count()} cores, U = {unit:.2f} CPU seconds.\n\n"
    (HERE / "results").mkdir(exist_ok=True)
    finished = Path("results/real/tables/classification.csv").exists()
    for script in sorted(HERE.glob("*.py")):
        if script.name in BY_HAND or (script.name in NEED_A_RUN and not finished):
            continue
        print(f"== {script.name}", flush=True)
        began = time.monotonic()
        command = [sys.executable, str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        if process.returncode:
            raise SystemExit(f"{script.name} failed")
        took = f"{(time.monotonic() - began) / 60:.1f} minutes"
        text = f"`python benchmarks/{script.name}`, {took}, {head}{''.join(lines)}"
        (HERE / "results" / f"{script.stem}.md").write_text(text)


if __name__ == "__main__":
    main()
