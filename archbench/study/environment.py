"""On which machine and with which software was a number taken, in a container too?"""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import archbench
from archbench.digest import sha256_of

ROOT = Path("/")
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "onnxruntime", "openvino")
"""What changes a measured or trained number beside archbench; what is not installed is left out."""

_ALWAYS_USED = ("archbench", "torch", "torchvision", "numpy")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What of a machine and its software a number depends on; the cores are the usable ones."""

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
        return sha256_of(asdict(self))[:12]

    def what_counts(self, *, backend: str = "eager") -> dict[str, str | int | None]:
        """What of it changes numbers that are trained, or measured on a backend.

        The memory that is there, the build of a kernel and packages that are not used do not: the
        calibration networks feel a kernel as each candidate does.
        """
        used = (*_ALWAYS_USED, *({backend} & set(PACKAGES)))
        return {
            "cpu": self.cpu,
            "cores": self.cores,
            "gpu": self.gpu,
            "system": self.system.partition(" ")[0],
            **{f"software {name}": self.packages.get(name) for name in used},
        }

    def document(self) -> dict[str, Any]:
        """JSON-able, with the id."""
        return {"id": self.id, **asdict(self)}


def capture(gpu: str | None = None) -> Environment:
    """The machine and software of this process, without importing torch, so the GPU is told."""
    return Environment(
        cpu=_cpu(),
        cores=usable_cores(),
        memory_bytes=usable_memory_bytes(),
        gpu=gpu,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=_versions(),
    )


def usable_cores(*, root: Path = ROOT) -> int:
    """Cores that this process may keep busy: affinity and the container's CPU limit, at least 1.

    A limit of 2.5 cores counts as 2: a third busy process would be throttled.
    """
    if hasattr(os, "sched_getaffinity"):  # which macOS lacks
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    for folder in _groups("cpu", root=root):
        limit = _core_limit(folder)
        if limit is not None:
            cores = min(cores, max(1, int(limit)))
    return cores


def usable_memory_bytes(*, root: Path = ROOT) -> int:
    """Memory that this process may use: what the machine has, or the container's limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for folder in _groups("memory", root=root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit is not None:
                memory = min(memory, limit)
    return memory


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


def _core_limit(folder: Path) -> float | None:
    """Cores that a control group grants, version 2 (``cpu.max``) or 1 (``cpu.cfs_*``)."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else float(quota) / float(period)
    quota_us, period_us = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    return quota_us / period_us if quota_us and period_us else None


def _number(path: Path) -> int | None:
    """The positive number in a file; None without one, as for ``max`` and -1."""
    with suppress(OSError, ValueError):
        number = int(path.read_text())
        return number if number > 0 else None
    return None


def _groups(controller: str, *, root: Path) -> Iterator[Path]:
    """Folders of the control groups that bind this process, from its own up to the mount."""
    for own, mounted, mount in _memberships(controller, root=root):
        inside = PurePosixPath(own)
        inside = inside.relative_to(mounted) if inside.is_relative_to(mounted) else PurePosixPath()
        folder = root / mount.lstrip("/")
        yield folder
        for part in inside.parts:
            folder /= part
            yield folder


def _memberships(controller: str, *, root: Path) -> Iterator[tuple[str, str, str]]:
    """Own path, mounted path and mount point, for each hierarchy with this controller."""
    own: dict[str, str] = {}  # version of a hierarchy to this process's path in it
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            own["cgroup2"] = path
        elif controller in names.split(","):
            own["cgroup"] = path
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in own:
            continue
        if kind[0] == "cgroup2" or controller in kind[2].split(","):
            yield own[kind[0]], fields[3], fields[4]


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()
    return []
