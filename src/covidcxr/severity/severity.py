"""How well severity is read off images, beside the readers themselves: table, figure, section."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from covidcxr.array_types import Floats, Texts
from covidcxr.data.tables import read_table, write_table
from covidcxr.evaluate.bootstrap import mean_of
from covidcxr.evaluate.style import PALETTE, figure_style, save_figure
from covidcxr.report import formats
from covidcxr.report.section import Limit, Section, SectionFigure, SectionTable, write_section
from covidcxr.seeding import generator
from covidcxr.severity import agreement
from covidcxr.severity.agreement import Measured, row_of
from covidcxr.severity.scores import TOTAL, reference
from covidcxr.severity.severity_images import SCORE_COLUMNS
from covidcxr.severity.zones import COLUMNS, ZONES

MODEL, CONSTANT, BY_ZONE, COURSE = "model", "constant", "zones", "course"
PARTS = 3
"""Equal parts of a score's range by which errors are listed."""

Spec = Mapping[str, Any]


def run(
    predictions: Sequence[str | Path],
    scores: str | Path,
    table: str | Path,
    png: str | Path,
    svg: str | Path,
    section: str | Path,
    *,
    specs: Mapping[str, Spec],
    seed: int,
) -> None:
    """Write the table, the figure and the section of the report.

    Parameters
    ----------
    predictions
        As `covidcxr.severity.severity_model` writes them, of every backbone and score.
    scores
        As `covidcxr.severity.severity_images` writes them.
    table
        CSV to write: score, backbone, judge (`model`, `constant`, or two readers), target (`total`,
        `zones`, `course`: pairs of images of one patient, or a part of the score's range), metric,
        estimate, low, high (95 % by patient), n, patients. Measures of a model are means over the
        repeated divisions into folds.
    specs
        The config's `scores`.
    """
    read = read_table(scores, SCORE_COLUMNS, ["value"])
    numbers = ["repeat", "read", "predicted", "low", "high", *COLUMNS]
    found = [read_table(path, numbers=numbers) for path in predictions]
    rows = []
    for frame in found:
        score, backbone = frame["score"].iloc[0], frame["backbone"].iloc[0]
        own = read[read["score"] == score]
        for judge, target, metric, statistic, patients in measures(frame, own, specs[score]):
            rng = generator(seed, "severity", score, target, metric)
            rows.append(
                {"score": score, "backbone": backbone, "judge": judge, "target": target}
                | {"metric": metric, **row_of(statistic, patients, rng)}
            )
    results = pd.DataFrame(rows)
    write_table(results, table)
    first = [frame for frame in found if frame["backbone"].iloc[0] == found[0]["backbone"].iloc[0]]
    results = results[results["backbone"] == found[0]["backbone"].iloc[0]]
    with figure_style():
        save_figure(draw(first, results), png, svg)
    write_section(section, section_of(results, specs))


