"""The whole workflow on made images with a small network: CPU time, memory and disk by rule.

One run for each number of images. A rule is more than linear where its CPU seconds grow more than
the images do.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]


def configuration(images: int) -> dict[str, Any]:
    """Return the tests' smallest run with more and larger phantoms."""
    config: dict[str, Any] = yaml.safe_load((ROOT / ".test/config/config.yaml").read_text())
    patients = images * 7 // 30 + 2  # ten images are of seven patients
    config["sources"]["phantoms"]["patients"] = dict.fromkeys(
        ("normal", "pneumonia", "COVID-19"), patients
    )
    for [part] in config["classes"].values():
        part["count"] = images // 3
    return config | {"run": "whole", "image_size": 64, "views": 1}


def run(images: int, folder: Path) -> pd.DataFrame:
    """Run the workflow in a folder; return jobs, CPU seconds, peak MB and MB on disk by rule."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(images)))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--resources", "gpu=2"]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "-q", "all"]
    command += ["--configfile", "config.yaml"]
    subprocess.run(command, cwd=folder, check=True)
    summary = subprocess.run(
        [*command, "--summary"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    lines = [line.split("\t") for line in summary.stdout.splitlines() if "\t" in line]
    files = pd.DataFrame(lines[1:], columns=lines[0])
    files["disk"] = [size(folder / name) / 1e6 for name in files["output_file"]]
    table = pd.read_csv(folder / "results/whole/tables/benchmarks.csv").set_index("rule")
    return table.join(files.groupby("rule")["disk"].sum())[
        ["jobs", "cpu_seconds", "peak_mb", "disk"]
    ]


def size(path: Path) -> int:
    """Return the bytes of a file, or of all below a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "images", type=int, nargs="*", default=[300, 1500], help="numbers of images"
    )
    parser.add_argument("--folder", type=Path, help="where to run, and keep the runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = {n: run(n, (args.folder or Path(temporary)) / str(n)) for n in sorted(args.images)}
    least, most = min(runs), max(runs)
    print(f"Images: {', '.join(f'{n:,}' for n in runs)}.\n")
    print("| rule | jobs | CPU seconds | peak MB | MB on disk | more than linear |")
    print("|---|---|---|---|---|---|")
    for rule in runs[most].sort_values("cpu_seconds", ascending=False).index:
        cells = [
            " / ".join(f"{table[column].get(rule, float('nan')):,.0f}" for table in runs.values())
            for column in ("cpu_seconds", "peak_mb", "disk")
        ]
        before, after = (runs[n]["cpu_seconds"].get(rule, 0.0) for n in (least, most))
        grown = "yes" if after * least > 1.2 * before * most else ""
        print(f"| `{rule}` | {runs[most]['jobs'][rule]} | {' | '.join(cells)} | {grown} |")
    total = [f"{table['cpu_seconds'].sum():,.0f}" for table in runs.values()]
    disk = [f"{table['disk'].sum():,.0f}" for table in runs.values()]
    print(f"| all | {runs[most]['jobs'].sum()} | {' / '.join(total)} | | {' / '.join(disk)} | |")


if __name__ == "__main__":
    main()
