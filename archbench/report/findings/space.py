"""What does a space search: its question, axes, conditions, size and candidates."""

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report.document import to_flow, to_yaml
from archbench.report.element import Code, FactList, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.number import percent
from archbench.report.text import WIDTH

_MOST_DEAD = 20
_ALIVE = "every value of every axis is in some feasible candidate"


def listing(document: Mapping[str, Any]) -> Finding:
    """Several spaces, each with its size and the question that it answers."""
    spaces = [
        Lines([f"{space['space']}: {space['size']:,} candidates", f"  {space['question']}"])
        for space in document["spaces"]
    ]
    return Finding(document, spaces, "archbench search quickstart")


def description(
    document: Mapping[str, Any], *, labels: Mapping[str, Sequence[object]], next_step: str
) -> Finding:
    """All that a space says; its labels are the values of each axis, as tables show them."""
    axes = {
        axis["name"]: ", ".join(map(str, labels[axis["name"]]))
        + (f"\nwhen {axis['when']}" if axis["when"] else "")
        for axis in document["axes"]
    }
    limits = ", ".join(f"{name} {value:g}" for name, value in document["limits"].items())
    sections = {
        section: ", ".join(
            f"{key} {to_flow(value)}"
            for key, value in document[section].items()
            if value is not None
        )
        for section in ("target", "proxy", "search")
    }
    known = document["baselines"]
    conditions = {
        "require": "\n".join(document["require"]) or "nothing",
        "objectives": ", ".join(f"{name} {way}" for name, way in document["objectives"].items()),
        "limits": limits or "none",
        **sections,
        "baselines": "chosen by their latency" if known is None else ", ".join(known) or "none",
    }
    parts: list[Part] = [
        f"{document['space']}: {document['question']}",
        f"{document['size']:,} candidates from {document['num_axes']} axes",
        *(
            FactList(facts, left=min(WIDTH // 2, max(map(len, facts), default=0)) + 2)
            for facts in (axes, conditions)
        ),
    ]
    return Finding(document, parts, next_step)


def written(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """The text of a space file, as it is."""
    return Finding(document, [Code(document["text"].rstrip("\n"))], next_step)


def counts(
    document: Mapping[str, Any], *, dead: Sequence[Mapping[str, Any]], next_step: str
) -> Finding:
    """The exact size, the feasible share, what excludes the rest, and dead choices."""
    samples = document["samples"]
    looked = "all" if document["feasible_is_exact"] else f"{samples:,} random"
    size = f"{document['size']:,} candidates from {document['num_axes']} axes"
    lines = [
        f"{document['space']}: {size}",
        f"feasible: {_share_text(document)}, by {looked} candidates",
    ]
    rows = [
        {"excluded by": reason, "share": percent(count / samples)}
        for reason, count in document["excluded"].items()
    ]
    lost = [
        f"  {choice['axis']}: {to_flow(choice['value'])}"
        + ("" if choice["is_certain"] else f"  (not in {choice['samples']:,} random ones)")
        for choice in dead[:_MOST_DEAD]
    ]
    lost += [f"  and {len(dead) - _MOST_DEAD} more"] if len(dead) > _MOST_DEAD else []
    told = "\n".join(["dead choices, in no feasible candidate:", *lost]) if dead else _ALIVE
    return Finding(document, [Lines(lines), ReportTable(rows, align="lr"), Code(told)], next_step)


def validity(document: Mapping[str, Any], *, name: str, next_step: str) -> Finding:
    """A space that can be searched, by the name that was typed."""
    told = f"{name} is valid: {document['size']:,} candidates, {_share_text(document)} feasible"
    return Finding(document, [Code(told)], next_step)


def _share_text(document: Mapping[str, Any]) -> str:
    """The feasible share with its interval where it is not exact."""
    share, low, high = (document[f"feasible_{key}"] for key in ("share", "low", "high"))
    told = percent(share)
    return told if document["feasible_is_exact"] else f"{told} ({100 * low:.1f}-{100 * high:.1f})"


def candidates(document: Mapping[str, Any]) -> Finding:
    """Each candidate as a YAML document; what was chosen stands in its comment."""
    shown = []
    for entry in document["candidates"]:
        size = f"{entry['params']:,} parameters, {entry['macs']:,} MACs"
        chosen = "".join(f"#   {axis}: {to_flow(v)}\n" for axis, v in entry["choices"].items())
        shown.append(f"---\n# {entry['digest']}: {size}\n{chosen}{to_yaml(entry['spec'])}")
    return Finding(document, [Code("\n".join(shown).rstrip("\n"))], "archbench profile FILE")
