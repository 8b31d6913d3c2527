"""Do short trainings that begin from inherited weights reach more, and rank candidates better?

A base network is trained on other photographs. Random candidates around it are then trained on the
data at hand, from fresh weights and from those of the base as far as they fit: each for the epochs
of the proxy, and each in full. Of one candidate both short trainings take the same steps, so at
equal epochs they have taken equal CPU time; that of the base is told beside it.

Every training writes a line when it ends and goes on from its checkpoint when it was interrupted, so
the same command finishes what was begun. Two processes share the work with --part 1/2 and 2/2.

    python benchmarks/inheritance/inheritance.py run OUT --data folder:photos64 \
        --base-data folder:photos64_more
    python benchmarks/inheritance/inheritance.py table OUT
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archbench.analysis.statistics import Estimate, estimate_text, kendall_tau_of
from archbench.evaluate.ancestor import find_ancestor
from archbench.evaluate.proxy import Proxy, open_data, widest
from archbench.evaluate.training import train_network
from archbench.models import ArchSpec, as_spec, count
from archbench.models.rewrite import scaled
from archbench.space import SearchSpace
from archbench.train.checkpoint import remove_checkpoints
from archbench.train.loop import train
from archbench.train.recipe import Plan, Recipe

_SPACE = Path(__file__).with_suffix(".yaml")
_SAMPLE_SEED = 20_261
_ARMS = ("fresh", "inherited")
_PLAN = Plan(precision="bf16", memory_format="channels_last")
_DRAWS = 2000


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained: widths as a share of the space's, candidates, seeds, epochs.

    ``seeds`` are those of short trainings, of which the first ``full_seeds`` are trained in full.
    """

    scale: float
    candidates: int
    seeds: int
    full_seeds: int
    base: int
    rungs: tuple[int, ...]
    full: int


