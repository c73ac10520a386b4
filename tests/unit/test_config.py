import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from covidcxr.config import (
    check_keys_once,
    check_paths,
    complete,
    describe,
    operating_class,
    read_schema,
)
from covidcxr.errors import InputError

from ..workflow.conftest import REPOSITORY

SCHEMA = read_schema(REPOSITORY / "workflow/schemas/config.schema.yaml")
DEMO = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text())


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    config = copy.deepcopy(DEMO)
    change(config)
    return config


@pytest.mark.parametrize(
    "name",
    [
        f"{folder}/{name}.yaml"
        for folder, names in {
            "config": ("config", "demo", "adult", "mixed", "matrix"),
            "tests/real": ("config", "adult", "mixed", "matrix"),
        }.items()
        for name in names
    ],
)
def test_shipped_configurations_are_valid(name: str) -> None:
    config = yaml.safe_load((REPOSITORY / name).read_text())
    assert complete(config, SCHEMA)["training"]["batch_size"] == 8


def test_completing_changes_nothing_given_and_is_idempotent() -> None:
    before = copy.deepcopy(DEMO)
    completed = complete(DEMO, SCHEMA)
    assert before == DEMO
    assert completed["training"]["epochs"] == DEMO["training"]["epochs"]
    assert complete(completed, SCHEMA) == completed


