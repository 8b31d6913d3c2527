"""How fast are networks beside one another: compared, estimated, and serving batches?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archbench.errors import UsageError
from archbench.report.element import Lines, Part, ReportTable, one_after_another
from archbench.report.finding import Finding
from archbench.report.number import NOT_THERE, runs_text, side, with_interval

_QUANTITIES = {"p50": "p50", "p95": "p95", "p99": "p99", "peak": "peak memory", "energy": "energy"}
_LIMIT = re.compile(r"(slower|faster|either)\s*:\s*(\d{1,3}(?:\.\d{1,3})?)\s*%")

_STAYED = (
    "Each network was timed at one memory placement, which alone can make 1 % of difference; "
    "longer --seconds or --backend eager time several placements."
)
_APART = (
    "Networks that see images of different sizes do different work; --resolution 224 compares them "
    "at one."
)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Which differences end a comparison with 1: slower, faster or either by more than a share."""

    direction: str
    share: float

    @classmethod
    def read(cls, text: str) -> Limit:
        """The limit that a person typed, as ``slower:3%``.

        Raises:
            UsageError: It is something else.
        """
        found = _LIMIT.fullmatch(text.strip().lower())
        if not found:
            raise UsageError(
                f"{text!r} is not a limit",
                place="--fail-if",
                help="write slower:3%, faster:3% or either:3%",
            )
        return cls(direction=found[1], share=float(found[2]) / 100)

    def is_broken_by(self, pair: Mapping[str, Any]) -> bool:
        """Whether the second differs from the first and is farther from it than the share."""
        if pair["outcome"] not in {"slower", "faster"}:
            return False
        is_meant = self.direction in {pair["outcome"], "either"}
        return is_meant and abs(pair["ratio"]["value"] - 1) > self.share

    def is_out_of_sight(self, pair: Mapping[str, Any]) -> bool:
        """Whether a difference of this size could not have been told from none."""
        ratio = pair["ratio"]
        return ratio["value"] is None or bool((ratio["high"] - ratio["low"]) / 2 > self.share)


def comparison(document: Mapping[str, Any]) -> Finding:
    """A comparison document: one sentence for each pair, then the times."""
    taken = [(entry["name"], entry["latency"]) for entry in document["networks"]]
    sides = [side(found["conditions"]["resolution"]) for _, found in taken]
    is_apart = len(set(sides)) > 1
    rows = [
        {
            "network": name,
            **({"px": own} if is_apart else {}),
            "ms (95 % interval)": with_interval(found["value"], found["low"], found["high"]),
            "passes": len(found["samples"]),
            "verdict": found["verdict"],
        }
        for (name, found), own in zip(taken, sides, strict=True)
    ]
    conditions = taken[0][1]["conditions"]
    stayed = any(
        pair["ratio"]["value"] is not None and not pair["placements"] for pair in document["pairs"]
    )
    where = f"latency on {runs_text(conditions)}, batch {conditions['batch']}, "
    where += "each network at its own resolution" if is_apart else f"{sides[0]} px"
    parts: list[Part] = [
        Lines([f"{sentence(pair)}." for pair in (*document["pairs"], *document["stored"])]),
        ReportTable(rows, align="lrrrl" if is_apart else "lrrl", notes=[where]),
        Lines([f"{n} is {f['verdict']}: {f['reason']}" for n, f in taken if f["reason"]]),
        Lines([stayed and _STAYED, is_apart and _APART]),
    ]
    return Finding(document, parts)


def sentence(pair: Mapping[str, Any]) -> str:
    """What a pair gave, in words that say which is which.

    >>> ratio = {"value": 1.041, "low": 1.032, "high": 1.05}
    >>> sentence({"first": "a", "second": "b", "outcome": "slower", "ratio": ratio, "rounds": 90})
    'b is 4.1 % (3.2 to 5.0 %) slower than a'
    """
    first, second, outcome = pair["first"], pair["second"], pair["outcome"]
    if outcome == "unknown":
        return f"{second} cannot be compared with {first}: {pair['reason']}"
    shares = [100 * (pair["ratio"][key] - 1) for key in ("value", "low", "high")]
    apart = "" if pair["rounds"] else ", timed in another process"
    if outcome == "tie":
        _, low, high = shares
        return f"{second} ties with {first}: its time differs by {low:+.1f} to {high:+.1f} %{apart}"
    value, *ends = (abs(share) for share in shares)
    low, high = sorted(ends)
    size = f"{value:.1f} % ({low:.1f} to {high:.1f} %)"
    if outcome == "slower":
        return f"{second} is {size} slower than {first}{apart}"
    return f"{second} is faster than {first}: it takes {size} less time{apart}"


