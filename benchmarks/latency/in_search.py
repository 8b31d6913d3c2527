"""Is a latency that a search took what the network takes afterwards, on the quiet machine?

``study`` searches a space and times every trial again when nothing else runs, twice: in turn with
the study's anchor, as ``archbench measure`` does, and each by itself with the calibration networks
alone. Rows are added to a file, of which ``table`` makes the tables.

    python benchmarks/latency/in_search.py study quickstart --seed 0
    python benchmarks/latency/in_search.py study levit_edge --trials 16 --set proxy.rungs=[1]
    python benchmarks/latency/in_search.py table
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Row = dict[str, Any]
TOLD_APART = 0.03  # designs that differ by more are to be in the same order


def main() -> None:
    """Reads what was typed and does it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("study", "again", "table"))
    parser.add_argument("space", nargs="?", default="quickstart")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, help="as the space says by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="as in archbench search")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "in_search"))
    parser.add_argument("--label", default="now", help="of the version that is measured")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.what == "study":
        search(options)
    elif options.what == "again":
        print(json.dumps(timed_again(options.folder / options.space)))
    else:
        rows = (options.folder / "rows.jsonl").read_text().splitlines()
        print_table([json.loads(row) for row in rows])


def search(options: argparse.Namespace) -> None:
    """Searches in a process of its own, then times in another, and adds a row of each trial."""
    name = f"{options.space}-{options.label}-{options.seed}"
    command = ["search", options.space, "--name", name, "--results", options.folder]
    command += ["--seed", options.seed, "--workers", options.workers, "--no-certify"]
    command += ["--backend", "eager"]
    command += [
        word for value in ("search.confirm=false", *options.set) for word in ("--set", value)
    ]
    command += ["--trials", options.trials] if options.trials else []
    began = time.perf_counter()
    archbench = [sys.executable, "-c", "from archbench.cli.main import main; main()"]
    subprocess.run([*archbench, *map(str, command)], check=True)
    took = time.perf_counter() - began
    again = [sys.executable, __file__, "again", name, "--folder", str(options.folder)]
    rows = json.loads(subprocess.run(again, check=True, capture_output=True).stdout)
    head = {"space": options.space, "label": options.label, "seed": options.seed, "seconds": took}
    with (options.folder / "rows.jsonl").open("a") as file:
        file.writelines(json.dumps({**head, **row}) + "\n" for row in rows)


def timed_again(path: Path) -> list[Row]:
    """The latency of each trial in the search, and those that it has now."""
    from archbench.analysis.study import open_study
    from archbench.evaluate.remeasure import measure_elsewhere
    from archbench.evaluate.target import calibrated
    from archbench.models import as_spec

    searched = {record.number: record for record in open_study(path).trials()}
    document, _ = measure_elsewhere(path, trials="all")
    plain = calibrated(next(iter(searched.values())).latency.conditions)
    rows = []
    for row in document["trials"]:
        record = searched[row["trial"]]
        alone = plain.measure(as_spec(record.spec))
        before = record.latency
        rows.append(
            {
                "trial": record.number,
                "runs": before.details.get("runs"),
                "run_to_run": before.details.get("run_to_run"),
                "search": [before.value, before.low, before.high],
                "again": [row[f"latency{end}_ms"] for end in ("", "_low", "_high")],
                "alone": [alone.value, alone.low, alone.high],
            }
        )
    return rows


def print_table(rows: list[Row]) -> None:
    """One line for each study and way of timing again."""
    print(
        "| space | version | seed | trials | again | median shift % | middle 90 % | "
        "intervals that hold | tau over 3 % | run to run % | search s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    keys = dict.fromkeys((row["space"], row["label"], row["seed"]) for row in rows)
    for key in keys:
        own = [row for row in rows if (row["space"], row["label"], row["seed"]) == key]
        for way in ("again", "alone"):
            print(line(own, way=way))


def line(rows: list[Row], *, way: str) -> str:
    """The table's line of one study."""
    able = [row for row in rows if row["search"][0] and row[way][0]]
    shifts = [math.log(row[way][0] / row["search"][0]) for row in able]
    low, high = np.quantile(shifts, [0.05, 0.95], method="nearest")
    held = [holds(row["search"], row[way]) for row in able]
    first = rows[0]
    spread = first["run_to_run"]
    cells = [
        first["space"],
        first["label"],
        first["seed"],
        len(able),
        {"again": "beside the anchor", "alone": "beside calibration networks"}[way],
        f"{100 * median(shifts):+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        f"{sum(held)} of {len(held)}",
        f"{tau([(row['search'][0], row[way][0]) for row in able]):.3f}",
        "" if spread is None else f"{100 * spread:.1f}",
        f"{first['seconds']:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def holds(first: list[float], second: list[float]) -> bool:
    """Whether the 95 % interval of the difference holds none."""
    widths = [math.log(high / low) / 2 for _, low, high in (first, second)]
    return abs(math.log(second[0] / first[0])) <= math.hypot(*widths)


def tau(pairs: list[tuple[float, float]]) -> float:
    """Kendall's tau of the two orders among those that differ by more than 3 % in both."""
    score = number = 0
    for (a, b), (c, d) in combinations(pairs, 2):
        before, after = math.log(a / c), math.log(b / d)
        if max(abs(before), abs(after)) > TOLD_APART:
            number += 1
            score += 1 if before * after > 0 else -1
    return score / number if number else math.nan


if __name__ == "__main__":
    main()
