"""Write the HTML report: one file with its images, style and script that asks for no network."""

import base64
import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from covidcxr.data.tables import read_manifest, read_split, read_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.report import content, facts, sections, summaries
from covidcxr.report.content import Notice
from covidcxr.report.facts import Run
from covidcxr.report.formats import Table, count, table_of
from covidcxr.report.section import in_order, read_section
from covidcxr.report.sections.section import Section

PACKAGES = (
    "covidcxr",
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "statsmodels",
    "opencv-python-headless",
    "pillow",
    "PuLP",
    "matplotlib",
    "snakemake",
)
REQUIRED_TABLES = ("manifest", "split", "quarantine", "classification", "intervals")
PAPER_TABLES = {"published_accuracy": "Table 1", "published_comparison": "Table 2"}
LISTED_FILES = 1000
"""Quarantined files listed at most; the report says so and names the file with all of them."""


@dataclass(frozen=True)
class Figure:
    """A figure in the page. `image` and `svg` are data addresses, `svg` "" where there is none."""

    ident: str
    label: str
    caption: str
    alt: str
    image: str
    svg: str


@dataclass(frozen=True)
class Numbered:
    """A table in the page, with its number and caption. `folded` hides it behind its caption."""

    ident: str
    label: str
    caption: str
    table: Table
    folded: bool


def write_report(
    output: str | Path,
    *,
    config: Mapping[str, Any],
    tables: Mapping[str, str | Path],
    figures: Mapping[str, str | Path],
    svgs: Mapping[str, str | Path] | None = None,
    gradcam: Mapping[str, str | Path] | None = None,
    written: Sequence[str | Path] = (),
    versions: Mapping[str, str] | None = None,
) -> None:
    """Write the report of a run.

    Parameters
    ----------
    output
        HTML file to write.
    config
        The whole configuration, defaults filled in.
    tables
        CSV files by name: `manifest`, `split`, `quarantine`, `classification`, `intervals`; where
        the run has them `baselines`, `published_accuracy`, `published_comparison`, `models`,
        `synthetic`, `losses`, `collections`, and those that `covidcxr.report.sections` read.
    figures
        PNG files by stem: `fig1_diagnoses` to `fig7_timeline`, `cyclegan_samples`, and those of
        the sections. Those missing are left out.
    svgs
        The same figures as SVG files, offered for download.
    gradcam
        Files of `covidcxr.explain.gradcam.write_gradcam` by backbone, in the order of the figures.
    written
        Sections that the steps themselves wrote (`covidcxr.report.section`).
    versions
        Versions by name of software; those of this process by default.

    Raises
    ------
    InputError
        If a required table is not given, or a file cannot be read.
    """
    missing = [name for name in REQUIRED_TABLES if name not in tables]
    if missing:
        raise InputError(f"the report needs the tables {', '.join(missing)}; give their paths")
    run = _read_run(config, tables, gradcam or {})
    read = {name: _read_results(path) for name, path in tables.items()}
    body = [
        *(
            Section(
                ident=part.ident,
                title=part.title,
                paragraphs=[*part.paragraphs, *part.method],
                notices=[
                    *(Notice("warning", c.text) for c in part.checks if c.state == "warning"),
                    *(Notice("warning", limit.text) for limit in part.limits if limit.first),
                ],
                figures=part.figures,  # type: ignore[arg-type]
                tables=[item for item in part.tables if item.table],  # type: ignore[misc]
            )
            for part in in_order(map(read_section, written))
        ),
        *sections.made(sections.BODY, run, read),
    ]
    closing = sections.made(sections.CLOSING, run, read)
    placed = {*content.FIGURES, *(item.name for part in body + closing for item in part.figures)}
    unknown = [name for name in figures if name not in placed]
    if unknown:
        raise InputError(
            f"the report has no place for figure {', '.join(unknown)}; its figures are "
            f"{', '.join(sorted(placed))}"
        )
    page = _page(
        run,
        body=body,
        closing=closing,
        figures={name: data_address(path) for name, path in figures.items()},
        svgs={name: data_address(path) for name, path in (svgs or {}).items()},
        results={name: read[name] for name in (*PAPER_TABLES, "models") if name in read},
        versions=installed_versions() if versions is None else versions,
        quarantine_file=str(tables["quarantine"]),
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that shape results, and the platform."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"platform": platform.platform()}


def data_address(path: str | Path) -> str:
    """Return a PNG or SVG file as a `data:` address.

    Raises
    ------
    InputError
        If the file cannot be read or is neither.
    """
    path = Path(path)
    kinds = {".png": "image/png", ".svg": "image/svg+xml"}
    if path.suffix.lower() not in kinds:
        raise InputError(f"figure {path} is neither PNG nor SVG")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"figure {path} cannot be read: {error.strerror}") from error
    encoded = base64.b64encode(data).decode("ascii")
    return f"data:{kinds[path.suffix.lower()]};base64,{encoded}"


