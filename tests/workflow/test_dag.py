"""The graph of jobs that a configuration asks for."""

from collections import Counter

import pytest
import yaml

from .conftest import REPOSITORY, Workflow, copy_repository

# What one external set without sources of its own adds to the study.
EXTERNAL = {
    "external": 1,
    "images": 1,
    "external_features": 3,
    "score": 3,
    "external_scores": 1,
}
STUDY = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which plans are made, which leave nothing behind."""
    return copy_repository(tmp_path_factory.mktemp("planned"))


@pytest.fixture(scope="module")
def study(workflow: Workflow) -> dict[str, int]:
    """The jobs of the study."""
    return workflow.planned(STUDY)


def test_study_has_thirty_training_jobs_and_no_job_too_many(study: dict[str, int]) -> None:
    assert study == {
        "fetch": 2,
        "manifest": 1,
        "holdout": 1,
        "split": 1,
        "images": 2,
        "frames": 1,
        "cyclegan": 1,
        "synthesize": 1,
        "lineage": 1,
        "weights": 3,
        "backbone": 3,
        "features": 6,
        "train": 30,
        "model": 6,
        "classifier": 6,
        "classification": 1,
        "leakage": 1,
        "lungs": 1,
        "control_features": 2,
        "controls": 1,
        "predictions": 1,
        "population": 1,
        "scores": 1,
        "comparisons": 1,
        "calibration": 1,
        "operating_point": 1,
        "within_source": 1,
        "split_comparison": 1,
        "attributes": 1,
        "confounding": 1,
        "published": 1,
        "fig1_diagnoses": 1,
        "fig2_synthetic": 1,
        "audit_features": 1,
        "audit_changes": 1,
        "repeats": 3,
        "synthetic_effect": 1,
        "architecture": 1,
        "fig4_loss": 1,
        "fig5_confusion": 1,
        "explanations": 3,
        "examples": 1,
        "explanation_measures": 1,
        "timelines": 1,
        "export_model": 3,
        "export_table": 1,
        "benchmarks": 1,
        "report": 1,
    }


def test_no_synthetic_images_means_no_cyclegan(workflow: Workflow) -> None:
    jobs = workflow.planned(STUDY | {"augmentations": {"v1": {"synthetic": 0}}})
    assert jobs["train"] == 15
    assert not {
        "frames",
        "cyclegan",
        "synthesize",
        "lineage",
        "fig2_synthetic",
        "audit_features",
        "audit_changes",
        "repeats",
    } & set(jobs)


def test_cyclegan_per_fold_trains_one_more_for_each_fold_and_its_features(
    workflow: Workflow,
) -> None:
    """The one on all folds stays, for figure 2 and the audit."""
    jobs = workflow.planned(STUDY | {"cyclegan": STUDY["cyclegan"] | {"per_fold": True}})
    made = {"cyclegan": 6, "synthesize": 6, "train": 30}
    assert made.items() <= jobs.items()
    assert jobs["features"] == 3 * (1 + 1 + 5)


def test_random_weights_fetch_nothing(workflow: Workflow) -> None:
    random = dict.fromkeys(STUDY["backbones"], "random")
    assert "weights" not in workflow.planned(STUDY | {"weights": random})


def test_named_targets_make_their_part_only(workflow: Workflow) -> None:
    jobs = workflow.planned(STUDY, "data")
    assert "train" not in jobs
    assert jobs["split"] == 1


def test_lungs_use_the_boxes_of_the_collection(workflow: Workflow) -> None:
    jobs = workflow.planned(STUDY, "results/paper/images/lungs.npy")
    assert jobs["lungs"] == 1
    assert "train" not in jobs


def test_adult_controls_replace_the_children_by_config_alone(
    workflow: Workflow, study: dict[str, int]
) -> None:
    adult = yaml.safe_load((REPOSITORY / "config/adult.yaml").read_text())
    jobs = workflow.planned(adult)
    assert jobs["fetch"] == study["fetch"] == 2
    assert Counter(jobs) - Counter(study) == EXTERNAL
    assert not Counter(study) - Counter(jobs)


def test_mixed_controls_fetch_both_collections(workflow: Workflow, study: dict[str, int]) -> None:
    mixed = yaml.safe_load((REPOSITORY / "config/mixed.yaml").read_text())
    jobs = workflow.planned(mixed)
    assert Counter(jobs) - Counter(study) == EXTERNAL | {"fetch": 1}


def test_an_external_set_is_scored_by_every_model(
    workflow: Workflow, study: dict[str, int]
) -> None:
    sources = STUDY["sources"] | {"more": {"type": "kermany"}}
    jobs = workflow.planned(
        STUDY | {"sources": sources, "external": {"more": {"normal": [{"source": "more"}]}}}
    )
    assert Counter(jobs) - Counter(study) == EXTERNAL | {"fetch": 1}


def test_scores_add_their_own_steps_and_leave_the_classifiers_as_they_are(
    workflow: Workflow, study: dict[str, int]
) -> None:
    scores = yaml.safe_load((REPOSITORY / "config/severity.yaml").read_text())
    jobs = workflow.planned(STUDY | scores)
    added = {"score_table": 2, "severity_images": 1, "images": 1, "severity": 1}
    added |= {"severity_features": 3, "severity_model": 9, "outcomes": 1, "severity_maps": 1}
    added |= {"severity_of": 3, "severity_synthetic": 1}
    assert Counter(jobs) - Counter(study) == added
    assert not Counter(study) - Counter(jobs)
    assert workflow.planned(STUDY | scores, "tables")["severity"] == 1


def test_the_target_export_makes_all_backbones_where_the_run_lists_none(
    workflow: Workflow,
) -> None:
    jobs = workflow.planned(STUDY | {"export": []}, "export")
    assert jobs["export_model"] == 3
    assert "report" not in jobs


def test_the_matrix_trains_every_population_on_one_set_of_features(workflow: Workflow) -> None:
    matrix = yaml.safe_load((REPOSITORY / "config/matrix.yaml").read_text())
    jobs = workflow.planned(matrix, "matrix")
    populations, backbones, folds, sets = 3, 3, 5, 2
    assert jobs["population"] == populations
    assert jobs["train"] == populations * backbones * folds
    assert jobs["score"] == populations * backbones
    assert jobs["classifier"] == 2 * populations * backbones
    assert jobs["features"] == backbones
    assert jobs["external_features"] == backbones * sets
    assert jobs["manifest"] == jobs["split"] == jobs["population_matrix"] == 1


def test_a_transform_of_its_own_gives_an_augmentation_its_own_banks(
    workflow: Workflow, study: dict[str, int]
) -> None:
    own = {"v1": {"synthetic": 0}, "v2": {"synthetic": 100, "transform": {"rotation": 20}}}
    jobs = workflow.planned(STUDY | {"augmentations": own})
    assert jobs["train"] == study["train"]
    # Both kinds of images in v2's transform, beside the banks that everything else uses.
    assert jobs["features"] == 2 * study["features"]
    assert jobs["repeats"] == study["repeats"]


def test_folds_of_sites_stand_beside_folds_of_patients_on_the_same_images(
    workflow: Workflow, study: dict[str, int]
) -> None:
    hospitals = yaml.safe_load((REPOSITORY / "config/hospitals.yaml").read_text())
    jobs = workflow.planned(hospitals, "report")
    assert jobs["train"] == 2 * 3 * 5
    assert jobs["population"] == 2
    assert jobs["leave_site_out"] == 1
    assert "leave_site_out" not in study
