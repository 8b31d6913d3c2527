r"""How near does a sampler come to the front of a table, after how many evaluations?

    python benchmarks/samplers/samplers.py --table FILE.csv --samplers cost_aware,tpe,nsga2,gp,random \
        --budgets 50,100,200 --seeds 20 [--json]
    python benchmarks/samplers/samplers.py make synthetic OUT.csv [--kind stages|layers|rugged|noisy]
    python benchmarks/samplers/samplers.py make trained OUT.csv --from TRAINED.jsonl ... [--curves OUT.csv]
    python benchmarks/samplers/samplers.py pace --trials 100,1000,10000

What a table is, and what regret, stands in sampler_table.py. Every evaluation shows one noisy
accuracy of a row, the same one however often it is asked for; which one differs from seed to seed.
All samplers get the same parameters: whole numbers for choices that are numbers, categories for
texts. cost_aware knows the cost of every row beforehand, as it does in a search, and which rows
exist. Evaluations are counted as a user pays them: a sampler that asks for a row again pays again.
A proposal that is no row of an incomplete table is answered by the row most like it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import sampler_peers
import sampler_table
from sampler_table import Table

SCHEMA = "archbench.samplers/1"


@dataclass(frozen=True)
class Run:
    """One search of a table.

    Attributes:
        sampler: Its name.
        seed: Of the sampler and of what it may see.
        regrets: After each budget.
        seconds_per_trial: What the sampler took.
    """

    sampler: str
    seed: int
    regrets: list[float]
    seconds_per_trial: float


def main() -> None:
    """Parses and does one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path)
    parser.add_argument("--samplers", default="cost_aware,tpe,nsga2,random")
    parser.add_argument("--budgets", default="50,100,200")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    if sys.argv[1:2] == ["make"]:
        from sampler_making import make

        make(sys.argv[2:])
    elif sys.argv[1:2] == ["pace"]:
        pace(sys.argv[2:])
    else:
        arguments = parser.parse_args()
        if arguments.table is None:
            parser.error("--table is missing")
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Searches the table with each sampler and seed, and prints what came of it."""
    table = sampler_table.read(arguments.table)
    budgets = sorted({int(budget) for budget in arguments.budgets.split(",")})
    names = arguments.samplers.split(",")
    for name in names:
        sampler_peers.check(name)
    runs = []
    tasks = [(name, seed) for name in names for seed in range(arguments.seeds)]
    tasks.sort(key=lambda task: task[0] != "gp")  # the slowest first
    for library in ("OMP", "OPENBLAS", "MKL"):  # read by child processes as they begin
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = get_context("spawn")
    with ProcessPoolExecutor(max(1, arguments.jobs), mp_context=context) as executor:
        pending = [
            executor.submit(search, table, name, seed=seed, budgets=budgets) for name, seed in tasks
        ]
        for done, future in enumerate(as_completed(pending), start=1):
            runs.append(future.result())
            print(f"\r{done} of {len(tasks)} searches", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    results = [
        summary([run for run in runs if run.sampler == name], place, budget)
        for name in names
        for place, budget in enumerate(budgets)
    ]
    if arguments.json:
        print(json.dumps({"schema": SCHEMA, "table": str(arguments.table), "results": results}))
    else:
        print_results(table, results, budgets)


def search(table: Table, name: str, *, seed: int, budgets: list[int]) -> Run:
    """One search up to the largest budget; smaller ones are its beginning."""
    warnings.simplefilter("ignore")
    observed = table.observation(seed)
    begin = time.perf_counter()
    rows = sampler_peers.evaluated(name, table, seed=seed, budget=max(budgets), observed=observed)
    seconds = time.perf_counter() - begin
    regrets = [table.regret(rows[:budget], observed) for budget in budgets]
    return Run(name, seed, regrets, seconds / max(1, len(rows)))


def summary(runs: list[Run], place: int, budget: int) -> dict[str, Any]:
    """Mean and standard error over seeds."""
    regrets = np.array([run.regrets[place] for run in runs])
    error = float(regrets.std(ddof=1)) / math.sqrt(len(regrets)) if len(regrets) > 1 else None
    return {
        "sampler": runs[0].sampler,
        "budget": budget,
        "seeds": len(runs),
        "regret": float(regrets.mean()),
        "standard_error": error,
        "seconds_per_trial": float(np.mean([run.seconds_per_trial for run in runs])),
    }


def print_results(table: Table, results: list[dict[str, Any]], budgets: list[int]) -> None:
    """A row for each sampler."""
    kind = "every combination" if table.is_complete else "not every combination"
    print(f"{table.name}: {len(table):,} networks, {len(table.axes)} choices, {kind}")
    print("| sampler | " + " | ".join(map(str, budgets)) + " | ms a trial |")
    print("|---" * (len(budgets) + 2) + "|")
    for name in dict.fromkeys(result["sampler"] for result in results):
        mine = [result for result in results if result["sampler"] == name]
        cells = [
            f"{r['regret']:.4f}"
            + ("" if r["standard_error"] is None else f" ± {r['standard_error']:.4f}")
            for r in mine
        ]
        print(f"| {name} | " + " | ".join(cells) + f" | {1e3 * mine[0]['seconds_per_trial']:.1f} |")


def pace(words: list[str]) -> None:
    """Prints how long one proposal takes when a study has so many trials."""
    parser = argparse.ArgumentParser(prog="samplers.py pace")
    parser.add_argument("--trials", default="100,1000,10000")
    parser.add_argument("--samplers", default="cost_aware")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args(words)
    print("| sampler | trials | median ms | largest ms |\n|---|---|---|---|")
    for name in arguments.samplers.split(","):
        for trials in map(int, arguments.trials.split(",")):
            taken = sampler_peers.asking_seconds(name, trials=trials, repeats=arguments.repeats)
            print(f"| {name} | {trials} | {1e3 * np.median(taken):.0f} | {1e3 * max(taken):.0f} |")


if __name__ == "__main__":
    main()
