"""Where are calibration constants kept, with what is thought of them and what they were before?"""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from archbench.measure.latency.estimate import OFF_CPU_LIMIT
from archbench.study.environment import Environment
from archbench.study.file import write_atomically

SCHEMA = "archbench.calibration/2"
_BEFORE = "archbench.calibration/1"  # without generation, doubt and history


AWAY = 0.05
"""Constants of which two lie farther apart than this no longer hold."""
BACK = 0.03
"""A look at which they are nearer than this makes whatever was seen before void."""
LOOKS = 3
"""How many quiet looks it takes."""

Deviations = Mapping[str, float]
"""Calibration network to the share by which it leaves the others."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the calibration networks, beside their constants.

    Attributes:
        deviations: By how much each leaves the others.
        disturbance: Why it says nothing of the constants; empty for a quiet look.
        weight: How many of the looks that are needed it stands for: a long one for all.
    """

    deviations: Deviations
    disturbance: str = ""
    weight: int = 1


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What the looks so far say of constants.

    Attributes:
        looks: The last quiet ones that found them apart.
        due: Why they are to be taken anew; empty where they are not.
    """

    looks: tuple[Deviations, ...] = ()
    due: str = ""


@dataclass(frozen=True, kw_only=True)
class Constants:
    """The constants of one machine under one set of settings.

    Attributes:
        constants_ms: Milliseconds by the names of the networks.
        off_cpu_share: The share of time in which other work held the core meanwhile.
        generation: How many times they were taken.
        doubt: What was seen of them since.
        history: Those before, as they stood in the file, each with why it was given up.
    """

    constants_ms: Mapping[str, float]
    off_cpu_share: float
    generation: int = 1
    doubt: Doubt = field(default_factory=Doubt)
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def disturbance(self) -> str:
        """What disturbed when they were taken; empty where nothing did."""
        if self.off_cpu_share <= OFF_CPU_LIMIT:
            return ""
        return f"other work held the core for {self.off_cpu_share:.0%} of the time"

    def renewed(self, constants: Constants) -> Constants:
        """Others in their place, which keep these in their history."""
        old = {
            "generation": self.generation,
            "constants_ms": dict(self.constants_ms),
            "off_cpu_share": self.off_cpu_share,
            "given_up_because": self.doubt.due,
        }
        return replace(constants, generation=self.generation + 1, history=(*self.history, old))


def constants_path(
    environment: Environment, settings: Mapping[str, str], *, folder: Path | None = None
) -> Path:
    """The file of a machine and settings, in the user's cache folder by default."""
    text = json.dumps(settings, sort_keys=True)
    name = f"{environment.id}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    return (folder or cache_folder()) / name


def cache_folder() -> Path:
    """Where constants are kept: under ARCHBENCH_CACHE, XDG_CACHE_HOME/archbench or ~/.cache."""
    if named := os.environ.get("ARCHBENCH_CACHE"):
        return Path(named).expanduser() / "calibration"
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    root = shared if shared.is_absolute() else Path.home() / ".cache"
    return root / "archbench" / "calibration"


def read_constants(
    path: Path, *, environment: Environment, settings: Mapping[str, str], names: Sequence[str]
) -> Constants | None:
    """What the file holds, or None where there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not what it should be, likewise TypeError and LookupError.
    """
    if not path.exists():
        return None
    document = json.loads(path.read_text())
    if document["schema"] == _BEFORE:
        document = {"generation": 1, "doubt": asdict(Doubt()), "history": [], **document}
        document["schema"] = SCHEMA
    wanted = _identity(environment, settings)
    if differing := [key for key in wanted if document[key] != wanted[key]]:
        raise ValueError(f"another {', '.join(differing)}")
    found = Constants(
        constants_ms={name: float(document["constants_ms"][name]) for name in names},
        off_cpu_share=float(document["off_cpu_share"]),
        generation=int(document["generation"]),
        doubt=Doubt(
            looks=tuple(
                {name: float(look[name]) for name in names} for look in document["doubt"]["looks"]
            ),
            due=str(document["doubt"]["due"]),
        ),
        history=tuple(dict(entry) for entry in document["history"]),
    )
    if not all(0 < value < math.inf for value in found.constants_ms.values()):
        raise ValueError("a constant is no time")
    return found


def write_constants(
    path: Path, constants: Constants, *, environment: Environment, settings: Mapping[str, str]
) -> None:
    """Keeps them for every process of this machine; the caller holds the measurement lock.

    Raises:
        OSError: The folder cannot be made.
        StorageError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**_identity(environment, settings), **asdict(constants)}
    write_atomically(path, json.dumps(document, indent=2).encode())


def _identity(environment: Environment, settings: Mapping[str, str]) -> dict[str, Any]:
    return {"schema": SCHEMA, "environment": environment.id, "settings": dict(settings)}


def deviations(
    now_ms: Mapping[str, float], constants_ms: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    """By which share each network leaves the others, and by which all left their constants."""
    ratios = {name: now_ms[name] / constants_ms[name] for name in now_ms}
    state = statistics.median(ratios.values())
    return {name: ratio / state - 1 for name, ratio in ratios.items()}, state - 1


def spread(found: Deviations) -> float:
    """By which share the slowest of the networks left the fastest."""
    return (1 + max(found.values())) / (1 + min(found.values())) - 1


def doubted(doubt: Doubt, look: Look, *, taken_disturbed: str = "") -> Doubt:
    """What is to be thought of the constants after one look more.

    They are to be taken anew when three quiet looks on end found two of them apart by more than
    3 % each time and by 5 % on the mean; one that finds them together again makes the others void.
    Looks that were disturbed change nothing. Constants that were themselves taken while disturbed
    are to be taken anew at the first quiet look.

    Args:
        doubt: What the looks before said.
        look: The new one.
        taken_disturbed: What disturbed when the constants were taken; mostly nothing.
    """
    if look.disturbance or len(look.deviations) < 2:
        return doubt
    if taken_disturbed:
        return Doubt(looks=doubt.looks, due=f"they were taken while {taken_disturbed}")
    if spread(look.deviations) <= BACK:
        return Doubt()
    looks = (*doubt.looks, *[look.deviations] * look.weight)[-LOOKS:]
    mean = _mean(looks)
    if len(looks) < LOOKS or spread(mean) <= AWAY:
        return Doubt(looks=looks)
    slow, fast = max(mean, key=mean.__getitem__), min(mean, key=mean.__getitem__)
    return Doubt(
        looks=looks,
        due=f"{slow} takes {spread(mean):.0%} more beside {fast} than when they were taken",
    )


def postponed(doubt: Doubt) -> Doubt:
    """After constants were to be taken anew and the machine was not quiet: one look is missing."""
    return Doubt(looks=doubt.looks[1 - LOOKS :])


def changed(old_ms: Mapping[str, float], new_ms: Mapping[str, float]) -> float:
    """The largest share by which a constant changed."""
    return max(
        (abs(math.expm1(math.log(new_ms[name] / old_ms[name]))) for name in new_ms), default=0.0
    )


def _mean(looks: Sequence[Deviations]) -> dict[str, float]:
    names = [name for name in looks[-1] if all(name in look for look in looks)]
    return {name: statistics.fmean(look[name] for look in looks) for name in names}
