"""What can a study hold: the range of each cell, and the shape of each document?

A study may come from a stranger. What passes here is of the kinds that all who read a study expect;
whether it is true nobody can tell.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Self, get_args

from archbench.bounds import is_number
from archbench.errors import StorageError
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Verdict
from archbench.study.objective import OBJECTIVES
from archbench.study.trial import (
    CurvePoint,
    FailureKind,
    MeasurementKind,
    QuantisedAccuracy,
    StudyKind,
    TrialState,
)

PUT_BACK = "put back a copy of study.db, or begin a new study with another --name"
"""What to do where a study is not whole."""

NUMBERED = "int:"
"""Before a key that is a whole number, which no JSON has."""

_MOST = 2**63 - 1
_FAR = 1e300  # from here on sums and powers have no number
_MOST_NESTED = 64  # a network has 6 levels


@dataclass(frozen=True)
class Number:
    """A finite number in a range; for a whole one no fraction is taken."""

    low: float = -_FAR
    high: float = _FAR
    is_whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is one."""
        return is_number(value, is_whole=self.is_whole) and self.low <= value <= self.high

    def __str__(self) -> str:
        """For example ``a number from 0 to 1``."""
        kind = "a whole number" if self.is_whole else "a number"
        bounds = [f"from {self.low:g}"] if self.low > -_FAR else []
        bounds += [f"to {self.high:g}"] if self.high < _MOST else []
        return " ".join([kind, *bounds])


