"""What does stopping trainings early save, and what does it lose, on curves that were trained?

A table of whole curves (benchmarks/hybrids/trained_table.py, or made by ``make`` here) is searched in an
order by chance: each candidate shows its accuracy rung by rung, the rule says after each whether it
goes on. With the same order everything is trained to the end, too. Epochs saved are those that were
not trained; hypervolume lost is that of the front that was picked from what ended, by the true
accuracies (means over all seeds of the table), against the front picked from all. It is also
estimated the way a study does, from its audited trials alone, without looking at what was not
trained.

    python benchmarks/pruning/pruning.py run out-0.jsonl out-1.jsonl --trials 60,120 --seeds 40
    python benchmarks/pruning/pruning.py make synthetic.jsonl
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from archbench.analysis.front import FrontRule
from archbench.analysis.pruning import pruning_report
from archbench.search.pruners import curve
from archbench.search.pruning import PRUNERS, Pruner, Situation
from archbench.study.trial import CurvePoint, RungVerdict, TrialRecord, epochs_trained

_NUM_VALIDATION = 1536
_SCHEMA = "archbench.pruning/1"


@dataclass(frozen=True)
class Network:
    """One row of the table.

    Attributes:
        digest: Its identity.
        macs: Its cost.
        curves: One accuracy an epoch, for each seed.
    """

    digest: str
    macs: int
    curves: tuple[tuple[float, ...], ...]

    @property
    def truth(self) -> float:
        """Mean of the last accuracy over all seeds."""
        return statistics.fmean(curve[-1] for curve in self.curves)


@dataclass(frozen=True)
class Outcome:
    """One search with a rule against the same one without.

    Attributes:
        saved: Share of the epochs that were not trained.
        lost: Share of the hypervolume, by the truth.
        seen: The same by the accuracies that the searches saw.
        told: What a study tells of ``seen`` from its audit: estimate, low and high; None where it
            tells nothing.
        stopped: Trials that the rule stopped, the audited ones included.
    """

    saved: float
    lost: float
    seen: float
    told: tuple[float, float, float] | None
    stopped: int


def main() -> None:
    """Parses and does one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("run", help="search the table with each rule")
    step.add_argument("tables", type=Path, nargs="+")
    step.add_argument("--trials", default="60,120", help="candidates of a search")
    step.add_argument("--seeds", type=int, default=40, help="searches, each in its own order")
    step.add_argument("--rungs", default="all", help="epochs like 2,4,6; several with a slash")
    step.add_argument("--thresholds", default="0.01,0.02,0.05,0.1,0.2")
    step.add_argument("--audit", type=float, default=0.1)
    step.add_argument("--json", action="store_true")
    step.set_defaults(run=_run)
    step = steps.add_parser("make", help="write a table of made-up curves")
    step.add_argument("out", type=Path)
    step.add_argument("--networks", type=int, default=400)
    step.set_defaults(run=lambda a: make(a.out, networks=a.networks))
    arguments = parser.parse_args()
    arguments.run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    networks = read(arguments.tables)
    last = len(networks[0].curves[0])
    every = ",".join(map(str, range(1, last + 1)))
    results = []
    for written in arguments.rungs.replace("all", every).split("/"):
        rungs = tuple(map(int, written.split(",")))
        for trials in map(int, arguments.trials.split(",")):
            for name, pruner in rules(arguments.thresholds):
                begin = time.perf_counter()
                outcomes = [
                    compare(
                        networks,
                        pruner=pruner,
                        rungs=rungs,
                        trials=min(trials, len(networks)),
                        audit=arguments.audit,
                        seed=seed,
                    )
                    for seed in range(arguments.seeds)
                ]
                seconds = time.perf_counter() - begin
                results.append(_summed(name, outcomes, rungs=rungs, trials=trials, seconds=seconds))
                if not arguments.json:
                    print(_line(results[-1]), flush=True)
    if arguments.json:
        print(json.dumps({"schema": _SCHEMA, "networks": len(networks), "results": results}))


