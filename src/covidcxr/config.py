"""The configuration of a run: validated against its JSON schema, completed with its defaults."""

import ast
import copy
import difflib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from covidcxr.data.download import is_url
from covidcxr.data.source import open_source
from covidcxr.errors import InputError
from covidcxr.files import is_there

Schema = Mapping[str, Any]

MISSING = object()


def read_schema(path: str | Path) -> dict[str, Any]:
    """Read a JSON schema written as YAML."""
    return dict(yaml.safe_load(Path(path).read_text()))


class _OnceOnly(yaml.SafeLoader):
    """Reads YAML, and refuses a key that a mapping has twice, of which the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                raise InputError(f"{self.name}, line {line}: the key '{key.value}' is there twice")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def check_keys_once(path: str | Path) -> None:
    """Check that no mapping of a configuration file has a key twice.

    Raises
    ------
    InputError
        Naming file, line and key.
    """
    with Path(path).open() as file:
        yaml.load(file, _OnceOnly)


def complete(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return `config` with every default of `schema` filled in, after all checks.

    Parameters
    ----------
    config
        The configuration as read from YAML; it is not changed.
    schema
        JSON schema (draft 2020-12) as read by `read_schema`.

    Raises
    ------
    InputError
        On the first thing wrong: an unknown key (with the nearest known one), a wrong type or
        value, a name that is used but not defined. The message names the key.
    """
    _check_names(config, "")
    _check_schema(config, schema)
    completed: dict[str, Any] = _fill(copy.deepcopy(dict(config)), schema, schema)
    _check_references(completed)
    return completed


def check_paths(config: Mapping[str, Any]) -> None:
    """Check that the local files and folders named in a completed `config` exist.

    Raises
    ------
    InputError
        Naming the key and the missing path.
    """
    mirror = config["mirror"]
    if mirror is not None and not is_url(mirror) and not Path(mirror).is_dir():
        raise InputError(
            f"config key 'mirror': there is no folder '{mirror}'; correct it or set it to null"
        )
    for name, options in config["sources"].items():
        open_source(options).check(f"sources.{name}")
    own = [options.get("transform", {}) for options in config["augmentations"].values()]
    for function in filter(None, [t.get("function") for t in (config["transform"], *own)]):
        _check_function(Path(function.rpartition(":")[0]))
    for backbone in config["backbones"]:
        weights = config["weights"][backbone]
        if weights not in ("imagenet", "random") and not Path(weights).is_file():
            raise InputError(
                f"config key 'weights.{backbone}': there is no file '{weights}'; "
                "give 'imagenet', 'random' or the path of a no-top weight file"
            )


def _check_function(file: Path) -> None:
    key = "config key 'transform.function'"
    if not is_there(file):
        raise InputError(f"{key}: there is no file '{file}' (looked for {file.absolute()})")
    try:
        ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{key}: '{file}' is no Python code: {error}") from error


def describe(schema: Schema) -> Iterator[tuple[str, str, Any, str]]:
    """Yield (key, type, default or None, description) of every documented key, in schema order."""
    yield from _describe(schema, schema, "")


