"""What is a network, what does it compute, and how fast is it here, alone or beside others?"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.element import (
    Code,
    FactList,
    Lines,
    Part,
    ReportTable,
    joined,
    one_after_another,
)
from archbench.report.finding import Finding
from archbench.report.text import WIDTH

_INDENT = 13
_COUNTS = ("params", "macs", "activations")
_WORK = {"convolution": "convolution", "linear": "linear", "attention": "attention", "mlp": "MLP"}
_OPERATORS = {
    "conv": "convolution",
    "matmul": "matrix product",
    "scaled_dot_product_attention": "attention",
}
_OUTPUTS = "outputs of convolutions, linears and attention"
_LEGEND = (
    "x eager: times as fast as eager in fp32",
    "ready in: copying, exporting and compiling",
    "error: largest difference from eager in fp32, over the largest output",
)


def finding(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """A profile document: each network, then all beside one another."""
    models = document["models"]
    parts: list[Part] = [one_after_another(map(parts_of, models))]
    if len(models) > 1:
        parts.append(Code(f"\n{joined(side_by_side(models))}"))
    parts += [Lines(flips(document["flips"])), unavailable(document["unavailable"])]
    return Finding(document, parts, next_step)


def parts_of(model: Mapping[str, Any]) -> list[Part]:
    """One network: what it is, computes and takes."""
    name = f"{model['name']}: {number.side(model['resolution'])} px"
    parts: list[Part]
    if model["spec"] is None:
        found = sorted((model["operators"] or {}).items(), key=lambda item: -item[1])
        work = {_OPERATORS.get(operator, operator): macs for operator, macs in found if macs}
        parts = [Code(f"{name}, {model['origin']}"), _foreign_totals(model)]
        parts += [_work(model, work)] if model["operators"] else []
    else:
        head = f"{name}, {model['num_classes']} classes, digest {model['digest']}"
        work = {noun: model["work"][f"{kind}_macs"] for kind, noun in _WORK.items()}
        parts = [Code(head), _totals(model), _work(model, work), _stages(model)]
    if has_several(model):
        parts += backend_tables(model)
    elif model["latency"]:
        parts.append(latencies([model]))
    return parts


def side_by_side(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Several networks, a line for each."""
    rows = [
        {
            "network": model["name"],
            "px": number.side(model["resolution"]),
            "parameters": _exact(model["params"]),
            "MACs": _exact(model["macs"]),
            "activations": _exact(model["activations"]),
        }
        for model in models
    ]
    parts: list[Part] = [ReportTable(rows, align="lrrrr")]
    # Under several backends each network has its own table.
    if any(model["latency"] for model in models) and not any(map(has_several, models)):
        parts.append(latencies(models))
    return parts


def latencies(models: Sequence[Mapping[str, Any]]) -> Part:
    """Every latency of the models; over the table a device they share, under it reasons."""
    timed = [(model["name"], entry) for model in models for entry in model["latency"]]
    places = {number.runs_text(entry) for _, entry in timed}
    is_alone = len(models) == 1
    is_on_one = not is_alone and len(places) == 1
    rows = [
        {
            **({} if is_alone else {"network": name}),
            **({} if is_on_one else {"latency on": number.runs_text(entry)}),
            "batch": entry["batch"],
            "ms (95 % interval)": _timed(entry),
            "images/s": "" if entry["median_ms"] is None else f"{entry['images_per_second']:,.0f}",
            "verdict": entry["verdict"],
        }
        for name, entry in timed
    ]
    reasons = [
        f"{entry['verdict']} ({name}, batch {entry['batch']}): {entry['reason']}"
        for name, entry in timed
        if entry["reason"]
    ]
    forms = [line for _, entry in timed if is_alone for line in _forms(entry)]
    head = [f"latency on {places.pop()}", ""] if is_on_one else []
    shown = ReportTable(rows, align="l" * (len(rows[0]) - 4) + "rlrl").text()
    return Code("\n".join([*head, shown, *dict.fromkeys([*reasons, *forms])]))


def _timed(entry: Mapping[str, Any]) -> str:
    return number.with_interval(entry["median_ms"], entry["low_ms"], entry["high_ms"])


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


def _foreign_totals(model: Mapping[str, Any]) -> FactList:
    texts = [_exact(model[what]) for what in _COUNTS]
    params, macs, activations = (text.rjust(max(map(len, texts))) for text in texts)
    counted = f"{macs}  multiply-adds, counted by fvcore on the built network"
    reason = f": {model['form_reason']}" if model["form_reason"] else ""
    known = model["macs"] is not None
    facts = {
        "parameters": params,
        "MACs": counted if known else "\n".join([macs, *_wrapped(model["uncounted"], lines=3)]),
        "activations": f"{activations}  {_OUTPUTS}" if known else "",
        "timed": "\n".join(_wrapped(f"{model['form']}{reason}", lines=3)) if model["form"] else "",
    }
    return FactList(facts, left=_INDENT)


