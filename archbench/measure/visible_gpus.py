"""Which GPUs may this process use, and how much of their memory is free?"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from archbench.errors import UsageError

_ASKED = "index,uuid,name,memory.total,memory.free"
_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as the driver lists it; ``uuid`` is what ``CUDA_VISIBLE_DEVICES`` takes for it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    free_bytes: int


def visible_gpus(
    asked: Sequence[int] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    listed: Callable[[], str] | None = None,
) -> tuple[Gpu, ...]:
    """The GPUs of these numbers, as ``nvidia-smi`` counts them, else all that are visible here.

    What ``CUDA_VISIBLE_DEVICES`` hides is not visible; its numbers count in the same order. Empty
    where the driver lists none, or parts of a GPU are visible (MIG): then torch finds its own.
    ``listed`` gives the driver's list.

    Raises:
        UsageError: A GPU that was asked for is not there, or they are of different kinds.
    """
    lines = (listed or _listed)().strip().splitlines()
    there = [_read(line) for line in lines]
    found = _visible(there, environment.get("CUDA_VISIBLE_DEVICES"))
    if asked is not None:
        known = {gpu.index: gpu for gpu in found}
        if missing := [index for index in asked if index not in known]:
            raise UsageError(
                f"there is no GPU {missing[0]} that this process may use",
                place="--gpus",
                help=f"use {', '.join(map(str, known))}" if known else "search without --gpus",
            )
        found = [known[index] for index in dict.fromkeys(asked)]
    if len({gpu.name for gpu in found}) > 1:
        kinds = "; ".join(f"{gpu.index}: {gpu.name}" for gpu in found)
        raise UsageError(
            f"the GPUs are of different kinds, whose latencies cannot be compared ({kinds})",
            place="--gpus",
            help="name those of one kind, as --gpus 0,1",
        )
    return tuple(found)


def _listed() -> str:
    with suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603
        return done.stdout
    return ""


def _read(line: str) -> Gpu:
    index, uuid, name, total, free = (part.strip() for part in line.split(","))
    return Gpu(
        index=int(index),
        uuid=uuid,
        name=name,
        memory_bytes=int(total) * _MIB,
        free_bytes=int(free) * _MIB,
    )


def _visible(there: Sequence[Gpu], said: str | None) -> list[Gpu]:
    """Those that the variable names, by number or by the beginning of a UUID, up to a wrong one."""
    if said is None:
        return list(there)
    found: list[Gpu] = []
    for name in filter(None, (part.strip() for part in said.split(","))):
        one = [gpu for gpu in there if str(gpu.index) == name or gpu.uuid.startswith(name)]
        if len(one) != 1:
            break
        found += one
    return found
