"""Which choices of a study matter: shares of variance, pairs, bounds, values without use."""

from collections.abc import Sequence
from dataclasses import astuple

from archbench.analysis.importance import FEWEST, FactorShare, Insight
from archbench.analysis.study import StudyReader
from archbench.command_line import command_line, study_argument
from archbench.report.element import Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.html import html, one_line

SCHEMA = "archbench.insight/1"

_METHOD = (
    "Share: of the variance, of accuracy what a cubic in the logarithm of the cost leaves. "
    "Trials were chosen by the search, not by chance: shares hold for these."
)
_SHOWN = 8
_LONGEST = 38


def finding(study: StudyReader) -> Finding:
    """What the trials of a study say of its choices."""
    document = {"schema": SCHEMA, "study": study.name, **study.insight.document()}
    step = command_line("archbench", "report", study_argument(study.path))
    return Finding(document, told(study.name, study.insight), step)


def told(name: str, found: Insight) -> list[Part]:
    """Shares for accuracy and cost, pairs, bounds, values that never help, for a terminal."""
    opening = f"{name}: what {found.num_trials} trained trials say of its choices"
    if not found.is_told:
        return [opening, f"not {_too_few(found)}"]
    cost = found.cost.removesuffix("_ms")
    return [
        opening,
        f"accuracy at equal {cost}: {_separable(found.accuracy, found)}",
        _table(found.accuracy[:_SHOWN], unit="points"),
        f"{cost}: {_separable(found.costs, found)}",
        _table(found.costs[:_SHOWN], unit="% about"),
        Lines(_sentences(found)),
        Lines([_METHOD]),
    ]


def what_matters(found: Insight) -> list[Part]:
    """The same for a study's page."""
    if not found.is_told:
        return [f"Not {_too_few(found)}."]
    cost = found.cost.removesuffix("_ms")
    parts: list[Part] = [f"{text}." for text in _sentences(found)]
    for title, factors, unit in (
        (f"Accuracy at equal {cost}", found.accuracy, "points"),
        (cost.capitalize(), found.costs, "%, about"),
    ):
        shown = _table(factors, unit=unit, share="share, %, 95 % interval")
        parts += [html("<h3>{}</h3>\n", title), f"{_separable(factors, found)}.", shown]
    return [*parts, _METHOD]


def _too_few(found: Insight) -> str:
    return f"separable with {found.num_trials} trials; at least {FEWEST} are needed"


def _separable(factors: Sequence[FactorShare], found: Insight) -> str:
    count = sum(factor.is_separable for factor in factors)
    told = f"{count} of {len(factors)} choices are" if count else "no choice is"
    return f"{told} separable with {found.num_trials} trials"


def _table(factors: Sequence[FactorShare], *, unit: str, share: str = "share, %") -> ReportTable:
    rows = []
    for factor in factors:
        value, low, high = (100 * end for end in astuple(factor.share))
        rows.append(
            {
                "choice": one_line(factor.axis, length=_LONGEST),
                share: f"{value:.0f} [{low:.0f}, {high:.0f}]",
                f"from, {unit}, to": _best(factor) if factor.is_separable else "not separable",
            }
        )
    return ReportTable(rows, align="nrl")


def _best(factor: FactorShare) -> str:
    """The value with the least and that with the largest effect."""
    low = min(factor.effects, key=lambda value: factor.effects[value].value)
    high = max(factor.effects, key=lambda value: factor.effects[value].value)
    apart = 100 * (factor.effects[high].value - factor.effects[low].value)
    return one_line(f"{_word(low)}, {apart:+.1f}, {_word(high)}", length=26)


def _sentences(found: Insight) -> list[str]:
    """Pairs, bounds and values that never help."""
    pairs = [
        f"{' and '.join(pair.axes)} work together: {100 * pair.share:.1f} % beyond what each does "
        "alone"
        for pair in found.pairs
        if pair.is_separable
    ] or [f"no pair of choices is separable with {found.num_trials} trials"]
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
    return [*pairs, *bounds, *useless]


def _word(value: object) -> str:
    return str(value).partition("(")[0] if len(str(value)) > 12 else str(value)