def _totals(model: Mapping[str, Any]) -> FactList:
    width = max(len(f"{model[what]:,}") for what in _COUNTS)
    params, macs, activations = (f"{model[what]:>{width},}" for what in _COUNTS)
    built, trained = model["built"], model["training"]
    facts = {
        "parameters": params,
        "MACs": f"{macs}  multiply-adds; papers print these as FLOPs;\n"
        f"{'':{width}}  a multiply-add counted as two would be {number.short(2 * model['macs'])}",
        "activations": f"{activations}  {_OUTPUTS}",
        "in training": trained
        and f"{trained['params']:,} parameters, {trained['macs']:,} MACs, of all branches",
        "paper": _paper(model["paper"]),
        "fvcore": built
        and (
            "counts the same on the built network, to the unit"
            if built["agrees"]
            else f"counts {built['params']:,} parameters, {built['macs']:,} MACs\n"
            f"and {built['activations']:,} activations on the built network"
        ),
        "weights": model["weights"],
    }
    return FactList(facts, left=_INDENT)


def _wrapped(text: str, *, lines: int | None = None) -> list[str]:
    return textwrap.wrap(text, WIDTH - _INDENT, max_lines=lines)


def _paper(paper: Mapping[str, Any] | None) -> str:
    if paper is None:
        return ""
    known = (
        paper["params"] and f"{paper['params']} parameters",
        paper["flops"],
        paper["top1"] and f"top-1 {paper['top1']} %",
    )
    printed = ", ".join(filter(None, known)) or "prints no number"
    notes = filter(None, (paper[key] for key in ("source", "row", "reason", "note")))
    return "\n".join(_wrapped(f"{printed} ({'; '.join(notes)})"))


def _work(model: Mapping[str, Any], work: Mapping[str, int]) -> ReportTable:
    total = max(1, model["macs"])
    rows = [
        {"work": noun, "MACs": f"{macs:,}", "share": number.percent(macs / total)}
        for noun, macs in work.items()
    ]
    return ReportTable(rows, align="lrr")


def _exact(value: int | None) -> str:
    return "not available" if value is None else f"{value:,}"


def _stages(model: Mapping[str, Any]) -> ReportTable:
    rows = []
    for stage in model["stages"]:
        blocks = f", {stage['depth']} {stage['block']}" if stage["depth"] else ""
        rows.append(
            {
                "stage": stage["name"].removeprefix("stages[").removesuffix("]"),
                "layers": f"{stage['embed']}{blocks}" if stage["embed"] else "pool, norm, classify",
                "width": stage["dim"],
                "map": number.side(stage["grid"] or ()),
                "params": number.short(stage["params"]),
                "MACs": number.short(stage["macs"]),
                "activations": number.short(stage["activations"]),
            }
        )
    return ReportTable(rows, align="llrrrrr")


def has_several(model: Mapping[str, Any]) -> bool:
    """Whether a network of a profile document was timed in more than one way."""
    return len({(entry["backend"], entry["precision_asked"]) for entry in model["latency"]}) > 1


def backend_tables(model: Mapping[str, Any]) -> list[Part]:
    """Its latencies, a table for each device and batch; what is to be said stands beneath."""
    places: dict[str, list[Mapping[str, Any]]] = {}
    for entry in model["latency"]:
        place = f"{number.device_text(entry)}, batch {entry['batch']}"
        places.setdefault(place, []).append(entry)
    parts: list[Part] = []
    for place, entries in places.items():
        notes = [note for entry in entries for note in _notes(entry)]
        notes += _LEGEND if len(parts) == 2 * len(places) - 2 else ()
        table = ReportTable([*map(_row, entries)], align="llrrrrl", notes=notes)
        parts += [f"latency on {place}", table]
    return parts


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    details, speed = entry["details"], entry["speed_to_eager"]
    error = details.get("deployment_error", details.get("backend_error"))
    seconds = details.get("preparation_s")
    return {
        "backend": entry["backend"],
        "as": entry["precision"],
        "ms (95 % interval)": _timed(entry),
        "x eager": number.NOT_THERE if speed is None else f"{speed:.2f}",
        "ready in": number.NOT_THERE if seconds is None else number.duration(seconds),
        "error": number.NOT_THERE if error is None else f"{error:.1e}",
        "verdict": entry["verdict"],
    }


def _notes(entry: Mapping[str, Any]) -> list[str]:
    ran, asked = entry["precision"], entry["precision_asked"]
    notes = []
    if ran != asked:
        notes.append(f"{entry['backend']} computed {ran} where {asked} was asked for")
    if entry["reason"]:
        notes.append(f"{entry['backend']} {ran}, {entry['verdict']}: {entry['reason']}")
    return notes


def unavailable(entries: Sequence[Mapping[str, Any]]) -> Part:
    """The backends that were left out, with what brings them; nothing for none."""
    texts = [
        f"  {entry['backend']}{' ' if entry['precision'] else ''}{entry['precision'] or ''}: "
        f"{entry['reason']}; {entry['help']}"
        for entry in entries
    ]
    return Lines(["left out:", *texts] if texts else [], rest="    ")


def flips(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The pairs of networks whose order depends on the backend."""
    return [
        f"the order depends on the backend ({flip['device']}, batch {flip['batch']}): "
        f"{flip['first']} is faster under {', '.join(flip['first_wins'])}; "
        f"{flip['second']} under {', '.join(flip['second_wins'])}"
        for flip in found
    ]
