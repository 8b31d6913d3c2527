"""What an ablation found, as text in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby

from archbench.analysis.ablation import AblationRecord, FormRecord
from archbench.report import number
from archbench.report.ablation import (
    label,
    milliseconds_text,
    plural,
    points_text,
    sentence,
    signs_text,
    training_text,
)
from archbench.report.text import WIDTH, table

_LONGEST_VALUE = 19


def ablation_text(found: AblationRecord) -> str:
    """Base, differences, what they mean and, for a paper, its signs."""
    parts = [_opening(found), _differences(found), _findings(found)]
    if any(form.paper for form in found.forms):
        parts.append(_signs(found))
    illegal = [form for form in found.forms if form.state == "illegal"]
    if illegal:
        told = (_filled(f"{form.name}: {form.reason}", indent=2) for form in illegal)
        parts.append("cannot be built:\n" + "\n".join(told))
    parts.append(_filled(str(found.header["method"])))
    parts += [_filled(str(note)) for note in found.header["notes"]]
    return "\n\n".join(parts)


def _opening(found: AblationRecord) -> str:
    base = found.base
    spec = base.spec or {}
    lines = [
        f"{found.name}: one knob at a time from {spec.get('name') or base.digest}",
        _filled(training_text(found)),
        "",
        f"base  {number.exact(base.params)} parameters, {number.exact(base.macs)} MACs"
        + _latency(base),
        f"      {_accuracy(base)}",
    ]
    if found.num_done < found.num_trainings:
        left = found.num_trainings - found.num_done
        lines.insert(1, f"not whole yet: {plural(left, 'training')} of {found.num_trainings} left")
    return "\n".join(lines)


def _latency(form: FormRecord) -> str:
    latency = form.latency
    if latency is None:
        return ""
    if latency.value is None:
        return f", no latency: {latency.reason}"
    text = number.with_interval(latency.value, latency.low, latency.high)
    return f", {text} ms" + ("" if latency.verdict == "stable" else f" ({latency.verdict})")


def _accuracy(form: FormRecord) -> str:
    if form.accuracy is None:
        return "not trained yet"
    seeds = ", ".join(f"{100 * value:.1f}" for value in form.accuracies.values())
    return f"{number.percent(form.accuracy)} of the validation images (by seed: {seeds})"


def _differences(found: AblationRecord) -> str:
    titles = ("change", "params", "MACs", "latency, ms", "accuracy, points")
    rows: list[Sequence[str]] = []
    legal = [form for form in found.forms if form.state != "illegal"]
    for knob, forms in groupby(legal, key=_group):
        if knob:
            rows.append((knob, "", "", "", ""))
        rows += [_row(form, base=found.base, indent="  " if knob else "") for form in forms]
    if not any(form.latency for form in legal):
        rows = [(*row[:3], row[4]) for row in rows]
        return _table((*titles[:3], titles[4]), rows, align="lrrr")
    return _table(titles, rows, align="lrrrr")


def _group(form: FormRecord) -> str:
    """The knob, as a line of its own above its values; none in a paper's tables."""
    return "" if form.paper else form.knob


def _row(form: FormRecord, *, base: FormRecord, indent: str) -> tuple[str, ...]:
    name = form.name if form.paper else form.value
    shown = name if len(name) <= _LONGEST_VALUE else f"{name[: _LONGEST_VALUE - 1]}…"
    if form.state == "base":
        return (f"{indent}{shown}", "", "", "", "the base")
    return (
        f"{indent}{shown}",
        _count(form.params - base.params),
        _count(form.macs - base.macs),
        "" if form.digest == base.digest else " ".join(milliseconds_text(form.latency_difference)),
        " ".join(points_text(form.accuracy_difference)) if form.accuracy_difference else form.state,
    )


def _count(difference: int) -> str:
    return f"{'+' if difference > 0 else '-'}{number.short(abs(difference))}" if difference else "0"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    """A table whose knobs, lines of their own, may be longer than their column."""
    kept = [row for row in rows if any(row[1:])]
    lines = table(titles, kept, align=align).splitlines()
    body = iter(lines[2:])
    placed = [next(body) if any(row[1:]) else row[0] for row in rows]
    return "\n".join([*lines[:2], *placed])


def _findings(found: AblationRecord) -> str:
    told = [
        _filled(f"{form.name}: {sentence(form, base=found.base)}", indent=2)
        for form in found.forms
        if form.state not in ("illegal", "base")
    ]
    return "\n".join(told)


def _signs(found: AblationRecord) -> str:
    rows = []
    for form in found.forms:
        if form.paper is None:
            continue
        rows.append(
            (
                form.name,
                f"{form.paper.top1:.1f}",
                f"{form.paper.difference:+.1f}",
                " ".join(points_text(form.accuracy_difference)),
                form.paper.sign.partition(" with ")[0],
            )
        )
    seeds = plural(found.num_seeds, "seed")
    titles = ("row", "top-1", "paper", "here, points", f"sign, by {seeds}")
    words = [
        _filled(f"{label(form)} ({form.paper.source})", indent=2)
        for form in found.forms
        if form.paper
    ]
    shown = table(titles, rows, align="lrrrl")
    return "\n".join([shown, "", *words, "", _filled(signs_text(found))])


def _filled(text: str, *, indent: int = 0) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="",
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
