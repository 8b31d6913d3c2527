"""How much memory a process holds, and whether the kernel has killed for lack of it."""

from __future__ import annotations

from pathlib import Path


def held_bytes(pid: int) -> int | None:
    """Memory that only this process holds; None where the system does not tell.

    Pages of mapped files (libraries, the cached images) can be dropped by the kernel at any time
    and do not count.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return sum(kib) * 1024 if kib else None


def kernel_kills() -> int:
    """How often the kernel has killed for lack of memory, here or in this container, so far."""
    return sum(
        _counter(path) for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))
    )


def _counter(path: Path) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
