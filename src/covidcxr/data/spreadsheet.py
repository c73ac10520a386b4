"""Tables that people make: whatever separator, encoding or program they are from."""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from covidcxr.errors import InputError
from covidcxr.logs import log

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
EXCEL = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""How the files of new and old spreadsheet programs begin."""
COMMENTS = re.compile(r"(?:##[^\n]*\n)+")
"""Lines above the header that say what a table is, as some public ones have."""
UNKNOWN = {"", "nan", "na", "n/a", "none", "null", "unknown", "?", "-"}
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
SHOWN = 5
"""Rows that an error names."""

Cells = list[tuple[int, list[str]]]
"""Rows that are not empty, each after its number in the file, where the first is 1."""


def read_spreadsheet(
    path: str | Path, required: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a table as text: separated by comma, semicolon, tab or |, in any encoding, or Excel's.

    Names of columns may differ in case, blanks and signs (`Patient ID` is `patient_id`). Empty
    lines, lines above the header that begin with `##`, and empty cells behind the last column are
    passed over, columns without a name ignored.

    Returns
    -------
    DataFrame of the required columns and of those optional ones that are there, stripped text; the
    index is each row's number in the file, as editors count.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a required column, has one twice, or a row has more cells
        than there are columns.
    """
    import pandas as pd

    rows = _read_cells(Path(path), [*required, *optional])
    if not rows:
        raise InputError(f"{path} is empty; its first line must name the columns")
    header = [name.strip() for name in rows[0][1]]
    known = {plain(name): name for name in [*required, *optional]}
    names = [known.get(plain(name), name) for name in header]
    for name in known.values():
        if names.count(name) > 1:
            same = ", ".join(repr(h) for h, n in zip(header, names, strict=True) if n == name)
            raise InputError(f"{path} has the column {name!r} more than once ({same}); keep one")
    missing = [name for name in required if name not in names]
    if missing:
        shown = ", ".join(map(repr, header[:12]))
        raise InputError(
            f"{path} has no column {', '.join(map(repr, missing))}; the first line names {shown}"
        )
    extra = [name for name in names if name and name not in known.values()]
    for name in extra:
        near = difflib.get_close_matches(name.casefold(), list(known.values()), 1, 0.75)
        if near and near[0] not in names:
            log.warning("%s: column %r is not read; did you mean %r?", path, name, near[0])
    for number, cells in rows[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise InputError(
                f"{path}, row {number} has {len(cells)} cells, the header {len(header)}; put "
                "a cell that holds the separator in quotes"
            )
    return pd.DataFrame(
        {
            name: pd.Series(
                [cells[place].strip() if place < len(cells) else "" for _, cells in rows[1:]],
                index=[number for number, _ in rows[1:]],
                dtype="str",
            )
            for place, name in enumerate(names)
            if name in known.values()
        }
    )


def plain(name: str) -> str:
    """Return a name without what people vary in it: case, blanks, signs, ligatures."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def numbers(
    texts: pd.Series[str], path: str | Path, low: float = -1e9, high: float = 1e9
) -> pd.Series[float]:
    """Read a column of numbers, with a point or a comma; NaN where a cell says unknown.

    Raises
    ------
    InputError
        If a cell holds no number from `low` to `high`; names the rows.
    """
    import pandas as pd

    shaped = [text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text for text in texts]
    values = pd.to_numeric(pd.Series(shaped, texts.index), errors="coerce").astype(float)
    unknown = texts.str.lower().isin(list(UNKNOWN))
    refuse_rows(values.isna() & ~unknown, path, f"{texts.name} is {{}}, not a number", texts)
    outside = ~values.between(low, high) & ~unknown
    problem = f"{texts.name} is {{}}, not from {low:g} to {high:g}; leave it empty where unknown"
    refuse_rows(outside, path, problem, texts)
    return values


def refuse_rows(
    wrong: pd.Series[bool], path: str | Path, problem: str, texts: pd.Series[str] | None = None
) -> None:
    """Raise an InputError that names the rows in which something is wrong, if there are some.

    `{}` in `problem` stands for the first of these rows' text.
    """
    rows = [int(row) for row in wrong.index[wrong]]
    if rows:
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        first = "" if texts is None else repr(texts[rows[0]])
        listed = ", ".join(map(str, rows[:SHOWN]))
        raise InputError(f"{path}, row {listed}{more}: {problem.format(first)}")


def _read_cells(path: Path, known: Sequence[str]) -> Cells:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist (looked for {path.absolute()})") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(EXCEL):
        rows = _excel(path)
    else:
        rows = _separated(path, _text(path, content), known)
    return [(number, cells) for number, cells in rows if any(cell.strip() for cell in cells)]


def _text(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in content[:1000]:
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if encoding == "cp1252":
            log.warning("%s is not in UTF-8; its letters are read as those of Windows-1252", path)
        return text
    raise InputError(f"{path} is no table of text; save it as CSV in UTF-8")


def _separated(path: Path, text: str, known: Sequence[str]) -> Cells:
    """Split text into rows; the separator is that under which the first line names most columns."""
    # Left as empty lines, so that rows keep their numbers.
    comments = COMMENTS.match(text)
    if comments:
        text = "\n" * comments[0].count("\n") + text[comments.end() :]
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    given = re.fullmatch(r"\s*\"?sep=(.)\"?\s*", first, re.IGNORECASE)
    names = {plain(name) for name in known}
    found = {s: sum(plain(name) in names for name in first.split(s)) for s in SEPARATORS}
    separator = given[1] if given else max(SEPARATORS, key=lambda s: (found[s], first.count(s)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: Cells = []
    start = 1
    try:
        for cells in reader:
            rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, row {start} cannot be read as a row of CSV: {error}") from error
    return rows[1:] if given else rows


def _excel(path: Path) -> Cells:
    import pandas as pd

    try:
        sheet = pd.read_excel(path, header=None, dtype=str, keep_default_na=False)
    except ImportError as error:
        raise InputError(
            f"{path} is an Excel file; save it as CSV (UTF-8), or install a reader for it: {error}"
        ) from error
    # What is broken inside makes the readers raise nearly anything.
    except Exception as error:
        raise InputError(
            f"{path} is an Excel file or another archive that cannot be read ({error}); save it as "
            "CSV (UTF-8)"
        ) from error
    return [(number, list(row)) for number, row in enumerate(sheet.itertuples(index=False), 1)]
