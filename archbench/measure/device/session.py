"""How does a network run on another device, of which this process knows the file alone?

A network there is a function here, a pass of which runs there. So all that is decided about passes
(their order, what leads them, when there are enough) is what it is on this machine.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archbench.errors import StorageError, UsageError
from archbench.measure.device.known import device_named
from archbench.measure.device.link import Link
from archbench.measure.machine import Counters, require_own_thread
from archbench.progress import Progress
from archbench.study.measurement import Conditions

_POLL_S = 0.2
_EVICTED_BYTES = 4 * 2**20  # more than the caches of a small board
_SESSION: ContextVar["Session"] = ContextVar("session")


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkThere:
    """A network as a file of a runtime, of which a pass runs on the device that is measured on.

    The artifact are files by name, the first of which is the one to open, with their bytes behind
    one another; it travels where the device lacks it.
    """

    files: tuple[tuple[str, int], ...]
    payload: bytes
    images: Tensor
    conditions: Conditions

    def __call__(self) -> list[Tensor]:
        """The outputs of a pass.

        Raises:
            LinkError: The link was lost.
            RuntimeError: The runtime could not run it.
            InexactError: See ``require_own_thread``.
        """
        return _SESSION.get().run(self)


def network_there(path: Path, example: Tensor, *, conditions: Conditions) -> NetworkThere:
    """The network of an artifact, with all files that lie beside it."""
    beside = sorted(one for one in path.parent.iterdir() if one != path and one.is_file())
    contents = {one.name: one.read_bytes() for one in (path, *beside)}
    return NetworkThere(
        files=tuple((name, len(content)) for name, content in contents.items()),
        payload=b"".join(contents.values()),
        images=example.contiguous(),
        conditions=conditions,
    )


class Session:
    """An agent that measures, the networks that it has open, and the cores that it took.

    The seconds spent are those of passes there, timed and untimed ones: of CPU time on one thread.
    """

    def __init__(self, link: Link, *, threads: int, cores: tuple[int, ...]) -> None:
        self.cores, self.spent_s = cores, 0.0
        self._link, self._by_cpu = link, threads == 1
        self._keys: dict[NetworkThere, str] = {}
        self._numbers = itertools.count()

    def run(self, network: NetworkThere) -> list[Tensor]:
        """The outputs of a pass, in the order of the runtime."""
        answer, payload = self._link.ask("run", key=self._key(network))
        mine, everyone = self._link.seconds(answer, "cpu", "all_cpu")
        if self._by_cpu:
            place = f"backend {network.conditions.backend} on {self._link.name}"
            require_own_thread(mine, everyone, place=place)
        return _outputs(answer["shapes"], payload)

    def timed(self, network: object, *, lead_s: float = 0.0, most: int = 0) -> tuple[float, float]:
        """The seconds and the CPU time of a pass, which up to ``most`` untimed ones lead."""
        assert isinstance(network, NetworkThere)
        key = self._key(network)
        answer, _ = self._link.ask("time", key=key, lead_s=lead_s, most=most, by_cpu=self._by_cpu)
        wall, cpu, spent = self._link.seconds(answer, "wall", "cpu", "spent")
        self.spent_s += spent
        return wall, cpu

    def evict(self) -> None:
        """Fills the caches there with other data."""
        self._link.ask("evict", size=_EVICTED_BYTES)

    def state(self) -> Mapping[str, Any]:
        """What the device says of its heat, clock and memory."""
        return self._link.ask("state")[0]

    def counters(self) -> Counters:
        """The counters of the device's system."""
        found, _ = self._link.ask("counters")
        return Counters(
            ticks=int(found["ticks"]),
            stolen=int(found["stolen"]),
            throttled=None,
            processes={int(key): (str(n), int(t)) for key, (n, t) in found["processes"].items()},
        )

    def _key(self, network: NetworkThere) -> str:
        """What the agent calls a network, which is opened there now if it was not before."""
        if network in self._keys:
            return self._keys[network]
        conditions, key = network.conditions, str(next(self._numbers))
        files = [list(one) for one in network.files]
        sha256 = hashlib.sha256(json.dumps(files).encode() + network.payload).hexdigest()
        asked = {
            "key": key,
            "sha256": sha256,
            "name": network.files[0][0],
            "runtime": conditions.backend,
            "threads": conditions.threads,
            "precision": conditions.precision,
            "shape": list(network.images.shape),
        }
        images = network.images.numpy().tobytes()
        if self._link.ask("open", images, **asked)[0].get("missing"):
            self._link.ask("put", network.payload, sha256=sha256, files=files)
            self._link.ask("open", images, **asked)
        self._keys[network] = key
        return key


@contextmanager
def measuring_there(
    conditions: Conditions, *, on_progress: Progress | None = None, patience_s: float = 600.0
) -> Iterator[Session]:
    """An agent on the device of the conditions, on which nobody else measures meanwhile.

    Raises:
        UsageError: There is no such device.
        LinkError: The link cannot be had, or was lost.
        IncomparableError: The device is no longer as it was added.
        StorageError: Somebody else has been measuring there for all the patience.
    """
    device, threads = device_named(conditions.device), conditions.threads
    if threads > device.machine["cores"]:
        raise UsageError(
            f"{threads} threads cannot be measured on {device.machine['cores']} cores",
            place=f"device {device.name}",
            help="use fewer --threads",
        )
    with device.linked() as link:
        cores = _locked(link, threads, on_progress=on_progress, patience_s=patience_s)
        token = _SESSION.set(session := Session(link, threads=threads, cores=cores))
        try:
            yield session
        finally:
            _SESSION.reset(token)


def _locked(
    link: Link, threads: int, *, on_progress: Progress | None, patience_s: float
) -> tuple[int, ...]:
    """The cores of the agent, which now alone measures there."""
    until, is_told = time.monotonic() + patience_s, False
    while holder := (answer := link.ask("lock", threads=threads)[0])["holder"]:
        if on_progress and not is_told:
            on_progress(f"waiting for process {holder} on {link.name}, which measures there", 0, 0)
        is_told = True
        if time.monotonic() >= until:
            raise StorageError(
                f"process {holder} there has been measuring for {patience_s:.0f} s",
                place=f"device {link.name}",
                help="wait until it ends, or end it",
            )
        time.sleep(_POLL_S)
    return tuple(map(int, answer["cores"]))


def _outputs(shapes: list[list[int]], payload: bytes) -> list[Tensor]:
    """Tensors of these shapes, from their float32 behind one another."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    flat = torch.from_numpy(np.frombuffer(payload, np.float32).copy())
    return [part.view(*shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
