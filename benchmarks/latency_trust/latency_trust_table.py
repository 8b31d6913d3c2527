"""What do the samples of latency_trust.py say: the tables, by functions of rows alone."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

LOADS = ("quiet", "other core", "same core")
COPIES = {"a": 6, "b": 2}
"""How many copies of a network and of a slower one are timed together."""
PAIRS = {
    "same": tuple(itertools.combinations([f"a{i}" for i in range(COPIES["a"])], 2)),
    "slower": tuple((f"a{i}", f"b{j}") for i in range(COPIES["a"]) for j in range(COPIES["b"])),
}
"""Which of them are compared: each with each, so that pairs of one session share copies."""

ESTIMATORS = {
    "ours": "ours",
    "timm": "timm benchmark.py",
    "blocked_autorange": "blocked_autorange",
}
_Z = 1.96

Row = dict[str, Any]


def spread(values: Sequence[float]) -> float:
    """The coefficient of variation."""
    return statistics.stdev(values) / statistics.mean(values)


def errors(values: Sequence[float], *, truth: float) -> tuple[float, float]:
    """The worst distance from the truth, and that of the median with its sign; as shares."""
    worst = max(abs(value / truth - 1) for value in values)
    return worst, statistics.median(values) / truth - 1


def share_interval(hits: int, number: int, *, draws: int | None = None) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    Args:
        hits: How often it was so.
        number: Of how many.
        draws: How many of these count as independent; all by default.
    """
    n = draws or number
    p = hits / number
    middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def draws(rows: Sequence[Row], outcome: str) -> int:
    """How many independent comparisons say as much as these, which share copies.

    By how far the shares of sessions spread (Kish 1965, "Survey sampling", sec. 8.2); where all
    comparisons agree, as many as share no copy.
    """
    sessions: dict[str, list[bool]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(row["outcome"] == outcome)
    shares = [statistics.mean(hits) for hits in sessions.values()]
    share = statistics.mean(shares)
    if len(shares) < 2 or statistics.pvariance(shares) == 0:
        return len(sessions) * min(COPIES.values())
    error = statistics.variance(shares) / len(shares)
    return max(len(sessions), min(len(rows), round(share * (1 - share) / error)))


def true_ratio(rows: Sequence[Row]) -> tuple[float, float]:
    """The ratio of all comparisons together, and its standard error by the spread of sessions."""
    logs: dict[str, list[float]] = {}
    for row in rows:
        if row["ratio"] is not None:
            logs.setdefault(row["session"], []).append(math.log(row["ratio"]))
    means = [statistics.mean(found) for found in logs.values()]
    ratio = math.exp(statistics.mean(means))
    error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return ratio, error * ratio


def process_table(rows: Sequence[Row]) -> list[str]:
    """Variation and errors between fresh processes, a line for network, load and estimator."""
    lines = [
        "| network | load | estimator | n | median ms | CV % | worst error % | bias % | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        for load in LOADS:
            for key, title in ESTIMATORS.items():
                mine = [r for r in rows if (r["network"], r["estimator"]) == (name, key)]
                values = [r["ms"] for r in mine if r["load"] == load]
                quiet = [r["ms"] for r in mine if r["load"] == "quiet"]
                if len(values) < 2 or not quiet:
                    continue
                worst, bias = errors(values, truth=statistics.median(quiet))
                seconds = [r["seconds"] for r in mine if r["load"] == load]
                lines.append(
                    f"| {name} | {load} | {title} | {len(values)} "
                    f"| {statistics.median(values):.3f} | {spread(values) * 100:.2f} "
                    f"| {worst * 100:.1f} | {bias * 100:+.1f} "
                    f"| {statistics.median(seconds):.1f} (to {max(seconds):.1f}) |"
                )
    return lines


def verdict_table(rows: Sequence[Row]) -> list[str]:
    """What our measurements say of themselves."""
    lines = [
        "| network | load | off CPU % | interval ±% | disturbed | passes "
        "| CPU time without calibration: CV / bias % | forms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["network"] for row in rows):
        for load in LOADS:
            mine = [r for r in rows if (r["network"], r["estimator"]) == (name, "ours")]
            found = [r for r in mine if r["load"] == load]
            quiet = [r["cpu_ms"] for r in mine if r["load"] == "quiet"]
            if len(found) < 2 or not quiet:
                continue
            cpu = [r["cpu_ms"] for r in found]
            bias = errors(cpu, truth=statistics.median(quiet))[1]
            width = statistics.median((r["high"] - r["low"]) / 2 / r["ms"] for r in found)
            lines.append(
                f"| {name} | {load} "
                f"| {statistics.median(r['off_cpu_share'] for r in found) * 100:.1f} "
                f"| {width * 100:.1f} "
                f"| {sum(r['verdict'] == 'disturbed' for r in found)} of {len(found)} "
                f"| {statistics.median(r['forwards'] for r in found):.0f} "
                f"| {spread(cpu) * 100:.1f} / {bias * 100:+.1f} "
                f"| {len({r['forms'] for r in found})} |"
            )
    return lines


def comparison_table(rows: Sequence[Row]) -> list[str]:
    """How often what was judged, by load and by what was compared."""
    lines = [
        "| load | compared | n | sessions | true ratio | faster % | slower % "
        "| interval of a comparison ±% | rounds | places | seconds | off CPU % |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for load in LOADS:
        for kind in dict.fromkeys(row["kind"] for row in rows):
            found = [r for r in rows if (r["load"], r["kind"]) == (load, kind)]
            if not found:
                continue
            ratio, error = true_ratio(found)
            widths = [r["half_width"] for r in found if r["half_width"] is not None]
            lines.append(
                f"| {load} | {kind} | {len(found)} | {len({r['session'] for r in found})} "
                f"| {ratio:.4f} ± {_Z * error:.4f} "
                f"| {_share(found, 'faster')} "
                f"| {_share(found, 'slower')} "
                f"| {statistics.median(widths) * 100:.1f} "
                f"| {statistics.median(r['rounds'] for r in found):.0f} "
                f"| {statistics.median(r['placements'] for r in found):.0f} "
                f"| {statistics.median(r['seconds'] for r in found):.1f} "
                f"| {statistics.median(r['off_cpu_share'] for r in found) * 100:.1f} |"
            )
    return lines


def _share(rows: Sequence[Row], outcome: str) -> str:
    hits = sum(row["outcome"] == outcome for row in rows)
    low, high = share_interval(hits, len(rows), draws=draws(rows, outcome))
    return f"{hits / len(rows) * 100:.1f} ({low * 100:.1f}–{high * 100:.1f})"


def print_tables(rows: Sequence[Row]) -> None:
    parts = {part: [row for row in rows if row["part"] == part] for part in ("processes",)}
    parts["comparisons"] = [row for row in rows if row["part"] == "comparisons"]
    if parts["processes"]:
        print("\n".join([*process_table(parts["processes"]), ""]))
        print("\n".join([*verdict_table(parts["processes"]), ""]))
    if parts["comparisons"]:
        print("\n".join([*comparison_table(parts["comparisons"]), ""]))
    seconds = sorted(row["seconds"] for row in rows if row["part"] == "profile")
    if seconds:
        print(f"archbench profile levit_128: {', '.join(f'{s:.1f}' for s in seconds)} s")