def measures(frame: pd.DataFrame, own: pd.DataFrame, spec: Spec) -> Iterator[Measured]:
    """Yield what is measured of the predictions of one score by one backbone.

    Parameters
    ----------
    frame
        The predictions.
    own
        What was read of the score: image_id, reader, zone, value.
    spec
        The score's entry in the config.
    """
    repeats = [part.set_index("image_id") for _, part in frame.groupby("repeat")]
    patient_of = repeats[0]["patient_id"]
    patients = patient_of.to_numpy(str)
    observed = repeats[0]["read"].to_numpy(np.float64)
    predicted = [part["predicted"].to_numpy(np.float64) for part in repeats]
    error = agreement.mean_absolute_error
    for metric, measure in agreement.MEASURES.items():
        statistic = agreement.mean_over([measure(observed, each) for each in predicted])
        yield MODEL, TOTAL, metric, statistic, patients
    inside = [part["read"].between(part["low"], part["high"]) for part in repeats]
    covered = [mean_of(np.asarray(each, np.float64)) for each in inside]
    yield MODEL, TOTAL, "coverage", agreement.mean_over(covered), patients
    constant = agreement.mean_of_others(observed, patients)
    yield CONSTANT, TOTAL, "mae", error(observed, constant), patients
    less, more = ordered_pairs(observed, patients)
    if len(less):
        right = [mean_of((each[more] > each[less]).astype(float)) for each in predicted]
        yield MODEL, COURSE, "direction", agreement.mean_over(right), patients[less]
    low, high = spec["range"]
    edges = np.linspace(low, high, PARTS + 1)
    part_of = np.digitize(observed, edges[1:-1], right=True)
    for k in np.unique(part_of):
        here, target = part_of == k, f"{edges[k]:.3g} to {edges[k + 1]:.3g}"
        for metric in ("mae", "bias"):
            each = [agreement.MEASURES[metric](observed[here], p[here]) for p in predicted]
            yield MODEL, target, metric, agreement.mean_over(each), patients[here]
    own = own[own["image_id"].isin(patient_of.index)]
    for zoned, part in own.groupby(own["zone"] != TOTAL):
        wide = part.pivot(index=["image_id", "zone"], columns="reader", values="value")
        for one, other in combinations(wide.columns, 2):
            both = wide[[one, other]].dropna()
            a, b = both.to_numpy(np.float64).T
            chosen = patient_of[both.index.get_level_values("image_id")].to_numpy(str)
            of_two = agreement.OF_ZONES if zoned else agreement.OF_TOTALS
            for metric, measure in of_two.items():
                judge, target = f"{other} against {one}", BY_ZONE if zoned else TOTAL
                yield judge, target, metric, measure(a, b), chosen
    if spec["zones"]:
        known = reference(own)[list(ZONES)].reindex(patient_of.index)
        full = known.notna().all(axis=1).to_numpy()
        expected = known[full].to_numpy(np.float64)
        chosen = np.repeat(patients[full], len(ZONES))
        zones = [part.loc[full, list(COLUMNS)].to_numpy(np.float64).ravel() for part in repeats]
        for metric, measure in agreement.OF_ZONES.items():
            each = [measure(expected.ravel(), one) for one in zones]
            yield MODEL, BY_ZONE, metric, agreement.mean_over(each), chosen
        middle = np.broadcast_to(np.median(expected, axis=0), expected.shape)
        yield CONSTANT, BY_ZONE, "mae", error(expected.ravel(), middle.ravel()), chosen


