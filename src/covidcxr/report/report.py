"""Write the HTML report: one file with its images, style and script that asks for no network."""

import base64
import importlib.metadata
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup, escape
from PIL import Image

from covidcxr.data.tables import read_manifest, read_split, read_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.provenance import commit
from covidcxr.report.facts import Run
from covidcxr.report.formats import count, listing
from covidcxr.report.parts import MAKERS, STUDY
from covidcxr.report.section import PARTS, Section, first_sentence, in_order, read_section

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
DOUBTS = ("Shortcuts", "Confounding", "External validity", "Leakage")
"""Checks whose warning takes from the main result what it seems to say."""
LARGEST_FILE = 500_000
"""Bytes of a CSV file that the page carries at most; of a larger one it gives the place."""
PAPER_TABLES = {"published_accuracy": "Table 1", "published_comparison": "Table 2"}
PAPER_FIGURE = re.compile(r"fig(\d+)_")
TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".csv": "text/csv"}


def run(
    manifest: str | Path,
    split: str | Path,
    quarantine: str | Path,
    collections: str | Path,
    sections: Sequence[str | Path],
    shown: Sequence[str | Path],
    report: str | Path,
    config: Mapping[str, Any],
) -> None:
    """Write the report of a run.

    Parameters
    ----------
    manifest, split, quarantine, collections
        Tables of the data (`covidcxr.data.tables`).
    sections
        Sections that the steps wrote (`covidcxr.report.section`), within a part in reading order.
    shown
        The figures (PNG and SVG) and tables (CSV) that the sections name by their stems.
    report
        HTML file to write.
    config
        The whole configuration, defaults filled in.

    Raises
    ------
    InputError
        If a file cannot be read, or a section names a figure that is not given.
    """
    known = Run(
        config=config,
        manifest=read_manifest(manifest),
        split=read_split(split),
        quarantine=read_table(quarantine, ["path", "label", "source", "reason", "detail"]),
        collections=read_table(
            collections,
            ["source", "diagnosis", "view", "images", "files"],
            ["images", "files"],
        ),
        sections=[read_section(path) for path in sections],
        versions=installed_versions(),
    )
    for place, make in enumerate(MAKERS):
        before, after = known.sections[:place], known.sections[place:]
        known = replace(known, sections=[*before, make(known), *after])
    known = replace(known, sections=in_order(known.sections))
    places = [Path(path) for path in (*shown, quarantine)]
    page = render(known, places, made=f"{datetime.now(UTC):%Y-%m-%d}", version=_version())
    with atomic(report) as temporary:
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


def _version() -> str:
    try:
        version = importlib.metadata.version("covidcxr")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    return f"covidcxr {version}, {commit() or 'no commit'}"


def data_address(path: Path) -> str:
    """Return a PNG, SVG or CSV file as a `data:` address.

    Raises
    ------
    InputError
        If the file cannot be read or is none of these.
    """
    if path.suffix.lower() not in TYPES:
        raise InputError(f"{path} is neither PNG, SVG nor CSV")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    encoded = base64.b64encode(data).decode("ascii")
    return f"data:{TYPES[path.suffix.lower()]};base64,{encoded}"


def inches(path: Path) -> str:
    """Return the width at which a PNG was drawn, as a style; "" where the file does not say."""
    with Image.open(path) as image:
        dpi = image.info.get("dpi")
        return f"--inches: {image.width / dpi[0]:.2f}" if dpi else ""


