"""Is the pick of a search better than what a person would take, for the same CPU time?

At a third and at once the latency of mobilenetv3_small_050 at 64 px in ONNX Runtime on one thread:
the picks of a search, the best by proxy of random networks of the same space, known networks at the
resolution that meets the limit, and the published network nearest to the limit scaled in width. The
known ones train for as many CPU seconds as search and full training of the pick took together.

Every step is a command of archbench, or plain_timm.py for what the grammar does not hold, and leaves
one JSON file; the same command finishes what was begun. On two cores one seed of one data set takes
some 60 CPU hours as it stands: --hours, --full, --known and --random make it less.

    taskset -c 0 python benchmarks/photos/beside.py run OUT --data folder:photos64 --seed 0
    python benchmarks/photos/beside.py table OUT
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from archbench.models import as_spec, published_names
from archbench.models.rewrite import scaled

_HERE = Path(__file__).parent
_KNOWN = (
    "mobilenetv3_small_050,mobilenetv3_small_075,mobilenetv3_small_100,mobilenetv4_conv_small,"
    "levit_128s,efficientvit_b0,shvit_s1,timm:resnet10t,timm:resnet18"
)
_LADDER = (32, 48, 64, 80, 96, 112, 128, 160, 192)
_RECIPE = ("--recipe", "scratch", "--set", "recipe.precision=bf16", "--workers", "0")


@dataclass(frozen=True)
class Run:
    """One seed on one data set; ``hours`` of search and ``full`` of training are CPU time."""

    out: Path
    data: str
    seed: int
    hours: float
    full: float
    known: tuple[str, ...]
    random: int

    @property
    def num_classes(self) -> int:
        """The class folders of the training pictures."""
        return sum(1 for entry in (self.folder / "train").iterdir() if entry.is_dir())

    @property
    def folder(self) -> Path:
        """The folder of pictures, with train/CLASS and test/CLASS."""
        return Path(self.data.removeprefix("folder:"))

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` gave when it was called first, with its CPU seconds."""
        file = self.out / "steps" / f"{name.replace('/', '-').replace(':', '-')}.json"
        if not file.is_file():
            before = _child_seconds()
            made = {**make(), "cpu_seconds": _child_seconds() - before}
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.write_text(json.dumps({"name": name, "seed": self.seed, **made}, indent=1))
            part.rename(file)
            print(f"{name}: {made.get('test', made.get('ms', ''))}", flush=True)
        return json.loads(file.read_text())


def run(job: Run) -> None:
    """Searches, picks, trains and measures what is lacking."""
    job.out.mkdir(parents=True, exist_ok=True)
    once = latency(job, "mobilenetv3_small_050", 64)["ms"]
    limits = {"third": once / 3, "once": once}
    job.once("limits", lambda: limits)
    searched = {arm: search(job, arm, once) for arm in ("cost_aware", "random")}
    for limit, ms in limits.items():
        for arm in searched:
            picked = pick(job, arm, limit, ms)
            if picked["trial"] is not None:
                name = f"{arm}:{picked['trial']}"
                latency(job, name, None)
                full(job, f"{arm}-{limit}", name, None, seconds=3600 * job.full)
        seconds = searched["cost_aware"]["cpu_seconds"] + 3600 * job.full
        for name in job.known:
            side = largest_side(job, name, ms)
            if side is not None:
                full(job, f"known-{limit}-{name}", name, side, seconds=seconds)
        file = narrowed(job, limit, ms)
        full(job, f"narrowed-{limit}", str(file), 64, seconds=seconds)


def search(job: Run, arm: str, ms: float) -> dict[str, Any]:
    """A search of the space for both limits, or so many random networks of it."""
    size = ["--time", f"{round(60 * job.hours)}m"] if arm == "cost_aware" else []
    size = size or ["--sampler", "random", "--pruner", "none", "--trials", str(job.random)]
    command = ["search", str(_HERE / "narrow.yaml"), "--data", job.data, "--seed", str(job.seed)]
    command += ["--name", arm, "--workers", "1", "--set", f"limits.latency_ms={ms:.4g}", *size]
    going_on = ["--resume"] if (job.out / "results" / arm).is_dir() else []
    return job.once(f"search-{arm}", lambda: {"study": archbench(job, *command, *going_on)})


def pick(job: Run, arm: str, limit: str, ms: float) -> dict[str, Any]:
    """The most accurate design below a limit, by the study alone."""

    def picked() -> dict[str, Any]:
        answer = archbench(job, "pick", arm, "--latency", f"{ms:.4g}", check=False)
        return {"trial": answer["pick"]["trial"] if "pick" in answer else None}

    return job.once(f"pick-{arm}-{limit}", picked)


def latency(job: Run, name: str, side: int | None) -> dict[str, Any]:
    """The milliseconds of a network in ONNX Runtime, one thread, one image."""

    def measured() -> dict[str, Any]:
        said = ["profile", *asked(job, name, side), "--backend", "onnxruntime", "--threads", "1"]
        found = archbench(job, *said)["models"][0]["latency"][0]
        return {"ms": found["median_ms"], "low": found["low_ms"], "high": found["high_ms"]}

    return job.once(f"latency-{Path(name).name}-{side or 'own'}", measured)


