"""Which forms of layers were decided on before, on this machine and under these conditions?

A race of forms is a short measurement: on a restless machine 20 processes ended in 6 to 8 different
sets. What was decided once stays, so that a network is deployed alike by every process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from archbench.errors import StorageError
from archbench.measure.latency.calibration import settings_of
from archbench.measure.latency.constants import cache_folder
from archbench.study.environment import Environment
from archbench.study.file import write_atomically, writing_alone
from archbench.study.measurement import Conditions

SCHEMA = "archbench.forms/1"


@dataclass(frozen=True, kw_only=True)
class FormFile:
    """Decisions of one machine, under one set of conditions, by the kinds of layers.

    Attributes:
        path: The file, which need not be there.
        environment: The machine and software.
        settings: What else decisions depend on.
    """

    path: Path
    environment: Environment
    settings: Mapping[str, str]

    def read(self) -> dict[str, str]:
        """The form of each kind of layer; nothing from a file that is damaged or of others."""
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            document = json.loads(self.path.read_text())
            if all(document[key] == value for key, value in self._identity().items()):
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
                document = {**self._identity(), "forms": {**forms, **self.read()}}
                write_atomically(self.path, json.dumps(document, indent=1).encode())

    def _identity(self) -> dict[str, object]:
        return {
            "schema": SCHEMA,
            "environment": {"id": self.environment.id, **asdict(self.environment)},
            "settings": dict(self.settings),
        }


def form_file(
    conditions: Conditions,
    *,
    environment: Environment,
    generation: int,
    folder: Path | None = None,
) -> FormFile:
    """Where decisions under these conditions are kept: beside the calibration constants.

    Args:
        conditions: All but batch and resolution, which are in the kinds of layers.
        environment: This machine.
        generation: Of the constants: decisions are made anew with them, and a study that goes on
            with older ones finds what was decided then.
        folder: The user's cache folder by default.
    """
    settings = {**settings_of(conditions), "generation": str(generation)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    path = (folder or cache_folder()) / f"forms-{environment.id}-{digest}.json"
    return FormFile(path=path, environment=environment, settings=settings)
