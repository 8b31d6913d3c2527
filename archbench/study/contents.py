"""What can a study hold: the range of each cell, and the shape of each document?"""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import NoneType
from typing import Any

from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Verdict
from archbench.study.objective import OBJECTIVES
from archbench.study.shape import MOST, Fields, Number, Word, require
from archbench.study.trial import (
    CurvePoint,
    FailureKind,
    MeasurementKind,
    QuantisedAccuracy,
    StudyKind,
    TrialState,
)

_COUNT, _SOME = Number(0, MOST, is_whole=True), Number(1, MOST, is_whole=True)
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
        "device": Word("[a-z][a-z0-9_-]{0,31}(:[0-9]+)?"),
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
    "hours?": (Number(0), NoneType),
    "batches?": [_SOME],
    "size?": Number(0),
    "objectives?": {str: Word("min|max")},
    "limits?": {str: Number(0)},
    "axes?": {str: [_ANY]},
    "conditions?": (CONDITIONS, NoneType),
    "proxy?": _PROXY,
    "environment?": Fields(Environment, _ENVIRONMENT),
    "timed_in?": Fields(Environment, _ENVIRONMENT),
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
