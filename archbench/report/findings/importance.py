"""Which choices of a study matter: shares of variance, pairs, bounds, values without use."""

from collections.abc import Sequence
from dataclasses import astuple

from archbench.analysis.importance import FEWEST, FactorShare, Insight
from archbench.analysis.study import StudyReader
from archbench.command_line import command_line, study_argument
from archbench.report.element import Lines, Part, ReportTable, fold
from archbench.report.finding import Finding
from archbench.report.html import one_line
from archbench.report.number import plural
from archbench.study.study_folder import resume_command

SCHEMA = "archbench.insight/1"

_METHOD = (
    "Share: of the variance; of accuracy after removing the effect of the cost, a cubic polynomial "
    "in its logarithm. The search chose the trials, not chance, so shares hold for these trials."
)
_SHOWN = 8
_LONGEST = 38


def finding(study: StudyReader) -> Finding:
    """What the trials of a study say of its choices."""
    found = study.insight
    document = {"schema": SCHEMA, "study": study.name, **found.document()}
    step = command_line("archbench", "pick", study_argument(study.path))
    if wanted := FEWEST if not found.is_told else found.trials_needed:
        step = f"{resume_command(study.path)} --trials {wanted}"
    return Finding(document, told(found), step)


def told(found: Insight) -> list[Part]:
    """Which choice matters most, the separable shares, pairs, bounds, values that never help."""
    if not found.is_told:
        return [_too_few(found)]
    tables: list[Part] = []
    for title, factors, unit in _groups(found):
        shown = [factor for factor in factors if factor.is_separable]
        if shown:
            tables += [title, _table(shown[:_SHOWN], unit=unit, rest=len(factors) - len(shown))]
    return [_answer(found), *tables, Lines(_sentences(found)), *([_METHOD] if tables else [])]


def what_matters(found: Insight) -> list[Part]:
    """The same for a study's page, with the shares of all choices to unfold."""
    if not found.is_told:
        return [_too_few(found)]
    parts: list[Part] = [_answer(found), *(f"{text}." for text in _sentences(found))]
    for title, factors, unit in _groups(found):
        shown = _table(factors, unit=unit, share="share, %, 95 % interval")
        parts.append(fold(f"{title}: {_separable(factors, found)}", [shown]))
    return [*parts, _METHOD]


def _groups(found: Insight) -> list[tuple[str, Sequence[FactorShare], str]]:
    """For accuracy and cost a title, the shares, and the unit of an effect."""
    cost = _cost(found)
    return [
        (f"Accuracy at equal {cost}", found.accuracy, "points"),
        (cost.capitalize(), found.costs, "%"),
    ]


def _cost(found: Insight) -> str:
    return found.cost.removesuffix("_ms")


def _too_few(found: Insight) -> str:
    return (
        f"{found.num_trials} trained trials are too few to single out any choice; at least "
        f"{FEWEST} are needed."
    )


def _answer(found: Insight) -> str:
    """Which choice matters most for accuracy and cost, or how many trials would tell."""
    cost, first = _cost(found), found.accuracy[0] if found.accuracy else None
    if first is None:
        return f"All {found.num_trials} trials are alike in their choices."
    if first.is_separable:
        answer = f"{_leads(first)} for accuracy at equal {cost}: {_effect(first, unit='points')}."
    else:
        answer = (
            f"{found.num_trials} trials are too few to single out any choice for accuracy at equal "
            f"{cost}"
        )
        if found.trials_needed:
            answer += (
                f"; with about {found.trials_needed:,}, {first.axis} would be the first, if its "
                f"share stays at {100 * first.share.value:.0f} %"
            )
        answer += "."
    dearest = found.costs[0] if found.costs else None
    if dearest is not None and dearest.is_separable:
        answer += f" {_leads(dearest)} for {cost}: {_effect(dearest, unit='%')}."
    return answer


def _leads(factor: FactorShare) -> str:
    return f"{factor.axis} matters most ({100 * factor.share.value:.0f} % of the variance)"


def _separable(factors: Sequence[FactorShare], found: Insight) -> str:
    count = sum(factor.is_separable for factor in factors)
    told = f"{count} of {len(factors)} choices are" if count else "no choice is"
    return f"{told} separable with {found.num_trials} trials"


def _table(
    factors: Sequence[FactorShare], *, unit: str, share: str = "share, %", rest: int = 0
) -> ReportTable:
    rows = []
    for factor in factors:
        value, low, high = (100 * end for end in astuple(factor.share))
        rows.append(
            {
                "choice": one_line(factor.axis, length=_LONGEST),
                share: f"{value:.0f} [{low:.0f}, {high:.0f}]",
                "largest effect": _effect(factor, unit=unit)
                if factor.is_separable
                else "not separable",
            }
        )
    notes = [f"{plural(rest, 'more choice')} not separable from chance"] if rest else []
    return ReportTable(rows, align="nrl", notes=notes)


def _effect(factor: FactorShare, *, unit: str) -> str:
    """From the value with the least to that with the largest effect: ``32 to 64 +3.1 points``."""
    low = min(factor.effects, key=lambda value: factor.effects[value].value)
    high = max(factor.effects, key=lambda value: factor.effects[value].value)
    apart = 100 * (factor.effects[high].value - factor.effects[low].value)
    return f"{one_line(f'{_word(low)} to {_word(high)}', length=22)} {apart:+.1f} {unit}"


def _sentences(found: Insight) -> list[str]:
    """Pairs, bounds and values that never help."""
    pairs = [
        f"{' and '.join(pair.axes)} work together: {100 * pair.share:.1f} % beyond what each does "
        "alone"
        for pair in found.pairs
        if pair.is_separable
    ]
    bounds = [
        f"the front lies at {bound.axis} = {bound.value}, the {bound.end} value ({bound.on_front} "
        f"of {bound.of_front} members, {100 * bound.share:.0f} % of the trials): widen the axis"
        for bound in found.bounds
    ]
    useless = [
        f"{_word(one.value)} of {one.axis} never helps ({one.tried} trials, none on the front, "
        f"{100 * one.loss:.1f} points below the best at equal cost): drop the value"
        for one in found.useless
    ]
    return [*pairs, *bounds, *useless]


def _word(value: object) -> str:
    return str(value).partition("(")[0] if len(str(value)) > 12 else str(value)
