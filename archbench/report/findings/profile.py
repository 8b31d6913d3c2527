"""How does a person read the profile of a network: totals, kinds of work, stages, latency."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.findings.backends import backend_table, has_several
from archbench.report.text import table

_INDENT = 13
_WORK = {
    "convolution": "convolution",
    "linear": "linear",
    "attention": "attention",
    "mlp": "MLP",
}
_OPERATORS = {
    "conv": "convolution",
    "matmul": "matrix product",
    "scaled_dot_product_attention": "attention",
}


def profile_text(model: Mapping[str, Any]) -> str:
    """One network of a profile document: what it is, computes and takes, in 80 columns."""
    if model["spec"] is None:
        parts = [_foreign_heading(model), _foreign_totals(model)]
        parts += [_operators(model)] if model["operators"] else []
    else:
        parts = [_heading(model), _totals(model), _kinds(model), _stages(model)]
    if has_several(model):
        parts.append(backend_table(model))
    elif model["latency"]:
        parts.append(latency_table([model]))
    return "\n\n".join(parts)


def comparison_text(models: Sequence[Mapping[str, Any]]) -> str:
    """Several networks beside one another, a line for each."""
    rows = [
        (
            model["name"],
            _side(model["resolution"]),
            *(_exact(model[what]) for what in ("params", "macs", "activations")),
        )
        for model in models
    ]
    titles = ("network", "px", "parameters", "MACs", "activations")
    parts = [table(titles, rows, align="lrrrr")]
    # Under several backends each network has its own table.
    if any(model["latency"] for model in models) and not any(map(has_several, models)):
        parts.append(latency_table(models))
    return "\n\n".join(parts)


def latency_table(models: Sequence[Mapping[str, Any]]) -> str:
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
    titles = ["network", "latency on", "batch", "ms (95 % interval)", "images/s", "verdict"]
    align = "llrlrl"
    heading = []
    if len(models) == 1:
        titles, align, rows = titles[1:], align[1:], [row[1:] for row in rows]
        reasons += forms
    elif len({row[1] for row in rows}) == 1:
        heading = [f"latency on {rows[0][1]}", ""]
        titles, align = titles[:1] + titles[2:], align[:1] + align[2:]
        rows = [row[:1] + row[2:] for row in rows]
    shown = table(titles, rows, align=align)
    return "\n".join([*heading, shown, *dict.fromkeys(reasons)])


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
    return textwrap.wrap(text, 80, subsequent_indent="  ")


def _heading(model: Mapping[str, Any]) -> str:
    side = _side(model["resolution"])
    return f"{model['name']}: {side} px, {model['num_classes']} classes, digest {model['digest']}"


def _foreign_heading(model: Mapping[str, Any]) -> str:
    return f"{model['name']}: {_side(model['resolution'])} px, {model['origin']}"


def _foreign_totals(model: Mapping[str, Any]) -> str:
    texts = [_exact(model[what]) for what in ("params", "macs", "activations")]
    width = max(map(len, texts))
    params, macs, activations = (text.rjust(width) for text in texts)
    lines = [f"parameters   {params}"]
    if model["macs"] is None:
        why = textwrap.wrap(model["uncounted"], 80 - _INDENT, max_lines=3)
        lines += [f"MACs         {macs}", *(f"{'':{_INDENT}}{line}" for line in why)]
    else:
        lines.append(f"MACs         {macs}  multiply-adds, counted by fvcore on the built network")
        lines.append(f"activations  {activations}  outputs of convolutions, linears and attention")
    if model["form"]:
        reason = f": {model['form_reason']}" if model["form_reason"] else ""
        timed = textwrap.wrap(f"{model['form']}{reason}", 80 - _INDENT, max_lines=3)
        lines.append(f"{'timed':{_INDENT}}" + f"\n{'':{_INDENT}}".join(timed))
    return "\n".join(lines)


def _operators(model: Mapping[str, Any]) -> str:
    total = max(1, model["macs"])
    rows = [
        (_OPERATORS.get(operator, operator), f"{macs:,}", number.percent(macs / total))
        for operator, macs in sorted(model["operators"].items(), key=lambda item: -item[1])
        if macs
    ]
    return table(("work", "MACs", "share"), rows, align="lrr")


def _exact(value: int | None) -> str:
    return "not available" if value is None else f"{value:,}"


def _totals(model: Mapping[str, Any]) -> str:
    params, macs, activations = model["params"], model["macs"], model["activations"]
    width = len(f"{max(params, macs, activations):,}")
    return (
        f"parameters   {params:>{width},}\n"
        f"MACs         {macs:>{width},}  multiply-adds; papers print these as FLOPs;\n"
        f"{'':13}{'':{width}}  a multiply-add counted as two would be {number.short(2 * macs)}\n"
        f"activations  {activations:>{width},}  outputs of convolutions, linears and attention"
        f"{_paper(model['paper'])}{_built(model['built'])}{_weights(model['weights'])}"
    )


def _weights(path: str | None) -> str:
    return f"\n{'weights':{_INDENT}}{path}" if path else ""


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
    lines = textwrap.wrap(f"{printed} ({'; '.join(notes)})", 80 - _INDENT)
    return f"\n{'paper':{_INDENT}}" + f"\n{'':{_INDENT}}".join(lines)


def _built(built: Mapping[str, Any] | None) -> str:
    if built is None:
        return ""
    if built["agrees"]:
        return "\nfvcore       counts the same on the built network, to the unit"
    return (
        f"\nfvcore       counts {built['params']:,} parameters, {built['macs']:,} MACs\n"
        f"{'':{_INDENT}}and {built['activations']:,} activations on the built network"
    )


def _kinds(model: Mapping[str, Any]) -> str:
    total = max(1, model["macs"])
    work = {noun: model["work"][f"{kind}_macs"] for kind, noun in _WORK.items()}
    rows = [(noun, f"{macs:,}", number.percent(macs / total)) for noun, macs in work.items()]
    return table(("work", "MACs", "share"), rows, align="lrr")


def _stages(model: Mapping[str, Any]) -> str:
    rows = [
        (
            stage["name"].removeprefix("stages[").removesuffix("]"),
            _layers(stage),
            str(stage["dim"]),
            _side(stage["grid"]) if stage["grid"] else "",
            number.short(stage["params"]),
            number.short(stage["macs"]),
            number.short(stage["activations"]),
        )
        for stage in model["stages"]
    ]
    titles = ("stage", "layers", "width", "map", "params", "MACs", "activations")
    return table(titles, rows, align="llrrrrr")


def _layers(stage: Mapping[str, Any]) -> str:
    """What a stage is made of, as ``conv_stem, 4 levit``."""
    if not stage["embed"]:
        return "pool, norm, classify"
    return (
        f"{stage['embed']}, {stage['depth']} {stage['block']}" if stage["depth"] else stage["embed"]
    )


def _latency_cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    cores = f" x{entry['threads']}" if entry["device"] == "cpu" else ""
    where = f"{entry['device']}{cores}, {entry['backend']} {entry['precision']}"
    value, pace = "none", ""
    if entry["median_ms"] is not None:
        value = number.with_interval(entry["median_ms"], entry["low_ms"], entry["high_ms"])
        pace = f"{entry['images_per_second']:,.0f}"
    return where, str(entry["batch"]), value, pace, entry["verdict"]


def _side(resolution: Sequence[int]) -> str:
    height, width = resolution
    return f"{height}x{width}"
