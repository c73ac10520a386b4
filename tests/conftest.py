"""Fixtures that several tests use."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import clear_what_was_left
from tests.unit.http_server import Site, serve

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_sessionstart() -> None:
    clear_what_was_left()


def pytest_collection_finish() -> None:
    """Let garbage wait until a module has ended: looking for it takes a sixth of the time."""
    gc.freeze()
    gc.disable()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Collect a module's garbage."""
    yield
    gc.collect()


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a local web server whose files and faults the test sets."""
    with serve() as running:
        yield running


@pytest.fixture
def shared() -> Path:
    """Give the folder of real data that stands beside the checkout here and in CI."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data is not here ({SHARED})")
    return SHARED
