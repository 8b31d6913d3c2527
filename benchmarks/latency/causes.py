"""What moves a latency: who is timed beside it, a training before it, or one on the other core?

Times some candidates of a space in fresh processes: each by itself (``alone``), in shared rounds of
five (``together``), and each behind a training in the same process (``trained``); on the quiet
machine and while another process trains on the other core (``busy``). ``--leads 0`` times as
archbench did before passes followed others of their own.

    python benchmarks/latency/causes.py run --space quickstart --repeats 3
    python benchmarks/latency/causes.py run --space levit_edge --networks 6 --leads 0
    python benchmarks/latency/causes.py table

``watch`` times candidates of all sizes again and again in one process, in turn with the middle one,
and tells how each follows that one when the host slows it down.

    python benchmarks/latency/causes.py watch --networks 7
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import fmean, linear_regression, median, quantiles, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archbench.models import ArchSpec

HOW = ("alone/quiet", "together/quiet", "trained/quiet", "alone/busy", "trained/busy")
AT_ONCE = 5


def main() -> None:
    """Reads what was typed and does it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table", "watch", "time", "work"))
    parser.add_argument("--space", default="quickstart")
    parser.add_argument("--networks", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--leads", type=int, help="untimed passes at most before a timed one")
    parser.add_argument("--how", nargs="*", default=HOW)
    parser.add_argument("--seconds", type=float, default=120.0, help="to watch")
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, default=Path(tempfile.gettempdir(), "causes.jsonl"))
    options = parser.parse_args()
    if options.what == "run":
        run(options)
    elif options.what == "table":
        print_table([json.loads(row) for row in options.file.read_text().splitlines()])
    elif options.what == "watch":
        watch(options)
    elif options.what == "work":
        os.sched_setaffinity(0, {options.core})
        while True:
            train_some()
    else:
        print(json.dumps(timed(options)))


def run(options: argparse.Namespace) -> None:
    """Fresh processes in turn; rows are added to the file, each at once."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("there is no other core")
    common = ["--space", options.space, "--networks", str(options.networks)]
    common += ["--leads", str(options.leads)] if options.leads is not None else []
    for repeat in range(options.repeats):
        for how in options.how:
            began = time.perf_counter()
            with working(cores[0], is_wanted=how.endswith("/busy")):
                command = ["time", *common, "--how", how, "--core", str(cores[-1])]
                told = subprocess.run(
                    [sys.executable, __file__, *command], check=True, capture_output=True
                ).stdout
            head = {"space": options.space, "leads": options.leads, "how": how, "repeat": repeat}
            with options.file.open("a") as file:
                file.writelines(json.dumps({**head, **row}) + "\n" for row in json.loads(told))
            print(f"{how} {repeat + 1}: {time.perf_counter() - began:.0f} s", flush=True)


@contextmanager
def working(core: int, *, is_wanted: bool) -> Iterator[None]:
    """Another process trains on a core while the block runs."""
    if not is_wanted:
        yield
        return
    with subprocess.Popen([sys.executable, __file__, "work", "--core", str(core)]) as process:
        time.sleep(6)  # until it trains
        try:
            yield
        finally:
            process.kill()


def timed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The latency of each candidate by the calibration networks."""
    from archbench.evaluate.target import SEARCH_BUDGET_S, calibrated
    from archbench.measure.latency import clock
    from archbench.study.measurement import Conditions

    os.sched_setaffinity(0, {options.core})
    if options.leads is not None:
        clock.MOST_LEADS = options.leads
    way = options.how[0].partition("/")[0]
    at_once = AT_ONCE if way == "together" else 1
    specs = [(str(i), one) for i, one in enumerate(candidates(options.space, options.networks))]
    target, found = calibrated(Conditions()), {}
    for start in range(0, len(specs), at_once):
        if way == "trained":
            train_some()
        some = dict(specs[start : start + at_once])
        found |= target.measure_together(some, budget_s=SEARCH_BUDGET_S)
    return [
        {"network": int(name), "ms": one.value, "low": one.low, "high": one.high}
        for name, one in found.items()
    ]


