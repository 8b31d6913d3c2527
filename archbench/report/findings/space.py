"""What does a space search: its question, axes, conditions, size and candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.document import to_flow, to_yaml
from archbench.report.element import Code, FactList, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.text import WIDTH, filled

_MOST_DEAD = 20


def listing(document: Mapping[str, Any]) -> Finding:
    """Several spaces, each with its size and the question that it answers."""
    spaces = [
        Code(
            f"{space['space']}: {number.exact(space['size'])} candidates\n"
            + filled(space["question"], first="  ", rest="  ")
        )
        for space in document["spaces"]
    ]
    return Finding(
        document=document,
        parts=spaces,
        next_step="archbench space show quickstart, or archbench search quickstart",
    )


def description(
    document: Mapping[str, Any], *, labels: Mapping[str, Sequence[object]], next_step: str
) -> Finding:
    """All that a space says.

    Args:
        document: The space as JSON.
        labels: Axis to its values, as tables show them.
        next_step: What to do next.
    """
    axes = {axis["name"]: ", ".join(map(str, labels[axis["name"]])) for axis in document["axes"]}
    for axis in document["axes"]:
        axes[axis["name"]] += f"\nwhen {axis['when']}" if axis["when"] else ""
    limits = ", ".join(f"{name} {value:g}" for name, value in document["limits"].items())
    conditions = {
        "require": "\n".join(document["require"]) or "nothing",
        "objectives": ", ".join(f"{name} {way}" for name, way in document["objectives"].items()),
        "limits": limits or "none",
        **{key: _section(document[key]) for key in ("target", "proxy", "search")},
    }
    parts: list[Part] = [
        f"{document['space']}: {document['question']}",
        f"{number.exact(document['size'])} candidates from {document['num_axes']} axes",
        *(_beside(facts) for facts in (axes, conditions)),
    ]
    return Finding(document=document, parts=parts, next_step=next_step)


def counts(
    document: Mapping[str, Any], *, dead: Sequence[tuple[str, Any, int | None]], next_step: str
) -> Finding:
    """The exact size, the feasible share, what excludes the rest, and dead choices.

    Args:
        document: Size and share as JSON.
        dead: Axis and value of each dead choice, and how many random candidates with it were
            looked at; None where all were.
        next_step: What to do next.
    """
    samples = document["samples"]
    looked = "all" if document["feasible_is_exact"] else f"{samples:,} random"
    size = number.exact(document["size"])
    lines = [
        f"{document['space']}: {size} candidates from {document['num_axes']} axes",
        f"feasible: {_share_text(document)}, by {looked} candidates",
    ]
    rows = [
        (reason, number.percent(count / samples)) for reason, count in document["excluded"].items()
    ]
    shown = ReportTable(titles=("excluded by", "share"), rows=rows, align="lr")
    parts: list[Part] = [Lines(lines), shown if rows else "", Code("\n".join(_dead(dead)))]
    return Finding(document=document, parts=parts, next_step=next_step)


def validity(document: Mapping[str, Any], *, name: str, next_step: str) -> Finding:
    """A space that can be searched, by the name that was typed."""
    told = f"{name} is valid: {document['size']:,} candidates, {_share_text(document)} feasible"
    return Finding(document=document, parts=[Code(told)], next_step=next_step)


def _share_text(document: Mapping[str, Any]) -> str:
    """The feasible share with its interval where it is not exact."""
    share, low, high = (document[f"feasible_{key}"] for key in ("share", "low", "high"))
    told = number.percent(share)
    return told if document["feasible_is_exact"] else f"{told} ({100 * low:.1f}-{100 * high:.1f})"


def candidates(document: Mapping[str, Any]) -> Finding:
    """Each candidate as a YAML document; what was chosen stands in its comment."""
    shown = []
    for entry in document["candidates"]:
        size = f"{entry['params']:,} parameters, {entry['macs']:,} MACs"
        chosen = "".join(f"#   {axis}: {to_flow(v)}\n" for axis, v in entry["choices"].items())
        shown.append(f"---\n# {entry['digest']}: {size}\n{chosen}{to_yaml(entry['spec'])}")
    return Finding(
        document=document,
        parts=[Code("\n".join(shown).rstrip("\n"))],
        next_step="keep one as a file and look at it: archbench profile FILE",
    )


def _dead(dead: Sequence[tuple[str, Any, int | None]]) -> list[str]:
    if not dead:
        return ["every value of every axis is in some feasible candidate"]
    lines = ["dead choices, in no feasible candidate:"]
    for axis, value, samples in dead[:_MOST_DEAD]:
        doubt = "" if samples is None else f"  (not in {samples:,} random ones)"
        lines.append(f"  {axis}: {to_flow(value)}{doubt}")
    rest = len(dead) - _MOST_DEAD
    return [*lines, f"  and {rest} more"] if rest > 0 else lines


def _section(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {to_flow(list(value) if isinstance(value, tuple) else value)}"
        for key, value in values.items()
        if value is not None
    )


def _beside(facts: Mapping[str, str]) -> FactList:
    return FactList(facts, left=min(WIDTH // 2, max(map(len, facts), default=0)) + 2)
