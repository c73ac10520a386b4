"""A rule, the module of its step and that module's function `run` say the same names."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from snakemake.api import ResourceSettings, SnakemakeApi
from snakemake.rules import Rule

from .conftest import REPOSITORY

AROUND = {"wildcards", "threads"}


@pytest.fixture(scope="module")
def rules() -> Iterator[list[Rule]]:
    """The study's rules that run a step."""
    with SnakemakeApi() as api:
        found = api.workflow(ResourceSettings(cores=1), snakefile=REPOSITORY / "Snakefile")
        yield [rule for rule in found._workflow.rules if "step" in dict(rule.params.items())]


def step_of(rule: Rule) -> str:
    return str(rule.params["step"]([])).split()[0]


def test_rule_stands_in_the_file_of_its_stage_and_its_module_bears_its_name(
    rules: list[Rule],
) -> None:
    assert rules
    for rule in rules:
        assert step_of(rule) == f"{Path(str(rule.snakefile)).stem}/{rule.name}"


def test_arguments_of_run_are_the_names_in_the_rule(rules: list[Rule]) -> None:
    for rule in rules:
        wanted = inspect.signature(
            import_module(f"covidcxr.{step_of(rule).replace('/', '.')}").run
        ).parameters
        named = [
            name
            for part in (rule.input, rule.output, rule.params)
            for name, _ in part.items()
            if name not in ("step", "content")
        ]
        assert len(named) == len(set(named)), f"{rule.name}: a name stands for two things"
        unnamed = [
            item
            for part in (rule.input, rule.output)
            for item, named_as in zip(part, _names(part), strict=True)
            if named_as is None
        ]
        # What `unpack` adds is known only when a job is made.
        assert not [item for item in unnamed if not callable(item)], rule.name
        required = {
            name for name, value in wanted.items() if value.default is inspect.Parameter.empty
        }
        optional = bool(unnamed)
        assert set(named) <= set(wanted), f"{rule.name}: {set(named) - set(wanted)}"
        missing = required - set(named) - set(rule.wildcard_names) - AROUND
        assert optional or not missing, f"{rule.name}: run asks for {missing}"
        assert len(wanted) <= 10, f"{rule.name}: {len(wanted)} arguments"


def _names(part: object) -> list[str | None]:
    found: list[str | None] = [None] * len(part)  # type: ignore[arg-type]
    for name, (start, end) in part._get_names():  # type: ignore[attr-defined]
        for position in range(start, start + 1 if end is None else end):
            found[position] = name
    return found
