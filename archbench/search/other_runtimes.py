"""How fast is the front in the other runtimes of this machine, whatever it was searched for?"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archbench.analysis.other_runtimes import OTHER_RUNTIMES
from archbench.errors import ArchbenchError
from archbench.evaluate.artifact import RUNTIMES
from archbench.evaluate.runtime_choice import serving_backends
from archbench.evaluate.target import Target
from archbench.measure.backend import BACKENDS, absence, can_compute
from archbench.search.context import StudyContext
from archbench.search.jobs import time_forms
from archbench.study.trial import TrialRecord

_LEAST_S = 10.0  # in less no network is brought to a runtime and timed
_BUDGET_S = 1.0  # each
_SLOW_SHARE = 0.1  # of the time, for each runtime that takes long to take a network
_MOST = 12  # members, so many as to tell whether their order holds


def time_in_others(context: StudyContext) -> None:
    """Times the front in the other runtimes that are installed, and keeps it in the header.

    The quick ones come first, until a tenth of the search's time is spent; of that each other one
    has a tenth at most. A short search has no time for it. Of designs in two precisions the one in
    floats is timed.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
    """
    target, members = context.target, [one for one in context.front() if one.design is None]
    left_s = context.settings.other_runtimes_seconds(context.took_s)
    if target is None or target.conditions.precision == "int8" or left_s < _LEAST_S or not members:
        return
    step = max(1.0, (len(members) - 1) / (_MOST - 1))
    chosen = [members[round(i * step)] for i in range(min(len(members), _MOST))]
    found, slow_s = [], max(_LEAST_S, _SLOW_SHARE * left_s)
    quick = _quick(target)
    for name in _others(target, quick=quick):
        begin, most_s = context.clock(), left_s if name in quick else min(left_s, slow_s)
        found.append(_timed(context, target, chosen, backend=name, left_s=most_s))
        left_s -= context.clock() - begin
    if found:
        context.study.set_header(OTHER_RUNTIMES, found)


def _quick(target: Target) -> list[str]:
    """The backends that take a network within seconds."""
    asked = target.conditions
    return serving_backends(asked, precisions=[asked.precision])


def _others(target: Target, *, quick: Sequence[str]) -> list[str]:
    """The backends that are installed beside the target's, the quick ones first."""
    asked = target.conditions
    later = sorted(
        (name for name in RUNTIMES.values() if name not in quick),
        key=lambda name: hasattr(BACKENDS.load(name), "COMPILES_ON"),
    )
    return [
        name
        for name in (*quick, *later)
        if name != asked.backend
        and absence(name, device=asked.device) is None
        and can_compute(replace(asked, backend=name))
    ]


def _timed(
    context: StudyContext,
    target: Target,
    members: Sequence[TrialRecord],
    *,
    backend: str,
    left_s: float,
) -> dict[str, Any]:
    """What the members take in a backend, or why that is not known."""
    found: dict[str, Any] = {"backend": backend, "trials": [], "reason": ""}
    if left_s < _LEAST_S:
        return {**found, "reason": "the time for other runtimes was over"}
    context.say(f"timing the front in {backend}")
    job = partial(
        time_forms,
        specs={record.digest: record.spec for record in members},
        conditions=replace(target.conditions, backend=backend),
        environment=target.environment,
        budget_s=_BUDGET_S,
    )
    try:
        taken = context.call(job, timeout_s=left_s, place="target")
    except ArchbenchError as error:
        return {**found, "reason": error.message}
    for record in members:
        one = taken[record.digest]
        if one.value is not None:
            interval = {"value": one.value, "low": one.low, "high": one.high}
            found["trials"].append({"trial": record.number, **interval})
        else:
            found["reason"] = f"trial {record.number}: {one.reason}"
    return found
