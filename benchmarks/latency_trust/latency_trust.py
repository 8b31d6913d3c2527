"""How far can a latency be trusted: in fresh processes, and in comparisons; quiet and beside work.

``processes`` times the same networks in fresh processes by our protocol and by those of timm's
benchmark.py and torch.utils.benchmark; ``comparisons`` compares a network with copies of itself
and with one of a little more work; ``profile`` times a whole command. Each can be run piece by
piece: samples are added to a file, of which ``table`` makes the tables. The load is a training
run that the benchmark starts itself, on the core that measures or on the one beside it.

    python benchmarks/latency_trust/latency_trust.py processes --load quiet --number 20
    python benchmarks/latency_trust/latency_trust.py comparisons --load "same core" --number 10
    python benchmarks/latency_trust/latency_trust.py profile --number 5
    python benchmarks/latency_trust/latency_trust.py table
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_trust_table import COPIES, LOADS, PAIRS, print_tables

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archbench.models import ArchSpec

NETWORKS = ("levit_128s", "small_cvt")
SESSIONS = 9  # of one process: comparisons of some networks that are timed together
SECONDS = 2.0
EXTRA_ROWS, EXTRA_DIM = 9, 136  # of the product that makes a network about 3 % slower
TIMM_WARM_UP, TIMM_FORWARDS = 10, 40

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", choices=("processes", "comparisons", "profile", "table", "child", "work")
    )
    parser.add_argument("--load", choices=LOADS, default="quiet")
    parser.add_argument("--number", type=int, default=1, help="fresh processes")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of one process")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of a session, for each of its networks"
    )
    parser.add_argument("--raced", action="store_true", help="deploy each copy for itself")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "latency_trust"))
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    samples = options.folder / "samples.jsonl"
    if options.what == "table":
        print_tables([json.loads(line) for line in samples.read_text().splitlines()])
    elif options.what == "work":
        work(options.core)
    elif options.what == "child":
        rows = (
            process_rows(options.turn)
            if options.child == "processes"
            else session_rows(options.sessions, raced=options.raced, seconds_each=options.seconds)
        )
        print(json.dumps(rows))
    else:
        collect(options, samples=samples)


def collect(options: argparse.Namespace, *, samples: Path) -> None:
    """Runs fresh processes under a load and adds what they say to the file, each at once."""
    from archbench.measure.machine import activity, counters, measuring_cores
    from archbench.study.environment import usable_cores

    os.environ["ARCHBENCH_CACHE"] = str(options.folder / "cache")
    options.folder.mkdir(parents=True, exist_ok=True)
    take_constants(options.folder)
    core = measuring_cores(1)[0]
    if options.load == "other core" and usable_cores() < 2:
        sys.exit("there is no other core")
    others = {"quiet": None, "same core": core, "other core": min(os.sched_getaffinity(0))}
    with loaded(others[options.load], folder=options.folder):
        for turn in range(options.number):
            began, before = time.perf_counter(), counters()
            is_profile = options.what == "profile"
            rows = profile_rows() if is_profile else child_rows(options, turn=turn)
            seconds = time.perf_counter() - began
            found = activity(before, counters(), seconds=seconds)
            head = {
                "part": options.what,
                "load": options.load,
                "time": time.time(),
                "steal": found["steal_share"],
                "busy": found["busy"],
            }
            with samples.open("a") as file:
                for row in rows:
                    file.write(json.dumps({**head, **row}) + "\n")
            print(f"{options.what} {turn + 1}: {seconds:.0f} s", flush=True)


def take_constants(folder: Path) -> None:
    """The machine's constants for all that follows, unless they are in the folder already."""
    from archbench.measure.latency.calibration import calibrate
    from archbench.measure.machine import capture_environment
    from archbench.study.measurement import Conditions

    found = calibrate(Conditions(), environment=capture_environment())
    if found.note:
        print(f"{found.note} (in {folder}/cache)")


