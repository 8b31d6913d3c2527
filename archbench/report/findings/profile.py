"""What is a network, what does it compute, and how fast is it here, alone or beside others?"""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from archbench.report import number
from archbench.report.element import Code, FactList, Lines, Part, ReportTable, one_after_another
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
    """A profile document: which network is fastest, all latencies, then each network's counts."""
    models = document["models"]
    parts: list[Part] = [
        *(side_by_side(models) if len(models) > 1 else alone(models[0])),
        Lines(flips(document["flips"])),
        unavailable(document["unavailable"]),
        one_after_another(counts_of(model, is_alone=len(models) == 1) for model in models),
    ]
    forms = [told for model in models for entry in model["latency"] if (told := _forms(entry))]
    return Finding(document, parts, next_step, more=[Lines(list(dict.fromkeys(forms)))])


def _forms(entry: Mapping[str, Any]) -> str:
    """How the layers run that were timed, where there was a choice."""
    details = entry["details"]
    if not details.get("forms"):
        return ""
    decided = "raced now" if details.get("forms_raced") else "as decided here before"
    return (
        f"batch {entry['batch']} on {entry['device']}: layers run {details['forms']} ({decided}); "
        f"the output differs from the trained form's by {details['deployment_error']:.1e}"
    )


def alone(model: Mapping[str, Any]) -> list[Part]:
    """One network: its size and latency in a line, then its latencies where there are several."""
    timed = model["latency"]
    size = [f"{_short(model['params'])} parameters", f"{_short(model['macs'])} MACs"]
    if len(timed) != 1:
        told = f"{model['name']}: {', '.join(size)}"
        return [told, *(_latency_tables([model]) if timed else [])]
    (entry,) = timed
    value = "no latency" if entry["median_ms"] is None else f"{_timed(entry)} ms"
    told = f"{model['name']}: {', '.join([value, *size])}"
    rate = "" if entry["median_ms"] is None else f"{entry['images_per_second']:,.0f} images/s, "
    where = f"{number.runs_text(entry)}, batch {entry['batch']}: {rate}{entry['verdict']}"
    return [Lines([told, where, *_reasons([model])], rest="")]


def side_by_side(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Several networks: which is the fastest, and a table with a line for each."""
    ways = {(*_place(e), *_way(e)) for model in models for e in model["latency"]}
    if len(ways) == 1 and all(len(model["latency"]) == 1 for model in models):
        entry = models[0]["latency"][0]
        rows = [
            {
                **_size(model, models),
                "ms (95 % interval)": _timed(model["latency"][0]),
                "verdict": model["latency"][0]["verdict"],
            }
            for model in models
        ]
        under = f"latency on {number.runs_text(entry)}, batch {entry['batch']}"
        align = f"l{'r' * (len(rows[0]) - 3)}ll"
        return [_answer(models), ReportTable(rows, align=align, notes=[under, *_reasons(models)])]
    rows = [_size(model, models) for model in models]
    sizes = ReportTable(rows, align="l" + "r" * (len(rows[0]) - 1))
    return [_answer(models), *(_latency_tables(models) if ways else []), sizes]


def _size(model: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Name and counts; the image size where the networks differ in it."""
    sides = {number.side(one["resolution"]) for one in models}
    return {
        "network": model["name"],
        **({"px": number.side(model["resolution"])} if len(sides) > 1 else {}),
        "params": _short(model["params"]),
        "MACs": _short(model["macs"]),
    }


def _answer(models: Sequence[Mapping[str, Any]]) -> str:
    """Which network is the fastest, each in its fastest runtime; without times, the smallest."""
    places = [_place(entry) for model in models for entry in model["latency"]]
    if not places:
        counted = sorted((one["macs"], one["name"]) for one in models if one["macs"])
        if len(counted) < 2 or counted[0][0] == counted[-1][0]:
            return ""
        (least, few), (most, many) = counted[0], counted[-1]
        return f"{few} has the fewest MACs; {many} has {_times(most / least)} as many."
    here = [
        (entry["median_ms"], model["name"], entry)
        for model in models
        for entry in model["latency"]
        if _place(entry) == places[0] and entry["median_ms"] is not None
    ]
    best: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for value, name, entry in sorted(here, key=lambda one: one[0]):
        best.setdefault(name, (value, entry))
    if len(best) < 2:
        return ""
    (first, (ms, entry)), (second, (other_ms, other)), *_ = best.items()
    is_several = any(map(has_several, models))
    how, its = (f" in {one['backend']} {one['precision']}" * is_several for one in (entry, other))
    if None not in (entry["high_ms"], other["low_ms"]) and other["low_ms"] <= entry["high_ms"]:
        return (
            f"{first}{how} and {second}{its} are the fastest; their intervals overlap, and "
            "archbench compare resolves smaller differences."
        )
    return f"{first}{how} is the fastest; {second}{its} takes {_times(other_ms / ms)} as long."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} times" if ratio >= 100 else f"{ratio:.3g} times"


