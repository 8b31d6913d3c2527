"""On which machine and with which software was a number taken."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import archbench
from archbench.study.quota import usable_cores, usable_memory_bytes

__all__ = ["Environment", "capture", "usable_cores", "usable_memory_bytes"]

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "onnxruntime",
    "openvino",
)
"""What changes a measured or trained number beside archbench; what is not installed is left out."""


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

    def document(self) -> dict[str, Any]:
        """JSON-able, with the id."""
        return {"id": self.id, **asdict(self)}


def capture(gpu: str | None = None) -> Environment:
    """The machine and software of this process, without importing torch.

    Args:
        gpu: Name of the first GPU, from whoever knows it.
    """
    return Environment(
        cpu=_cpu(),
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        gpu=gpu,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_versions(),
    )


def _cpu(*, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Model name of the processor, as well as the system tells it."""
    with suppress(OSError):
        fields: dict[str, str] = {}
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
        if fields.get("model name"):
            return fields["model name"]
        if fields.get("CPU part"):
            maker = fields.get("CPU implementer", "")
            return f"{platform.machine()} implementer {maker} part {fields['CPU part']}"
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603
            return answer.stdout.strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {"archbench": archbench.__version__}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