def child_rows(options: argparse.Namespace, *, turn: int) -> list[Row]:
    command = [sys.executable, __file__, "child", "--child", options.what, "--turn", str(turn)]
    command += ["--sessions", str(options.sessions), "--seconds", str(options.seconds)]
    command += [*(["--raced"] * options.raced)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    rows: list[Row] = json.loads(answer.stdout)
    process = f"{options.load} {time.time():.0f}"
    return [
        {**row, "process": process, "session": f"{process} {row.get('session')}"} for row in rows
    ]


def profile_rows() -> list[Row]:
    """How long ``archbench profile levit_128`` takes from start to answer."""
    command = [sys.executable, "-c", "from archbench.cli.main import main; main()"]
    began = time.perf_counter()
    answer = subprocess.run(
        [*command, "profile", "levit_128"], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        sys.exit(answer.stderr)
    return [{"seconds": time.perf_counter() - began}]


def process_rows(turn: int) -> list[Row]:
    """One process: each network by each estimator, in an order that turns with the process."""
    from archbench.measure.machine import capture_environment

    environment = capture_environment()
    rows = []
    for name in NETWORKS:
        spec = spec_of(name)
        network, example = deployed_network(spec)

        def ours(spec: ArchSpec = spec, network: Any = network) -> Row:
            return our_row(network, spec=spec, environment=environment)

        ways: dict[str, Callable[[], Row]] = {
            "ours": ours,
            "timm": lambda network=network, example=example: timm_row(network, example),
            "blocked_autorange": lambda network=network, example=example: torch_row(
                network, example
            ),
        }
        titles = list(ways)
        turned = titles[turn % len(titles) :] + titles[: turn % len(titles)]
        for title in turned:
            began = time.perf_counter()
            row = ways[title]()
            seconds = time.perf_counter() - began
            forms = ", ".join(f"{k} {n}" for k, n in network.summary().items())
            rows.append(
                {"network": name, "estimator": title, "seconds": seconds, "forms": forms, **row}
            )
    return rows


def spec_of(name: str) -> ArchSpec:
    """levit_128s at its 224 px, and a CvT that takes about as long."""
    from archbench.models import ArchSpec, as_spec

    if name == "levit_128s":
        return as_spec(name)
    document = {**as_spec("cvt_13").to_document(), "name": name, "resolution": 128}
    for stage, dim, depth in zip(document["stages"], (64, 128, 256), (1, 1, 2), strict=True):
        stage["dim"], stage["depth"] = dim, depth
    return ArchSpec.from_document(document)


def deployed_network(spec: ArchSpec, *, raced: bool = False) -> tuple[Any, Tensor]:
    """What `archbench.profile` times, of kept forms or of those that are fastest now; an image."""
    import torch

    from archbench.evaluate.target import calibrated, deployed
    from archbench.measure.machine import capture_environment
    from archbench.study.measurement import Conditions

    conditions = Conditions(resolution=(spec.resolution[0], spec.resolution[1]))
    example = torch.randn(1, 3, *spec.resolution, generator=torch.Generator().manual_seed(0))
    forms = None if raced else calibrated(conditions, environment=capture_environment()).forms
    return deployed(spec, conditions, forms=forms), example


def our_row(network: nn.Module, *, spec: ArchSpec, environment: Any) -> Row:
    from archbench.evaluate.target import SEARCH_BUDGET_S
    from archbench.measure.latency.calibration import calibrate
    from archbench.measure.latency.estimate import lower_mean
    from archbench.measure.latency.latency import measure_latency
    from archbench.study.measurement import Conditions

    conditions = Conditions(resolution=(spec.resolution[0], spec.resolution[1]))
    calibration = calibrate(conditions, environment=environment)
    with calibration.bench(conditions, environment=environment) as bench:
        found = measure_latency({"it": network}, bench=bench, budget_s=SEARCH_BUDGET_S)["it"]
    return {
        "ms": found.value,
        "low": found.low,
        "high": found.high,
        "verdict": found.verdict,
        "reason": found.reason,
        "cpu_ms": lower_mean(found.samples),
        **{
            key: found.details[key]
            for key in (
                "wall_median_ms",
                "forwards",
                "calibrator",
                "calibration_ms",
                "calibration_drift",
                "off_cpu_share",
            )
        },
    }


def timm_row(network: nn.Module, example: Tensor) -> Row:
    """The protocol of timm's benchmark.py, pinned as ours is: the mean of 40 after 10."""
    import torch

    from archbench.measure.machine import pinned

    with pinned(threads=1), torch.inference_mode():
        for _ in range(TIMM_WARM_UP):
            network(example)
        total = 0.0
        for _ in range(TIMM_FORWARDS):
            began = time.perf_counter()
            network(example)
            total += time.perf_counter() - began
    return {"ms": total / TIMM_FORWARDS * 1e3}


def torch_row(network: nn.Module, example: Tensor) -> Row:
    """torch.utils.benchmark as its documentation advises, pinned as ours is: the median."""
    import torch
    from torch.utils.benchmark import Timer

    from archbench.measure.machine import pinned

    with pinned(threads=1), torch.inference_mode():
        timer = Timer("network(example)", globals={"network": network, "example": example})
        return {"ms": timer.blocked_autorange().median * 1e3}


def session_rows(sessions: int, *, raced: bool, seconds_each: float) -> list[Row]:
    """Comparisons of one process: copies of a network with one another, and with a slower one."""
    from archbench.evaluate.comparison import WANTED_HALF_WIDTH
    from archbench.measure.latency.calibration import calibrate
    from archbench.measure.latency.estimate import compare_rounds
    from archbench.measure.latency.latency import measure_latency
    from archbench.measure.machine import capture_environment
    from archbench.study.measurement import Conditions

    environment, spec = capture_environment(), small_levit()
    conditions = Conditions(resolution=(spec.resolution[0], spec.resolution[1]))
    first = deployed_network(spec)[0]
    networks: dict[str, nn.Module] = {
        f"a{i}": deployed_network(spec, raced=True)[0] if raced else copy.deepcopy(first)
        for i in range(COPIES["a"])
    }
    networks |= {f"b{i}": slower(copy.deepcopy(first)) for i in range(COPIES["b"])}
    rows = []
    calibration = calibrate(conditions, environment=environment)
    for session in range(sessions):
        began = time.perf_counter()
        with calibration.bench(conditions, environment=environment) as bench:
            found = measure_latency(
                networks,
                bench=bench,
                budget_s=seconds_each * len(networks),
                together=WANTED_HALF_WIDTH,
            )
        seconds = time.perf_counter() - began
        for kind, pairs in PAIRS.items():
            for pair in pairs:
                compared = compare_rounds(pair, found[pair[0]], found[pair[1]])
                ratio = compared.ratio
                rows.append(
                    {
                        "kind": f"{kind}, raced" if raced and kind == "same" else kind,
                        "outcome": compared.outcome,
                        "ratio": ratio.value if ratio else None,
                        "half_width": ratio.half_width if ratio else None,
                        "pair": pair,
                        "session": session,
                        "rounds": compared.rounds,
                        "placements": compared.placements,
                        "seconds": seconds,
                        "off_cpu_share": found[pair[0]].details.get("off_cpu_share"),
                        "reason": compared.reason,
                    }
                )
    return rows


def small_levit() -> ArchSpec:
    """Two stages in the manner of LeViT at 64 px: about 1 ms, so that many can be compared."""
    from archbench.models import ArchSpec

    block = {"kind": "levit", "key_dim": 16, "num_heads": 4, "attention_ratio": 2, "mlp_ratio": 2}
    stem = {"kind": "conv_stem", "num_convs": 3}
    shrink = {"kind": "shrink_attention", "key_dim": 16, "attention_ratio": 4, "stride": 2}
    stages = [
        {"embed": stem, "block": block, "dim": 64, "depth": 1, "position": "bias"},
        {
            "embed": {**shrink, "mlp_ratio": 2},
            "block": block,
            "dim": 96,
            "depth": 1,
            "position": "bias",
        },
    ]
    head = {"pool": "mean", "norm": "batch", "num_classifiers": 1}
    return ArchSpec.from_document(
        {"name": "small_levit", "resolution": 64, "num_classes": 10, "stages": stages, "head": head}
    )


def slower(network: nn.Module) -> nn.Module:
    """The network with one product more, of a size that takes about 3 % of its time."""
    import torch
    from torch import nn

    class Slower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.extra = network, nn.Linear(EXTRA_DIM, EXTRA_DIM)
            self.register_buffer("rows", torch.ones(EXTRA_ROWS, EXTRA_DIM))

        def forward(self, images: Tensor) -> Tensor:
            self.extra(self.rows)
            logits: Tensor = self.network(images)
            return logits

    return Slower().eval()


@contextmanager
def loaded(core: int | None, *, folder: Path) -> Iterator[None]:
    """A training run on the core, or nothing."""
    if core is None:
        yield
        return
    command = [sys.executable, __file__, "work", "--core", str(core), "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def work(core: int) -> None:
    """Trains levit_128s on noise of 64 px until the parent ends."""
    import torch
    from torch.nn import functional as F

    from archbench.models import as_spec, build

    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    document = {**as_spec("levit_128s").to_document(), "resolution": 64, "num_classes": 10}
    network = build(type(as_spec("levit_128s")).from_document(document), seed=0).train()
    optimizer = torch.optim.AdamW(network.parameters())
    images, labels = torch.randn(32, 3, 64, 64), torch.arange(32) % 10
    parent = os.getppid()
    is_told = False
    while os.getppid() == parent:
        optimizer.zero_grad()
        outputs = network(images)
        logits = outputs if isinstance(outputs, torch.Tensor) else torch.stack(outputs).mean(0)
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        if not is_told:
            print("working", flush=True)
            is_told = True


if __name__ == "__main__":
    main()
