"""In which runtime are the candidates of a study timed, where its space leaves that open?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archbench.errors import ArchbenchError
from archbench.evaluate.runtime_choice import choice, fastest_first, serving_backends
from archbench.evaluate.target import known_anchors
from archbench.search.context import StudyContext
from archbench.search.earlier import Match
from archbench.search.preparation_jobs import time_base
from archbench.search.settings import conditions_of
from archbench.space.sections import AUTO
from archbench.study.objective import details_wanted

_ALONE = "no other runtime that networks ship in is installed"
_PEAK = "no other backend tells the peak memory"


def choose_backend(context: StudyContext, earlier: Sequence[Sequence[Match]]) -> None:
    """Settles the backend of the context's space, whose settings keep what was found, best first.

    It is that of the first earlier study which was timed here and otherwise alike, so that their
    latencies can be compared; else the one in which the base network is fastest. Nothing is found
    where the space names one, or nothing is to be timed.

    Raises:
        UsageError: No backend computes what the target asks for.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    settings = context.settings
    if settings.space.target.backend != AUTO:
        return
    is_timed = settings.timed_limits or settings.int8
    found = _found(context, earlier) if is_timed else []
    backend = found[0]["backend"] if found else "eager"
    space = settings.space.on(backend)
    context.settings = replace(settings, space=space, backends=tuple(found))


def _found(
    context: StudyContext, earlier: Sequence[Sequence[Match]]
) -> Sequence[Mapping[str, Any]]:
    """What was found of each backend, the best first; a single one is not timed."""
    space = context.settings.space
    asked = conditions_of(space)
    names, reason = serving_backends(asked, precisions=space.target.precisions), _ALONE
    if "peak_memory_bytes" in details_wanted([*space.objectives, *space.limits]):
        names, reason = ["eager"], _PEAK
    for match, *_ in earlier:
        header = match.study.header
        backend = header["conditions"]["backend"]
        alike = replace(asked, backend=backend)
        known = known_anchors(header, conditions=alike, environment=context.environment)
        if known and backend in names:
            return [choice(backend, reason=f"as {match.study.name} was")]
    if len(names) == 1:
        return [choice(names[0], reason=reason)]
    return fastest_first(_timed(context, names))


def _timed(context: StudyContext, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """What the base network takes in each backend."""
    settings = context.settings
    space, asked = settings.space, conditions_of(settings.space)
    for name in names:
        context.say(f"timing the base network in {name}")
        job = partial(
            time_base,
            spec=space.base,
            conditions=replace(asked, backend=name),
            precisions=space.target.precisions,
            environment=context.environment,
            images=(settings.data, space.proxy.resolution),
        )
        try:
            yield context.call(job, timeout_s=settings.search.timeout_s, place="target")
        except ArchbenchError as error:  # it died there, or lacks a library
            yield choice(name, reason=error.message)