def estimates(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """The entries of a document of the schema ``archbench.estimate/1``, fastest first."""
    entries = document["estimates"]
    names = Counter(entry["name"] for entry in entries)
    rows = [
        {
            # Networks of one space may bear one name.
            "network": entry["name"]
            + (f" {entry['digest'][:8]}" if names[entry["name"]] > 1 else ""),
            "px": side(entry["conditions"]["resolution"]),
            "family": entry["family"],
            "estimated ms": with_interval(entry["ms"], entry["low"], entry["high"]),
            "new blocks": entry["num_blocks_new"],
        }
        for entry in sorted(entries, key=lambda entry: float(entry["ms"]))
    ]
    errors = {
        entry["family"]: f"mean error of the {entry['family']} estimates: "
        f"{entry['error_percent']:.1f} %, on {entry['num_wholes']} measured networks, each left "
        "out of the fit in turn"
        for entry in entries
    }
    conditions = entries[0]["conditions"]
    notes = [
        f"on {runs_text(conditions)}, batch {conditions['batch']}: estimated, not measured, as the "
        "sum of the network's blocks, each timed alone with cold caches",
        *(errors[family] for family in sorted(errors)),
    ]
    first, *others = (row["network"] for row in rows)
    times = sorted(float(entry["ms"]) for entry in entries)
    answer = f"{first} takes about {times[0]:.3g} ms by estimate."
    if others:
        ratio = f"{times[-1] / times[0]:.3g}"
        answer = f"{first} is the fastest by estimate; {others[-1]} takes {ratio} times as long."
    parts: list[Part] = [answer, ReportTable(rows, align="llllr", notes=notes)]
    return Finding(document, parts, next_step)


def serving(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """A document of the schema ``archbench.serving/1``."""
    return Finding(document, [one_after_another(map(_served, document["networks"]))], next_step)


def _served(found: Mapping[str, Any]) -> list[Part]:
    """One network of such a document."""

    def text(quantity: Mapping[str, Any], *, scale: float = 1.0) -> str:
        value = quantity["value"]
        return NOT_THERE if value is None else f"{value * scale:.2f}"

    rows = [
        {
            "batch": entry["conditions"]["batch"],
            "ms": f"{entry['ms']:.2f}",
            "images/s": f"{entry['images_per_second']:,.1f}",
            **{f"wall {name}": text(entry[name]) for name in ("p50", "p95", "p99")},
            "peak MB": text(entry["peak"], scale=1e-6),
            "mJ/image": text(entry["energy"]),
        }
        for entry in found["batches"]
    ]
    conditions = found["batches"][0]["conditions"]
    under = f"{side(conditions['resolution'])} px, {runs_text(conditions)}, deployed form"
    return [
        _served_best(found),
        ReportTable(rows, align="rrrrrrrr"),
        Lines([under, *_serving_notes(found)], rest=""),
    ]


def _served_best(found: Mapping[str, Any]) -> str:
    """The batch to serve with, and how many images a second that makes."""
    batches, wanted = found["batches"], found["saturating_batch"]
    best = max(batches, key=lambda entry: float(entry["images_per_second"]))
    chosen = next((e for e in batches if e["conditions"]["batch"] == wanted), best)
    batch, rate = chosen["conditions"]["batch"], chosen["images_per_second"]
    why = "" if wanted is None else ", the smallest batch within 5 % of the best"
    return f"{found['name']} serves {rate:,.0f} images/s at batch {batch}{why}."


def _serving_notes(found: Mapping[str, Any]) -> list[str | bool]:
    batches = found["batches"]
    missing: dict[str, list[str]] = {}
    for entry in batches:
        for key, name in _QUANTITIES.items():
            if entry[key]["reason"]:
                text = f"{name}: not available: {entry[key]['reason']}"
                missing.setdefault(text, []).append(str(entry["conditions"]["batch"]))
    off_cpu = max(entry["off_cpu"] or 0.0 for entry in batches)
    return [
        "ms and images/s are calibrated latencies; wall p50, p95 and p99 are milliseconds of the "
        "wall clock, with all that other processes took; peak is the memory of a pass beside the "
        "weights.",
        *(
            text if len(lacking) == len(batches) else f"{text} (batch {', '.join(lacking)})"
            for text, lacking in missing.items()
        ),
        off_cpu > 0.05 and f"Other work held the core for up to {off_cpu:.0%} of the time.",
    ]