def candidates(name: str, number: int) -> list[ArchSpec]:
    """Feasible candidates of a space, always the same."""
    from archbench.space import SearchSpace

    space, draw = SearchSpace.load(name), random.Random(3)
    found = (space.sample_feasible(draw) for _ in range(number))
    return [space.decode(choices) for choices in found if choices]


def train_some() -> None:
    """An epoch of a candidate of quickstart on drawn digits."""
    import torch

    from archbench.data import load
    from archbench.models import build, proxy
    from archbench.train.loop import train
    from archbench.train.recipe import Plan, Recipe

    torch.set_num_threads(1)
    (spec,) = candidates("quickstart", 1)
    network = build(proxy(spec, resolution=32, num_classes=10, stem="as_is"), seed=0)
    dataset = load("cluttered_digits", resolution=32)
    train(network, dataset, recipe=Recipe(rungs=(1,)), seed=0, plan=Plan(), width=32)


def watch(options: argparse.Namespace) -> None:
    """A line for each candidate: what share of the middle one's slowness it lacks or has besides."""
    from archbench.evaluate.target import calibrated
    from archbench.models import count
    from archbench.study.measurement import Conditions

    specs = sorted(candidates(options.space, options.networks), key=lambda one: count(one).macs)
    target = calibrated(Conditions())
    target = target.anchored([specs[len(specs) // 2]])
    taken: dict[int, list[tuple[float, float]]] = defaultdict(list)
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        for number, spec in enumerate(specs):
            found = target.measure(spec)
            slowness = found.details["calibration_ms"] / found.details["calibration_constant_ms"]
            taken[number].append((math.log(slowness), math.log(found.value)))
    print("| ms | timings | middle one slower, deciles % | follows besides | left % |")
    print("|---|---|---|---|---|")
    for pairs in taken.values():
        slow, values = zip(*pairs, strict=True)
        slope, intercept = linear_regression(slow, values)
        left = stdev(value - intercept - slope * x for x, value in pairs)
        deciles = quantiles(slow, n=10)
        cells = [
            f"{math.exp(median(values)):.3f}",
            len(pairs),
            f"{100 * deciles[0]:+.1f} to {100 * deciles[-1]:+.1f}",
            f"{slope:+.2f}",
            f"{100 * left:.1f}",
        ]
        print(f"| {' | '.join(map(str, cells))} |")


def print_table(rows: list[dict[str, Any]]) -> None:
    """Shares by which each way leaves the median of ``alone/quiet``, by network."""
    print(
        "| space | leads | how | mean % | within a network % | runs % | the smallest, largest % |"
    )
    print("|---|---|---|---|---|---|---|")
    for space, leads in dict.fromkeys((row["space"], row["leads"]) for row in rows):
        own = [row for row in rows if (row["space"], row["leads"]) == (space, leads)]
        for row in own:
            row["log"] = math.log(row["ms"])
        alone = grouped(own, by="network", value="log", how=HOW[0])
        reference = {network: median(logs) for network, logs in alone.items()}
        for row in own:
            row["off"] = 100 * (row["log"] - reference[row["network"]])
        by_size = sorted(reference, key=reference.__getitem__)
        for how in dict.fromkeys(row["how"] for row in own):
            off = grouped(own, by="network", value="off", how=how)
            runs = grouped(own, by="repeat", value="off", how=how)
            spreads = [stdev(shares) for shares in off.values() if len(shares) > 1]
            cells = [
                space,
                "by default" if leads is None else leads,
                how,
                f"{fmean(chain(*off.values())):+.1f}",
                f"{math.sqrt(fmean(s * s for s in spreads)):.1f}" if spreads else "",
                ", ".join(f"{median(shares):+.1f}" for shares in runs.values()),
                f"{fmean(off[by_size[0]]):+.1f}, {fmean(off[by_size[-1]]):+.1f}",
            ]
            print(f"| {' | '.join(map(str, cells))} |")


def grouped(rows: list[dict[str, Any]], *, by: str, value: str, how: str) -> dict[Any, list[float]]:
    """The values of the rows that were timed in one way, by what is alike in them."""
    found = defaultdict(list)
    for row in rows:
        if row["how"] == how:
            found[row[by]].append(row[value])
    return found


if __name__ == "__main__":
    main()