def test_defaults_reach_sources_of_each_type_and_parts_of_classes() -> None:
    config = complete(
        changed(
            lambda c: (
                c["sources"].update(own={"type": "covid_chestxray"}),
                c["classes"]["covid"].append({"source": "own"}),
            )
        ),
        SCHEMA,
    )
    assert len(config["sources"]["own"]["commit"]) == 40
    assert config["classes"]["covid"][-1] == {"source": "own", "count": None, "where": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(trainig={}), r"'trainig' is unknown; did you mean 'training'"),
        (lambda c: c["training"].update(epoch=3), r"'training\.epoch' is unknown.*'epochs'"),
        (lambda c: c["training"].update(epochs="many"), r"'training\.epochs'.*'integer'"),
        (lambda c: c["training"].update(dropout=1), r"'training\.dropout'"),
        (
            lambda c: c["sources"]["ward"].update(sise=3),
            r"'sources\.ward\.sise' is unknown",
        ),
        (lambda c: c["sources"]["ward"].update(type="phantm"), r"'sources\.ward\.type'"),
        (lambda c: c["classes"]["covid"][0].update(source="x"), r"no source is called 'x'"),
        (
            lambda c: c["timeline"].update(source="x"),
            r"'timeline\.source'.*no source is called 'x'",
        ),
        (lambda c: c.pop("run"), r"'run' is a required property"),
        (lambda c: c["split"].update(test={"covid": 3}), r"'split\.test' must name each class"),
        (lambda c: c["weights"].pop("VGG16"), r"'weights\.VGG16' is missing"),
        (
            lambda c: c.update(pooled_layers={"VGG61": ["block4_pool"]}),
            r"'pooled_layers\.VGG61': there is no such backbone",
        ),
        (
            lambda c: (
                c.update(pooled_layers={c["backbones"][0]: ["block4_pool"]}),
                c["training"].update(trainable="last_block"),
            ),
            r"'pooled_layers\..*set 'training\.trainable' to head or all",
        ),
        (lambda c: c["cyclegan"].update(target_class="flu"), r"'cyclegan\.target_class': 'flu'"),
        (lambda c: c.update(operating_point={"class": "flu"}), r"'operating_point\.class': 'flu'"),
        (lambda c: c["augmentations"].update(none={}), r"'none' does not match"),
        (lambda c: c.update(explain={"augmentation": "v9"}), r"'explain\.augmentation': 'v9'"),
        (
            lambda c: c.update(external={"x": {"normal": [{"source": "y"}]}}),
            r"'external\.x\.normal\[0\]\.source': no source is called 'y'",
        ),
        (
            lambda c: c.update(external={"x": {"flu": [{"source": "ward"}]}}),
            r"'external\.x\.flu': there is no such class",
        ),
        (
            lambda c: c.update(populations={"study": ["ward"]}),
            r"'populations\.study': `study` is the run's own population",
        ),
        (
            lambda c: c.update(populations={"all": ["x"]}),
            r"'populations\.all': no class is sampled from a source 'x'",
        ),
        (
            lambda c: (
                c["sources"].update(more={"type": "phantom"}),
                c["classes"]["normal"].append({"source": "more"}),
                c.update(populations={"some": ["more"]}),
            ),
            r"'populations\.some': class 'covid' is sampled from none of more",
        ),
        (
            lambda c: c.update(populations={"all": ["ward"]}, split={"unit": "image"}),
            r"'populations' needs split.unit 'patient' or 'site'",
        ),
        (
            lambda c: (
                c.update(populations={"all": ["ward"]}),
                c["augmentations"]["v1"].update(synthetic=2),
            ),
            r"'populations' needs an augmentation without synthetic images",
        ),
        (
            lambda c: c["sources"].update(
                big={"type": "nih", "folder": "."}, small={"type": "nih_subset"}
            ),
            r"big, small hold images of the same patients",
        ),
    ],
)
def test_each_mistake_is_named_with_its_key(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        complete(changed(change), SCHEMA)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: {1: [{source: ward}]}", "'classes': the name 1 is read as a number.*'1'"),
        ("classes: {yes: [{source: ward}]}", "'classes': the name is read as the truth value"),
        ("classes: {~: []}", "'classes': the name is read as nothing"),
        ("2020: x", "config: the name 2020 is read as a number"),
        ("external: {set: {2020-01-01: []}}", r"'external.set': the name 2020-01-01 is .* a date"),
        ("backbones: [1]", r"'backbones.0': 1 is read as a number; write it in quotes: '1'"),
        ("run: 2020", "'run': 2020 is read as a number"),
        ("run: no", "'run': is read as the truth value False; write it in quotes: 'no'"),
        ("timeline: {source: ward, where: {patient_id: [7]}}", "7 is read as a number"),
        ("export: [on]", "'export.0': is read as the truth value True"),
    ],
)
def test_what_yaml_does_not_read_as_text_is_to_be_quoted(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        complete(DEMO | yaml.safe_load(text), SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(mirror="nowhere"), r"'mirror': there is no folder 'nowhere'"),
        (
            lambda c: c["weights"].update(VGG16="no.h5"),
            r"'weights\.VGG16': there is no file 'no\.h5'",
        ),
        (
            lambda c: c["sources"].update(own={"type": "csv", "table": "no.csv"}),
            r"'sources\.own\.table': there is no file 'no\.csv'",
        ),
        (
            lambda c: c["sources"].update(nih={"type": "nih", "folder": "no"}),
            r"'sources\.nih\.folder': there is no folder 'no'",
        ),
        (
            lambda c: c["sources"].update(nih={"type": "nih_subset", "entries": "no.csv"}),
            r"'sources\.nih\.entries': there is no file 'no\.csv'",
        ),
    ],
)
def test_each_missing_path_is_named_with_its_key(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_paths(complete(changed(change), SCHEMA))


def test_a_key_that_is_there_twice_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("run: a\nclasses:\n  x: []\n  y: []\n  x: []\n")
    with pytest.raises(InputError, match=r"c\.yaml, line 5: the key 'x' is there twice"):
        check_keys_once(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("a: &one {x: 1}\nb: {<<: *one, x: 2}\nc: [{x: 1}, {x: 2}]\n")
    check_keys_once(tmp_path / "c.yaml")


def test_mirror_may_be_an_address() -> None:
    check_paths(complete(changed(lambda c: c.update(mirror="https://mirror.example")), SCHEMA))


def test_every_key_is_described() -> None:
    described = {key for key, *_ in describe(SCHEMA)}
    for key in ("run", "training.epochs", "sources.<name>.commit", "classes.<name>[].count"):
        assert key in described


def test_config_readme_is_the_one_the_schema_gives() -> None:
    from covidcxr.config import readme

    assert (REPOSITORY / "config/README.md").read_text() == readme(SCHEMA)


def test_operating_point_is_for_the_class_named_or_synthesised_or_the_first() -> None:
    config = complete(changed(lambda c: None), SCHEMA)
    assert operating_class(config) == config["cyclegan"]["target_class"]
    assert operating_class(config | {"operating_point": {"class": "normal"}}) == "normal"
    other = config | {"classes": {"sick": [], "well": []}}
    assert operating_class(other) == "sick"


def test_order_of_keys_as_written_does_not_matter() -> None:
    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reverse(value[name]) for name in reversed(value)}
        return value

    shuffled = complete(reverse(DEMO), SCHEMA)
    for section in ("training", "cyclegan", "transform", "split"):
        assert list(shuffled[section].items()) == list(complete(DEMO, SCHEMA)[section].items())
