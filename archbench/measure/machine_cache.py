"""How are numbers of one machine kept in files that all its processes share?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archbench.cache_folder import cache_folder
from archbench.errors import StorageError
from archbench.measure.backend import in_eager
from archbench.memory import keep_memory
from archbench.study.atomic_file import write_atomically, writing_alone
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError)
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
        write_atomically(self.path, json.dumps(document, indent=2).encode())


def digest_of(document: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits for a file's name, which differ when anything in it does."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]


def settings_of(conditions: Conditions) -> dict[str, str]:
    """What constants depend on beside the machine: conditions and torch's own settings.

    From here on this process holds tensors as the setting ``memory`` says.
    """
    conditions = in_eager(conditions)
    backends: Any = torch.backends  # its modules are classes, which the type checker cannot see
    return {
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
        "threads": str(conditions.threads),
        "memory": keep_memory() or "as the system has it",
        "cpu_capability": backends.cpu.get_cpu_capability(),
        "cpu_linear": backends.mkldnn.matmul.fp32_precision,
        "cpu_convolution": backends.mkldnn.conv.fp32_precision,
        "gpu_linear": backends.cuda.matmul.fp32_precision,
        "gpu_convolution": backends.cudnn.conv.fp32_precision,
        "cudnn_benchmark": str(backends.cudnn.benchmark),
    }


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
