"""Do calibration networks slow down a candidate whose library has threads of its own?

A network is timed behind itself, behind a calibration network, and behind one with a pause, in a
random order within one process; and the other way about.

    python benchmarks/thread_pools/thread_pools.py --threads 2
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

BACKENDS = ("eager", "onnxruntime", "openvino")
PAUSE_S = 0.004
CASES = ("it|it", "it|other", "it|other, pause", "other|other", "other|it", "other|it, pause")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    print("| backend |", " | ".join(case.replace("|", " behind ") for case in CASES), "|")
    print("|---" * (1 + len(CASES)) + "|")
    for backend in BACKENDS:
        times = timed(backend, threads=options.threads, rounds=options.rounds)
        print(f"| {backend} |", " | ".join(f"{times[case]:.2f}" for case in CASES), "|")


def timed(backend: str, *, threads: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each case, lower quartiles."""
    import torch

    from archbench.measure.agreement import prepared
    from archbench.measure.latency.estimate import lower_mean
    from archbench.measure.latency.reference_networks import CALIBRATORS
    from archbench.measure.machine import pinned
    from archbench.models import build, fold
    from archbench.study.measurement import Conditions

    other = next(entry for entry in CALIBRATORS if entry.name == "attention_large_1")
    taken: dict[str, list[float]] = {case: [] for case in CASES}
    with pinned(threads=threads), torch.inference_mode():
        runs: dict[str, Callable[[], object]] = {
            "it": prepared(
                fold(build("levit_128s", seed=0)),
                torch.randn(1, 3, 224, 224),
                conditions=Conditions(backend=backend, threads=threads),
            ).run,
            "other": prepared(
                other.build(), torch.randn(other.shape), conditions=Conditions(threads=threads)
            ).run,
        }
        order = random.Random(0)
        for done in range(-5, rounds):
            for case in order.sample(CASES, len(CASES)):
                what, before = case.split("|")
                time.sleep(PAUSE_S)
                runs[before.split(",")[0]]()
                if "pause" in before:
                    time.sleep(PAUSE_S)
                began = time.perf_counter()
                runs[what]()
                if done >= 0:
                    taken[case].append((time.perf_counter() - began) * 1e3)
    return {case: lower_mean(values) for case, values in taken.items()}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