def _read_run(
    config: Mapping[str, Any],
    tables: Mapping[str, str | Path],
    gradcam: Mapping[str, str | Path],
) -> Run:
    metrics = [f"{m}_{label}" for m in ("precision", "recall", "f1") for label in config["classes"]]
    keys = ["backbone", "augmentation", "model", "split"]
    scores = [*keys, "n", "accuracy", *metrics]
    optional = {
        name: _read_results(tables[name]) for name in ("losses", "collections") if name in tables
    }
    if "synthetic" in tables:
        columns = ["image_id", "label", "source_image_id"]
        optional["synthetic"] = read_table(tables["synthetic"], columns)
    if "baselines" in tables:
        optional["baselines"] = read_table(tables["baselines"], scores, scores[len(keys) :])
    return Run(
        config=config,
        manifest=read_manifest(tables["manifest"]),
        split=read_split(tables["split"]),
        quarantine=read_table(
            tables["quarantine"], ["path", "label", "source", "reason", "detail"]
        ),
        classification=read_table(tables["classification"], scores, scores[len(keys) :]),
        intervals=_read_results(tables["intervals"]),
        explanations=_read_explanations(gradcam, list(config["classes"])),
        **optional,
    )


def _read_explanations(gradcam: Mapping[str, str | Path], classes: list[str]) -> pd.DataFrame:
    """Return what was predicted for the images of figures 6 and 7, as `Run.explanations`."""
    figures = {"test": "fig6_gradcam", "timeline": "fig7_timeline"}
    parts = []
    for backbone, path in gradcam.items():
        try:
            # Not through `covidcxr.explain`: that would load TensorFlow for four small arrays.
            with np.load(path) as arrays:
                scores = arrays["probabilities"]
                part = pd.DataFrame({name: arrays[name] for name in ("image_id", "label", "day")})
                part["figure"] = [figures[cohort] for cohort in arrays["cohort"]]
                part["explained"] = [classes[index] for index in arrays["class_index"]]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} cannot be read as Grad-CAM maps: {error}") from error
        part["predicted"] = [classes[index] for index in scores.argmax(axis=1)]
        parts.append(part.assign(backbone=backbone, probability=scores.max(axis=1)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _read_results(path: str | Path) -> pd.DataFrame:
    """Read a table of measured values, numbers as numbers."""
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}") from error


def _page(
    run: Run,
    *,
    body: Sequence[Section],
    closing: Sequence[Section],
    figures: Mapping[str, str],
    svgs: Mapping[str, str],
    results: Mapping[str, pd.DataFrame],
    versions: Mapping[str, str],
    quarantine_file: str,
) -> str:
    tables = {
        "data": summaries.data_table(run),
        "quarantine": summaries.quarantine_table(run.quarantine),
        "quarantined": table_of(run.quarantine.head(LISTED_FILES), {"label": "Class"}),
        "departures": table_of(facts.departures(run.config), {"this_run": "This run"}),
        "config": summaries.config_table(run.config),
        "versions": summaries.versions_table(versions),
        "split": summaries.split_table(run),
        "ensembles": summaries.ensemble_table(run),
        "classification": table_of(run.classification),
        "licences": summaries.licence_table(run.manifest),
        **{
            name: (summaries.beside_table if name == "published_accuracy" else table_of)(frame)
            for name, frame in results.items()
        },
    }
    if len(run.losses):
        tables["losses"] = summaries.losses_table(run.losses)
    result, per_backbone = content.key_result(run)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covidcxr.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        # Own files, not input: they enter the page as they are.
        style=Markup(_own("report.css")),
        script=Markup(_own("report.js")),
        title=run.config.get("title", run.config["run"]),
        run_name=run.config["run"],
        seed=run.config["seed"],
        # Warnings before notes, whoever gives them.
        notices=sorted(
            [
                *content.notices(run),
                *(notice for part in [*body, *closing] for notice in part.notices),
            ],
            key=lambda notice: notice.kind != "warning",
        ),
        sections=body,
        closing_sections=closing,
        result=result,
        per_backbone=per_backbone,
        figures=_figures(run, [*body, *closing], figures, svgs),
        tables=_numbered(
            {name: table for name, table in tables.items() if table.rows}, body, closing
        ),
        checks=content.split_checks(run),
        files=content.files_text(run.collections, run.quarantine),
        licences=content.licence_text(run),
        unlisted=(
            f"The first {count(LISTED_FILES)} of {count(len(run.quarantine))}; all stand in "
            f"{quarantine_file}."
            if len(run.quarantine) > LISTED_FILES
            else ""
        ),
        limits=content.limits(run),
        references=content.references(run),
        images=count(len(run.manifest)),
        patients=count(run.manifest["patient_id"].nunique()),
    )


