"""Whether the probabilities mean what they say."""

from collections.abc import Mapping

import pandas as pd

from covidcxr.report import facts
from covidcxr.report.facts import Row, Run, records
from covidcxr.report.formats import THIN, Table, count, p_value, ratio, sample, table_of
from covidcxr.report.sections.section import Section, SectionFigure, SectionTable

RAW, SCALED = "none", "temperature"
SUSPECT = 0.05


def section(_run: Run, tables: Mapping[str, pd.DataFrame]) -> Section | None:
    """Return the section, or None where the run has not measured calibration."""
    if "calibration" not in tables:
        return None
    table = tables["calibration"]
    return Section(
        ident="calibration",
        title="Calibration",
        paragraphs=[_found(table), METHOD],
        figures=[
            SectionFigure(
                "calibration",
                f"Accuracy against confidence on the test set ({sample(table['n'].iloc[0])}) in "
                f"ten bins of equally many images, with 95{THIN}% Wilson intervals; above the "
                "diagonal a model is right more often than it says. ECE: expected calibration "
                "error.",
                "Reliability diagrams of every ensemble before and after temperature scaling; the "
                "errors stand as numbers in the table of this section.",
            )
        ],
        tables=[
            SectionTable(
                "calibration",
                "Calibration of the ensembles on the test set, as trained and scaled. Brier score: "
                "0 (perfect) to 2. ECE by chance: what a perfectly calibrated model of the same "
                "confidences would show on as many images; p: how often it would show as much.",
                _table(table),
            )
        ],
    )


METHOD = (
    "Brier score: squared error summed over the classes. Expected calibration error (ECE): mean "
    "distance of confidence and accuracy over ten bins of equally many images. It is a mean of "
    "absolute values and so above 0 even for a perfect model, the more the fewer images; therefore "
    "the value by chance stands beside it. The temperature is fitted on out-of-fold predictions "
    "of training images alone, and divides the logits of each fold's model before their mean is "
    f"taken. Intervals are 95{THIN}% patient-clustered bootstrap intervals; that of the ECE is "
    "drawn up by the same bias."
)


def _found(table: pd.DataFrame) -> str:
    raw, scaled = (table[table["scaling"] == name] for name in (RAW, SCALED))
    off, still = (int((part["p_calibrated"] < SUSPECT).sum()) for part in (raw, scaled))
    better = int((scaled["brier"].to_numpy() < raw["brier"].to_numpy()).sum())
    worst, after = max(
        zip(records(raw), records(scaled), strict=True), key=lambda pair: float(pair[0]["ece"])
    )
    side = worst["confidence"] - worst["accuracy"]
    return (
        f"Of {count(len(raw))} ensembles, {count(off)} as trained and {count(still)} after "
        f"temperature scaling are further off than chance would have it (p < {SUSPECT}). Scaling "
        f"lowered the Brier score of {count(better)}. Largest error as trained: "
        f"{facts.model_text(worst['backbone'], worst['augmentation'])}, ECE {ratio(worst['ece'])}, "
        f"{'over' if side > 0 else 'under'}confident by {ratio(abs(side))} on average; scaled "
        f"{ratio(after['ece'])}."
    )


def _bounded(row: Row, name: str) -> str:
    return f"{ratio(row[name])} ({ratio(row[f'{name}_low'])}–{ratio(row[f'{name}_high'])})"


def _table(table: pd.DataFrame) -> Table:
    rows = [
        {
            "backbone": facts.backbone_text(row["backbone"]),
            "augmentation": facts.augmentation_text(row["augmentation"]),
            "temperature": "as trained" if row["scaling"] == RAW else ratio(row["temperature"]),
            "confidence": row["confidence"],
            "accuracy": row["accuracy"],
            "brier": _bounded(row, "brier"),
            "log_loss": row["log_loss"],
            "ece": _bounded(row, "ece"),
            "chance": row["ece_if_calibrated"],
            "p": row["p_calibrated"],
        }
        for row in records(table)
    ]
    labels = {"brier": "Brier score", "ece": "ECE", "chance": "ECE by chance", "p": "p"}
    return table_of(pd.DataFrame(rows), labels, {"p": p_value})