def render(run: Run, shown: Sequence[Path], *, made: str, version: str) -> str:
    """Return the page of a run.

    Parameters
    ----------
    run
        With all sections, in order.
    shown
        Figures and tables, by their stems.
    made, version
        Date and version of the code, for the head of the page.
    """
    by_suffix = {suffix: {p.stem: p for p in shown if p.suffix == suffix} for suffix in TYPES}
    named = [figure.name for section in run.sections for figure in section.figures]
    absent = [name for name in named if name not in by_suffix[".png"]]
    if absent:
        raise InputError(f"figure {absent[0]} of the report has no PNG file; make it again")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("covidcxr.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    terms = Terms(glossary(run.config))
    environment.filters |= {
        "terms": terms.marked,
        "data": data_address,
        "count": count,
        "slug": slug,
        "inches": inches,
        "first_sentence": first_sentence,
    }
    return environment.get_template("report.html.j2").render(
        # Own files, not input: they enter the page as they are.
        style=Markup(_own("report.css")),
        script=Markup(_own("report.js")),
        title=run.config.get("title", run.config["run"]),
        run=run,
        study=STUDY,
        made=made,
        version=version,
        images=count(len(run.manifest)),
        patients=count(run.manifest["patient_id"].nunique()),
        finding=finding(run),
        augmentations=[(name, terms.definitions[name]) for name in run.config["augmentations"]],
        key_rows=[row for section in run.sections for row in section.key_rows],
        checks=list(run.checks.values()),
        parts={
            part: (title, [section for section in run.sections if section.part == part])
            for part, title in PARTS.items()
        },
        labels=labels(run.sections),
        png=by_suffix[".png"],
        svg=by_suffix[".svg"],
        csv=by_suffix[".csv"],
        largest=LARGEST_FILE,
        glossary=terms.definitions,
    )


def _own(name: str) -> str:
    return (files("covidcxr.report") / name).read_text(encoding="utf-8")


def finding(run: Run) -> str:
    """Return the main result in one sentence, with the checks that cast doubt on it."""
    if not run.finding:
        return "No ensemble has been scored on the test set."
    doubts = [name for name in DOUBTS if run.checks[name][0].state == "warning"]
    if doubts:
        return (
            f"{run.finding}, but {listing(name.lower() for name in doubts)} "
            f"{'warns' if len(doubts) == 1 else 'warn'}: this is no evidence that the models "
            "recognise disease."
        )
    open_ = [name for name in DOUBTS if run.checks[name][0].state == "not run"]
    return f"{run.finding}" + (
        f"; not checked: {listing(name.lower() for name in open_)}." if open_ else "."
    )


def labels(sections: Iterable[Section]) -> dict[str, str]:
    """Return the labels of figures and tables, by `figure:` or `table:` and name.

    The paper's keep its numbers, the others count in reading order.
    """
    found: dict[str, str] = {}
    extra = {"Figure": 0, "Table": 0}
    for section in sections:
        items = [("Figure", item.name) for item in section.figures]
        items += [("Table", item.name) for item in section.tables if item.table]
        for kind, name in items:
            paper = PAPER_FIGURE.match(name) if kind == "Figure" else None
            label = f"Figure {paper[1]}" if paper else PAPER_TABLES.get(name, "")
            if not label:
                extra[kind] += 1
                label = f"{kind} S{extra[kind]}"
            found[f"{kind.lower()}:{name}"] = label.replace(" ", "\u00a0")
    return found


def glossary(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the definition of each term that the report explains, augmentations first."""
    defined: dict[str, str] = {}
    for name in config["augmentations"]:
        text = augmentation_text(config, name)
        same = next((one for one, before in defined.items() if text.startswith(before)), "")
        defined[name] = text.replace(defined[same], f"as {same}", 1) if same else text
    return defined | yaml.safe_load(_own("glossary.yaml"))


def augmentation_text(config: Mapping[str, Any], name: str) -> str:
    """Say what an augmentation does to the training images."""
    settings = config["augmentations"][name]
    transform = config["transform"] | (settings.get("transform") or {})
    if transform.get("function"):
        parts = [f"the transform {transform['function']}"]
    else:
        shift = max(transform["width_shift"], transform["height_shift"])
        parts = [
            text
            for text, used in (
                (f"rotation up to {transform['rotation']:g}°", transform["rotation"]),
                (f"shifts up to {100 * shift:g} %", shift),
                ("horizontal flip", transform["horizontal_flip"]),
                ("vertical flip", transform["vertical_flip"]),
            )
            if used
        ] or ["no transform"]
    made = settings["synthetic"]
    extra = f", plus {made} CycleGAN images in each training fold" if made else ""
    return f"training images with random {listing(parts)}{extra}"


class Terms:
    """Marks the first use of each term of a glossary in the page as a link to its definition."""

    def __init__(self, definitions: Mapping[str, str]) -> None:
        self.definitions = dict(definitions)
        self._lower = {term.lower(): term for term in definitions}
        self._met: set[str] = set()
        words = "|".join(re.escape(term) for term in sorted(definitions, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)

    def marked(self, text: str, *, always: bool = False) -> Markup:
        """Return a text as HTML; `always` marks a term that was met before, too."""
        made, end = Markup(), 0
        for found in self._pattern.finditer(text):
            term = self._lower[found[0].lower()]
            if term in self._met and not always:
                continue
            self._met.add(term)
            made += escape(text[end : found.start()])
            made += Markup('<a class="term" href="#term-{}">{}</a>').format(slug(term), found[0])
            end = found.end()
        return made + escape(text[end:])


def slug(term: str) -> str:
    """Return a term as an anchor."""
    return re.sub(r"\W+", "-", term.lower()).strip("-")