def ordered_pairs(
    read: Floats, patients: Texts
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return all pairs of images of one patient of which the second has the higher score."""
    found: list[npt.NDArray[np.intp]] = [np.zeros((0, 2), np.intp)]
    for rows in pd.Series(patients).groupby(patients).indices.values():
        found.append(np.asarray(rows)[np.argwhere(read[rows, None] < read[rows])])
    pairs = np.concatenate(found)
    one, other = pairs[np.lexsort(pairs.T[::-1])].T
    return one, other


def draw(found: Sequence[pd.DataFrame], results: pd.DataFrame) -> Figure:
    """Draw a row a score: predicted against read, Bland and Altman's plot, bias by level."""
    figure = Figure(figsize=(7.2, 2.3 * len(found)), layout="constrained")
    for axes, frame in zip(figure.subplots(len(found), 3, squeeze=False), found, strict=True):
        left, middle, right = axes
        score = frame["score"].iloc[0]
        mean = frame.groupby("image_id")[["read", "predicted"]].mean()
        own = results[(results["score"] == score) & (results["judge"] == MODEL)]
        of = own[own["target"] == TOTAL].set_index("metric")["estimate"]
        ends = [float(f(mean.to_numpy())) for f in (np.min, np.max)]
        left.plot(ends, ends, color="0.6", linewidth=0.8)
        left.plot(mean["read"], mean["predicted"], "o", markersize=2.5, alpha=0.6)
        left.set(xlabel=f"{score}, read", ylabel="predicted")
        left.set_title(f"MAE {of['mae']:.2f}, r {of['pearson']:.2f}, n = {len(mean)}")
        difference = mean["predicted"] - mean["read"]
        middle.plot(mean.mean(axis=1), difference, "o", markersize=2.5, alpha=0.6)
        for level, style in ((0, "-"), (-of["limits"], "--"), (of["limits"], "--")):
            middle.axhline(of["bias"] + level, color=PALETTE[5], linestyle=style, linewidth=0.9)
        middle.set(xlabel="mean of read and predicted", ylabel="predicted minus read")
        middle.set_title(f"bias {of['bias']:+.2f}, limits ±{of['limits']:.2f}")
        parts = own[(own["metric"] == "bias") & ~own["target"].isin([TOTAL, BY_ZONE, COURSE])]
        spread = np.abs(parts[["low", "high"]].to_numpy().T - parts["estimate"].to_numpy())
        right.axhline(0, color="0.6", linewidth=0.8)
        right.errorbar(range(len(parts)), parts["estimate"], spread, fmt="o", capsize=2)
        right.set_xticks(range(len(parts)), parts["target"].str.replace(" to ", "–"))
        right.set(xlabel=f"{score}, read", ylabel="bias", xlim=(-0.5, len(parts) - 0.5))
        right.set_title("bias by part of the range")
    return figure


def section_of(results: pd.DataFrame, specs: Mapping[str, Spec]) -> Section:
    """Return the section of the report, for the results of one backbone."""
    keys = ["score", "judge", "target", "metric"]
    texts = agreement.texts_of(results, keys)
    sizes = results[results["judge"] == MODEL].groupby(["score", "target"])["n"].first()
    means = results[(results["target"] == TOTAL) & (results["metric"] == "mae")]
    rows, errors, courses = [], [], []
    for score, spec in specs.items():
        pairs = [judge for judge in dict.fromkeys(results["judge"]) if " against " in judge]
        for target in (TOTAL, BY_ZONE):
            if (score, target) not in sizes:
                continue
            readers = [texts.get((score, pair, target, "mae"), "") for pair in pairs]
            published = spec["published"].get("mae") if target == TOTAL else None
            rows.append(
                {
                    "score": score if target == TOTAL else f"{score}, zones",
                    "n": sizes[score, target],
                    "mean absolute error": texts[score, MODEL, target, "mae"],
                    "of a constant": texts[score, CONSTANT, target, "mae"],
                    "reader against reader": "; ".join(filter(None, readers)),
                    "published": "" if published is None else formats.two(published),
                    "Pearson's r": texts.get((score, MODEL, target, "pearson"), ""),
                    "calibration slope": texts.get((score, MODEL, target, "slope"), ""),
                    "weighted kappa": texts.get((score, MODEL, target, "kappa"), ""),
                }
            )
        low, high = spec["range"]
        own = means[means["score"] == score].set_index("judge")["estimate"]
        errors.append(
            f"{score} ({low:g} to {high:g}) {formats.two(own[MODEL])}, a constant "
            f"{formats.two(own[CONSTANT])}"
        )
        if (score, COURSE) in sizes:
            courses.append(
                f"{score} {texts[score, MODEL, COURSE, 'direction']} of "
                f"{formats.some(sizes[score, COURSE], 'pair')}"
            )
    text = f"Mean absolute error: {'; '.join(errors)}."
    if courses:
        text += (
            " Of two images of one patient the one that was scored higher is predicted higher: "
            f"{'; '.join(courses)}."
        )
    labels = {name: name[:1].upper() + name[1:] for name in rows[0]} | {"n": "n"}
    cited = [spec["published"]["source"] for spec in specs.values()]
    note = [f"Published, on other images: {source}." for source in dict.fromkeys(cited) if source]
    return Section(
        ident="severity",
        title="Severity",
        part="performance",
        paragraphs=(text,),
        method=(
            f"Backbone {results['backbone'].iloc[0]}; features pooled in six zones of the lungs; "
            "patients that the model has not seen, repeated nested cross-validation; intervals of "
            "95 % by patient. Of two readers, the error is the distance of one from the other.",
            *note,
        ),
        limits=(
            Limit(
                "Severity is learned from few readers' scores; it is no measurement for use on "
                "patients."
            ),
        ),
        figures=(
            SectionFigure(
                "fig_severity",
                "Predicted scores against the readers' mean, their differences (bias and limits of "
                "agreement), and the bias by part of the range.",
                text,
            ),
        ),
        tables=(
            SectionTable(
                "severity",
                "Agreement of predicted scores with the readers",
                formats.table_of(pd.DataFrame(rows), labels),
            ),
        ),
    )
