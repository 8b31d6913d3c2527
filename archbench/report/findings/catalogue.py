"""The catalogue of published networks: the list, and the check of each."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archbench.report.document import to_yaml
from archbench.report.element import Code, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.text import WIDTH

_SOURCE_WIDTH = 14


def listing(document: Mapping[str, Any], *, titles: Mapping[str, str], next_step: str) -> Finding:
    """The networks of a models document, family by family under its title.

    Under them stands what ablations change, and the top-1 of the base in the same table.
    """
    models = document["models"]
    rows: list[Mapping[str, object] | str] = []
    for family, members in itertools.groupby(models, key=lambda model: model["family"]):
        rows.append(textwrap.shorten(titles[family], WIDTH, placeholder=" ..."))
        for model in members:
            height, width = model["resolution"]
            rows.append(
                {
                    "network": model["name"],
                    "px": height if height == width else f"{height}x{width}",
                    "parameters": f"{model['params']:,}",
                    "MACs": f"{model['macs']:,}",
                    "top-1, printed in": _top1(model["paper"], title=titles[family]),
                }
            )
    ablated = [
        {
            "ablation": model["name"],
            "base": "" if (top1 := model["paper"]["base_top1"]) is None else f"{top1:.1f}",
            "what is changed": model["paper"]["row"],
        }
        for model in models
        if model["ablation"]
    ]
    shown = [ReportTable(rows, align="lrrrl"), ReportTable(ablated, align="lrl")]
    return Finding(document, shown, next_step)


def network(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """One network as YAML, its counts and what its paper prints in comments."""
    (model,) = document["models"]
    paper = model["paper"]
    comments = [
        paper["source"],
        f"parameters: {model['params']:,} (paper: {paper['params'] or 'not printed'})",
        f"MACs: {model['macs']:,} (paper: {paper['flops'] or 'not printed'})",
        *(paper[key] for key in ("row", "reason", "note") if paper[key]),
    ]
    shown = "".join(f"# {comment}\n" for comment in comments) + to_yaml(model["spec"]).rstrip("\n")
    return Finding(document, [Code(shown)], next_step)


def check(document: Mapping[str, Any], *, left_out: str, is_good: bool) -> Finding:
    """Published against exact numbers, why they differ, and what was checked how.

    Args:
        document: Of the schema ``archbench.models_check/1``.
        left_out: Why fvcore did not count a network.
        is_good: Whether no count differs that should agree.
    """
    models = document["models"]
    parts: list[Part] = [
        _counted(models, ("params", "parameters", "params"), by=("built", "unknown")),
        _counted(models, ("macs", "MACs", "flops"), by=("fvcore", "not run")),
        Lines(_reasons(models)),
        Lines(_how(models, left_out=left_out)),
    ]
    step = "archbench models show NAME says how one is written" if is_good else ""
    return Finding(document, parts, step)


def _top1(paper: Mapping[str, Any], *, title: str) -> str:
    """The accuracy and where it is printed, which is cut at a comma to leave 80 columns."""
    if paper["top1"] is None:
        return "none"
    # Under the title of a paper its name need not stand again.
    source = paper["source"].removeprefix(f"{title.partition(':')[0]}, ")
    parts = source.split(", ")
    while len(parts) > 1 and len(", ".join(parts)) > _SOURCE_WIDTH:
        parts.pop()
    return f"{paper['top1']:.1f}, {', '.join(parts)}"


def _counted(
    models: Sequence[Mapping[str, Any]], names: tuple[str, str, str], *, by: tuple[str, str]
) -> ReportTable:
    """Exact counts beside printed ones, and beside what the built and the released code give."""
    what, noun, printed = names
    counter, unknown = by
    rows = []
    for model in models:
        exact, difference = model[what], model["difference"][what]
        percent = round(100 * difference["share"], 1) + 0.0 if difference else 0.0  # never -0.0
        rows.append(
            {
                "network": model["name"],
                noun: f"{exact:,}",
                "printed": model["paper"][printed] if difference else "",
                "off by": f"{percent:{'+' if percent else ''}.1f} %" if difference else "",
                counter: _same((model[counter] or {}).get(what), exact, unknown=unknown),
                "released": _same((model["released"] or {}).get(what), exact),
            }
        )
    return ReportTable(rows, align="lrrrll")


def _same(count: int | None, exact: int, *, unknown: str = "unknown") -> str:
    if count is None:
        return unknown
    return "same" if count == exact else "DIFFERS"


def _reasons(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why printed numbers differ, networks with the same reason together."""
    found: dict[str, list[str]] = {}
    for model in models:
        for reason in _reasons_of(model):
            found.setdefault(reason, []).append(model["name"])
    told = [f"{', '.join(names)}: {reason}" for reason, names in found.items()]
    return ["Printed is another number than the exact one, rounded:", *told] if told else []


def _reasons_of(model: Mapping[str, Any]) -> Iterator[str]:
    kinds = {
        noun: model["difference"][what]["kind"]
        for what, noun in (("params", "parameters"), ("macs", "MACs"))
        if model["difference"][what]
    }
    cut = [noun for noun, kind in kinds.items() if kind == "cut off"]
    other = [noun for noun, kind in kinds.items() if kind == "differs"]
    if cut:
        yield f"{' and '.join(cut)} cut off, not rounded"
    if other:
        yield f"{' and '.join(other)} ({model['paper']['reason'] or 'no reason is known'})"


def _how(models: Sequence[Mapping[str, Any]], *, left_out: str) -> list[str]:
    count = len(models)
    without = [model["name"] for model in models if not model["fvcore"]]
    unknown = [model["name"] for model in models if not model["released"]]
    return [
        f"All {count} were built, on a device without memory, and their parameters counted."
        if count > 1
        else "It was built, on a device without memory, and its parameters counted.",
        f"fvcore counted a forward pass of {count - len(without)} of {count}.",
        f"Not run, {left_out}: {', '.join(without)}." if without else "",
        f"Not known is what released code counts of {', '.join(unknown)}." if unknown else "",
    ]
