"""How do the processes of one training agree: those that torchrun started, or this one alone?"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from archbench.errors import ArchbenchError

_T = TypeVar("_T")


def world() -> int:
    """How many processes train together: 1 where ``torch.distributed`` is not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0; the first one writes, and talks to the user."""
    return dist.get_rank() if world() > 1 else 0


def mean_of(values: Tensor) -> Tensor:
    """The mean over all processes, each of which has a tensor of the same shape."""
    if world() > 1:
        values = values.clone()
        dist.all_reduce(values)  # gloo knows no mean
        values /= world()
    return values


def from_first(make: Callable[[], _T], *, device: torch.device) -> _T:
    """What the first process makes, in all of them; the others wait.

    Raises:
        ArchbenchError: The first process raised it, which all do then.
    """
    if world() == 1:
        return make()
    box: list[object] = [None]
    if rank() == 0:
        try:
            box = [make()]
        except ArchbenchError as error:
            box = [error]
    dist.broadcast_object_list(box, src=0, device=device)
    if isinstance(box[0], ArchbenchError):
        raise box[0]
    return box[0]  # type: ignore[return-value]


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Lets the processes that torchrun started train together; gives the device of this one.

    Each has a GPU of its own (nccl), or they share the CPU (gloo). Nothing is done where torchrun
    did not start this process.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield device
        return
    is_gpu = torch.device(device).type == "cuda"
    if is_gpu:
        device = f"cuda:{int(os.environ['LOCAL_RANK'])}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if is_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()
