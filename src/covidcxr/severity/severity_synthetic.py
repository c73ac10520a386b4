"""Does the CycleGAN add disease? Severity of translations, of their sources, of real images."""

from pathlib import Path

import numpy as np
import pandas as pd

from covidcxr.cyclegan.synthetic import read_synthetic
from covidcxr.data.tables import read_manifest, read_table, write_table
from covidcxr.evaluate.bootstrap import mean_of
from covidcxr.report.formats import table_of
from covidcxr.report.section import Section, SectionTable, write_section
from covidcxr.seeding import generator
from covidcxr.severity.agreement import row_of, texts_of
from covidcxr.severity.severity_of import FOLLOWED, OF_COLUMNS, VALUES

SOURCES, TRANSLATIONS, ADDED = "sources", "translations", "translation minus source"


def run(
    manifest: str | Path,
    synthetic: str | Path,
    of_manifest: str | Path,
    of_synthetic: str | Path,
    table: str | Path,
    section: str | Path,
    *,
    target: str,
    seed: int,
) -> None:
    """Compare the severity of synthetic images with that of their sources and of real images.

    Parameters
    ----------
    manifest, synthetic
        The study's images and the synthetic ones.
    of_manifest, of_synthetic
        Their severity, see `covidcxr.severity.severity_of`. Real images whose patient the model
        knows by another image are left out.
    table
        CSV to write: images (`SOURCES`, `TRANSLATIONS`, `ADDED`, `real <class>`), estimate (mean
        score), low, high (95 % by patient), n, patients.
    target
        Class of the real images.
    """
    rows = read_manifest(manifest).reset_index(drop=True)
    _, places = read_synthetic(synthetic, manifest)
    of_rows, of_made = (read_table(f, OF_COLUMNS, VALUES) for f in (of_manifest, of_synthetic))
    patients = rows["patient_id"].to_numpy(str)
    values, after = (frame["predicted"].to_numpy(np.float64) for frame in (of_rows, of_made))
    real = (rows["label"] == target).to_numpy() & (of_rows["how"] != FOLLOWED).to_numpy()
    groups = {
        SOURCES: (values[places], patients[places]),
        TRANSLATIONS: (after, patients[places]),
        ADDED: (after - values[places], patients[places]),
        f"real {target}": (values[real], patients[real]),
    }
    results = pd.DataFrame(
        [
            {"images": name} | row_of(mean_of(one), of, generator(seed, "severity_synthetic"))
            for name, (one, of) in groups.items()
            if len(of)
        ]
    )
    write_table(results, table)
    write_section(section, section_of(results, of_made["score"].iloc[0]))


def section_of(results: pd.DataFrame, score: str) -> Section:
    """Say whether translations score higher than their sources, and how far to real images."""
    rows = results.set_index("images")
    texts = {name: text for (name,), text in texts_of(results, ["images"]).items()}
    low, high = rows.loc[[ADDED], ["low", "high"]].to_numpy(np.float64)[0]
    word = "higher" if low > 0 else "lower" if high < 0 else "no higher"
    others = [f"{name} images {texts[name]}" for name in texts if name.startswith("real")]
    sentence = (
        f"A severity model that saw none of them scores translations {word} than their sources: "
        f"{score} {texts[TRANSLATIONS]} against {texts[SOURCES]}, a difference of {texts[ADDED]}"
        f"{'; ' if others else ''}{'; '.join(others)}."
    )
    shown = results.assign(mean=[texts[name] for name in results["images"]])
    return Section(
        ident="severity-synthetic",
        title="Does the CycleGAN add disease?",
        part="synthetic",
        paragraphs=(
            sentence,
            "The model learned from images of another kind than the sources: what it makes of "
            "their framing and age counts as well, which the difference leaves out. A rise alone "
            "is no disease: on the study's images noise as strong as the change raised the score "
            "too (docs/experiments).",
        ),
        tables=(
            SectionTable(
                "severity_synthetic",
                f"Mean predicted {score} with its 95 % interval by patient",
                table_of(shown[["images", "mean", "n", "patients"]]),
            ),
        ),
        folded=True,
    )
