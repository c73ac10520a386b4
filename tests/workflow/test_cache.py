"""Runs that differ only in what comes later share the costly results before it (`--cache`)."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from covidcxr.features.weights import weight_file
from tests.unit.http_server import Site

from .conftest import TINY, Config, Workflow, copy_repository

BANK = "features/MobileNet/manifest"
FEATURES = tuple(f"{BANK}/{name}" for name in ("clean.npy", "views.npy", "rows.csv"))
GAN = ("cyclegan/generator.keras", "cyclegan/losses.csv", "figures/cyclegan_samples.png")
IMAGES = ("images/manifest.npy",)
SHARED = (*FEATURES, *GAN, *IMAGES)
TRAINED = "heads/study/MobileNet/v1/fold0.keras"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def first(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which a run named `tiny` has filled the cache."""
    workflow = copy_repository(tmp_path_factory.mktemp("first"))
    run(workflow, TINY, TRAINED, GAN[0])
    return workflow


def run(workflow: Workflow, config: Config, *wanted: str) -> Path:
    """Run up to results, sharing; return the folder of the run."""
    folder = f"results/{config['run']}"
    done = workflow.snakemake(config, *(f"{folder}/{name}" for name in wanted), "--cache")
    assert done.returncode == 0, done.stdout + done.stderr
    return workflow.folder / folder


def ran(folder: Path, job: str) -> bool:
    """Tell whether the script of a job ran: else Snakemake leaves its log empty."""
    return (folder / f"logs/{job}.log").stat().st_size > 0


def test_runs_that_differ_in_learning_rate_share_images_features_and_cyclegan(
    first: Workflow, cache: Path, tmp_path: Path
) -> None:
    config = copy.deepcopy(TINY) | {"run": "other", "training": {"epochs": 2, "learning_rate": 0.1}}
    mine = first.folder / "results/tiny"
    other = run(copy_repository(tmp_path), config, TRAINED, GAN[0])
    for name in SHARED:
        assert (mine / name).resolve().parent == cache
        assert (other / name).resolve() == (mine / name).resolve()
    assert not ran(other, "cyclegan")
    assert not ran(other, "features/MobileNet_manifest")
    assert ran(other, "train/v1_MobileNet_fold0_study")
    assert (other / TRAINED).read_bytes() != (mine / TRAINED).read_bytes()


def test_edited_package_code_is_not_answered_from_the_cache(
    first: Workflow, cache: Path, tmp_path: Path
) -> None:
    edited = copy_repository(tmp_path)
    module = tmp_path / "src/covidcxr/features/augment.py"
    module.write_text(module.read_text() + "\nEDITED = 1\n")
    made = run(edited, TINY, FEATURES[0])
    assert ran(made, "features/MobileNet_manifest")
    for name in FEATURES:
        assert (made / name).resolve() != (first.folder / "results/tiny" / name).resolve()
    for name in IMAGES:
        assert (made / name).resolve() == (first.folder / "results/tiny" / name).resolve()


def test_a_shard_is_not_answered_with_another_of_its_file(first: Workflow, tmp_path: Path) -> None:
    config = TINY | {"performance": {"threads": 1, "shards": 2}}
    made = run(copy_repository(tmp_path), config, IMAGES[0]) / IMAGES[0]
    assert made.read_bytes() == (first.folder / "results/tiny" / IMAGES[0]).read_bytes()


def test_a_setting_changed_and_changed_back_gives_the_first_result_from_the_cache(
    first: Workflow,
) -> None:
    bank = first.folder / "results/tiny" / FEATURES[1]
    before, content = bank.resolve(), bank.read_bytes()
    run(first, TINY | {"views": 3}, FEATURES[1])
    assert bank.resolve() != before
    assert before.read_bytes() == content
    run(first, TINY, FEATURES[1])
    assert bank.resolve() == before
    assert before.read_bytes() == content


def test_weights_are_fetched_once_for_all_runs_of_a_cache(
    cache: Path, site: Site, tmp_path: Path
) -> None:
    name = weight_file("VGG16")
    site.files[f"/{name}"] = content = b"\x89HDF\r\n\x1a\n" + bytes(1000)
    config = TINY | {"mirror": site.url, "backbones": ["VGG16"], "weights": {"VGG16": "imagenet"}}
    files = []
    for run_name, seed in (("first", 1), ("second", 2)):
        (tmp_path / run_name).mkdir()
        workflow = copy_repository(tmp_path / run_name)
        target = "resources/weights/VGG16.h5"
        done = workflow.snakemake(config | {"run": run_name, "seed": seed}, target, "--cache")
        assert done.returncode == 0, done.stdout + done.stderr
        files.append((workflow.folder / target).resolve())
    assert files[0] == files[1]
    assert files[0].parent == cache
    assert files[0].read_bytes() == content
    assert len(site.ranges(f"/{name}")) == 1
