"""How well do the rungs of a schedule order the networks of a table of trainings?

What ``archbench certify`` says of a sample, said of networks of a table (trained_table.py), drawn
by chance from those that were trained with so many seeds: each rung of one seed is held against the
end of the others. Nothing in the table was trained longer, so this tells where on the way networks
may be compared and how much seeds scatter; it does not judge the length of the schedule.

    python benchmarks/hybrids/table_ranks.py TABLE.jsonl... --seeds 2 --networks 64
"""

from __future__ import annotations

import argparse
import random
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

from archbench.analysis.judgement import CandidateRecord, judge
from archbench.analysis.statistics import estimate_text
from archbench.report.number import percent

_BAR = 0.125  # chance is a tenth, and this three standard errors of 1,536 images above it


def main() -> None:
    """Parses and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=2, help="of each network")
    parser.add_argument("--networks", type=int, default=64, help="at most so many")
    given = parser.parse_args()
    found = candidates(given.tables, num_seeds=given.seeds)
    print(text(random.Random(0).sample(found, min(given.networks, len(found)))))
    print(f"of {len(found)} with {given.seeds} seeds")


def candidates(tables: list[Path], *, num_seeds: int) -> list[CandidateRecord]:
    """The networks that the tables hold with their first so many seeds."""
    from trained_table import read_lines

    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for table in tables:
        for line in read_lines(table):
            found[line["digest"]][line["seed"]] = line
    return [
        CandidateRecord(
            digest=digest,
            choices=lines[0]["choices"],
            params=lines[0]["params"],
            macs=lines[0]["macs"],
            proxy={
                seed: dict(enumerate(lines[seed]["accuracy"], start=1)) for seed in range(num_seeds)
            },
        )
        for digest, lines in found.items()
        if all(seed in lines for seed in range(num_seeds))
    ]


def text(used: list[CandidateRecord]) -> str:
    """A table of taus, and the spread."""
    finding = judge(used, proxy_seeds=1, bar=_BAR, holds_for="")
    rows = [
        "| score | median | at equal cost | near the front | overall |",
        "|---|---|---|---|---|",
    ]
    apart, ceiling = finding.spread, finding.ceiling
    assert apart is not None, "there are several seeds"
    assert ceiling is not None
    scores = {f"epoch {r.epoch} | {percent(r.median)}": r.agreement for r in finding.rungs}
    scores |= {f"{name} | ": size for name, size in {**finding.nulls, "ceiling": ceiling}.items()}
    for name, agreement in scores.items():
        three = (agreement.at_equal_cost, agreement.near_front, agreement.overall)
        rows.append(f"| {name} | {' | '.join(map(estimate_text, three))} |")
    deviations = (
        f"{100 * apart.seeds:.1f} between seeds of one, {100 * apart.candidates:.1f} between "
        f"networks, {100 * apart.at_equal_cost:.1f} between networks of equal cost"
    )
    told = (
        f"{finding.num_used} networks; standard deviations in points: {deviations}; "
        f"rungs that follow: {list(finding.rungs_advised)}"
    )
    return "\n".join([*rows, "", textwrap.fill(told, 100)])


if __name__ == "__main__":
    main()
