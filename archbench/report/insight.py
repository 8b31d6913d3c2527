"""What does a study say of its choices, in the words that text and page share?"""

from __future__ import annotations

from collections.abc import Sequence

from archbench.analysis.importance import FEWEST, Insight
from archbench.analysis.share import KnobShare
from archbench.analysis.statistics import Estimate
from archbench.report.html import Markup, html

METHOD = (
    "Share: of the variance, of accuracy what a cubic in the logarithm of the cost leaves. "
    "Trials were chosen by the search, not by chance: shares hold for these."
)


def told(knobs: Sequence[KnobShare], found: Insight) -> str:
    """How many choices are separable."""
    count = sum(knob.is_separable for knob in knobs)
    if not count:
        return f"no choice is separable with {found.num_trials} trials"
    return f"{count} of {len(knobs)} choices are separable with {found.num_trials} trials"


def best(knob: KnobShare, *, factor: float) -> str:
    """The value with the least and that with the largest effect."""
    low = min(knob.effects, key=lambda value: knob.effects[value].value)
    high = max(knob.effects, key=lambda value: knob.effects[value].value)
    apart = factor * (knob.effects[high].value - knob.effects[low].value)
    text = f"{_word(low)}, {apart:+.1f}, {_word(high)}"
    return text if len(text) <= 26 else f"{text[:25]}…"


def findings(found: Insight) -> list[str]:
    """Pairs, bounds and values that never help, in sentences."""
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


def percent(estimate: Estimate) -> str:
    """A share with its interval, in percent."""
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:.0f} [{low:.0f}, {high:.0f}]"


def section(found: Insight) -> Markup:
    """The section of a study's page."""
    if not found.is_told:
        text = f"Not separable with {found.num_trials} trials: {FEWEST} are the least."
        return html("<p>{}</p>", text)
    cost = found.cost.removesuffix("_ms")
    return html(
        "{}{}{}<p>{}</p>",
        [html("<p>{}.</p>\n", text) for text in findings(found)],
        _table(f"Accuracy at equal {cost}", found.accuracy, found, unit="points"),
        _table(cost.capitalize(), found.costs, found, unit="%, about"),
        METHOD,
    )


def _table(title: str, knobs: Sequence[KnobShare], found: Insight, *, unit: str) -> Markup:
    return html(
        '<h3>{}</h3>\n<p>{}.</p>\n<div class="scroll" tabindex="0"><table>\n<thead><tr><th>choice'
        '</th><th class="number">share<small>%, 95 % interval</small></th><th>from, {}, to</th>'
        "</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
        title,
        told(knobs, found),
        unit,
        [
            html(
                '<tr><td class="name">{}</td><td class="number">{}</td><td>{}</td></tr>\n',
                knob.axis,
                percent(knob.share),
                best(knob, factor=100) if knob.is_separable else "not separable",
            )
            for knob in knobs
        ],
    )