def _check_names(value: Any, place: str) -> None:
    """Refuse keys that YAML reads as a number, a truth value or a date, where a name is meant."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                where = f"config key '{place}'" if place else "config"
                raise InputError(f"{where}: the name {_as_read(key)}")
            _check_names(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_names(inner, f"{place}[{number}]")


def _as_read(value: Any) -> str:
    """Say what YAML made of a name, and how to write it."""
    if isinstance(value, bool):
        written = "'yes' or 'on'" if value else "'no' or 'off'"
        return f"is read as the truth value {value}; write it in quotes: {written}"
    if value is None:
        return "is read as nothing; write it in quotes: '~' or 'null'"
    kind = "a number" if isinstance(value, int | float) else "a date"
    return f"{value} is read as {kind}; write it in quotes: '{value}'"


def _check_schema(config: Mapping[str, Any], schema: Schema) -> None:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    error = jsonschema.exceptions.best_match(errors)
    if error is None:
        return
    key = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        unknown = next(name for name in error.instance if name not in known)
        near = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        where = "" if key == "(top level)" else f"{key}."
        raise InputError(f"config key '{where}{unknown}' is unknown; {hint}")
    if error.validator == "required":
        where = "" if key == "(top level)" else f" in '{key}'"
        raise InputError(f"config: a key is missing{where}: {error.message}")
    named = error.validator == "type" and "string" in error.validator_value
    if named and not isinstance(error.instance, list | dict):
        raise InputError(f"config key '{key}': {_as_read(error.instance)}")
    meaning = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    raise InputError(f"config key '{key}': {error.message}" + (f" ({meaning})" if meaning else ""))


def _fill(value: Any, schema: Any, root: Schema) -> Any:
    """Return `value` with the defaults of `schema`, keys in the order of the schema.

    The order in which a user writes keys must not make results stale.
    """
    schema = _resolve(schema, root)
    if not isinstance(schema, Mapping):
        return value
    for branch in schema.get("allOf", []):
        if jsonschema.Draft202012Validator(branch["if"]).is_valid(value):
            value = _fill(value, branch["then"], root)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        other = schema.get("additionalProperties")
        filled = {}
        for name, sub in properties.items():
            sub = _resolve(sub, root)
            default = sub.get("default", MISSING) if isinstance(sub, Mapping) else MISSING
            given = value.get(name, default)
            if given is not MISSING:
                filled[name] = _fill(given, sub, root)
        for name in value:
            if name not in properties:
                filled[name] = _fill(value[name], other, root)
        return filled
    if isinstance(value, list) and "items" in schema:
        return [_fill(item, schema["items"], root) for item in value]
    return value


def _resolve(schema: Any, root: Schema) -> Any:
    if not isinstance(schema, Mapping) or "$ref" not in schema:
        return schema
    target: Any = root
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    # What stands beside a reference (a default, say) completes it.
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _describe(schema: Any, root: Schema, prefix: str) -> Iterator[tuple[str, str, Any, str]]:
    schema = _resolve(schema, root)
    for name, raw in schema.get("properties", {}).items():
        sub = _resolve(raw, root)
        if not isinstance(sub, Mapping) or "description" not in sub:
            continue
        key = f"{prefix}{name}"
        yield key, _type_of(sub), sub.get("default"), " ".join(sub["description"].split())
        yield from _describe(sub, root, f"{key}.")
        other = _resolve(sub.get("additionalProperties"), root)
        if isinstance(other, Mapping):
            yield from _describe(other, root, f"{key}.<name>.")
            items = _resolve(other.get("items"), root)
            if isinstance(items, Mapping):
                yield from _describe(items, root, f"{key}.<name>[].")
            for branch in other.get("allOf", []):
                variant = branch["if"]["properties"]["type"]["const"]
                target = _resolve(branch["then"], root)
                text = " ".join(target["description"].split())
                yield f"{key}.<name> ({variant})", "object", None, text
                yield from _describe(target, root, f"{key}.<name>.")


def _type_of(schema: Schema) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "object")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _check_references(config: Mapping[str, Any]) -> None:
    sources, classes = config["sources"], config["classes"]
    owners: dict[str, list[str]] = {}
    for name, options in sources.items():
        if (source := open_source(options)).alone:
            owners.setdefault(source.collection, []).append(name)
    for same in owners.values():
        if len(same) > 1:
            raise InputError(
                f"config key 'sources': {', '.join(same)} hold images of the same patients, who "
                "could come to stand on both sides of the split; keep one of them"
            )
    parts = [
        (f"classes.{name}[{i}]", part)
        for name, parts in classes.items()
        for i, part in enumerate(parts)
    ]
    if config["timeline"] is not None:
        parts.append(("timeline", config["timeline"]))
    for name, of_set in config["external"].items():
        for label, several in of_set.items():
            unknown = "there is no such class; 'classes' defines"
            _require(label, classes, f"external.{name}.{label}", unknown)
            parts += [(f"external.{name}.{label}[{i}]", part) for i, part in enumerate(several)]
    for key, part in parts:
        _require_source(part["source"], sources, f"{key}.source")
    _check_populations(config)
    _check_scores(config)
    test = config["split"]["test"]
    if isinstance(test, dict) and set(test) != set(classes):
        raise InputError(
            f"config key 'split.test' must name each class once: it has {', '.join(test)}; "
            f"the classes are {', '.join(classes)}"
        )
    for backbone in config["backbones"]:
        if backbone not in config["weights"]:
            raise InputError(
                f"config key 'weights.{backbone}' is missing; "
                "give 'imagenet', 'random' or the path of a no-top weight file"
            )
    for backbone, layers in config["pooled_layers"].items():
        if layers:
            unknown = "there is no such backbone; 'backbones' lists"
            _require(backbone, config["backbones"], f"pooled_layers.{backbone}", unknown)
        if layers and config["training"]["trainable"] == "last_block":
            raise InputError(
                f"config key 'pooled_layers.{backbone}': inner layers are pooled, so no one tensor "
                "comes before the last block; set 'training.trainable' to head or all"
            )
    for backbone in config["export"]:
        _require_backbone(backbone, config["backbones"], "export")
    named = ["source_class", "target_class"] if synthetic_count(config) else []
    used = {f"cyclegan.{key}": config["cyclegan"][key] for key in named}
    used["operating_point.class"] = config["operating_point"]["class"]
    for key, name in used.items():
        if name is not None:
            _require(name, classes, key, f"'{name}' is no class; 'classes' defines")
    control = config["controls"]["backbone"]
    if control is not None:
        unknown = f"'{control}' is not one of 'backbones',"
        _require(control, config["backbones"], "controls.backbone", unknown)
    shown, augmentations = config["explain"]["augmentation"], config["augmentations"]
    unknown = f"'{shown}' is no augmentation; 'augmentations' defines"
    _require(shown, augmentations, "explain.augmentation", unknown)


def _require(name: str, known: Collection[str], key: str, unknown: str) -> None:
    """Raise where a name is not known, with what is wrong then, and the known ones after it."""
    if name not in known:
        raise InputError(f"config key '{key}': {unknown} {', '.join(known)}")


def _require_source(name: str, known: Collection[str], key: str) -> None:
    _require(name, known, key, f"no source is called '{name}'; 'sources' defines")


def _require_backbone(name: str, known: Collection[str], key: str) -> None:
    _require(name, known, key, f"'{name}' is no backbone of this run; 'backbones' lists")


def _check_scores(config: Mapping[str, Any]) -> None:
    scores, outcomes, sources = config["scores"], config["outcomes"], config["sources"]
    named = {f"scores.{name}.source": [spec["source"]] for name, spec in scores.items()}
    named |= {f"outcomes.{name}.columns": spec["columns"] for name, spec in outcomes.items()}
    for key, names in named.items():
        for source in names:
            _require_source(source, sources, key)
    for name, spec in outcomes.items():
        if name in scores or spec["held_fixed"] not in {None, *outcomes} - {name}:
            raise InputError(
                f"config key 'outcomes.{name}': its name must be no score's, and `held_fixed` that "
                "of another outcome"
            )
    for name, spec in scores.items():
        teacher = spec["learned_with"]
        if teacher is not None and not (teacher in scores and scores[teacher]["zones"]):
            raise InputError(
                f"config key 'scores.{name}.learned_with': '{teacher}' is no score with zones"
            )
        strange = set(spec["zones"]) - set(spec["readers"])
        if strange:
            raise InputError(
                f"config key 'scores.{name}.zones': '{min(strange)}' is none of `readers`"
            )
    for backbone in config["severity"]["backbones"] or []:
        _require_backbone(backbone, config["backbones"], "severity.backbones")


def _check_populations(config: Mapping[str, Any]) -> None:
    sampled_from = {
        label: {part["source"] for part in parts} for label, parts in config["classes"].items()
    }
    for name in {"study", "by_patient"} & set(config["populations"]):
        raise InputError(
            f"config key 'populations.{name}': `{name}` is the run's own population, of all its "
            "training images; give this one another name"
        )
    for name, sources in config["populations"].items():
        for source in sources:
            if source not in set().union(*sampled_from.values()):
                raise InputError(
                    f"config key 'populations.{name}': no class is sampled from a source '{source}'"
                )
        for label, own in sampled_from.items():
            if not own & set(sources):
                raise InputError(
                    f"config key 'populations.{name}': class '{label}' is sampled from none of "
                    f"{', '.join(sources)}; name one of {', '.join(sorted(own))} too"
                )
    if config["populations"] and config["split"]["unit"] == "image":
        raise InputError(
            "config key 'populations' needs split.unit 'patient' or 'site': no patient may train "
            "and test"
        )
    if config["populations"] and all(a["synthetic"] for a in config["augmentations"].values()):
        raise InputError(
            "config key 'populations' needs an augmentation without synthetic images; a CycleGAN "
            "learns from all populations"
        )


def synthetic_count(config: Mapping[str, Any]) -> int:
    """Return how many synthetic images a completed `config` needs: its largest augmentation."""
    return max((settings["synthetic"] for settings in config["augmentations"].values()), default=0)


def operating_class(config: Mapping[str, Any]) -> str:
    """Return the class for which a completed `config` wants a threshold.

    Where none is named: the class that is synthesised, if it is a class of the run, else the first.
    """
    target = config["operating_point"]["class"] or config["cyclegan"]["target_class"]
    return str(target if target in config["classes"] else next(iter(config["classes"])))


def readme(schema: Schema) -> str:
    """Return `config/README.md`: every key with its type, default and meaning, as Markdown."""
    lines = [
        "# Configuration",
        "",
        "Generated from `workflow/schemas/config.schema.yaml` by `make docs`; edit the schema.",
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, kind, default, meaning in describe(schema):
        shown = "" if default is None else f"`{json.dumps(default)}`"
        lines.append(f"| `{key}` | {kind} | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"
