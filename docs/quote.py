"""Write the figures of finished runs into README and docs, between `<!--name-->` and `<!---->`.

    python docs/quote.py results

`docs/quoted.yaml` says of each figure in which table it stands, below the folder named, in which
rows (a query of pandas), what is taken of several (the first, or an aggregate), how it is written,
and what it was in the last run; a test holds the pages to that.
"""

import re
import sys
from pathlib import Path
from string import Formatter

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = ROOT / "docs/quoted.yaml"
MARKED = re.compile(r"<!--(\w+)-->(.*?)<!---->", re.DOTALL)


def figure(results: Path, table: str, rows: str, form: str, take: str = "") -> str:
    """Return a figure as it is written.

    Parameters
    ----------
    results
        Folder of the runs' results.
    table
        Path of a table below it, without `.csv`.
    rows
        Query that chooses rows.
    form
        Format string; its fields are columns, and `rows`, the number of rows.
    take
        Aggregate of pandas that makes one value of several rows; without one the first row's.

    Raises
    ------
    SystemExit
        No row is chosen.
    """
    path = results / f"{table}.csv"
    found = pd.read_csv(path).astype(object).fillna("").query(rows)
    if found.empty:
        raise SystemExit(f"{path} has no row with {rows}")
    quoted = [name for _, name, _, _ in Formatter().parse(form) if name in found]
    values = found[quoted].agg(take) if take else found.iloc[0]
    return form.format(**values, rows=len(found))


def main() -> None:
    """Renew the figures, and the pages that quote them."""
    [results] = map(Path, sys.argv[1:])
    figures = yaml.safe_load(QUOTED.read_text())
    for entry in figures.values():
        spec = {name: text for name, text in entry.items() if name != "value"}
        entry["value"] = figure(results, **spec)
    QUOTED.write_text(yaml.safe_dump(figures, sort_keys=False, width=1000))
    for page in PAGES:
        page.write_text(
            MARKED.sub(
                lambda mark: f"<!--{mark[1]}-->{figures[mark[1]]['value']}<!---->", page.read_text()
            )
        )


if __name__ == "__main__":
    main()
