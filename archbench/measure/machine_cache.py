"""How are numbers of one machine kept for all its processes, and when are they taken again?

How fast the host is today all calibration networks feel alike, so it cancels among them. What is
left, by how much each of them leaves the others, is a matter of the constants: of the day on which
they were taken, or of a machine that is no longer the same.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from archbench.cache_folder import cache_folder
from archbench.digest import sha256_of
from archbench.errors import StorageError
from archbench.measure.backend import of_calibrators
from archbench.measure.latency.estimate import core_disturbance
from archbench.memory import keep_memory
from archbench.study.atomic_file import write_atomically, writing_alone
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

BACK = 0.03
"""A drift check at which they are nearer than this makes whatever was seen before void."""
CHECKS = 3
"""How many quiet drift checks it takes."""

PROTOCOL = "2"
"""By which rules passes are timed: behind their own since 2, behind any network's before."""

_AWAY = 0.05  # constants of which two lie farther apart than this no longer hold
_Deviations = Mapping[str, float]

UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What is raised by reading a document that is damaged, cut off or of another version."""


@dataclass(frozen=True, kw_only=True)
class MachineFile:
    """A JSON document of one machine under some settings, in the user's cache folder.

    It need not be there; the identity is what it must hold: schema, machine and settings.
    """

    path: Path
    identity: Mapping[str, Any]

    def read(self) -> dict[str, Any] | None:
        """The document; None where there is no file.

        Raises:
            OSError: It cannot be read.
            ValueError: It is damaged or of another machine; likewise all of `UNREADABLE`.
        """
        if not self.path.exists():
            return None
        document: dict[str, Any] = json.loads(self.path.read_text())
        if (known := document.pop("sha256", None)) != sha256_of(document):
            why = "its checksum does not hold" if known else "it has no checksum"
            raise ValueError(why)
        wanted = self.identity
        if differing := [key for key in wanted if document[key] != wanted[key]]:
            raise ValueError(f"another {', '.join(differing)}")
        return document

    def write(self, content: Mapping[str, Any]) -> None:
        """Replaces what the document holds beside its identity.

        Raises:
            OSError: The folder cannot be made.
            StorageError: The file cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {**self.identity, **content}
        document["sha256"] = sha256_of(document)
        write_atomically(self.path, json.dumps(document, indent=2).encode())


def digest_of(document: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits for a file's name, which differ when anything in it does."""
    return sha256_of(document)[:12]


def settings_of(conditions: Conditions) -> dict[str, str]:
    """What constants depend on beside the machine: conditions and torch's own settings.

    From here on this process holds tensors as the setting ``memory`` says.
    """
    conditions = of_calibrators(conditions)
    backends: Any = torch.backends  # its modules are classes, which the type checker cannot see
    asked = {
        "protocol": PROTOCOL,
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
        "threads": str(conditions.threads),
    }
    if conditions.is_remote:
        return asked
    return {
        **asked,
        "memory": keep_memory() or "as the system has it",
        "cpu_capability": backends.cpu.get_cpu_capability(),
        "cpu_linear": backends.mkldnn.matmul.fp32_precision,
        "cpu_convolution": backends.mkldnn.conv.fp32_precision,
        "gpu_linear": backends.cuda.matmul.fp32_precision,
        "gpu_convolution": backends.cudnn.conv.fp32_precision,
        "cudnn_benchmark": str(backends.cudnn.benchmark),
    }


def protocol_of(settings: Mapping[str, str]) -> str:
    """By which protocol constants with these settings were taken."""
    return settings.get("protocol", "1")


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


class FormFile(MachineFile):
    """Forms that were decided on, by the kinds of layers, under one set of conditions.

    A race of forms is a short measurement: on a restless machine 20 processes ended in 6 to 8
    different sets. What was decided once stays, so that every process deploys a network alike.
    """

    def decided(self) -> dict[str, str]:
        """The form of each kind of layer; nothing from a file that is damaged or of others."""
        with suppress(*UNREADABLE):
            document = self.read() or {"forms": {}}
            return {str(kind): str(form) for kind, form in document["forms"].items()}
        return {}

    def add(self, forms: Mapping[str, str]) -> None:
        """Keeps decisions; those that another process kept meanwhile stay.

        A file that cannot be written leaves things as they are: then the next process decides anew.
        """
        if not forms:
            return
        with suppress(OSError, StorageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with writing_alone(self.path):
                self.write({"forms": {**forms, **self.decided()}})


def form_file(conditions: Conditions, *, environment: Environment, generation: int) -> FormFile:
    """Where decisions under these conditions are kept: beside the calibration constants.

    Batch and resolution are in the kinds of layers. Decisions are made anew with each generation
    of the constants, and a study that goes on with older ones finds what was decided then.
    """
    settings = {**settings_of(conditions), "generation": str(generation)}
    named = {"environment": environment.document(), "settings": settings}
    return FormFile(
        path=cache_folder() / "calibration" / f"forms-{environment.id}-{digest_of(settings)}.json",
        identity={"schema": "archbench.forms/1", **named},
    )
