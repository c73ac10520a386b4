"""A run in shards ends as a run in one piece, and repeats a shard alone."""

from pathlib import Path

from .conftest import TINY, Config, Workflow
from .test_dag import STUDY
from .test_interruption import finished_jobs

RUN = "results/tiny"
BANK = [
    f"{RUN}/features/MobileNet/manifest/{name}" for name in ("clean.npy", "views.npy", "rows.csv")
]
FILES = [f"{RUN}/images/manifest.npy", *BANK]
# Four batches of 32 images, the last one short.
WHOLE: Config = TINY | {
    "sources": {
        "phantoms": TINY["sources"]["phantoms"]
        | {"patients": dict.fromkeys(("normal", "pneumonia", "COVID-19"), 24)}
    },
    "classes": {
        name: [part | {"count": 33} for part in parts] for name, parts in TINY["classes"].items()
    },
    "split": {"test": 0.02, "folds": 2},
}


def in_shards(config: Config, number: int) -> Config:
    return config | {"performance": {"threads": 1, "shards": number}}


def content(workflow: Workflow) -> list[bytes]:
    return [(workflow.folder / name).read_bytes() for name in FILES]


def test_four_shards_end_as_one_and_one_that_fails_is_repeated_alone(workflow: Workflow) -> None:
    done = workflow.snakemake(WHOLE, *FILES)
    assert done.returncode == 0, done.stderr
    expected = content(workflow)

    table = (workflow.folder / RUN / "data/manifest.csv").read_text().splitlines()
    image = workflow.folder / table[1 + 70].split(",")[1]
    intact = image.read_bytes()
    image.write_bytes(b"no image")
    config = in_shards(WHOLE, 4)
    failed = workflow.snakemake(config, *FILES)
    assert failed.returncode == 1
    assert finished_jobs(failed.stdout + failed.stderr) == {"images": 3}
    assert content(workflow) == expected

    image.write_bytes(intact)
    done = workflow.snakemake(config, *FILES)
    assert done.returncode == 0, done.stderr
    jobs = finished_jobs(done.stdout + done.stderr)
    assert jobs == {"images": 1, "features": 4, "join": 4}
    assert content(workflow) == expected
    assert not list(Path(workflow.folder, RUN, "shards").rglob("*.npy"))
    # The shards' own files are gone, what made them stale is not.
    assert workflow.planned(config, *FILES) == {}
    assert workflow.planned(config | {"views": 3}, *FILES) == {"features": 4, "join": 3}


def test_only_what_passes_over_all_images_is_sharded(workflow: Workflow) -> None:
    one = workflow.planned(in_shards(STUDY, 1))
    four = workflow.planned(in_shards(STUDY, 4))
    spread = {"images": 2, "features": 6, "control_features": 2}
    assert four == one | {name: 4 * jobs for name, jobs in spread.items()} | {"join": 2 + 3 * 6 + 2}
