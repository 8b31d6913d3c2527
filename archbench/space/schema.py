"""What may stand in a space file, as a JSON schema that editors complete and check by."""

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from archbench.models.part import KINDS, Role, part_spec
from archbench.models.path import NETWORK_FIELDS
from archbench.models.spec import ArchSpec, HeadSpec, StageSpec
from archbench.space.reading import KEYS, RANGE_KEYS, VALUES_KEYS
from archbench.space.sections import ProxySection, SearchSection, TargetSection, keys_of
from archbench.study.objective import OBJECTIVES, costs

Schema = dict[str, Any]

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
_FROM_OUTSIDE = "^module:"
_SCALAR = {"type": ["boolean", "integer", "number", "string", "null"]}
_SECTIONS = {"target": TargetSection, "proxy": ProxySection, "search": SearchSection}
_PATHS = {"pattern": rf"^({'|'.join(NETWORK_FIELDS)})(\[|\.|$)"}


def schema() -> Schema:
    """The schema of a space file, by draft 2020-12, of the parts that come with archbench.

    It holds keys and single values to what they may be. What only shows between them, such as
    whether heads divide a width, is told by ``archbench space validate``.
    """
    network = {"name": {"type": "string"}, **_network()}
    keys = {
        "base": {"anyOf": [{"type": "string"}, _mapping(network)]},
        "set": {"type": "object", "propertyNames": _PATHS},
        "axes": {"type": "object", "propertyNames": _PATHS, "additionalProperties": _axis()},
        "require": {"type": ["array", "null"], "items": {"type": "string"}},
        "baselines": {"type": ["array", "null"], "items": {"type": "string"}},
        "objectives": _objectives(),
        "limits": _limits(),
        "overrides": {"type": "object"},
        **{name: _section(kind) for name, kind in _SECTIONS.items()},
    }
    assert set(keys) == set(KEYS), "a key of a space has no schema"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archbench space",
        **_mapping(network | keys),
        "anyOf": [{"required": ["base"]}, {"required": ["stages"]}],
        "$defs": {role: _part(role) for role in KINDS},
    }


def _mapping(keys: Mapping[str, Any]) -> Schema:
    return {"type": "object", "properties": dict(keys), "additionalProperties": False}


def _section(kind: type) -> Schema:
    keys = {
        key: {"description": told, **read.schema, "default": default}
        for key, read, told, default in keys_of(kind)
    }
    return _mapping(keys)


def _objectives() -> Schema:
    directions = {name: {"const": one.direction} for name, one in OBJECTIVES.items()}
    found = _mapping({"accuracy": {"const": "max"}, **directions})
    return {**found, "patternProperties": {_FROM_OUTSIDE: {"enum": ["max", "min"]}}}


def _limits() -> Schema:
    number = {"type": "number", "exclusiveMinimum": 0}
    units = {name: OBJECTIVES[name].unit for name in costs()}
    limits = {
        name: number | ({"description": unit} if unit else {}) for name, unit in units.items()
    }
    return {**_mapping(limits), "patternProperties": {_FROM_OUTSIDE: number}}


def _axis() -> Schema:
    values = {"type": "array", "minItems": 1}
    condition = {"type": "string"}
    numbers = {key: {"type": "number"} for key in RANGE_KEYS if key != "when"}
    bounds = {**_mapping(numbers | {"when": condition}), "required": ["from", "to"]}
    of_list = {"anyOf": [values, {**_mapping(numbers), "required": ["from", "to"]}]}
    several = dict(zip(VALUES_KEYS, (of_list, condition), strict=True))
    return {"anyOf": [values, bounds, {**_mapping(several), "required": ["values"]}]}


def _network() -> Schema:
    """The fields of a network but its name."""
    side = {"type": "integer"}
    stage = _of_fields(StageSpec) | {role: {"$ref": f"#/$defs/{role}"} for role in KINDS}
    ramp = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    stage |= {"layers": {"type": "object"}, "drop_path": {"anyOf": [{"type": "number"}, ramp]}}
    pair = {"type": "array", "items": side, "minItems": 2, "maxItems": 2}
    return _of_fields(ArchSpec, leaving=("name",)) | {
        "resolution": {"anyOf": [side, pair]},
        "stages": {"type": "array", "items": _mapping(stage)},
        "head": _mapping(_of_fields(HeadSpec)),
    }


def _part(role: Role) -> Schema:
    """An embed or a block: one of ours by its kind, or one from outside with any fields."""
    names = KINDS[role].names
    ours = [
        _mapping({"kind": {"const": name}, **_of_fields(part_spec(role, name))}) for name in names
    ]
    outside = {"type": "object", "properties": {"kind": {"not": {"enum": list(names)}}}}
    return {"required": ["kind"], "anyOf": [*ours, outside]}


def _of_fields(kind: type, *, leaving: Iterable[str] = ()) -> Schema:
    """The fields of a dataclass, by the single values that their types take."""
    hints = {
        name: hint
        for name, hint in typing.get_type_hints(kind).items()
        if name not in leaving and typing.get_origin(hint) is not typing.ClassVar
    }
    return {name: _of_type(hint) for name, hint in hints.items()}


def _of_type(hint: Any) -> Schema:
    is_union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    options = typing.get_args(hint) if is_union else (hint,)
    found = [_TYPES[one] for one in options if one in _TYPES]
    return {"type": [*found, "null"]} if found else {}
