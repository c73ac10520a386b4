import re
import tomllib
from itertools import chain

import yaml

from ..workflow.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_conda_environment_has_the_pins_of_the_project() -> None:
    environment = yaml.safe_load((REPOSITORY / "envs/covidcxr.yaml").read_text())
    assert environment["dependencies"][-1]["pip"] == PROJECT["dependencies"]


def test_lock_file_has_the_pins_of_the_project() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    extras = PROJECT["optional-dependencies"].values()
    for pin in [*PROJECT["dependencies"], *chain.from_iterable(extras)]:
        name, version = re.sub(r"\[.*\]", "", pin).split("==")
        assert locked[name.lower()] == version
