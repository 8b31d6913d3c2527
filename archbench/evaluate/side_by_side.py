"""What runs a network fastest here, and do two networks change places between backends?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archbench.errors import UsageError
from archbench.measure.backend import BACKENDS, absence, can_compute, require_backend
from archbench.study.measurement import Conditions, Measurement

ALL = "all"
REFERENCE = "eager"


def choose(
    backends: str | Sequence[str], precisions: str | Sequence[str], *, conditions: Conditions
) -> tuple[list[Conditions], list[dict[str, str]]]:
    """The conditions to measure under, eager first, and what was left out.

    Of that it says backend, device and precision (empty where the backend cannot be had at all),
    the reason, and the help that brings it.

    Args:
        backends: Names, or ``all``: then what cannot be had is left out; else it is refused.
        precisions: What each is to compute.
        conditions: Device, batch and threads.

    Raises:
        UsageError: A name is unknown, or two do not go together, or nothing is left.
        MissingError: A backend that was asked for by its name is not there.
    """
    names = [backends] if isinstance(backends, str) else list(dict.fromkeys(backends))
    kinds = [precisions] if isinstance(precisions, str) else list(dict.fromkeys(precisions))
    is_all = ALL in names
    if is_all:
        names = [REFERENCE, *(name for name in BACKENDS.names if name != REFERENCE)]
    chosen: list[Conditions] = []
    left_out: list[dict[str, str]] = []
    device = conditions.device

    def leave_out(name: str, kind: str, reason: str, help: str) -> None:
        left = {"backend": name, "device": device, "precision": kind}
        left_out.append({**left, "reason": reason, "help": help})

    for name in names:
        missing = absence(name, device=device) if is_all else None
        if missing:
            leave_out(name, "", missing.message, missing.help or "")
            continue
        for kind in kinds:
            asked = replace(conditions, backend=name, precision=kind)
            # With a list of precisions each backend computes those of them that it has.
            if can_compute(asked) or not (is_all or len(kinds) > 1):
                require_backend(asked)
                chosen.append(asked)
            else:
                known = ", ".join(BACKENDS.load(name).PRECISIONS[device])
                reason = f"it does not compute {kind} on {device}"
                leave_out(name, kind, reason, f"it has {known}")
    if not chosen:
        raise UsageError(
            f"no backend computes {', '.join(kinds)} on {device}",
            place="precision",
            help="; ".join(f"{left['backend']}: {left['help']}" for left in left_out),
        )
    return chosen, left_out


def speed_to_eager(latency: Measurement, among: Sequence[Measurement]) -> float | None:
    """How many times as fast as eager in fp32, at the same batch on the same device.

    Both are multiples of calibration networks timed in the same way, so that the state of the
    machine at either time cancels. None where eager was not measured, or without a value.
    """
    reference = next((entry for entry in among if _is_reference(entry, latency)), None)
    if reference is None or not reference.value or not latency.value:
        return None
    return reference.value / latency.value


def flips(models: Mapping[str, Sequence[Measurement]]) -> list[dict[str, Any]]:
    """The pairs of networks of which each is faster under another backend, their intervals apart.

    Each names the networks, device and batch; ``first_wins`` are the backends, with precision,
    under which the first is faster, ``second_wins`` those under which the second is.
    """
    found: list[dict[str, Any]] = []
    for (first, mine), (second, theirs) in itertools.combinations(models.items(), 2):
        wins: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
        for one, other in zip(mine, theirs, strict=True):
            conditions = one.conditions
            label = f"{conditions.backend} {conditions.precision}"
            sides = wins.setdefault((conditions.device, conditions.batch), ([], []))
            if _is_faster(one, other):
                sides[0].append(label)
            elif _is_faster(other, one):
                sides[1].append(label)
        found += [
            {
                "first": first,
                "second": second,
                "device": device,
                "batch": batch,
                "first_wins": sides[0],
                "second_wins": sides[1],
            }
            for (device, batch), sides in wins.items()
            if all(sides)
        ]
    return found


def _is_reference(entry: Measurement, latency: Measurement) -> bool:
    mine, theirs = entry.conditions, latency.conditions
    is_eager = mine.backend == REFERENCE and mine.precision in ("fp32", "tf32")
    return is_eager and (mine.device, mine.batch) == (theirs.device, theirs.batch)


def _is_faster(one: Measurement, other: Measurement) -> bool:
    return one.high is not None and other.low is not None and one.high < other.low
