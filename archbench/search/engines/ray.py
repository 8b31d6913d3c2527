"""Runs jobs on a cluster by Ray: laptops, servers with GPUs, nodes of a batch system.

Ray places workers, moves bytes and notices who is gone; see ``docs/cluster.md``. One owner writes
the study, and no disk is shared.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import MissingError, UsageError
from archbench.search.engines import local
from archbench.search.engines._hand import Hand, Heard
from archbench.search.engines._remote import LostError, RemoteEngine, RemoteHand

if TYPE_CHECKING:
    from archbench.search.scheduler import Place

LABEL = "archbench_target"
"""The resource of the machines on which candidates are timed, one each."""

_NAMES = {"cpu": "CPU", "gpu": "GPU"}  # in Ray's words
_LOOK_EVERY_S = 2.0


def make(
    *,
    workers: int,
    threads: int,
    memory_bytes: int,
    logs: Path,
    address: str | None,
    resources: Mapping[str, float],
    times_on_gpu: bool,
) -> RemoteEngine:
    """An engine on the cluster at an address, by default one that is running here, else a new one.

    Each trial takes ``resources``: ``cpu``, ``gpu`` and whatever machines were given besides. The
    machine with the label trains nothing while a CPU is the target, and on one GPU less else.

    Raises:
        MissingError: Ray is not installed, or there is no cluster at the address.
        UsageError: No machine has so much.
    """
    cluster = RayCluster(
        address=address, resources=resources, threads=threads, times_on_gpu=times_on_gpu
    )

    def own() -> Any:
        return local.make(workers=1, threads=threads, memory_bytes=memory_bytes, logs=logs)

    return RemoteEngine(cluster, workers=workers, own=own)


class RayCluster:
    """The machines of a Ray cluster; see ``make``."""

    def __init__(
        self,
        *,
        address: str | None,
        resources: Mapping[str, float],
        threads: int,
        times_on_gpu: bool,
    ) -> None:
        self._ray = _connected(address)
        self._needs = {_NAMES.get(name, name): need for name, need in resources.items() if need}
        self._threads = threads
        self._times_on_gpu = times_on_gpu
        self._nodes: Sequence[Mapping[str, float]] = ()
        self._due = 0.0
        if not self.slots():
            there = "; ".join(_in_words(node) for node in self._alive())
            raise UsageError(
                f"no machine of the cluster has {_in_words(self._needs)} beside the target",
                place="--resources",
                help=f"ask for less, or add one; there are: {there}",
            )
        # first of all, before trainings take what is theirs
        self._timers = [self._timer(node) for node in self._alive() if LABEL in node]

    def slots(self) -> int:
        """Trainings that the machines serve at a time."""
        return sum(self._serves(node) for node in self._alive())

    def targets(self) -> int:
        """Machines with the label.

        Raises:
            UsageError: There is none.
        """
        return len(self._labelled())

    def hire(self, place: Place) -> RemoteHand:
        """A hand at a place, as soon as there is room for one.

        Raises:
            UsageError: No machine has the label of the target, where that is the place.
        """
        if place == "training":
            return self._actor(self._needs)
        node, *_ = self._labelled()
        return self._timers.pop() if self._timers else self._timer(node)

    def dismiss(self, hand: RemoteHand) -> None:
        """Ends a hand and what it runs."""
        assert isinstance(hand, _RayHand), "hands are hired here"
        self._ray.kill(hand.actor)

    def share(self, file: Path) -> Any:
        """A file as hands fetch it."""
        return self._ray.put(file.read_bytes())

    def wait(self, coming: Sequence[Any], *, timeout_s: float) -> Sequence[Any]:
        """Those of what is to come that have come."""
        ready, others = self._ray.wait(list(coming), timeout=timeout_s)
        more, _ = self._ray.wait(others, num_returns=len(others), timeout=0) if others else ([], [])
        return [*ready, *more]

    def heard(self, coming: Any) -> Heard:
        """What has come.

        Raises:
            LostError: The hand is no more.
            ArchbenchError: It refused.
        """
        errors = self._ray.exceptions
        try:
            heard: Heard = self._ray.get(coming)
        except errors.RayTaskError as error:
            raise error.cause from error
        except errors.RayError as error:
            raise LostError(str(error).strip().splitlines()[0]) from error
        return heard

    def _alive(self) -> Sequence[Mapping[str, float]]:
        """The resources of each machine that is there, looked at now and then."""
        if (now := time.monotonic()) >= self._due:
            self._due = now + _LOOK_EVERY_S
            self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return self._nodes

    def _labelled(self) -> Sequence[Mapping[str, float]]:
        """Those of the machines with the label.

        Raises:
            UsageError: There is none.
        """
        if not (found := [node for node in self._alive() if LABEL in node]):
            raise UsageError(
                "no machine of the cluster has the label of the target, on which candidates are "
                "timed",
                place="--engine ray",
                help=f"start Ray there with --resources='{{\"{LABEL}\": 1}}'",
            )
        return found

    def _timer(self, node: Mapping[str, float]) -> _RayHand:
        return self._actor(self._claims(node) | {LABEL: 1})

    def _actor(self, claims: Mapping[str, float]) -> _RayHand:
        cores, gpus = claims.get("CPU", 0), claims.get("GPU", 0)
        others = {name: need for name, need in claims.items() if name not in ("CPU", "GPU")}
        made = self._ray.remote(Hand).options(num_cpus=cores, num_gpus=gpus, resources=others)
        return _RayHand(made.remote(threads=self._threads, cores=cores, fetch=self._ray.get))

    def _serves(self, node: Mapping[str, float]) -> int:
        claims = self._claims(node) if LABEL in node else {}
        left = {name: node.get(name, 0) - claims.get(name, 0) for name in self._needs}
        return max(0, min(int(left[name] // needed) for name, needed in self._needs.items()))

    def _claims(self, node: Mapping[str, float]) -> dict[str, float]:
        """What the target takes of its machine: all cores, or a GPU with what belongs to it."""
        return dict(self._needs) if self._times_on_gpu else {"CPU": node.get("CPU", 0)}


class _RayHand:
    """A hand in an actor of Ray."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def start(self, job: Any, **how: Any) -> Any:
        return self.actor.start.remote(job, **how)

    def answer(self, number: int, content: Any) -> Any:
        return self.actor.answer.remote(number, content)

    def next(self) -> Any:
        return self.actor.next.remote()


def _in_words(resources: Mapping[str, float]) -> str:
    names = {theirs: ours for ours, theirs in _NAMES.items()}
    found = {names.get(name, name): value for name, value in resources.items()}
    return ",".join(
        f"{name}={value:g}"
        for name, value in found.items()
        if ":" not in name and not name.endswith("memory")
    )


def _connected(address: str | None) -> Any:
    """Ray, connected; signals are the owner's as before, and nothing is told to others.

    Raises:
        MissingError: It is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingError(
            f"Ray is not installed ({error})",
            place="--engine ray",
            help="install it here and on each machine of the cluster: pip install 'archbench[ray]'",
        ) from error
    if ray.is_initialized():
        return ray
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        os.environ.setdefault(name, "0")  # the other one warns of what does not matter here
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MissingError(
            f"there is no cluster to connect to: {str(error).strip().splitlines()[0]}",
            place="--address",
            help="start one with: ray start --head",
        ) from error
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
    return ray
