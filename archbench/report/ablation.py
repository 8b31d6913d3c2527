"""What does an ablation say, in the words that text and page share?"""

from __future__ import annotations

from collections import Counter

from archbench.analysis.ablation import AblationRecord, Difference, FormRecord
from archbench.report.number import NOT_THERE, decimals, short


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 seed``, ``5 seeds``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def training_text(found: AblationRecord) -> str:
    """On what the accuracies were taken, in one sentence."""
    proxy = found.proxy
    scale = float(proxy["scale"])
    width = "" if scale == 1 else f", widths x {scale:g}"
    stem = "" if proxy["stem"] == "keep_grid" else ", the stem as it is"
    teacher = proxy["recipe"].get("teacher", "none")
    taught = "" if teacher == "none" else f", taught by a {teacher} network"
    return (
        f"accuracy: {plural(found.num_seeds, 'seed')} of {plural(int(proxy['epochs']), 'epoch')} "
        f"on {proxy['data']} at {proxy['resolution']} px{width}{stem}{taught}"
    )


def label(form: FormRecord) -> str:
    """What is changed: knob and value, or the words of a paper's row behind its name."""
    if form.paper is None:
        return form.name
    row = form.paper.row
    return row if row.lower().startswith(f"{form.name.lower()}:") else f"{form.name}: {row}"


def signs_text(found: AblationRecord) -> str:
    """How many of a paper's signs are confirmed, in one sentence; empty without a paper."""
    signs = Counter(form.paper.sign for form in found.forms if form.paper)
    if not signs:
        return ""
    told = ", ".join(f"{count} {sign}" for sign, count in signs.most_common())
    return f"Of {plural(signs.total(), 'row')} of the paper: {told}."


def points_text(difference: Difference | None) -> tuple[str, str]:
    """A difference in accuracy and its interval, in points: ``-1.3`` and ``(-2.1 to -0.5)``."""
    return _texts(difference, factor=100, least=1)


def milliseconds_text(difference: Difference | None) -> tuple[str, str]:
    """A difference in latency and its interval, in milliseconds."""
    return _texts(difference, factor=1, least=0)


def _texts(difference: Difference | None, *, factor: float, least: int) -> tuple[str, str]:
    if difference is None:
        return NOT_THERE, ""
    value = factor * difference.value
    if difference.low is None or difference.high is None:
        return f"{value:+.{least}f}" if least else f"{value:+.2g}", ""
    low, high = factor * difference.low, factor * difference.high
    digits = max(least, decimals((high - low) / 2, value))
    return f"{value:+.{digits}f}", f"({low:+.{digits}f} to {high:+.{digits}f})"


def sentence(form: FormRecord, *, base: FormRecord) -> str:
    """What the knob buys, and what it costs."""
    told = [_bought(form), *_costs(form, base=base)]
    if form.reason:
        told.append(form.reason)
    return "; ".join(told)


def _bought(form: FormRecord) -> str:
    difference = form.accuracy_difference
    if difference is None or not difference.is_seen:
        return form.finding
    assert difference.low is not None
    assert difference.high is not None
    low, high = sorted((abs(difference.low), abs(difference.high)))
    size = f"{100 * abs(difference.value):.1f} points {form.finding}"
    return f"{size} ({100 * low:.1f} to {100 * high:.1f})"


def _costs(form: FormRecord, *, base: FormRecord) -> list[str]:
    if form.digest == base.digest:
        return ["the same network, trained otherwise"]
    told = []
    time = form.latency_difference
    if time is not None and time.is_seen and base.latency and base.latency.value:
        share = 100 * abs(time.value) / base.latency.value
        told.append(f"{share:.2g} % {'slower' if time.value > 0 else 'faster'}")
    elif time is not None:
        told.append("no difference in latency seen")
    for name, mine, theirs in (
        ("parameters", form.params, base.params),
        ("MACs", form.macs, base.macs),
    ):
        if mine != theirs:
            told.append(
                f"{short(abs(mine - theirs))} {'more' if mine > theirs else 'fewer'} {name}"
            )
    return told or ["at the same cost"]
