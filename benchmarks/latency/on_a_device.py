"""Is a pass on another device timed as one here? One file, in turn here and by an agent.

``python -m benchmarks.latency.on_a_device NAME``, where NAME is a device that is a shell of this
machine with the same runtime, as ``archbench device add same cmd:sh --python $(which python)``.
"""

import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from archbench.measure.agreement import prepared
from archbench.measure.backend import write_artifact
from archbench.measure.device.session import network_there
from archbench.measure.latency.clock import Bench, Forward, measuring
from archbench.measure.latency.estimate import lower_mean, ratio
from archbench.models import as_spec, build, fold
from archbench.models.part import Grid
from archbench.study.measurement import Conditions

_SIDE, _ROUNDS, _WARM_UP = 112, 80, 8


def main(device: str) -> None:
    """Prints what two copies take here and two there, and their ratios to the first."""
    spec = replace(as_spec("levit_128s"), resolution=Grid(_SIDE, _SIDE))
    network, example = fold(build(spec, seed=0)), torch.randn(1, 3, _SIDE, _SIDE)
    here = Conditions(backend="onnxruntime", resolution=(_SIDE, _SIDE))
    there = replace(here, device=device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        write_artifact(network, example, path=path, conditions=here)
        with measuring(there) as elsewhere, measuring(here) as bench:
            copies: dict[str, tuple[Bench, Forward]] = {}
            for name in ("here", "here again"):
                opened = prepared(network, example, conditions=here, artifact=path)
                copies[name] = bench, opened.run
            for name in ("there", "there again"):
                copies[name] = elsewhere, network_there(path, example, conditions=there)
            _print(_timed(copies))


def _timed(copies: dict[str, tuple[Bench, Forward]]) -> dict[str, list[float]]:
    """Seconds of CPU time of each copy, round by round."""
    for bench, forward in copies.values():
        for _ in range(_WARM_UP):
            bench.watch(forward)
    taken: dict[str, list[float]] = {name: [] for name in copies}
    draw = random.Random(0)
    for _ in range(_ROUNDS):
        for name in draw.sample(list(copies), len(copies)):
            bench, forward = copies[name]
            taken[name].append(bench.repeated(forward).cpu)
    return taken


def _print(taken: dict[str, list[float]]) -> None:
    for name, seconds in taken.items():
        found = ratio(seconds, taken["here"])
        told = f"{found.value:.3f} ({found.low:.3f}-{found.high:.3f})" if name != "here" else ""
        print(f"{name:12} {1e3 * lower_mean(seconds):6.3f} ms  {told}")


if __name__ == "__main__":
    main(sys.argv[1])
