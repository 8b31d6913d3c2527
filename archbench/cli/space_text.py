"""How does a person read a space: its question, axes, conditions, size and candidates."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from archbench.report import number
from archbench.report.document import to_flow, to_yaml
from archbench.report.text import WIDTH, table
from archbench.space import Axis, Choices, SearchSpace, Share

_MOST_DEAD = 20


def listing(spaces: Sequence[SearchSpace]) -> str:
    """Several spaces, each with its size and the question that it answers."""
    return "\n\n".join(
        f"{space.name}: {number.exact(space.size())} candidates\n"
        + textwrap.fill(space.question, WIDTH, initial_indent="  ", subsequent_indent="  ")
        for space in spaces
    )


def description(space: SearchSpace) -> str:
    """All that a space says, in 80 columns."""
    pairs: list[tuple[str, str]] = [(axis.name, _values(axis)) for axis in space.axes]
    conditions = [
        ("require", "\n".join(space.require) or "nothing"),
        ("objectives", ", ".join(f"{name} {way}" for name, way in space.objectives.items())),
        ("limits", ", ".join(f"{k} {v:g}" for k, v in space.limits.items()) or "none"),
        ("target", _section(asdict(space.target))),
        ("proxy", _section(asdict(space.proxy))),
        ("search", _section(asdict(space.search))),
    ]
    return "\n\n".join(
        [
            textwrap.fill(f"{space.name}: {space.question}", WIDTH),
            f"{number.exact(space.size())} candidates from {len(space.axes)} axes",
            _pairs(pairs),
            _pairs(conditions),
        ]
    )


def written(space: SearchSpace) -> dict[str, Any]:
    """What a space says, as plain JSON values."""
    return {
        "base": dict(space.base),
        "axes": [
            {
                "name": axis.name,
                "values": list(axis.values),
                "when": axis.when.text if axis.when else None,
            }
            for axis in space.axes
        ],
        "require": list(space.require),
        "objectives": dict(space.objectives),
        "limits": dict(space.limits),
        "target": asdict(space.target),
        "proxy": asdict(space.proxy),
        "search": asdict(space.search),
        "text": space.text,
    }


def counts(space: SearchSpace) -> str:
    """The exact size, the feasible share, what excludes the rest, and dead choices."""
    share = space.feasible()
    looked = "all" if share.is_exact else f"{share.samples:,} random"
    lines = [
        f"{space.name}: {number.exact(space.size())} candidates from {len(space.axes)} axes",
        f"feasible: {share_text(share)}, by {looked} candidates",
    ]
    if share.excluded:
        rows = [(reason, number.percent(count / share.samples)) for reason, count in share.excluded]
        lines += ["", table(("excluded by", "share"), rows, align="lr")]
    return "\n".join([*lines, "", *_dead(space)])


def share_text(share: Share) -> str:
    """A share with its interval where it is not exact."""
    told = number.percent(share.value)
    return told if share.is_exact else f"{told} ({100 * share.low:.1f}-{100 * share.high:.1f})"


def candidate(space: SearchSpace, choices: Choices) -> dict[str, Any]:
    """One candidate as plain JSON values."""
    from archbench.models import count

    spec = space.decode(choices)
    counted = count(spec)
    return {
        "digest": spec.digest,
        "choices": space.values(choices),
        "params": counted.params,
        "macs": counted.macs,
        "activations": counted.activations,
        "spec": spec.to_document(),
    }


def candidate_text(entry: Mapping[str, Any]) -> str:
    """One candidate as a YAML document; what was chosen stands in its comment."""
    chosen = "".join(f"#   {name}: {to_flow(value)}\n" for name, value in entry["choices"].items())
    size = f"{entry['params']:,} parameters, {entry['macs']:,} MACs"
    return f"---\n# {entry['digest']}: {size}\n{chosen}{to_yaml(entry['spec'])}"


def _dead(space: SearchSpace) -> list[str]:
    dead = space.dead_choices()
    if not dead:
        return ["every value of every axis is in some feasible candidate"]
    lines = ["dead choices, in no feasible candidate:"]
    for choice in dead[:_MOST_DEAD]:
        doubt = "" if choice.is_certain else f"  (not in {choice.samples:,} random ones)"
        lines.append(f"  {choice.axis}: {to_flow(choice.value)}{doubt}")
    rest = len(dead) - _MOST_DEAD
    return [*lines, f"  and {rest} more"] if rest > 0 else lines


def _values(axis: Axis) -> str:
    values = ", ".join(str(axis.label(index)) for index in range(len(axis.values)))
    return f"{values}\nwhen {axis.when.text}" if axis.when else values


def _section(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {to_flow(list(value) if isinstance(value, tuple) else value)}"
        for key, value in values.items()
        if value is not None
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    """Names at the left, their texts wrapped beside them."""
    left = min(40, max((len(name) for name, _ in pairs), default=0)) + 2
    lines = []
    for name, text in pairs:
        wrapped = [
            line
            for part in text.split("\n")
            for line in textwrap.wrap(part, WIDTH - left, break_on_hyphens=False)
        ] or [""]
        lines.append(f"{name:<{left}}{wrapped[0]}".rstrip())
        lines += [f"{'':<{left}}{line}" for line in wrapped[1:]]
    return "\n".join(lines)
