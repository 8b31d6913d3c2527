"""How does a person read where the time of a network goes: stage by stage and block by block."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from archbench.report import number
from archbench.report.text import WIDTH, table


def where_text(found: Mapping[str, Any]) -> str:
    """A document of the schema ``archbench.where/1`` in 80 columns."""
    whole = found["whole_ms"]
    rows = []
    for stage, group in groupby(found["parts"], key=lambda part: part["stage"]):
        parts = list(group)
        if stage is not None:
            rows.append(_row(f"stage {stage}", _sum(parts), whole=whole, bound=""))
        rows += [
            _row(_name(part), part, whole=whole, bound=_bound(part), is_part=stage is not None)
            for part in parts
        ]
    between = found["between_ms"]
    share = number.percent(between / whole)
    rows.append(("between", f"{between:.2f}", share, "", "", "", "", ""))
    rows.append(("whole", f"{whole:.2f}", "", *_rates(_sum(found["parts"]), ms=whole), "", ""))
    titles = ("part", "ms", "share", "MACs", "MB", "GFLOP/s", "roof", "held up by")
    return "\n\n".join((_heading(found), table(titles, rows, align="lrrrrrrl"), _legend(found)))


def _row(
    name: str,
    part: Mapping[str, Any],
    *,
    whole: float,
    bound: str,
    is_part: bool = False,
) -> tuple[str, ...]:
    return (
        f"  {name}" if is_part else name,
        f"{part['ms']:.2f}",
        number.percent(part["ms"] / whole),
        *_rates(part, ms=part["ms"]),
        f"{100 * part['roof_share']:.0f} %" if bound else "",
        bound,
    )


def _rates(part: Mapping[str, Any], *, ms: float) -> tuple[str, ...]:
    moved = (part["weight_bytes"] + part["activation_bytes"]) / 1e6
    rate = 2 * part["macs"] / ms / 1e6 if ms else 0.0
    return number.short(part["macs"]), f"{moved:.1f}", f"{rate:.0f}"


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("ms", "macs", "weight_bytes", "activation_bytes")
    return {key: sum(part[key] for part in parts) for key in keys}


def _name(part: Mapping[str, Any]) -> str:
    if part["stage"] is None:
        return "head"
    layer = part["place"].rpartition("[")[2].rstrip("]")
    return part["kind"] if part["place"].endswith("embed") else f"{layer} {part['kind']}"


def _bound(part: Mapping[str, Any]) -> str:
    if part["bound_by"] != "overhead":
        return str(part["bound_by"])
    return f"{part['operators']} operators"


def _heading(found: Mapping[str, Any]) -> str:
    conditions = found["conditions"]
    threads = f" x{conditions['threads']}" if conditions["device"] == "cpu" else ""
    resolution = "x".join(map(str, conditions["resolution"]))
    return (
        f"{found['name']}: {resolution} px, batch {conditions['batch']}, "
        f"{conditions['device']}{threads}, {conditions['backend']} {conditions['precision']}, "
        "deployed form"
    )


def _legend(found: Mapping[str, Any]) -> str:
    limits = found["limits"]
    lines = [
        f"{found['rounds']} passes; timing the parts made the network take "
        f"{found['watched_ms']:.2f} ms instead of {found['whole_ms']:.2f}.",
        "MB: each operator reads its inputs, weights among them, and writes its outputs once.",
        f"roof: the share of the time that this machine needs at least, at {limits['gflops']:.0f} "
        f"GFLOP/s, {limits['memory_gbs']:.0f} GB/s from memory for weights, "
        f"{limits['cache_gbs']:.0f} GB/s from the cache for the rest.",
        "held up by: which alone would take longest: compute, memory, or so many operators of "
        f"{limits['operator_us']:.1f} µs.",
    ]
    if (found["off_cpu_share"] or 0) > 0.05:
        lines.append(f"Other work held the core for {found['off_cpu_share']:.0%} of the time.")
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH))