WHOLE = Size(scale=1.0, candidates=10, seeds=5, full_seeds=2, base=100, rungs=(1, 2, 4), full=24)
QUICK = Size(scale=0.5, candidates=4, seeds=1, full_seeds=1, base=1, rungs=(1,), full=2)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training of a candidate from either weights, ``short`` or in full."""

    candidate: int
    seed: int
    arm: str
    is_full: bool

    @property
    def name(self) -> str:
        """Names its checkpoint and its line."""
        length = "full" if self.is_full else "short"
        return f"{length}-{self.arm}-{self.candidate:02d}-{self.seed}"


def jobs(size: Size) -> Iterator[Job]:
    """All trainings, the short ones first, one seed after the other."""
    for is_full, seeds in ((False, size.seeds), (True, size.full_seeds)):
        for seed in range(seeds):
            for candidate in range(size.candidates):
                for arm in _ARMS:
                    yield Job(candidate=candidate, seed=seed, arm=arm, is_full=is_full)


def candidates(space: SearchSpace, size: Size) -> list[ArchSpec]:
    """Different random candidates, the same in every run."""
    rng, found = random.Random(_SAMPLE_SEED), dict[str, ArchSpec]()
    while len(found) < size.candidates:
        choices = space.sample_feasible(rng)
        assert choices is not None, "the space has feasible candidates"
        spec = space.decode(choices)
        found.setdefault(spec.digest, spec)
    return [_sized(spec, size) for spec in found.values()]


def _sized(spec: ArchSpec, size: Size) -> ArchSpec:
    return spec if size.scale == 1.0 else scaled(spec, size.scale)


def run(
    out: Path, *, data: str, base_data: str, size: Size, part: tuple[int, int], threads: int
) -> None:
    """Trains what is lacking of one part."""
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    space = SearchSpace.load(_SPACE)
    ours = space.proxy
    base = _sized(as_spec({**space.base, "name": "base"}), size)
    trained = train_network(
        base,
        data=base_data,
        epochs=size.base,
        folder=out / "base",
        resolution=ours.resolution,
        stem=ours.stem,
        batch=ours.batch,
    )
    _say(f"base: {100 * trained.points[-1].accuracy:.1f} % after {size.base} epochs")
    ancestor = find_ancestor(str(trained.last), base=base, download=False)
    dataset = open_data(data, resolution=ours.resolution)
    proxy = Proxy(
        data=data,
        resolution=ours.resolution,
        num_classes=dataset.num_classes,
        stem=ours.stem,
        num_seeds=1,
        recipe=Recipe(rungs=size.rungs, batch=ours.batch),
        plan=_PLAN,
        device="cpu",
    )
    specs, done = candidates(space, size), {row["name"] for row in rows(out)}
    for number, job in enumerate(jobs(size)):
        if number % part[1] == part[0] - 1 and job.name not in done:
            row = _trained(job, specs[job.candidate], proxy, size=size, out=out, ancestor=ancestor)
            with (out / f"rows-{part[0]}-of-{part[1]}.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            _say(f"{job.name}: {100 * row['curve'][-1][1]:.1f} %, {row['seconds']:.0f} s")


def _trained(
    job: Job, spec: ArchSpec, proxy: Proxy, *, size: Size, out: Path, ancestor: Any
) -> dict[str, Any]:
    if job.arm == "inherited":
        proxy = replace(proxy, weights=ancestor)
    if job.is_full:
        proxy = replace(proxy, recipe=replace(proxy.recipe, rungs=(size.full,)))
    checkpoint = out / f"{job.name}.checkpoint.safetensors"
    network, share = proxy.begun(spec, seed=job.seed)
    began = time.process_time()
    points = train(
        network,
        proxy.dataset(spec),
        recipe=proxy.recipe,
        seed=job.seed,
        plan=proxy.plan,
        width=widest(proxy.spec(spec)),
        checkpoint=checkpoint,
    )
    cpu_seconds = time.process_time() - began
    remove_checkpoints(checkpoint)
    return {
        "name": job.name,
        **vars(job),
        "digest": spec.digest,
        "params": count(spec).params,
        "macs": count(spec).macs,
        "share": share,
        "curve": [(point.epoch, point.accuracy) for point in points],
        "seconds": points[-1].seconds,
        "cpu_seconds": cpu_seconds,  # of this run, without what came before an interruption
    }


def rows(out: Path) -> list[dict[str, Any]]:
    """What was trained; a line that was cut off by a kill is passed over, and trained again."""
    found = []
    for file in sorted(out.glob("rows-*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def table(out: Path) -> Iterator[str]:
    """What came of it, in lines: accuracies of both kinds at each epoch, and their agreement."""
    found = rows(out)
    in_full = {arm: _of_arm(found, arm, is_full=True) for arm in _ARMS}
    truths = {arm: _means(those) for arm, those in in_full.items()}
    short = {arm: _of_arm(found, arm, is_full=False) for arm in _ARMS}
    curves = {arm: _curves(those) for arm, those in short.items()}
    shares = [row["share"] for row in found if row["share"] is not None]
    yield f"{len(found)} trainings, of them {sum(map(len, in_full.values()))} in full"
    if shares:
        yield f"inherited: {100 * statistics.fmean(shares):.1f} % of the parameters on average"
    epochs = sorted({epoch for arm in curves.values() for at in arm.values() for epoch in at})
    for epoch in epochs:
        reached = {
            arm: {c: at[epoch] for c, at in curves[arm].items() if epoch in at} for arm in _ARMS
        }
        yield _gain(f"after {epoch} epochs", reached)
        for arm, truth in truths.items():
            yield from _taus(f"  tau with the full training from {arm} weights", reached, truth)
    yield _gain("in full", truths)
    yield from _taus(
        "  tau of both full trainings", {"fresh": truths["fresh"]}, truths["inherited"]
    )
    for what, of in (("short", short), ("full", in_full)):
        told = (
            f"{arm} {statistics.fmean(row['cpu_seconds'] for row in those):.0f}"
            for arm, those in of.items()
            if those
        )
        yield f"CPU seconds of a {what} training on average: {', '.join(told)}"


def _of_arm(found: Sequence[dict[str, Any]], arm: str, *, is_full: bool) -> list[dict[str, Any]]:
    return [row for row in found if row["arm"] == arm and row["is_full"] == is_full]


def _gain(when: str, reached: dict[str, dict[int, float]]) -> str:
    both = sorted(set(reached["fresh"]) & set(reached["inherited"]))
    if not both:
        return f"{when}: nothing to compare yet"
    means = [100 * statistics.fmean(reached[arm][c] for c in both) for arm in _ARMS]
    gains = np.array([100 * (reached["inherited"][c] - reached["fresh"][c]) for c in both])
    return f"{when}: fresh {means[0]:.1f} %, inherited {means[1]:.1f} %, gain {_of(gains)}"


def _taus(
    what: str, reached: dict[str, dict[int, float]], truth: dict[int, float]
) -> Iterator[str]:
    known = sorted(set.intersection(set(truth), *map(set, reached.values())))
    if len(known) >= 3:
        taus = (f"{arm} {_tau([(at[c], truth[c]) for c in known])}" for arm, at in reached.items())
        yield f"{what}: {', '.join(taus)}"


def _of(values: Any) -> str:
    rng = np.random.default_rng(0)
    draws = [rng.choice(values, len(values)).mean() for _ in range(_DRAWS)]
    return estimate_text(Estimate.of_draws(draws, value=float(values.mean())))


def _tau(pairs: Sequence[tuple[float, float]]) -> str:
    """Kendall's tau, with an interval over candidates drawn with replacement."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_DRAWS):
        drawn = [pairs[index] for index in rng.integers(len(pairs), size=len(pairs))]
        if (tau := kendall_tau_of(drawn)) is not None:
            draws.append(tau)
    tau = kendall_tau_of(pairs)
    return "none" if tau is None else estimate_text(Estimate.of_draws(draws, value=tau))


def _means(found: Sequence[dict[str, Any]]) -> dict[int, float]:
    """Candidate to its last accuracy, the mean over seeds."""
    return {c: at[max(at)] for c, at in _curves(found).items()}


def _curves(found: Sequence[dict[str, Any]]) -> dict[int, dict[int, float]]:
    """Candidate to accuracy at each epoch, the mean over seeds."""
    reached: dict[int, dict[int, list[float]]] = {}
    for row in found:
        for epoch, accuracy in row["curve"]:
            reached.setdefault(row["candidate"], {}).setdefault(epoch, []).append(accuracy)
    return {
        c: {epoch: statistics.fmean(values) for epoch, values in at.items()}
        for c, at in reached.items()
    }


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="cluttered_digits")
    parser.add_argument("--base-data", default="cluttered_digits")
    parser.add_argument("--part", default="1/1", help="which share of the trainings, as 1/2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only to see that it runs")
    given = parser.parse_args()
    if given.what == "run":
        number, of = map(int, given.part.split("/"))
        size = QUICK if given.quick else WHOLE
        run(
            given.out,
            data=given.data,
            base_data=given.base_data,
            size=size,
            part=(number, of),
            threads=given.threads,
        )
    for line in table(given.out):
        _say(line)


if __name__ == "__main__":
    main()
