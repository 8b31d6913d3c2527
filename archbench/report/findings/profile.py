"""What is a network, what does it compute, and how fast is it here, alone or beside others?"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.element import Code, Lines, Part, ReportTable, joined, one_after_another
from archbench.report.finding import Finding
from archbench.report.findings.backends import (
    backend_tables,
    flips,
    has_several,
    timed,
    unavailable,
)
from archbench.report.findings.measured_under import runs_text, side
from archbench.report.text import WIDTH

_INDENT = 13
_WORK = {"convolution": "convolution", "linear": "linear", "attention": "attention", "mlp": "MLP"}
_OPERATORS = {
    "conv": "convolution",
    "matmul": "matrix product",
    "scaled_dot_product_attention": "attention",
}
_OUTPUTS = "outputs of convolutions, linears and attention"


def finding(document: Mapping[str, Any], *, next_step: str = "") -> Finding:
    """A profile document: each network, then all beside one another."""
    models = document["models"]
    parts: list[Part] = [one_after_another(map(parts_of, models))]
    if len(models) > 1:
        parts.append(Code(f"\n{joined(side_by_side(models))}"))
    parts += [Lines(flips(document["flips"])), unavailable(document["unavailable"])]
    return Finding(document=document, parts=parts, next_step=next_step)


def parts_of(model: Mapping[str, Any]) -> list[Part]:
    """One network: what it is, computes and takes."""
    name = f"{model['name']}: {side(model['resolution'])} px"
    parts: list[Part]
    if model["spec"] is None:
        parts = [Code(f"{name}, {model['origin']}"), Code(_foreign_totals(model))]
        parts += [_work(model, _operators(model))] if model["operators"] else []
    else:
        head = f"{name}, {model['num_classes']} classes, digest {model['digest']}"
        work = {noun: model["work"][f"{kind}_macs"] for kind, noun in _WORK.items()}
        parts = [Code(head), Code(_totals(model)), _work(model, work), _stages(model)]
    if has_several(model):
        parts += backend_tables(model)
    elif model["latency"]:
        parts.append(latencies([model]))
    return parts


def side_by_side(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Several networks, a line for each."""
    rows = [
        (
            model["name"],
            side(model["resolution"]),
            *(_exact(model[what]) for what in ("params", "macs", "activations")),
        )
        for model in models
    ]
    titles = ("network", "px", "parameters", "MACs", "activations")
    parts: list[Part] = [ReportTable(titles=titles, rows=rows, align="lrrrr")]
    # Under several backends each network has its own table.
    if any(model["latency"] for model in models) and not any(map(has_several, models)):
        parts.append(latencies(models))
    return parts


def latencies(models: Sequence[Mapping[str, Any]]) -> Part:
    """Every latency of the models with interval and verdict; reasons stand under the table.

    Where several models were timed on one device only, it stands over the table.
    """
    rows, reasons, forms = [], [], []
    for model in models:
        for entry in model["latency"]:
            rows.append([model["name"], *_latency_cells(entry)])
            if entry["reason"]:
                whose = f"{model['name']}, batch {entry['batch']}"
                reasons.append(f"{entry['verdict']} ({whose}): {entry['reason']}")
            forms += _forms(entry)
    titles = ("network", "latency on", "batch", "ms (95 % interval)", "images/s", "verdict")
    is_alone = len(models) == 1
    is_on_one = not is_alone and len({row[1] for row in rows}) == 1
    columns = [c for c in range(6) if (c, is_alone) != (0, True) and (c, is_on_one) != (1, True)]
    shown = ReportTable(
        titles=[titles[column] for column in columns],
        rows=[[row[column] for column in columns] for row in rows],
        align="".join("llrlrl"[column] for column in columns),
    ).text()
    head = [f"latency on {rows[0][1]}", ""] if is_on_one else []
    notes = dict.fromkeys([*reasons, *(forms if is_alone else [])])
    return Code("\n".join([*head, shown, *notes]))


def _latency_cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    value, pace = timed(entry), ""
    if entry["median_ms"] is not None:
        pace = f"{entry['images_per_second']:,.0f}"
    return runs_text(entry), str(entry["batch"]), value, pace, entry["verdict"]


