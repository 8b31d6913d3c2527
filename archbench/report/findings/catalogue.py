"""The catalogue of published networks: the list, and the check of each."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.command_line import command_line
from archbench.report.document import to_yaml
from archbench.report.element import Code, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.text import WIDTH

_SOURCE_WIDTH = 14


def listing(document: Mapping[str, Any], *, titles: Mapping[str, str], next_step: str) -> Finding:
    """The networks of a models document, by family; under them what ablations change."""
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
            "base": (top1 := model["paper"]["base_top1"]) and f"{top1:.1f}",
            "what is changed": model["paper"]["row"],
        }
        for model in models
        if model["ablation"]
    ]
    notes = [
        "MACs: multiply-adds, one counted as 1; papers print them as FLOPs",
        "top-1: the paper's own, in percent of ImageNet-1k's validation images",
    ]
    shown = [ReportTable(rows, align="lrrrl", notes=notes), ReportTable(ablated, align="lrl")]
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

    Left out is why fvcore did not count a network; good, if no count differs that should agree.
    """
    models = document["models"]
    differ = [model["name"] for model in models if model["faults"]]
    several = (
        f"All {len(models)} networks count" if len(models) > 1 else f"{models[0]['name']} counts"
    )
    told = f"{several} exactly what the released code counts, where that is known."
    parts: list[Part] = [
        f"Counts differ from what they should be: {', '.join(differ)}." if differ else told,
        _counted(
            models, "params", noun="parameters", printed="params", by="built", unknown="unknown"
        ),
        _counted(models, "macs", noun="MACs", printed="flops", by="fvcore", unknown="not run"),
        Lines(_reasons(models)),
        Lines(_how(models, left_out=left_out)),
    ]
    step = command_line("archbench", "models", "show", models[0]["name"]) if is_good else ""
    return Finding(document, parts, step)


def _top1(paper: Mapping[str, Any], *, title: str) -> str:
    """The accuracy and where it is printed, which is cut at a comma to leave 80 columns."""
    if paper["top1"] is None:
        return "none"
    # Under the title of a paper its name need not stand again.
    source = paper["source"].removeprefix(f"{title.partition(':')[0]}, ")
    while ", " in source and len(source) > _SOURCE_WIDTH:
        source = source.rpartition(", ")[0]
    return f"{paper['top1']:.1f}, {source}"


def _counted(
    models: Sequence[Mapping[str, Any]],
    what: str,
    *,
    noun: str,
    printed: str,
    by: str,
    unknown: str,
) -> ReportTable:
    """Exact counts beside printed ones, and beside what the built and the released code give.

    These are in the form in which they are trained, which may have more branches.
    """

    def same(model: Mapping[str, Any], by: str, *, unknown: str) -> str:
        count = (model[by] or {}).get(what)
        same = count == model["training"][what]
        return unknown if count is None else "same" if same else "DIFFERS"

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
                by: same(model, by, unknown=unknown),
                "released": same(model, "released", unknown="unknown"),
            }
        )
    return ReportTable(rows, align="lrrrll")


def _reasons(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why printed numbers differ, networks with the same reason together."""
    found: dict[str, list[str]] = {}
    for model in models:
        unknown = model["paper"]["reason"] or "no reason is known"
        for kind, told in (("cut off", "cut off, not rounded"), ("differs", f"({unknown})")):
            nouns = [
                noun
                for what, noun in (("params", "parameters"), ("macs", "MACs"))
                if (model["difference"][what] or {}).get("kind") == kind
            ]
            if nouns:
                found.setdefault(f"{' and '.join(nouns)} {told}", []).append(model["name"])
    reasons = [f"{', '.join(names)}: {reason}" for reason, names in found.items()]
    return ["Printed is another number than the exact one, rounded:", *reasons] if reasons else []


def _how(models: Sequence[Mapping[str, Any]], *, left_out: str) -> list[str | bool]:
    count = len(models)
    without = [model["name"] for model in models if not model["fvcore"]]
    unknown = [model["name"] for model in models if not model["released"]]
    return [
        f"All {count} were built, on a device without memory, and their parameters counted."
        if count > 1
        else "It was built, on a device without memory, and its parameters counted.",
        f"fvcore counted a forward pass of {count - len(without)} of {count}.",
        bool(without) and f"Not run, {left_out}: {', '.join(without)}.",
        bool(unknown) and f"Not known is what released code counts of {', '.join(unknown)}.",
    ]
