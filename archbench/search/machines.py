"""On what do the jobs of a run work: cores, GPUs, or the machines of a cluster?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archbench.command_line import command_line
from archbench.errors import UsageError
from archbench.measure.visible_gpus import Gpu, visible_gpus
from archbench.registry import Registry
from archbench.search.scheduler import Engine
from archbench.study.environment import usable_cores, usable_memory_bytes

ENGINES = Registry("archbench.search.engines", "engine")

_WORKER_BYTES = 2 * 2**30  # a training process was seen to hold 1.1 GB
_MEMORY_SHARE = 0.9


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Where trials run: this machine, or a cluster on which the engine ``ray`` runs them.

    On this machine every visible GPU has a worker of its own, or ``trials_per_gpu``; ``gpus`` names
    some by the numbers of ``nvidia-smi``. Of a cluster, by its ``address``, each trial takes
    ``resources``, such as ``{"gpu": 1, "cpu": 4}``; by default what one takes here.
    """

    engine: str = "local"
    address: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    gpus: tuple[int, ...] | None = None
    trials_per_gpu: int = 1
    listed: Callable[[], str] | None = field(default=None, repr=False)  # for visible_gpus

    def __post_init__(self) -> None:
        """Refuses what another engine takes.

        Raises:
            UsageError: Something is said that the engine has no use for.
        """
        cluster = {"--address": self.address, "--resources": self.resources}
        here = {"--gpus": self.gpus, "--trials-per-gpu": self.trials_per_gpu > 1}
        for option, value in (here if self.is_cluster else cluster).items():
            if value:
                raise UsageError(
                    f"the engine {self.engine} has no use for it",
                    place=option,
                    help=f"leave it out, or use --engine {'local' if self.is_cluster else 'ray'}",
                )

    @property
    def typed(self) -> str:
        """The options that say the same, each behind a blank."""
        said = {
            "--engine": self.engine if self.is_cluster else None,
            "--address": self.address,
            "--resources": ",".join(f"{name}={need:g}" for name, need in self.resources.items()),
            "--gpus": ",".join(map(str, self.gpus or ())),
            "--trials-per-gpu": self.trials_per_gpu if self.trials_per_gpu > 1 else None,
        }
        words = [(option, value) for option, value in said.items() if value]
        return "".join(f" {command_line(*each)}" for each in words)

    @property
    def is_cluster(self) -> bool:
        """Whether trials run on other machines."""
        return self.engine == "ray"

    def num_workers(
        self,
        asked: int | None,
        *,
        device: str,
        threads: int,
        left: int,
        place: str = "--workers",
    ) -> int:
        """Jobs at a time: what was asked for, else what cores, memory and GPUs serve.

        Raises:
            UsageError: More were asked for than cores, memory or GPUs serve.
        """
        if self.is_cluster:
            return asked or left  # at most: the engine knows what the machines serve
        by_cores = max(1, usable_cores() // threads)
        by_memory = max(1, int(usable_memory_bytes() // _WORKER_BYTES))
        most = min(by_cores, by_memory)
        if asked is None:
            by_gpus = max(1, len(self._gpus(device))) * self.trials_per_gpu
            # who is timed on the only GPU must be alone on it
            return max(1, min(most, left, by_gpus if device == "cuda" else most))
        if asked > most:
            each = f"{threads} core{'s' if threads > 1 else ''}"
            if by_memory < by_cores:
                each = f"{_WORKER_BYTES / 2**30:g} GiB of memory"
            raise UsageError(
                f"{asked} workers are more than this machine serves, as each needs {each}",
                place=place,
                help=f"use up to {most}",
            )
        return asked

    def start(
        self, workers: int, *, device: str, target_device: str, threads: int, logs: Path
    ) -> Engine:
        """An engine of so many workers, which train on a kind of device.

        Raises:
            ArchbenchError: They cannot be started.
        """
        if self.is_cluster:
            options, here = self._cluster_options(device, target_device, threads=threads), 1
        else:
            options, here = self.gpu_options(device), workers
        engine: Engine = ENGINES.load(self.engine).make(
            workers=workers,
            threads=threads,
            memory_bytes=worker_memory_bytes(1 / here),
            logs=logs,
            **options,
        )
        return engine

    def _cluster_options(self, device: str, target_device: str, *, threads: int) -> dict[str, Any]:
        """What the engine of a cluster is told beside."""
        return {
            "address": self.address,
            "resources": {"cpu": threads, "gpu": device == "cuda", **self.resources},
            "times_on_gpu": target_device.startswith("cuda"),
        }

    def gpu_options(self, device: str) -> dict[str, Any]:
        """What the local engine is told of GPUs: which there are, and what a worker may take.

        Raises:
            UsageError: They are not there, or too small for so many trials each.
        """
        gpus = self._gpus(device)
        return {"gpus": [gpu.uuid for gpu in gpus], "gpu_share": self._share(gpus)}

    def _gpus(self, device: str) -> tuple[Gpu, ...]:
        """Those of this machine to train on."""
        if device == "cuda":
            return visible_gpus(self.gpus, listed=self.listed)
        if self.gpus is not None:
            raise UsageError(
                f"the space is searched for the device {device}, which uses no GPU",
                place="--gpus",
                help="leave it out, or search for a GPU with --device cuda",
            )
        return ()

    def _share(self, gpus: tuple[Gpu, ...]) -> float | None:
        """The share of a GPU's memory that each of several processes on one may take."""
        if self.trials_per_gpu == 1 or not gpus:
            return None
        processes = self.trials_per_gpu + (len(gpus) > 1)  # with that which times candidates
        least = min(gpu.free_bytes for gpu in gpus) / processes
        if least < _WORKER_BYTES:
            serves = max(1, int(min(g.free_bytes for g in gpus) // _WORKER_BYTES) - (len(gpus) > 1))
            raise UsageError(
                f"{self.trials_per_gpu} trials on a GPU leave each {least / 2**30:.1f} GiB of the "
                f"memory that is free, and each needs {_WORKER_BYTES / 2**30:g} GiB",
                place="--trials-per-gpu",
                help=f"use {serves}",
            )
        return min(gpu.free_bytes / gpu.memory_bytes for gpu in gpus) / processes


def worker_memory_bytes(share: float) -> int:
    """What a worker may hold of this machine, of which it has a share, 0 to 1."""
    return int(_MEMORY_SHARE * share * usable_memory_bytes())