def _place(entry: Mapping[str, Any]) -> tuple[str, int]:
    return number.device_text(entry), entry["batch"]


def _way(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["backend"], entry["precision_asked"]


def _latency_tables(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    """All latencies: a table, or one for each device and batch where there are several backends."""
    if any(map(has_several, models)):
        return backend_tables(models)
    return [latencies(models)]


def counts_of(model: Mapping[str, Any], *, is_alone: bool = False) -> list[Part]:
    """One network: what it is and what it computes; alone, its name stands above already."""
    name = f"{'' if is_alone else model['name'] + ': '}{number.side(model['resolution'])} px"
    if model["spec"] is None:
        found = sorted((model["operators"] or {}).items(), key=lambda item: -item[1])
        work = {_OPERATORS.get(operator, operator): macs for operator, macs in found if macs}
        parts: list[Part] = [Code(f"{name}, {model['origin']}"), _foreign_totals(model)]
        return [*parts, _work(model, work)] if model["operators"] else parts
    head = f"{name}, {model['num_classes']} classes, digest {model['digest']}"
    work = {noun: model["work"][f"{kind}_macs"] for kind, noun in _WORK.items()}
    return [Code(head), _totals(model), _work(model, work), _stages(model)]


def latencies(models: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Every latency of the models, and under the table why one is noisy or missing."""
    is_alone = len(models) == 1
    rows = [
        {
            **({} if is_alone else {"network": model["name"]}),
            "latency on": number.runs_text(entry),
            "batch": entry["batch"],
            "ms (95 % interval)": _timed(entry),
            "images/s": "" if entry["median_ms"] is None else f"{entry['images_per_second']:,.0f}",
            "verdict": entry["verdict"],
        }
        for model in models
        for entry in model["latency"]
    ]
    return ReportTable(rows, align="l" * (len(rows[0]) - 4) + "rlrl", notes=_reasons(models))


def _timed(entry: Mapping[str, Any]) -> str:
    return number.with_interval(entry["median_ms"], entry["low_ms"], entry["high_ms"])


def _reasons(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why latencies are noisy or missing, each reason once, with the networks that it holds for."""
    found: dict[str, list[str]] = {}
    for model in models:
        for entry in model["latency"]:
            if entry["reason"]:
                told = f"{entry['verdict']}: {entry['reason']}"
                found.setdefault(told, []).append(f"{model['name']}, batch {entry['batch']}")
    return [f"{'; '.join(dict.fromkeys(those))}: {told}" for told, those in found.items()]


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


def _short(value: int | None) -> str:
    return "unknown" if value is None else number.short(value)


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


def backend_tables(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    """Latencies, a table for each device and batch; of several networks each under its name."""
    places: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for model in models:
        for entry in model["latency"]:
            place = f"{number.device_text(entry)}, batch {entry['batch']}"
            places.setdefault(place, []).append((model["name"], entry))
    parts: list[Part] = []
    for place, timed in places.items():
        rows: list[Mapping[str, object] | str] = []
        for name, entries in groupby(timed, key=itemgetter(0)):
            rows += [name] if len(models) > 1 else []
            rows += [_row(entry) for _, entry in entries]
        notes = list(dict.fromkeys(note for _, entry in timed for note in _notes(entry)))
        notes += _LEGEND if len(parts) == 2 * len(places) - 2 else ()
        parts += [f"latency on {place}", ReportTable(rows, align="llrrrrl", notes=notes)]
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
