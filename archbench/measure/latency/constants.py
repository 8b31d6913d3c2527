"""How are calibration constants kept, and when are they to be measured again?

How fast the host is today all calibration networks feel alike, so it cancels among them. What is
left, by how much each of them leaves the others, is a matter of the constants: of the day on which
they were taken, or of a machine that is no longer the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archbench.cache_folder import cache_folder
from archbench.measure.latency.estimate import core_disturbance
from archbench.measure.machine_cache import MachineFile, digest_of
from archbench.study.environment import Environment

BACK = 0.03
"""A drift check at which they are nearer than this makes whatever was seen before void."""
CHECKS = 3
"""How many quiet drift checks it takes."""

_AWAY = 0.05  # constants of which two lie farther apart than this no longer hold
_Deviations = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class DriftCheck:
    """By which share each calibration network left the others, at one time.

    The disturbance is why that says nothing of the constants, empty for a quiet check; the weight
    for how many of the checks that are needed it stands: a long one for all.
    """

    deviations: _Deviations
    disturbance: str = ""
    weight: int = 1


@dataclass(frozen=True, kw_only=True)
class Constants:
    """The constants of one machine under one set of settings, as they are kept.

    While they were taken other work held the core for a share of the time. ``apart`` are the last
    quiet drift checks that found them apart, ``due`` is why they are to be taken anew, empty where
    they are not; the history are those before, as they stood in the file, with why each was given
    up.
    """

    constants_ms: Mapping[str, float]
    off_cpu_share: float
    generation: int = 1
    apart: tuple[_Deviations, ...] = ()
    due: str = ""
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def disturbance(self) -> str:
        """What disturbed when they were taken; empty where nothing did."""
        return core_disturbance(self.off_cpu_share)

    def checked(self, check: DriftCheck) -> Constants:
        """The constants after one more drift check.

        They are to be taken anew when three quiet checks on end found two of them apart by more
        than 3 % each time and by 5 % on the mean; one that finds them together again makes the
        others void. Checks that were disturbed change nothing. Constants that were themselves taken
        while disturbed are to be taken anew at the first quiet check.
        """
        if check.disturbance or len(check.deviations) < 2:
            return self
        if self.disturbance:
            return replace(self, due=f"they were taken while {self.disturbance}")
        if spread(check.deviations) <= BACK:
            return replace(self, apart=(), due="")
        apart = (*self.apart, *[check.deviations] * check.weight)[-CHECKS:]
        mean, due = {name: statistics.fmean(one[name] for one in apart) for name in apart[-1]}, ""
        if len(apart) == CHECKS and spread(mean) > _AWAY:
            slow, fast = max(mean, key=mean.__getitem__), min(mean, key=mean.__getitem__)
            due = f"{slow} takes {spread(mean):.0%} more beside {fast} than when they were taken"
        return replace(self, apart=apart, due=due)

    def succeeded_by(self, taken: Constants) -> tuple[Constants, str]:
        """The constants after they were taken anew, with a note for a person.

        New ones keep the level of the old, so that how fast the host is today does not part what
        was measured before from what comes; constants that were taken while disturbed had no good
        level. New ones that are disturbed are not taken over; then one quiet check is enough.
        """
        if taken.disturbance:
            note = f"constants are to be taken anew ({self.due}), but {taken.disturbance}: the old "
            return replace(self, apart=self.apart[1 - CHECKS :], due=""), f"{note}ones stay for now"
        new_ms = taken.constants_ms
        if not self.disturbance:
            _, state = deviations(new_ms, self.constants_ms)
            new_ms = {name: ms / (1 + state) for name, ms in new_ms.items()}
        old = {
            "generation": self.generation,
            "constants_ms": dict(self.constants_ms),
            "off_cpu_share": self.off_cpu_share,
            "given_up_because": self.due,
        }
        most = max(abs(ms / self.constants_ms[name] - 1) for name, ms in new_ms.items())
        note = f"constants taken anew ({self.due}): latencies differ from those before by up to "
        history = (*self.history, old)
        new = replace(taken, constants_ms=new_ms, generation=self.generation + 1, history=history)
        return new, f"{note}{most:.1%}"

    def document(self) -> dict[str, Any]:
        """A JSON document of the schema ``archbench.calibration/2``, without its identity."""
        return {
            "constants_ms": dict(self.constants_ms),
            "off_cpu_share": self.off_cpu_share,
            "generation": self.generation,
            "doubt": {"looks": [dict(entry) for entry in self.apart], "due": self.due},
            "history": [dict(entry) for entry in self.history],
        }


def constants_file(environment: Environment, settings: Mapping[str, str]) -> MachineFile:
    """The file of a machine and settings; who writes it holds the measurement lock."""
    identity = {"environment": environment.id, "settings": dict(settings)}
    return MachineFile(
        path=cache_folder() / "calibration" / f"{environment.id}-{digest_of(settings)}.json",
        identity={"schema": "archbench.calibration/2", **identity},
    )


def read_constants(file: MachineFile, *, names: Sequence[str]) -> Constants | None:
    """The constants of these networks in a file, or None where there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not what it should be, likewise all of ``UNREADABLE``.
    """
    document = file.read()
    if document is None:
        return None
    doubt = document["doubt"]
    found = Constants(
        constants_ms={name: float(document["constants_ms"][name]) for name in names},
        off_cpu_share=float(document["off_cpu_share"]),
        generation=int(document["generation"]),
        apart=tuple({name: float(look[name]) for name in names} for look in doubt["looks"]),
        due=str(doubt["due"]),
        history=tuple(dict(entry) for entry in document["history"]),
    )
    if not all(0 < value < math.inf for value in found.constants_ms.values()):
        raise ValueError("a constant is not a duration")
    return found


def deviations(
    now_ms: Mapping[str, float], constants_ms: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    """By which share each network leaves the others, and by which all left their constants."""
    ratios = {name: now_ms[name] / constants_ms[name] for name in now_ms}
    state = statistics.median(ratios.values())
    return {name: ratio / state - 1 for name, ratio in ratios.items()}, state - 1


def spread(found: _Deviations) -> float:
    """By which share the slowest of the networks left the fastest."""
    return (1 + max(found.values())) / (1 + min(found.values())) - 1