def rules(thresholds: str) -> list[tuple[str, Any]]:
    """Name and rule of everything that is compared."""
    found: list[tuple[str, Any]] = [
        (f"curve {bound}", _with_bound(float(bound))) for bound in thresholds.split(",")
    ]
    return [*found, ("promotion", PRUNERS.load("promotion")), ("half by chance", None)]


def _with_bound(bound: float) -> SimpleNamespace:
    return SimpleNamespace(ASKS=True, judge=partial(curve.judge, hardly=bound))


def compare(
    networks: Sequence[Network],
    *,
    pruner: Any,
    rungs: tuple[int, ...],
    trials: int,
    audit: float,
    seed: int,
) -> Outcome:
    """One search in an order by chance, with the rule and without."""
    rng = random.Random(seed)
    chosen = rng.sample(list(networks), trials)
    shown = [rng.randrange(len(network.curves)) for network in chosen]
    rule = FrontRule(
        objectives={"proxy_accuracy": "max", "macs": "min"},
        limits={"macs": max(network.macs for network in networks)},
        chance=0.1,
        num_validation=_NUM_VALIDATION,
    )
    judge = pruner or SimpleNamespace(ASKS=True, judge=partial(_by_chance, seed=seed))
    judged = Pruner(entry=judge, rule=rule, rungs=rungs, num_seeds=1, audit=audit, seed=seed)
    whole = [
        _trained(number, network, accuracies=network.curves[which], rungs=rungs)
        for number, (network, which) in enumerate(zip(chosen, shown, strict=True))
    ]
    records: list[TrialRecord] = []
    for record in whole:
        records.append(_searched(record, pruner=judged, among=records))
    truth = {number: network.truth for number, network in enumerate(chosen)}
    report = pruning_report(records, rule=rule, rungs=rungs, num_seeds=1)
    told = report.lost if report else None
    best = _by_truth(whole, truth, rule)
    return Outcome(
        saved=1
        - sum(epochs_trained(r, num_seeds=1) for r in records)
        / sum(epochs_trained(r, num_seeds=1) for r in whole),
        lost=1 - _by_truth(records, truth, rule) / best,
        seen=1 - rule.hypervolume(records) / rule.hypervolume(whole),
        told=(told.value, told.low, told.high) if told else None,
        stopped=sum(any(v.stops for v in record.verdicts) for record in records),
    )


def _trained(
    number: int, network: Network, *, accuracies: Sequence[float], rungs: Sequence[int]
) -> TrialRecord:
    points = tuple(
        CurvePoint(
            seed=0, epoch=rung, step=rung, loss=0.0, accuracy=accuracies[rung - 1], seconds=0
        )
        for rung in rungs
    )
    return TrialRecord(
        number=number,
        state="complete",
        digest=network.digest,
        choices={},
        spec={},
        params=0,
        macs=network.macs,
        activations=0,
        curve=points,
        proxy_accuracy=points[-1].accuracy,
    )


def _searched(record: TrialRecord, *, pruner: Pruner, among: Sequence[TrialRecord]) -> TrialRecord:
    """The trial as the rule leaves it."""
    now = replace(record, state="running", curve=(), proxy_accuracy=None)
    for point in record.curve[:-1]:
        now = replace(now, curve=(*now.curve, point))
        verdict = pruner.verdict(now, seed=0, epoch=point.epoch, among=among)
        now = replace(now, verdicts=(*now.verdicts, verdict))
        if verdict.stops and not verdict.is_audited:
            return replace(now, state="pruned", reason=verdict.reason)
    return replace(record, verdicts=now.verdicts)


def _by_truth(records: Sequence[TrialRecord], truth: Mapping[int, float], rule: FrontRule) -> float:
    """Hypervolume of the picked front, by what its members really reach."""
    members = [replace(r, proxy_accuracy=truth[r.number]) for r in rule.front(records)]
    return rule.hypervolume(members)


def _by_chance(situation: Situation, *, seed: int) -> RungVerdict:
    """Stops half of the trials at their first rung: what any rule must beat."""
    is_first = situation.epoch == situation.rungs[0]
    drawn = random.Random(f"{seed} {len(situation.others)}").random()
    stops = is_first and drawn < 0.5
    return RungVerdict(seed=situation.seed, epoch=situation.epoch, stops=stops)


