"""Does a latency repeat from process to process, and beside other work on its core.

Each run is a fresh process that times two small networks. The error of a run is its distance from
the median of the runs without our load, by the same estimator. The estimators are ours, the CPU
time without calibration, and the median of the wall clock.

    python benchmarks/latency_repeat.py --runs 8 --budget 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NETWORKS = ("levit_128s", "cvt_13")
RESOLUTION = 64
LOADS = ("as it is", "same core")
ESTIMATORS = {
    "ratio": "CPU p25 / calibration CPU p25",
    "cpu": "CPU p25",
    "wall": "wall median",
}

Run = dict[str, dict[str, float]]  # network to estimator to milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=8, help="fresh processes under each load")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for both networks")
    parser.add_argument("--once", action="store_true", help="one run, printed as JSON")
    parser.add_argument("--work", type=int, metavar="CORE", help="load this core until killed")
    options = parser.parse_args()
    if options.work is not None:
        work(options.work)
    elif options.once:
        print(json.dumps(measured(budget_s=options.budget)))
    else:
        compare(runs=options.runs, budget_s=options.budget)


def compare(*, runs: int, budget_s: float) -> None:
    from archbench.measure.device import measuring_cores
    from archbench.measure.environment import capture_environment

    environment = capture_environment()
    print(f"{environment.cpu}, {environment.cores} cores, {environment.system}, ", end="")
    print(f"torch {environment.packages['torch']}, environment {environment.id}")
    print(f"load average at the start: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
    core = measuring_cores(1)[0]
    found: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as cache:
        fresh(budget_s=budget_s, cache=cache)  # takes the constants
        for load in LOADS:
            with loaded(core if load == "same core" else None):
                found[load] = [fresh(budget_s=budget_s, cache=cache) for _ in range(runs)]
    print(f"load average at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}\n")
    print_table(found)


def fresh(*, budget_s: float, cache: str) -> Run:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--once", "--budget", str(budget_s)]
    variables = {**os.environ, "ARCHBENCH_CACHE": cache}
    answer = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    run: Run = json.loads(answer.stdout)
    return run


def measured(*, budget_s: float) -> Run:
    from archbench.measure.environment import capture_environment
    from archbench.measure.estimate import lower_quartile
    from archbench.measure.latency import measure_latency
    from archbench.models import ArchSpec, as_spec, build, deploy
    from archbench.records.measurement import Conditions

    environment = capture_environment()
    specs = {
        name: ArchSpec.from_document({**as_spec(name).to_document(), "resolution": RESOLUTION})
        for name in NETWORKS
    }
    networks = {name: deploy(build(spec, seed=0)) for name, spec in specs.items()}
    conditions = Conditions(resolution=(RESOLUTION, RESOLUTION))
    begin = time.perf_counter()
    found = measure_latency(
        networks, conditions=conditions, environment=environment, budget_s=budget_s
    )
    seconds = time.perf_counter() - begin
    run = {}
    for name, entry in found.items():
        if entry.value is None or entry.low is None or entry.high is None:
            sys.exit(f"{name}: {entry.reason}")
        run[name] = {
            "ratio": entry.value,
            "cpu": lower_quartile(entry.samples),
            "wall": float(entry.details["wall_median_ms"]),
            "half_width": (entry.high - entry.low) / 2 / entry.value,
            "off_cpu": float(entry.details["off_cpu_share"]),
            "disturbed": float(entry.verdict == "disturbed"),
            "seconds": seconds,
        }
    return run


def print_table(found: dict[str, list[Run]]) -> None:
    print("| network | load | estimator | median ms | CV % | worst error % | bias % |")
    print("|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        for load, runs in found.items():
            for key, title in ESTIMATORS.items():
                truth = statistics.median(run[name][key] for run in found["as it is"])
                values = [run[name][key] for run in runs]
                middle = statistics.median(values)
                spread = statistics.stdev(values) / statistics.mean(values)
                worst = max(abs(value / truth - 1) for value in values)
                print(
                    f"| {name} | {load} | {title} | {middle:.3f} | {spread:.1%} | {worst:.1%} "
                    f"| {middle / truth - 1:+.1%} |".replace("%", "")
                )
    print("\n| network | load | off CPU % | interval ±% | disturbed | seconds a call |")
    print("|---|---|---|---|---|---|")
    for name in NETWORKS:
        for load, runs in found.items():
            print(
                f"| {name} | {load} "
                f"| {statistics.median(run[name]['off_cpu'] for run in runs) * 100:.0f} "
                f"| {statistics.median(run[name]['half_width'] for run in runs) * 100:.1f} "
                f"| {sum(run[name]['disturbed'] for run in runs):.0f} of {len(runs)} "
                f"| {statistics.median(run[name]['seconds'] for run in runs):.1f} |"
            )


@contextmanager
def loaded(core: int | None) -> Iterator[None]:
    """A training-like process on the core, or nothing."""
    if core is None:
        yield
        return
    command = [sys.executable, __file__, "--work", str(core)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def work(core: int) -> None:
    import torch
    from torch import nn

    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.randn(64, 3, 32, 32)
    print("working", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
