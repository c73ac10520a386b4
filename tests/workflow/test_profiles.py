"""What every profile must carry, since Snakemake reads one workflow profile only."""

from typing import Any

import pytest
import yaml

from .conftest import REPOSITORY

PROFILES = sorted(path.name for path in (REPOSITORY / "profiles").iterdir())


def profile(name: str) -> dict[str, Any]:
    content = yaml.safe_load((REPOSITORY / "profiles" / name / "config.yaml").read_text())
    assert isinstance(content, dict)
    return content


def test_there_is_a_profile_for_one_machine_and_one_for_slurm() -> None:
    assert PROFILES == ["default", "slurm"]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("key", ["rerun-triggers", "max-checksum-file-size", "rerun-incomplete"])
def test_every_profile_says_alike_what_is_stale(name: str, key: str) -> None:
    assert profile(name)[key] == profile("default")[key]