def _summed(
    name: str, outcomes: Sequence[Outcome], *, rungs: Sequence[int], trials: int, seconds: float
) -> dict[str, Any]:
    """Means with their standard errors, and how often the study's own interval held."""
    told = [(o.seen, o.told) for o in outcomes if o.told is not None]
    held = [low <= seen <= high for seen, (_, low, high) in told]
    found: dict[str, Any] = {
        "rule": name,
        "rungs": list(rungs),
        "trials": trials,
        "seeds": len(outcomes),
        "interval_held": statistics.fmean(held) if held else None,
        "seconds_per_search": seconds / len(outcomes),
    }
    numbers = {
        "stopped": [o.stopped for o in outcomes],
        "saved": [o.saved for o in outcomes],
        "lost": [o.lost for o in outcomes],
        "seen_lost": [o.seen for o in outcomes],
        "told_lost": [value for _, (value, _, _) in told],
        "told_high": [high for _, (_, _, high) in told],
    }
    for key, values in numbers.items():
        found[key] = statistics.fmean(values) if values else None
        found[f"{key}_error"] = (
            statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        )
    return found


def _line(found: Mapping[str, Any]) -> str:
    def share(key: str) -> str:
        if found[key] is None:
            return "-"
        return f"{100 * found[key]:.2f} ± {100 * (found[f'{key}_error'] or 0.0):.2f}"

    held = "-" if found["interval_held"] is None else f"{100 * found['interval_held']:.0f} %"
    cells = (
        ",".join(map(str, found["rungs"])),
        str(found["trials"]),
        found["rule"],
        f"{found['stopped']:.0f}",
        *map(share, ("saved", "lost", "seen_lost", "told_lost")),
        held,
    )
    return "| " + " | ".join(cells) + " |"


def read(files: Sequence[Path]) -> list[Network]:
    """The networks of a table, every seed of each that is there; a torn last line is left out."""
    curves: dict[str, dict[int, tuple[float, ...]]] = {}
    macs: dict[str, int] = {}
    for file in files:
        for line in file.read_text().splitlines():
            if not line.endswith("}"):
                continue
            found = json.loads(line)
            curves.setdefault(found["digest"], {})[found["seed"]] = tuple(found["accuracy"])
            macs[found["digest"]] = found["macs"]
    return [
        Network(digest=digest, macs=macs[digest], curves=tuple(by_seed.values()))
        for digest, by_seed in sorted(curves.items())
    ]


def make(out: Path, *, networks: int, seeds: int = 3, epochs: int = 6) -> None:
    """Curves that rise from chance to their end, some of them late, with noise of seed and images.

    Larger networks tend to end higher; one training in twenty takes off an epoch or two late and
    still comes near its end, which no rule can know.
    """
    rng = np.random.default_rng(0)
    with out.open("w") as file:
        for number in range(networks):
            macs = math.exp(rng.uniform(math.log(2e5), math.log(4e6)))
            truth = 0.25 + 0.12 * math.log(macs / 2e5) + rng.normal(scale=0.09)
            rate = rng.normal(1.0, 0.12)
            for seed in range(seeds):
                end = truth + rng.normal(scale=0.02)
                late = rng.uniform(1, 2) if rng.random() < 0.05 else 0.0
                accuracies = []
                for epoch in range(1, epochs + 1):
                    time_ = max(0.0, epoch - late) / (epochs - late)
                    mean = 0.1 + (end - 0.1) * min(1.0, 1.2 * time_**rate / (0.2 + time_**rate))
                    error = math.sqrt(0.25 / _NUM_VALIDATION)
                    accuracies.append(min(0.999, max(0.05, mean + rng.normal(scale=error))))
                line = {"digest": f"{number:04d}", "seed": seed, "params": 0, "macs": int(macs)}
                file.write(json.dumps({**line, "accuracy": accuracies}) + "\n")


if __name__ == "__main__":
    main()
