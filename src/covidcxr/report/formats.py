"""How numbers and tables are written in the report: one form for each kind, everywhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

MISSING = "–"
THIN = "\u202f"
NBSP = "\u00a0"
MINUS = "\u2212"


def count(value: float) -> str:
    """Write a whole number, its thousands set apart by narrow spaces."""
    return f"{round(value):,}".replace(",", THIN).replace("-", MINUS)


def ratio(value: float) -> str:
    """Write an accuracy, precision, recall, F1 or probability with three decimals."""
    return f"{value:.3f}".replace("-", MINUS)


def p_value(p: float) -> str:
    """Write a p value with three decimals; what would round to 0 is not 0."""
    return "<0.001" if p < 0.001 else ratio(p)


def difference(value: float) -> str:
    """Write a difference of two ratios with its sign and three decimals."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", MINUS)


def two(value: float) -> str:
    """Write a score, a correlation or an AUC of few images with two decimals."""
    return f"{value:.2f}".replace("-", MINUS)


def interval(
    estimate: float, low: float, high: float, form: Callable[[float], str] | None = None
) -> str:
    """Write an estimate with its interval, `0.912 (0.850–0.950)`; alone where there is none.

    `form` writes each number: three decimals by default; with `difference`, or where a bound is
    negative, the bounds stand as `-0.010 to +0.040`.
    """
    form = form or ratio
    if pd.isna(estimate):
        return MISSING
    if pd.isna(low) or pd.isna(high):
        return form(estimate)
    between = " to " if form is difference or low < 0 else "–"
    return f"{form(estimate)} ({form(low)}{between}{form(high)})"


def interval_of(
    table: pd.DataFrame, name: str, form: Callable[[float], str] | None = None
) -> list[str]:
    """Write the columns `name`, `name_low` and `name_high` of a table as `interval` does."""
    bounds = table[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
    return [interval(value, low, high, form) for value, low, high in bounds]


def share(value: float) -> str:
    """Write a share in [0, 1] as a percentage with one decimal."""
    return f"{100 * value:.1f}{THIN}%"


def decimal(value: float) -> str:
    """Write a measured quantity (MB, a loss) with enough digits to compare it by."""
    return (f"{value:,.1f}" if abs(value) >= 10 else f"{value:#.3g}").replace(",", THIN)


def duration(seconds: float) -> str:
    """Write a time with the two units that matter: `0.4 s`, `75 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def some(number: float, noun: str) -> str:
    """Write a count with its noun in the right number: `1 file`, `2 files`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def sample(number: float) -> str:
    """Write the size of a sample, `n = 149`, unbroken."""
    return f"n{NBSP}={NBSP}{count(number)}"


def listing(items: Iterable[str]) -> str:
    """Join words as a sentence does: `a`, `a and b`, `a, b and c`."""
    words = list(items)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@dataclass(frozen=True)
class Column:
    """A table column: its heading, the heading it shares with neighbours, and how it is set."""

    label: str
    group: str = ""
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table ready to be set: texts only. `rows` holds one list of cells a row, as `columns`."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    emphasised: frozenset[int] = field(default_factory=frozenset)

    @property
    def grouped(self) -> bool:
        """Whether a second row of headings is needed."""
        return any(column.group for column in self.columns)

    @property
    def wide(self) -> bool:
        """Whether it asks for a landscape page when printed."""
        return len(self.columns) > 10

    @property
    def head(self) -> list[tuple[str, int]]:
        """The upper row of headings: runs of neighbours that share a group, with their lengths."""
        runs: list[tuple[str, int]] = []
        for column in self.columns:
            if column.group and runs and runs[-1][0] == column.group:
                runs[-1] = (column.group, runs[-1][1] + 1)
            else:
                runs.append((column.group, 1))
        return runs


LABELS = {
    "n": "n",
    "f1": "F1",
    "mb": "MB",
    "sd": "SD",
    "cpu": "CPU",
    "id": "ID",
    "tflite": "TFLite",
    "sha256": "SHA-256",
}
METRICS = ("precision", "recall", "f1")


def heading(name: str) -> str:
    """Return the heading of a CSV column: `size_mb` becomes `Size MB`, `f1` becomes `F1`."""
    words = [LABELS.get(word, word) for word in name.split("_") if word]
    text = " ".join(words)
    return text if not words or words[0] in LABELS.values() else text[:1].upper() + text[1:]


def table_of(
    frame: pd.DataFrame,
    labels: Mapping[str, str] | None = None,
    forms: Mapping[str, Callable[[Any], str]] | None = None,
    emphasised: Iterable[int] = (),
) -> Table:
    """Set a data frame as a table, in its own column order.

    Columns `precision_<class>`, `recall_<class>` and `f1_<class>` are grouped under the metric
    where two or more of them stand side by side. Whole numbers are counts, columns whose name
    holds `difference` carry signs, other floats have three decimals, NaN and "" become a dash.

    Parameters
    ----------
    frame
        The rows; dtypes decide the alignment.
    labels
        Headings by column name; other columns get `heading(name)`.
    forms
        How to write the values of a column, by name.
    emphasised
        Positions of rows to set in bold.
    """
    labels, forms = labels or {}, forms or {}
    columns, texts = [], []
    for name in map(str, frame.columns):
        values = frame[name]
        metric, _, rest = name.partition("_")
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        numeric = numeric or name in forms
        if name not in labels and metric in METRICS and rest and numeric:
            columns.append(Column(rest.replace("_", " "), heading(metric), numeric))
        else:
            columns.append(Column(labels.get(name, heading(name)), "", numeric))
        form = forms.get(name) or _form_of(name, values, numeric)
        texts.append(
            [MISSING if pd.isna(value) or value == "" else form(value) for value in values]
        )
    return Table(columns, [list(row) for row in zip(*texts, strict=True)], frozenset(emphasised))


def _form_of(name: str, values: "pd.Series[Any]", numeric: bool) -> Callable[[Any], str]:
    if pd.api.types.is_bool_dtype(values):
        return lambda value: "yes" if value else "no"
    if not numeric:
        return str
    known = values.dropna()
    if "difference" in name:
        return difference
    if "mb" in name.split("_"):
        return decimal
    if (known % 1 == 0).all() and name.partition("_")[0] not in ("accuracy", *METRICS):
        return count
    return ratio