def _own(name: str) -> str:
    return (files("covidcxr.report") / name).read_text(encoding="utf-8")


def _figures(
    run: Run, parts: Sequence[Section], images: Mapping[str, str], svgs: Mapping[str, str]
) -> dict[str, Figure]:
    own = [item for part in parts for item in part.figures]
    captions = content.figure_captions(run) | {item.name: item.caption for item in own}
    alts = content.figure_alts(run) | {item.name: item.alt for item in own}
    # The paper's figures keep its numbers; the others are numbered as they are shown.
    order = [name for name in (*content.FIGURES, *(item.name for item in own)) if name in images]
    extra = [name for name in order if not PAPER_FIGURE.match(name)]
    return {
        name: Figure(
            ident=name.replace("_", "-"),
            label=f"Figure {found[1]}"
            if (found := PAPER_FIGURE.match(name))
            else f"Figure S{extra.index(name) + 1}",
            caption=captions[name],
            alt=alts[name],
            image=images[name],
            svg=svgs.get(name, ""),
        )
        for name in order
    }


PAPER_FIGURE = re.compile(r"fig(\d+)_")
FOLDED = {"quarantined", "config", "versions", "classification"}
BEFORE_BODY = (
    "data",
    "quarantine",
    "quarantined",
    "departures",
    "config",
    "versions",
    "split",
    "losses",
    "published_accuracy",
    "published_comparison",
    "ensembles",
    "classification",
    "models",
)
AFTER_BODY = ("licences",)
"""Order in which the template shows the tables: those that the paper lacks are numbered by it."""


def _numbered(
    tables: Mapping[str, Table], body: Sequence[Section], closing: Sequence[Section]
) -> dict[str, Numbered]:
    parts = {item.name: item for part in [*body, *closing] for item in part.tables}
    order = [
        *BEFORE_BODY,
        *(item.name for part in body for item in part.tables),
        *AFTER_BODY,
        *(item.name for part in closing for item in part.tables),
    ]
    shown = {**tables, **{name: item.table for name, item in parts.items() if item.table.rows}}
    own = [name for name in order if name in shown and name not in PAPER_TABLES]
    labels = PAPER_TABLES | {name: f"Table S{k}" for k, name in enumerate(own, 1)}
    return {
        name: Numbered(
            ident=f"table-{name.replace('_', '-')}",
            label=labels[name].replace(" ", "\u00a0"),
            caption=parts[name].caption if name in parts else content.TABLE_CAPTIONS[name],
            table=table,
            folded=parts[name].folded if name in parts else name in FOLDED,
        )
        for name, table in shown.items()
    }
