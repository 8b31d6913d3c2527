"""Is the house no slower than it was: the same work by two trees, in turn, in one run.

    python benchmarks/house/pace.py BEFORE AFTER [--rounds 5] [--study FOLDER] [--only NAME,NAME]

BEFORE and AFTER are folders that hold ``archbench/`` and ``benchmarks/``. Every round runs each
work once with either tree, in drawn order, in a process of its own. What is told is the median of
the ratios AFTER / BEFORE of the rounds, with the lowest and the highest.

The study is that of ``report`` and ``resumed_ask``; both trees must be able to read it, so the older
one writes it: ``large_study.py`` makes one of 10,000 trials. What was found stands in ``pace.md``.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_ASK = """
import sys, time
sys.path[:0] = {folders!r}
import sampler_peers
print(min(sampler_peers.asking_seconds("cost_aware", trials={trials}, repeats=5)))
"""


_SUGGESTING = """
import shutil, sys, tempfile, time
from pathlib import Path
import torch
from archbench.search.optuna_view import Ledger
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester
from archbench.space import SearchSpace
study, space = sys.argv[1], SearchSpace.load("hybrid")
suggester = Suggester(
    space, sampler=load_sampler("cost_aware"), seed=3, directions=list(space.objectives.values())
)
number = 0
if study:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(study, folder, dirs_exist_ok=True)
        with Ledger.open(Path(folder) / "study.db") as kept:
            number = len(kept.trials)
            suggester.restore(
                (kept.frozen(one), one.digest, kept.knowledge(one)) for one in kept.trials.values()
            )
begin = time.process_time()
suggester.suggest(number)
print(time.process_time() - begin)
"""


def main() -> None:
    """Reads what was typed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--only", default="help,profile,ask_1000,ask_10000,report")
    arguments = parser.parse_args()
    works = {
        "help": lambda tree: command(tree, "--help", wall=False),
        "profile": lambda tree: command(tree, "profile", "levit_128"),
        "ask_1000": lambda tree: asking(tree, trials=1_000),
        "ask_10000": lambda tree: asking(tree, trials=10_000),
        "first_ask": lambda tree: suggesting(tree, None),
        "resumed_ask": lambda tree: suggesting(tree, needed(arguments.study)),
        "report": lambda tree: report(tree, needed(arguments.study)),
        "quickstart": quickstart,
    }
    rng = random.Random(0)
    print("| work | before, s | after, s | after / before (lowest to highest) |\n|---|---|---|---|")
    for name in arguments.only.split(","):
        trees = {"before": arguments.before.resolve(), "after": arguments.after.resolve()}
        taken = in_turn(works[name], trees, rounds=arguments.rounds, rng=rng)
        ratios = [after / before for before, after in zip(*taken.values(), strict=True)]
        medians = [statistics.median(seconds) for seconds in taken.values()]
        print(
            f"| {name} | {medians[0]:.3g} | {medians[1]:.3g} | {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}) |",
            flush=True,
        )


def in_turn(
    work: Callable[[Path], float], trees: dict[str, Path], *, rounds: int, rng: random.Random
) -> dict[str, list[float]]:
    """The seconds of each tree in each round; one round before them warms the caches."""
    taken: dict[str, list[float]] = {name: [] for name in trees}
    for place in range(rounds + 1):
        for name in rng.sample(sorted(trees), k=len(trees)):
            seconds = work(trees[name])
            if place:
                taken[name].append(seconds)
    return taken


def command(tree: Path, *words: str, wall: bool = True) -> float:
    """Seconds of a command: by the clock, or those of the CPU."""
    program = "import sys; from archbench.cli.main import main; sys.exit(main())"
    before, begin = os.times(), time.perf_counter()
    run(tree, [sys.executable, "-c", program, *words])
    after = os.times()
    if wall:
        return time.perf_counter() - begin
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def asking(tree: Path, *, trials: int) -> float:
    """Seconds of one proposal in a study of so many trials, the least of five."""
    folders = [str(tree / "benchmarks"), str(tree / "benchmarks" / "samplers")]
    return float(run(tree, [sys.executable, "-c", _ASK.format(folders=folders, trials=trials)]))


def suggesting(tree: Path, study: Path | None) -> float:
    """CPU seconds of the first proposal of a search, in a new study or after the trials of one."""
    given = "" if study is None else str(study.resolve())
    return float(run(tree, [sys.executable, "-c", _SUGGESTING, given]))


def needed(study: Path | None) -> Path:
    """The study that was named."""
    if study is None:
        sys.exit("pace.py: --study FOLDER is missing")
    return study


def report(tree: Path, study: Path) -> float:
    """CPU seconds of the page, plots and tables of a study."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "study"
        shutil.copytree(study, copy)
        return command(tree, "report", str(copy), wall=False)


def quickstart(tree: Path) -> float:
    """Seconds of the README's first search."""
    with tempfile.TemporaryDirectory() as folder:
        return command(tree, "search", "quickstart", "--results", folder)


def run(tree: Path, words: list[str]) -> str:
    """What a program prints that imports the package from a tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        words, env=environment, cwd=tree, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{tree}: {' '.join(words[-3:])}: {done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