def _forms(entry: Mapping[str, Any]) -> list[str]:
    """How the layers run that were timed, where there was a choice."""
    details = entry.get("details", {})
    if not details.get("forms"):
        return []
    decided = "raced now" if details.get("forms_raced") else "as decided here before"
    text = (
        f"batch {entry['batch']} on {entry['device']}: layers run {details['forms']} ({decided}); "
        f"the output differs from the trained form's by {details['deployment_error']:.1e}"
    )
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _foreign_totals(model: Mapping[str, Any]) -> str:
    texts = [_exact(model[what]) for what in ("params", "macs", "activations")]
    width = max(map(len, texts))
    params, macs, activations = (text.rjust(width) for text in texts)
    facts = {"parameters": params}
    if model["macs"] is None:
        facts["MACs"] = "\n".join([macs, *_three_lines(model["uncounted"])])
    else:
        facts["MACs"] = f"{macs}  multiply-adds, counted by fvcore on the built network"
        facts["activations"] = f"{activations}  {_OUTPUTS}"
    if model["form"]:
        reason = f": {model['form_reason']}" if model["form_reason"] else ""
        facts["timed"] = "\n".join(_three_lines(f"{model['form']}{reason}"))
    return _facts(facts)


def _totals(model: Mapping[str, Any]) -> str:
    params, macs, activations = model["params"], model["macs"], model["activations"]
    width = len(f"{max(params, macs, activations):,}")
    facts = {
        "parameters": f"{params:>{width},}",
        "MACs": f"{macs:>{width},}  multiply-adds; papers print these as FLOPs;\n"
        f"{'':{width}}  a multiply-add counted as two would be {number.short(2 * macs)}",
        "activations": f"{activations:>{width},}  {_OUTPUTS}",
        "paper": _paper(model["paper"]),
        "fvcore": _built(model["built"]),
        "weights": model["weights"] or "",
    }
    return _facts({name: text for name, text in facts.items() if text})


def _facts(facts: Mapping[str, str]) -> str:
    """Names at the left, lines beside them as they are."""
    indent = f"\n{'':{_INDENT}}"
    return "\n".join(
        f"{name:{_INDENT}}{indent.join(text.splitlines())}" for name, text in facts.items()
    )


def _three_lines(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - _INDENT, max_lines=3)


def _paper(paper: Mapping[str, Any] | None) -> str:
    if paper is None:
        return ""
    known = (
        f"{paper['params']} parameters" if paper["params"] else "",
        paper["flops"] or "",
        f"top-1 {paper['top1']} %" if paper["top1"] else "",
    )
    printed = ", ".join(filter(None, known)) or "prints no number"
    notes = [paper["source"], *(paper[key] for key in ("row", "reason", "note") if paper[key])]
    return "\n".join(textwrap.wrap(f"{printed} ({'; '.join(notes)})", WIDTH - _INDENT))


def _built(built: Mapping[str, Any] | None) -> str:
    if built is None:
        return ""
    if built["agrees"]:
        return "counts the same on the built network, to the unit"
    return (
        f"counts {built['params']:,} parameters, {built['macs']:,} MACs\n"
        f"and {built['activations']:,} activations on the built network"
    )


def _operators(model: Mapping[str, Any]) -> dict[str, int]:
    found = sorted(model["operators"].items(), key=lambda item: -item[1])
    return {_OPERATORS.get(operator, operator): macs for operator, macs in found if macs}


def _work(model: Mapping[str, Any], work: Mapping[str, int]) -> ReportTable:
    total = max(1, model["macs"])
    rows = [(noun, f"{macs:,}", number.percent(macs / total)) for noun, macs in work.items()]
    return ReportTable(titles=("work", "MACs", "share"), rows=rows, align="lrr")


def _exact(value: int | None) -> str:
    return "not available" if value is None else f"{value:,}"


def _stages(model: Mapping[str, Any]) -> ReportTable:
    rows = [
        (
            stage["name"].removeprefix("stages[").removesuffix("]"),
            _layers(stage),
            str(stage["dim"]),
            side(stage["grid"]) if stage["grid"] else "",
            *(number.short(stage[what]) for what in ("params", "macs", "activations")),
        )
        for stage in model["stages"]
    ]
    titles = ("stage", "layers", "width", "map", "params", "MACs", "activations")
    return ReportTable(titles=titles, rows=rows, align="llrrrrr")


def _layers(stage: Mapping[str, Any]) -> str:
    """What a stage is made of, as ``conv_stem, 4 levit``."""
    if not stage["embed"]:
        return "pool, norm, classify"
    blocks = f", {stage['depth']} {stage['block']}" if stage["depth"] else ""
    return f"{stage['embed']}{blocks}"
