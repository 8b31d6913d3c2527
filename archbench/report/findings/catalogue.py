"""How does a person read the catalogue: the list of networks, and the check of each?"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archbench.report.text import WIDTH, table

_SOURCE_WIDTH = 14
_QUANTITIES = (("params", "params", "parameters"), ("macs", "flops", "MACs"))


def list_text(models: Sequence[Mapping[str, Any]], *, titles: Mapping[str, str]) -> str:
    """The networks of a models document, family by family under its title.

    Under them stands what ablations change, and the top-1 of the base in the same table.
    """
    columns = ("network", "px", "parameters", "MACs", "top-1, printed in")
    rows = [_listed(model, title=titles[model["family"]]) for model in models]
    head, rule, *lines = table(columns, rows, align="lrrrl").split("\n")
    parts = [head, rule]
    pairs = zip(models, lines, strict=True)
    for family, members in itertools.groupby(pairs, key=lambda pair: pair[0]["family"]):
        title = textwrap.shorten(titles[family], WIDTH, placeholder=" ...")
        parts += [title, *(line for _, line in members)]
    if ablated := [_ablated(model) for model in models if model["ablation"]]:
        changes = ("ablation", "base", "what is changed")
        parts += ["", table(changes, ablated, align="lrl")]
    return "\n".join(parts)


def check_text(check: Mapping[str, Any], *, left_out: str) -> str:
    """Published against exact numbers, why they differ, and what was checked how.

    Args:
        check: A document of the schema ``archbench.models_check/1``.
        left_out: Why fvcore did not count a network.
    """
    models = check["models"]
    parts = [_parameters(models), _macs(models), _reasons(models), _how(models, left_out=left_out)]
    return "\n\n".join(part for part in parts if part)


def _listed(model: Mapping[str, Any], *, title: str) -> tuple[str, ...]:
    height, width = model["resolution"]
    return (
        model["name"],
        str(height) if height == width else f"{height}x{width}",
        f"{model['params']:,}",
        f"{model['macs']:,}",
        _top1(model["paper"], title=title),
    )


def _ablated(model: Mapping[str, Any]) -> tuple[str, ...]:
    base = model["paper"]["base_top1"]
    return model["name"], "" if base is None else f"{base:.1f}", model["paper"]["row"]


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


def _parameters(models: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            model["name"],
            f"{model['params']:,}",
            *_printed(model, "params", "params"),
            _same(model["built"]["params"], model["params"]),
            _same((model["released"] or {}).get("params"), model["params"]),
        )
        for model in models
    ]
    titles = ("network", "parameters", "printed", "off by", "built", "released")
    return table(titles, rows, align="lrrrll")


def _macs(models: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            model["name"],
            f"{model['macs']:,}",
            *_printed(model, "macs", "flops"),
            _same((model["fvcore"] or {}).get("macs"), model["macs"], unknown="not run"),
            _same((model["released"] or {}).get("macs"), model["macs"]),
        )
        for model in models
    ]
    titles = ("network", "MACs", "printed", "off by", "fvcore", "released")
    return table(titles, rows, align="lrrrll")


def _printed(model: Mapping[str, Any], what: str, key: str) -> tuple[str, str]:
    difference = model["difference"][what]
    if difference is None:
        return "", ""
    percent = round(100 * difference["share"], 1) + 0.0  # no minus before a zero
    return model["paper"][key], f"{percent:+.1f} %" if percent else "0.0 %"


def _same(count: int | None, exact: int, *, unknown: str = "unknown") -> str:
    if count is None:
        return unknown
    return "same" if count == exact else "DIFFERS"


def _reasons(models: Sequence[Mapping[str, Any]]) -> str:
    """Why printed numbers differ, networks with the same reason together."""
    found: dict[str, list[str]] = {}
    for model in models:
        for reason in _reasons_of(model):
            found.setdefault(reason, []).append(model["name"])
    if not found:
        return ""
    lines = [
        textwrap.fill(f"{', '.join(names)}: {reason}", WIDTH, subsequent_indent="  ")
        for reason, names in found.items()
    ]
    return "\n".join(["Printed is another number than the exact one, rounded:", *lines])


def _reasons_of(model: Mapping[str, Any]) -> Iterator[str]:
    kinds = {
        noun: model["difference"][what]["kind"]
        for what, _, noun in _QUANTITIES
        if model["difference"][what]
    }
    cut = [noun for noun, kind in kinds.items() if kind == "cut off"]
    other = [noun for noun, kind in kinds.items() if kind == "differs"]
    if cut:
        yield f"{' and '.join(cut)} cut off, not rounded"
    if other:
        yield f"{' and '.join(other)} ({model['paper']['reason'] or 'no reason is known'})"


def _how(models: Sequence[Mapping[str, Any]], *, left_out: str) -> str:
    number = len(models)
    without = [model["name"] for model in models if not model["fvcore"]]
    unknown = [model["name"] for model in models if not model["released"]]
    lines = [
        f"All {number} were built, on a device without memory, and their parameters counted."
        if number > 1
        else "It was built, on a device without memory, and its parameters counted.",
        f"fvcore counted a forward pass of {number - len(without)} of {number}.",
    ]
    if without:
        lines.append(f"Not run, {left_out}: {', '.join(without)}.")
    if unknown:
        lines.append(f"Not known is what released code counts of {', '.join(unknown)}.")
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines)
