"""The JSON schema of space files: it takes what is a space, and refuses what is none."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from archbench.space import shipped
from archbench.space.file import find
from archbench.space.schema import schema
from archbench.space.template import template
from archbench.yaml_document import load_yaml
from tests.space.conftest import NETWORK

PUBLISHED = Path(__file__).parents[2] / "docs" / "space.schema.json"
SCHEMA = schema()
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def faults(value: Any, rules: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """What of a value breaks the rules, of those keywords that the schema uses."""
    for key, rule in rules.items():
        match key:
            case "$ref":
                yield from faults(value, SCHEMA["$defs"][rule.rpartition("/")[2]], place)
            case "type":
                if not any(
                    _is(value, name) for name in ([rule] if isinstance(rule, str) else rule)
                ):
                    yield f"{place}: is no {rule}"
            case "enum" | "const":
                if value not in ([rule] if key == "const" else rule):
                    yield f"{place}: is not {rule}"
            case "anyOf":
                found = [list(faults(value, one, place)) for one in rule]
                yield from min(found, key=len)
            case "not":
                if not list(faults(value, rule, place)):
                    yield f"{place}: is {rule}"
            case "minimum" | "exclusiveMinimum" | "maximum" if _is(value, "number"):
                sign = -1 if key == "maximum" else 1
                if sign * (value - rule) < 0 or (key == "exclusiveMinimum" and value == rule):
                    yield f"{place}: breaks the {key} {rule}"
            case "pattern" if isinstance(value, str) and not re.search(rule, value):
                yield f"{place}: does not match {rule}"
            case "minItems" if isinstance(value, list) and len(value) < rule:
                yield f"{place}: has too few"
            case "items" if isinstance(value, list):
                for number, one in enumerate(value):
                    yield from faults(one, rule, f"{place}[{number}]")
            case "required" if isinstance(value, dict):
                yield from (f"{place}: lacks {name}" for name in rule if name not in value)
            case "propertyNames" if isinstance(value, dict):
                for name in value:
                    yield from faults(name, rule, f"{place}.{name}")
    if isinstance(value, dict):
        yield from _of_members(value, rules, place)


def _of_members(value: dict[str, Any], rules: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, member in value.items():
        patterns = rules.get("patternProperties", {})
        known = [rule for pattern, rule in patterns.items() if re.search(pattern, name)]
        known += [rules["properties"][name]] if name in rules.get("properties", {}) else []
        others = rules.get("additionalProperties", {})
        if not known and others is False:
            yield f"{place}.{name}: is unknown"
        for rule in known or [others or {}]:
            yield from faults(member, rule, f"{place}.{name}")


def _is(value: Any, name: str) -> bool:
    is_flag = isinstance(value, bool) and name in ("integer", "number")
    return isinstance(value, TYPES[name]) and not is_flag


def _faults(text: str) -> list[str]:
    return list(faults(load_yaml(text, source="space").plain(), SCHEMA))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_space_fits(name: str) -> None:
    assert not _faults(find(name).read_text())


def test_a_new_space_fits() -> None:
    assert not _faults(template("levit_128s"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("search: {trails: 3}", ".search.trails: is unknown"),
        ("search: {trials: 0}", ".search.trials: breaks the minimum 1"),
        ("search: {trials: null}", ".search.trials: is no integer"),
        ("search: {epochs: null, timeout: 10m, confirm: 0.2}", None),
        ("proxy: {balance: auto, images: null}", None),
        ("target: {device: cuda0}", ".target.device: does not match"),
        ("objectives: {accuracy: min}", ".objectives.accuracy: is not max"),
        ("limits: {latency_ms: 8ms}", ".limits.latency_ms: is no number"),
        ("axes: {dim: [1]}", ".axes.dim: does not match"),
        ("axes: {head.pool: mean}", ".axes.head.pool: is no array"),
        ("require: macs <= 4e6", ".require: is no"),
        ("axis: {}", ".axis: is unknown"),
    ],
)
def test_what_is_no_space_does_not_fit(text: str, fault: str | None) -> None:
    found = _faults(NETWORK.replace("proxy: {resolution: 32}\n", "") + text)
    assert found[0].startswith(fault) if fault else not found


def test_a_field_that_no_block_has_does_not_fit() -> None:
    assert _faults(NETWORK.replace("kv_stride", "kv_strid"))


def test_the_published_schema_is_that_of_this_version() -> None:
    """Else write it again: archbench space schema > docs/space.schema.json."""
    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(SCHEMA))
