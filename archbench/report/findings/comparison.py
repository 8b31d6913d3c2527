"""Who is slower than whom, by how much, what ties, and which differences are too much?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archbench.errors import UsageError
from archbench.report.element import Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.number import runs_text, side, with_interval

_LIMIT = re.compile(r"(slower|faster|either)\s*:\s*(\d{1,3}(?:\.\d{1,3})?)\s*%")

_STAYED = (
    "each network lay in one place of memory, which alone makes up to 1 % of difference: more "
    "--seconds, or the backend eager, compare them in several places"
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


def finding(document: Mapping[str, Any], *, next_step: str = "") -> Finding:
    """A comparison document: times, then one sentence for each pair."""
    taken = [(entry["name"], entry["latency"]) for entry in document["networks"]]
    rows = [
        {
            "network": name,
            "ms (95 % interval)": with_interval(found["value"], found["low"], found["high"]),
            "passes": len(found["samples"]),
            "verdict": found["verdict"],
        }
        for name, found in taken
    ]
    conditions = taken[0][1]["conditions"]
    stayed = any(
        pair["ratio"]["value"] is not None and not pair["placements"] for pair in document["pairs"]
    )
    parts: list[Part] = [
        f"on {runs_text(conditions)}, batch {conditions['batch']}, "
        f"{side(conditions['resolution'])} px",
        ReportTable(rows, align="lrrl"),
        Lines([f"{n} is {f['verdict']}: {f['reason']}" for n, f in taken if f["reason"]]),
        Lines([sentence(pair) for pair in (*document["pairs"], *document["stored"])]),
        Lines([_STAYED] if stayed else []),
    ]
    return Finding(document, parts, next_step)


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
        return f"{second} ties with {first}: it takes {low:+.1f} to {high:+.1f} % more time{apart}"
    value, *ends = (abs(share) for share in shares)
    low, high = sorted(ends)
    size = f"{value:.1f} % ({low:.1f} to {high:.1f} %)"
    if outcome == "slower":
        return f"{second} is {size} slower than {first}{apart}"
    return f"{second} is faster than {first}: it takes {size} less time{apart}"