@dataclass(frozen=True)
class Word:
    """A text that is one of some, or like them: what matches the whole of a pattern."""

    pattern: str

    @classmethod
    def of(cls, literal: object) -> Self:
        """One of the texts of a ``Literal``."""
        return cls("|".join(get_args(literal)))

    def holds(self, value: Any) -> bool:
        """Whether a value is one."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        """For example ``min|max``."""
        return self.pattern


@dataclass(frozen=True)
class Fields:
    """A document of which a class is made: its fields, of these shapes, and no other key."""

    of: type
    shapes: Mapping[str, Any]


_COUNT, _SOME = Number(0, _MOST, is_whole=True), Number(1, _MOST, is_whole=True)
_SHARE, _ANY = Number(0, 1), object
_LATENCY_MS = Number(1e-9, 1e12)
_NAME = Word("[a-z][a-z0-9_]*")

CELLS: Mapping[str, Mapping[str, Number | Word]] = {
    "INTEGER": dict.fromkeys(
        (
            *("number", "trial", "params", "macs", "activations", "seed", "epoch", "epochs"),
            *("step", "design"),
        ),
        _COUNT,
    ),
    "REAL": {
        **dict.fromkeys(
            ("proxy_accuracy", "test_accuracy", "accuracy", "probability", "inherited"), _SHARE
        ),
        "seconds": Number(0, 1e12),
        **dict.fromkeys(("value", "low", "high"), _LATENCY_MS),
    },
    "TEXT": {
        "state": Word.of(TrialState),
        "failure_kind": Word.of(FailureKind),
        "kind": Word.of(MeasurementKind),
        "verdict": Word.of(Verdict),
    },
}
"""What may stand in a column of a type, by its name, where not all that is of the type may."""

CONDITIONS = Fields(
    Conditions,
    {
        "device": Word("cpu|cuda(:[0-9]+)?"),
        "backend": _NAME,
        "precision": _NAME,
        "batch": _SOME,
        "resolution": [_SOME],
        "threads": _COUNT,
    },
)
DETAILS: Mapping[Any, Any] = {str: (Number(), str)}
DOCUMENT: Mapping[Any, Any] = {str: _ANY}
NOTES: Mapping[Any, Any] = {
    "params": {str: _ANY},
    "distributions": {str: str},
    "system_attrs": {str: _ANY},
    "started": str,
}

_RECIPE = {"rungs": [_SOME]}
_PROXY: Mapping[Any, Any] = {
    "data": str,
    "chance?": Number(1e-9, 1 - 1e-9),
    "num_validation?": _SOME,
    "num_train?": _COUNT,
    "num_test?": _COUNT,
    "num_classes?": _SOME,
    "majority?": _SHARE,
    "balanced?": bool,
    "resolution?": _SOME,
    "sides?": {"base": _SOME, "step": _SOME},
    "prepared?": [{"resolution": _SOME, "data_digest": str}],
    "data_description?": str,
    "data_digest?": str,
    "data_notes?": [str],
    "stem?": str,
    "device?": str,
    "rungs?": [_SOME],
    "seeds?": _SOME,
    "epochs?": _SOME,
    "scale?": Number(0),
    "recipe?": _RECIPE,
    "teacher?": {"sha256": str},
    "teachers?": {str: str},
    "weights?": {"name": str, "file": str, "sha256": str},
    "plan?": {"precision": str},
}
_SOURCE = {
    "study": str,
    "path": str,
    **dict.fromkeys(("trials", "taken", "timed", "prior", "strangers", "left"), _COUNT),
    "otherwise": [str],
    "differs": [str],
}
_PRINTED = {
    **dict.fromkeys(("row", "source", "note"), str),
    **dict.fromkeys(("top1", "base_top1"), Number()),
    **dict.fromkeys(("params", "flops"), (str, NoneType)),
}
_FORM = {
    "name": str,
    "knob": str,
    "value": str,
    "training": {str: _ANY},
    "printed": (_PRINTED, NoneType),
    "trial": (_COUNT, NoneType),
    "reason": str,
}
_RIGHT = {"right": _COUNT, "images": _SOME}
_TRAINED = {
    **dict.fromkeys(("epoch", "epochs"), _SOME),
    "right": Word("([0-9a-f]{2})+"),
    "test": (_RIGHT, NoneType),
    "seconds": Number(0),
}
_RETRAINED = {
    "name": Word("[0-9a-f]{16}"),
    "how": {"recipe": str, "data": str, "epochs": _SOME, "resolution": (_SOME, NoneType)},
    "data_digests": {str: str},
    "num_validation": (_SOME, NoneType),
    "trainings": [
        {"trial": _COUNT, "seed": _COUNT, "ended": (_TRAINED, NoneType), "failure?": str}
    ],
}
_POINT = {
    **dict.fromkeys(("seed", "epoch", "step"), _COUNT),
    "loss": Number(),
    "accuracy": _SHARE,
    "seconds": Number(0),
}
_BASELINE = {
    "name": str,
    "spec": {str: _ANY},
    "digest": (str, NoneType),
    **dict.fromkeys(("params", "macs", "activations"), _COUNT),
    "state": Word.of(TrialState),
    "accuracy": (_SHARE, NoneType),
    "curve": [Fields(CurvePoint, _POINT)],
    "quantised": [
        Fields(QuantisedAccuracy, {"seed": _COUNT, "accuracy": _SHARE, "seconds": Number(0)})
    ],
    "reason": str,
    "seconds": Number(0),
}
_ENVIRONMENT = {
    "cpu": str,
    "cores": _SOME,
    "memory_bytes": _COUNT,
    "gpu": (str, NoneType),
    "system": str,
    "python": str,
    "packages": {str: str},
}
HEADER: Mapping[Any, Any] = {
    "kind?": Word.of(StudyKind),
    **dict.fromkeys(
        ("name?", "created?", "space_text?", "space_name?", "space_digest?", "question?"), str
    ),
    **dict.fromkeys(("sampler?", "pruner?", "command?", "tried?"), str),
    **dict.fromkeys(("seconds?", "trial_seconds?", "epoch_seconds?"), Number(0)),
    **dict.fromkeys(("training_seconds?", "repeat_seconds?"), Number(0)),
    **dict.fromkeys(("audit?", "feasible_share?", "feasible_low?", "feasible_high?"), _SHARE),
    "seed?": Number(is_whole=True),
    "trials?": _COUNT,
    "epochs?": (_COUNT, NoneType),
    "size?": Number(0),
    "objectives?": {str: Word("min|max")},
    "limits?": {str: Number(0)},
    "axes?": {str: [_ANY]},
    "conditions?": (CONDITIONS, NoneType),
    "proxy?": _PROXY,
    "environment?": Fields(Environment, _ENVIRONMENT),
    "precisions?": [_NAME],
    "quantisation?": {"backend": str, "images": _SOME, "seed": _COUNT, "method": str},
    "other_runtimes?": [
        {
            "backend": str,
            "trials": [{"trial": _COUNT, **dict.fromkeys(("value", "low", "high"), _LATENCY_MS)}],
            "reason": str,
        }
    ],
    "backends?": [{"backend": str, "latency_ms": (_LATENCY_MS, NoneType), "reason": str}],
    "plan?": {"precision?": str, "memory_format?": str, "seconds?": {str: Number()}},
    "calibration?": ({"constants_ms": {str: _LATENCY_MS}}, NoneType),
    "sources?": [_SOURCE],
    "origins?": {str: str},
    "start?": [{"choices": {str: _ANY}, "spec": {str: _ANY}}],
    "ancestor?": {"spec": {str: _ANY}, "digest": (str, NoneType), "accuracy": (_SHARE, NoneType)},
    "baselines?": ([_BASELINE], NoneType),
    "spaces?": [{"since": _COUNT, "size": Number(0), "changes": [str], "text": str}],
    "left_to_chance?": {**dict.fromkeys(("candidates", "partly", "wholly"), _COUNT), "axes": [str]},
    "confirmed?": (
        {"front": [_COUNT], "settled": bool, "budget_s": Number(0), "spent_s": Number(0)},
        [_COUNT],
    ),
    "retrained?": [_RETRAINED],
    "subject?": ({str: _ANY}, NoneType),
    "asked?": {str: _ANY},
    **dict.fromkeys(("seeds?", "seeds_asked?"), _SOME),
    "longer?": _SOME,
    "most_candidates?": (_COUNT, NoneType),
    "notes?": [str],
    "forms?": [_FORM],
    "paper?": (str, NoneType),
}
"""Of all kinds of studies; a key with a question mark may be missing, others may be there."""


def check_header(header: Mapping[str, Any]) -> None:
    """Nothing, when what a header says is of the kinds that those who read it expect.

    Raises:
        ValueError: It is not.
    """
    require(header, HEADER, place="the header")
    objectives, proxy = header.get("objectives", {}), header.get("proxy", {})
    for name in (*objectives, *header.get("limits", ())):
        if name not in OBJECTIVES:
            raise ValueError(f"the header names the objective {name!r:.40}, which is not known")
    for name, way in objectives.items():
        if way != OBJECTIVES[name].direction:
            raise ValueError(f"the header wants {name} to be {way}")
    if "objectives" in header and (len(objectives) < 2 or "proxy_accuracy" not in objectives):
        raise ValueError("the header names no accuracy, or nothing beside it, as an objective")
    for one in header.get("retrained", ()):
        length = 2 * math.ceil((one["num_validation"] or 0) / 8)
        if any(ended and len(ended["right"]) != length for ended in _ended(one)):
            raise ValueError("the header has full trainings of another number of images")
    for rungs in [one["rungs"] for one in (proxy, proxy.get("recipe", {})) if "rungs" in one]:
        if not rungs or any(a >= b for a, b in pairwise(rungs)):
            raise ValueError(f"the header has the rungs {rungs!r:.40}, which do not rise")


def _ended(retraining: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | None]:
    return (one["ended"] for one in retraining["trainings"])


def require_entries(header: Mapping[str, Any], names: Iterable[str], *, place: Path) -> None:
    """Nothing, when a header says all that somebody needs.

    Raises:
        StorageError: An entry is missing.
    """
    if missing := [name for name in names if name not in header]:
        raise StorageError(
            f"the study's header has no entry {', '.join(missing)}",
            place=str(place),
            help=f"it is not whole: {PUT_BACK}",
        )


def document_of(text: str, shape: Any = object, *, place: str = "a document") -> Any:
    """The document of a JSON text, all of whose numbers are finite, in a shape.

    Raises:
        ValueError: It is no JSON, is nested too deep, holds too large a number, or is in another
            shape; the message begins with the place.
    """
    try:
        found = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} cannot be read: {error}") from error
    if text.count("[") + text.count("{") > _MOST_NESTED and _is_deep(found):
        raise ValueError(f"{place} is nested more than {_MOST_NESTED} deep")
    found = _unkeyed(found) if f'"{NUMBERED}' in text else found
    require(found, shape, place=place)
    return found


def require(value: Any, shape: Any, *, place: str) -> None:
    """Nothing, when a value has a shape.

    A shape is a ``Number``, a ``Word``, a type, ``Fields``; alternatives as a tuple; a list with
    the shape of its entries; or a mapping with that of the entries under each key, of which one
    that ends with a question mark may be missing and ``str`` stands for any text.

    Raises:
        ValueError: It has another one; the message begins with where.
    """
    match shape:
        case Number() | Word():
            is_right = shape.holds(value)
        case type():
            is_right = isinstance(value, shape)
        case tuple():
            _require_one(value, shape, place=place)
            return
        case [inner]:
            is_right = isinstance(value, list | tuple)
            for number, entry in enumerate(value if is_right else ()):
                require(entry, inner, place=f"{place}[{number}]")
        case _:
            is_right = isinstance(value, Mapping)
            if is_right:
                _require_keys(value, shape, place=place)
    if not is_right:
        raise ValueError(f"{place} is {value!r:.60}, and not {_in_words(shape)}")


def _require_one(value: Any, shapes: tuple[Any, ...], *, place: str) -> None:
    faults = []
    for shape in shapes:
        try:
            require(value, shape, place=place)
        except ValueError as error:
            faults.append(error)
        else:
            return
    raise faults[0]


def _require_keys(value: Mapping[Any, Any], shape: Any, *, place: str) -> None:
    if isinstance(shape, Fields):
        known = {field.name for field in fields(shape.of)}
        if value.keys() != known:
            odd = ", ".join(sorted(map(str, value.keys() ^ known)))
            raise ValueError(f"{place} has too many entries or too few: {odd:.60}")
        shape = shape.shapes
    if str in shape:
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place} has the key {key!r:.40}, and not a text")
            require(entry, shape[str], place=f"{place}.{key:.40}")
        return
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if name in value:
            require(value[name], inner, place=f"{place}.{name}")
        elif name == key:
            raise ValueError(f"{place} has no entry {name}")


def _is_deep(document: Any) -> bool:
    """Whether something lies deeper in a document than one may be nested."""
    level = [document]
    for _ in range(_MOST_NESTED):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _unkeyed(value: Any) -> Any:
    if isinstance(value, list):
        return [_unkeyed(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    start = len(NUMBERED)
    return {
        int(key[start:]) if key.startswith(NUMBERED) else key: _unkeyed(entry)
        for key, entry in value.items()
    }


def _in_words(shape: Any) -> str:
    if isinstance(shape, Number | Word):
        return str(shape)
    if isinstance(shape, type):
        return {str: "a text", bool: "true or false"}.get(shape, shape.__name__)
    return "a list" if isinstance(shape, list) else "a document"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is not finite")
    return value
