"""What the trials of a study say of its choices, as text in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from archbench.cli import console
from archbench.records.insight import FEWEST, Insight
from archbench.records.rank import Estimate
from archbench.records.share import KnobShare

_SHOWN = 8
_LONGEST = 38


def insight_text(name: str, found: Insight) -> str:
    """Shares for accuracy and cost, pairs, bounds, values that never help."""
    opening = f"{name}: what {found.num_trials} trained trials say of its choices"
    if not found.is_told:
        return f"{opening}\n\nnot separable with {found.num_trials} trials: {FEWEST} are the least"
    cost = found.cost.removesuffix("_ms")
    parts = [
        opening,
        f"accuracy at equal {cost}: {_told(found.accuracy, found)}",
        _table(found.accuracy, factor=100, unit="points"),
        f"{cost}: {_told(found.costs, found)}",
        _table(found.costs, factor=100, unit="% about"),
        "\n".join(_filled(text) for text in _findings(found)),
        _filled(
            "Share: of the variance, of accuracy what a cubic in the logarithm of the cost leaves. "
            "Trials were chosen by the search, not by chance: shares hold for these."
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _told(knobs: Sequence[KnobShare], found: Insight) -> str:
    count = sum(knob.is_separable for knob in knobs)
    if not count:
        return f"no choice is separable with {found.num_trials} trials"
    return f"{count} of {len(knobs)} choices are separable with {found.num_trials} trials"


def _table(knobs: Sequence[KnobShare], *, factor: float, unit: str) -> str:
    rows = [
        (
            _shortened(knob.axis),
            _percent(knob.share),
            _best(knob, factor=factor) if knob.is_separable else "not separable",
        )
        for knob in knobs[:_SHOWN]
    ]
    return console.table(("choice", "share, %", f"from, {unit}, to"), rows, align="lrl")


def _best(knob: KnobShare, *, factor: float) -> str:
    """The value with the least and that with the largest effect."""
    low = min(knob.effects, key=lambda value: knob.effects[value].value)
    high = max(knob.effects, key=lambda value: knob.effects[value].value)
    apart = factor * (knob.effects[high].value - knob.effects[low].value)
    text = f"{_word(low)}, {apart:+.1f}, {_word(high)}"
    return text if len(text) <= 26 else f"{text[:25]}…"


def _findings(found: Insight) -> list[str]:
    pairs = [
        f"{one} and {other} work together: {100 * pair.share:.1f} % beyond what each does alone"
        for pair in found.pairs
        if pair.is_separable
        for one, other in [pair.axes]
    ]
    bounds = [
        f"the front lies at {bound.axis} = {bound.value}, the {bound.end} value ({bound.on_front} "
        f"of {bound.of_front} members, {100 * bound.share:.0f} % of the trials): widen it"
        for bound in found.bounds
    ]
    useless = [
        f"{_word(one.value)} of {one.axis} never helps ({one.tried} trials, none on the front, "
        f"{100 * one.loss:.1f} points below the best at equal cost): drop it"
        for one in found.useless
    ]
    none = f"no pair of choices is separable with {found.num_trials} trials"
    return [*(pairs or [none]), *bounds, *useless]


def _word(value: object) -> str:
    return str(value).partition("(")[0] if len(str(value)) > 12 else str(value)


def _percent(estimate: Estimate) -> str:
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:.0f} [{low:.0f}, {high:.0f}]"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _filled(text: str) -> str:
    return textwrap.fill(text, console.WIDTH, subsequent_indent="  ", break_on_hyphens=False)
