"""Where does a study keep what was found about the parts of its networks?

One file for each trial, ``where/trial-7.json`` in the study's folder: a document of the schema
``archbench.where/1`` with one network.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archbench.errors import StorageError
from archbench.study.atomic_file import write_atomically

SCHEMA = "archbench.where/1"

_NUMBERS = (
    "ms", "macs", "operators", "weight_bytes", "activation_bytes", "gflops", "roof_share",
)  # fmt: skip
_TEXTS = ("place", "kind", "bound_by")


def where_path(study: Path, trial: int) -> Path:
    """The file of a trial."""
    return study / "where" / f"trial-{trial}.json"


def write_where(study: Path, trial: int, document: Mapping[str, Any]) -> Path:
    """Keeps a document with one network beside the study.

    Raises:
        StorageError: It cannot be written.
    """
    path = where_path(study, trial)
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"it cannot be made: {error.strerror}",
            place=str(path.parent),
            help="check that the study's folder lets you write",
        ) from error
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False).encode())
    return path


def read_where(study: Path, trial: int, *, digest: str) -> dict[str, Any] | None:
    """The network of a trial as it was kept; None where nothing is.

    Raises:
        StorageError: The file is no such document, or one of another network.
    """
    path = where_path(study, trial)
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA!r}")
        (found,) = document["networks"]
        if found["digest"] != digest:
            raise ValueError("it is of another network")
        numbers = [found["whole_ms"], found["between_ms"]]
        for part in found["parts"]:
            numbers += [part[key] for key in _NUMBERS]
            if not all(isinstance(part[key], str) for key in _TEXTS):
                raise ValueError("a part has no name")
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError("a value is not a number")
        return dict(found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise StorageError(
            f"it does not say where time goes: {error}",
            place=str(path),
            help="remove it, and run archbench profile STUDY:TRIAL --where again",
        ) from error
