"""Where are calibration constants kept, with what is thought of them and what they were before?"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from archbench.measure.latency.renewal import Doubt
from archbench.measure.latency.statistics import OFF_CPU_LIMIT
from archbench.study.environment import Environment
from archbench.study.file import write_atomically

SCHEMA = "archbench.calibration/2"
_BEFORE = "archbench.calibration/1"  # without generation, doubt and history


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