def largest_side(job: Run, name: str, ms: float) -> int | None:
    """The largest resolution at which a known network meets a limit, or none."""
    best = None
    for side in _LADDER:
        if latency(job, name, side)["ms"] > 1.02 * ms:
            break
        best = side
    return best


def narrowed(job: Run, limit: str, ms: float) -> Path:
    """The published network nearest above a limit at 64 px, in the width that meets it."""
    over = {name: latency(job, name, 64)["ms"] for name in job.known if name in published_names()}
    name = min((name for name in over if over[name] > ms), key=over.__getitem__, default=None)
    name = name or max(over, key=over.__getitem__)
    spec = as_spec(name, resolution=64, num_classes=job.num_classes)
    low, high = 0.05, 1.0
    for step in range(5):
        width = (low * high) ** 0.5
        file = job.out / f"{name}-{limit}-{step}.yaml"
        file.write_text(yaml.safe_dump(scaled(spec, width).to_document(), sort_keys=False))
        low, high = (low, width) if latency(job, str(file), 64)["ms"] > ms else (width, high)
    return job.out / f"{name}-{limit}-4.yaml"


def full(job: Run, what: str, name: str, side: int | None, *, seconds: float) -> dict[str, Any]:
    """A full training for so many CPU seconds, and its held-out accuracy."""
    if name.startswith("timm:"):
        return job.once(f"full-{what}", lambda: plain(job, name, side or 64, seconds))
    command = ["train", *asked(job, name, side), "--data", job.data, "--seed", str(job.seed)]
    command += _RECIPE

    def of(epochs: int) -> dict[str, Any]:
        out = job.out / "trained" / f"{what.replace(':', '-')}-{epochs}"
        going_on = ["--resume"] if (out / "checkpoint.safetensors").is_file() else []
        answer = archbench(job, *command, "--epochs", str(epochs), "--out", str(out), *going_on)
        return {"test": answer["test"]["accuracy"], "epochs": epochs}

    short, longer = (
        job.once(f"probe-{what}-{epochs}", lambda e=epochs: of(e)) for epochs in (4, 6)
    )
    each = max(0.1, (longer["cpu_seconds"] - short["cpu_seconds"]) / 2)
    return job.once(f"full-{what}", lambda: of(max(4, round(seconds / each))))


def asked(job: Run, name: str, side: int | None) -> list[str]:
    """A network as commands take it: of the data's classes unless it has its own, at a side."""
    own = [] if ":" in name else ["--set", f"num_classes={job.num_classes}"]
    return [name, *own, *([] if side is None else ["--resolution", str(side)])]


def plain(job: Run, name: str, side: int, seconds: float) -> dict[str, Any]:
    """A network of timm by plain_timm.py, with nearly the same recipe."""
    command = [sys.executable, str(_HERE / "plain_timm.py"), name.removeprefix("timm:")]
    command += [str(job.folder), "--resolution", str(side), "--seed", str(job.seed)]
    answer = _output([*command, "--cpu-seconds", f"{seconds:.0f}"])
    return {"test": answer["test_accuracy"], "epochs": answer["epochs"]}


def archbench(job: Run, *words: str, check: bool = True) -> dict[str, Any]:
    """The JSON document of a command; nothing of one that failed, where ``check`` is off."""
    where = ["--results", str(job.out / "results")]
    return _output([sys.executable, "-m", "archbench", *words, "--json", *where], check=check)


def _output(command: list[str], *, check: bool = True) -> dict[str, Any]:
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=check, stdout=subprocess.PIPE, env=alone)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def _child_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(out: Path) -> str:
    """Held-out accuracy of each arm at each limit, over the seeds that were run."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for file in sorted(out.glob("**/steps/full-*.json")):
        row = json.loads(file.read_text())
        arm, limit, *network = row["name"].removeprefix("full-").split("-", 2)
        if arm == "known":
            arm = network[0]
        found[limit, arm].append(100 * row["test"])
    lines = ["| limit | network | seeds | test, % | spread |", "|---|---|---|---|---|"]
    for (limit, arm), values in sorted(
        found.items(), key=lambda item: (item[0][0], -mean(item[1]))
    ):
        spread = f"{stdev(values):.1f}" if len(values) > 1 else ""
        lines.append(f"| {limit} | {arm} | {len(values)} | {mean(values):.1f} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", help="folder:PATH, with train/CLASS and test/CLASS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hours", type=float, default=2.0, help="of search")
    parser.add_argument("--full", type=float, default=1.0, help="hours of full training")
    parser.add_argument("--known", default=_KNOWN, help="known networks, by commas")
    parser.add_argument("--random", type=int, default=24, help="random networks of the space")
    said = parser.parse_args()
    if said.command == "table":
        print(table(said.out))
        return
    if said.data is None:
        parser.error("run needs --data folder:PATH")
    out = said.out / Path(f"{said.data.removeprefix('folder:')}-{said.seed}").name
    known = tuple(filter(None, said.known.split(",")))
    run(Run(out, said.data, said.seed, said.hours, said.full, known, said.random))


if __name__ == "__main__":
    main()
