"""On which machine and with which software was a number taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What of a machine and its software a number depends on.

    Attributes:
        cpu: Model name of the processor.
        cores: Cores this process may use (affinity and container quota respected).
        memory_bytes: Memory this process may use.
        gpu: Name of the first GPU, or None.
        system: Operating system and kernel.
        python: Version of Python.
        packages: Name to version of the packages that change numbers.
    """

    cpu: str
    cores: int
    memory_bytes: int
    gpu: str | None
    system: str
    python: str
    packages: Mapping[str, str]

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that differ when any attribute does."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
