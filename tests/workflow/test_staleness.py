"""Which jobs a change makes stale, on the real graph of a finished run.

The rules a change must rerun are spelt out; any other rule that reruns fails the test.
"""

import copy
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import TINY, Workflow

Config = dict[str, Any]

UNCERTAINTY = {
    "comparisons": 1,
    "calibration": 1,
    "operating_point": 1,
    "within_source": 1,
}
SCORES = {
    "predictions": 1,
    "scores": 1,
    "classification": 1,
    "published": 1,
    "confounding": 1,
    "controls": 1,
    "fig5_confusion": 1,
    "benchmarks": 1,
    "report": 1,
} | UNCERTAINTY
ON_FEATURES = {"classifier": 2, "split_comparison": 1}
FIGURES = {"architecture": 1, "fig4_loss": 1}
MEASURES = {"explanation_measures": 1, "timelines": 1, "examples": 1}
MAPS = {"model": 2, "explanations": 1, "severity_maps": 1} | MEASURES
TRAINING = {"train": 4} | SCORES | FIGURES | MAPS
V2_ONLY = {
    "train": 2,
    "architecture": 1,
    "fig4_loss": 1,
    "model": 1,
    "explanations": 1,
    **MEASURES,
} | SCORES
REPEATS = {"repeats": 1, "synthetic_effect": 1}
AUDIT = {"lineage": 1, "audit_features": 1, "audit_changes": 1} | REPEATS
OF_SYNTHETIC = {"severity_of": 1, "severity_synthetic": 1}
SYNTHESIS = {"synthesize": 1, "fig2_synthetic": 1, "features": 1} | AUDIT | V2_ONLY | OF_SYNTHETIC
SPLIT = {"split": 1, "population": 1, "lineage": 1, "leakage": 1} | TRAINING | ON_FEATURES
ALL_IMAGES = (
    {
        "manifest": 1,
        "holdout": 1,
        "images": 2,
        "frames": 1,
        "cyclegan": 1,
        "fig1_diagnoses": 1,
        "attributes": 1,
    }
    | SYNTHESIS
    | SPLIT
    | {"features": 2, "lungs": 1, "control_features": 2, "severity_of": 3}
)
SEVERITY = {"severity_features": 1, "severity_model": 1, "severity": 1}


def changed(change: Callable[[Config], object]) -> Config:
    config = copy.deepcopy(TINY)
    change(config)
    return config


CHANGES: dict[str, tuple[Callable[[Config], object], dict[str, int]]] = {
    "nothing": (lambda c: None, {}),
    "learning rate": (lambda c: c["training"].update(learning_rate=0.01), TRAINING | REPEATS),
    "one backbone added": (
        lambda c: (
            c["backbones"].append("MobileNetV2"),
            c["weights"].update(MobileNetV2="random"),
        ),
        {"backbone": 1, "features": 2, "train": 4}
        | SEVERITY
        | ON_FEATURES
        | {"audit_features": 1}
        | REPEATS
        | SCORES
        | FIGURES
        | MAPS,
    ),
    "sources of a class weighed alike": (
        lambda c: c["training"].update(source_weights=True),
        TRAINING | ON_FEATURES | REPEATS,
    ),
    "a fold more": (
        lambda c: c["split"].update(folds=3),
        SPLIT | {"train": 6} | REPEATS,
    ),
    "CycleGAN iterations": (
        lambda c: c["cyclegan"].update(iterations=6),
        {"cyclegan": 1} | SYNTHESIS,
    ),
    "region that the CycleGAN sees": (
        lambda c: c["cyclegan"].update(region="film"),
        {"frames": 1, "cyclegan": 1} | SYNTHESIS,
    ),
    "number of synthetic images": (
        lambda c: c["augmentations"]["v2"].update(synthetic=3),
        SYNTHESIS,
    ),
    "draws of both kinds of split": (
        lambda c: c["split"].update(comparisons=5),
        {"split_comparison": 1, "benchmarks": 1, "report": 1},
    ),
    "sensitivity asked": (
        lambda c: c.update(operating_point={"sensitivity": 0.9}),
        {"operating_point": 1, "benchmarks": 1, "report": 1},
    ),
    "specificity asked": (
        lambda c: c.update(operating_point={"specificity": 0.9}),
        {"operating_point": 1, "benchmarks": 1, "report": 1},
    ),
    "Grad-CAM colour map": (
        lambda c: c["explain"].update(colormap="jet"),
        {"examples": 1, "timelines": 1, "benchmarks": 1, "report": 1},
    ),
    "transform of v1": (
        lambda c: c.update(transform={"rotation": 20}),
        {"features": 2, "audit_features": 1} | TRAINING | ON_FEATURES | REPEATS,
    ),
    "inner layers pooled too": (
        lambda c: c.update(pooled_layers={"MobileNet": ["conv_pw_11_relu"]}),
        {
            "backbone": 1,
            "features": 2,
            "audit_features": 1,
            "control_features": 2,
        }
        | TRAINING
        | ON_FEATURES
        | REPEATS
        | SEVERITY
        | {"severity_of": 3, "severity_synthetic": 1},
    ),
    "phantoms drawn otherwise": (
        lambda c: c["sources"]["phantoms"].update(difficulty=0.9),
        {"phantoms": 1, "severity_images": 1} | ALL_IMAGES | {"images": 3} | SEVERITY,
    ),
    "an external set of a source of its own added": (
        lambda c: (
            c["sources"].update(more={"type": "phantom", "patients": {"normal": 3}}),
            c.update(external={"more": {"normal": [{"source": "more"}]}}),
        ),
        {
            "phantoms": 1,
            "external": 1,
            "images": 1,
            "external_features": 1,
            "score": 1,
            "external_scores": 1,
            "leakage": 1,
        }
        | SCORES,
    ),
    "published figures beside a score": (
        lambda c: c["scores"]["extent"].update(published={"mae": 1.0, "source": "Others"}),
        {"severity": 1, "benchmarks": 1, "report": 1},
    ),
    "title of the report": (lambda c: c.update(title="Other"), {"report": 1}),
    "threads": (lambda c: c.update(performance={"threads": 2}), {"report": 1}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_reruns_what_depends_on_it_and_nothing_else(
    finished: Workflow, name: str
) -> None:
    change, expected = CHANGES[name]
    assert finished.planned(changed(change)) == expected


EDITS: dict[str, tuple[str, Callable[[str], str], dict[str, int]]] = {
    "step's own module": (
        "src/covidcxr/evaluate/fig1_diagnoses.py",
        lambda text: text + "\nEDITED = 1\n",
        {"fig1_diagnoses": 1, "benchmarks": 1, "report": 1},
    ),
    "module that it imports": (
        "src/covidcxr/evaluate/style.py",
        lambda text: text + "\nEDITED = 1\n",
        {
            "fig1_diagnoses": 1,
            "fig2_synthetic": 1,
            "examples": 1,
            "explanation_measures": 1,
            "timelines": 1,
            "confounding": 1,
            "calibration": 1,
            "operating_point": 1,
            "within_source": 1,
            "audit_features": 1,
            "audit_changes": 1,
            "synthetic_effect": 1,
            "fig5_confusion": 1,
            "published": 1,
            "severity": 1,
            "benchmarks": 1,
            "report": 1,
        }
        | FIGURES,
    ),
    "the adapter of all rules, which computes nothing": (
        "workflow/scripts/run.py",
        lambda text: text + "\nEDITED = 1\n",
        {},
    ),
    "the code of downloads, whose files are held against checksums": (
        "src/covidcxr/data/download.py",
        lambda text: text + "\nEDITED = 1\n",
        {},
    ),
    "log lines and progress bars, which no result holds": (
        "src/covidcxr/logs.py",
        lambda text: text + "\nEDITED = 1\n",
        {},
    ),
    "comment in a module": (
        "src/covidcxr/classify/train.py",
        lambda text: text + "\n# a comment\n",
        {},
    ),
    "formatting of a module": (
        "src/covidcxr/classify/train.py",
        lambda text: re.sub(r"\n\n\n", "\n\n\n\n", text),
        {},
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_code_reruns_the_steps_that_run_it_and_nothing_else(
    finished: Workflow, name: str
) -> None:
    place, edit, expected = EDITS[name]
    path = finished.folder / place
    before = path.read_text()
    assert edit(before) != before
    try:
        path.write_text(edit(before))
        assert finished.planned(TINY) == expected
    finally:
        path.write_text(before)


def test_a_checkout_with_fresh_timestamps_reruns_nothing(finished: Workflow) -> None:
    now = time.time()
    for path in finished.folder.rglob("*"):
        if ".snakemake" not in path.parts:
            os.utime(path, (now, now), follow_symlinks=False)
    assert finished.planned(TINY) == {}


def own_images(workflow: Workflow, folder: Path) -> Config:
    """Take the finished run's phantoms as a user's own table, and return a configuration for it."""
    phantoms = workflow.folder / "results/tiny/phantoms/phantoms"
    rows = ["path,label,patient_id"]
    lines = (phantoms / "metadata.csv").read_text().splitlines()
    header = lines[0].split(",")
    for line in lines[1:]:
        row = dict(zip(header, line.split(","), strict=True))
        image = phantoms / "images" / row["filename"]
        (folder / image.name).write_bytes(image.read_bytes())
        rows.append(f"{image.name},{row['diagnosis']},{row['patient_id']}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    config = changed(lambda c: c.update(run="own", timeline=None, scores={}))
    config["sources"] = {"phantoms": {"type": "csv", "table": str(folder / "table.csv")}}
    return config


def test_a_replaced_image_or_a_new_row_of_a_users_table_is_noticed(
    finished: Workflow, tmp_path: Path
) -> None:
    config = own_images(finished, tmp_path)
    done = finished.snakemake(config, "data")
    assert done.returncode == 0, done.stdout + done.stderr
    assert finished.planned(config, "data") == {}

    stale = {"manifest": 1, "holdout": 1, "split": 1, "images": 1}
    images = sorted(tmp_path.glob("*.png"))
    first = images[0].read_bytes()
    os.utime(images[0])
    assert finished.planned(config, "data") == {}
    images[0].write_bytes(images[1].read_bytes())
    assert finished.planned(config, "data") == stale
    images[0].write_bytes(first)
    assert finished.planned(config, "data") == {}

    table = tmp_path / "table.csv"
    (tmp_path / "new.png").write_bytes(first)
    table.write_text(table.read_text() + "new.png,normal,another\n")
    assert finished.planned(config, "data") == stale


def test_jobs_print_our_lines_and_leave_those_of_tensorflow_to_their_logs(
    finished: Workflow,
) -> None:
    printed = (finished.folder / "printed.txt").read_text()
    logs = (finished.folder / "results/tiny/logs").rglob("*.log")
    kept = "".join(path.read_text() for path in logs)
    assert "INFO TensorFlow" in printed
    # As TensorFlow and absl begin their lines.
    noise = re.compile(r"^([IWEF]\d{4} |WARNING: All log messages before absl)", re.MULTILINE)
    assert noise.search(kept)
    assert not noise.search(printed)


def test_jobs_are_looked_for_when_one_has_ended_and_not_all_the_time(finished: Workflow) -> None:
    printed = (finished.folder / "printed.txt").read_text()
    assert 0 < printed.count("Ready jobs: ") <= printed.count("Finished jobid: ")
