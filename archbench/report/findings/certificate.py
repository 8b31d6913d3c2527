"""What does a certificate say: can a proxy rank a space, and how well does each score order?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from archbench.analysis.certificate import Certificate, pixels
from archbench.analysis.judgement import GOOD, Judgement
from archbench.analysis.retraining import Retraining
from archbench.analysis.statistics import Agreement, estimate_text, without_cost
from archbench.analysis.study import retrained_under
from archbench.analysis.study_header import space_typed
from archbench.command_line import command_line, named_in_results
from archbench.report.document import to_words
from archbench.report.element import Cell, Lines, Part, ReportTable, plot
from archbench.report.figure import PALETTE, style
from archbench.report.finding import Finding, page, taken_under
from archbench.report.html import Markup
from archbench.report.number import NOT_THERE, in_percent, percent, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CAPTION = (
    "Kendall's tau with the longer trainings and its 95 % interval, filled at equal cost, "
    "hollow overall; grey: size alone, and what one longer training tells of the others. "
    "Dashed: what is asked for at equal cost. The points are candidates."
)
_HEIGHT = 3.1  # inches of a panel
_SIDE_BY_SIDE_FROM = 6.0


def finding(found: Certificate) -> Finding:
    """The answer, then how well each score orders, the noise, the rungs, what was trained."""
    told = found.finding
    question = f"{found.name}: can its proxy rank {found.header['space_name']}?"
    trained = Lines([question, _trained(found)], rest="")
    parts: list[Part] = []
    taus: list[Part] = []
    if told is None:
        left = found.num_trainings - found.num_done
        step = command_line("archbench", "certify", *named_in_results(found.path), "--resume")
        parts.append(f"Not known yet: {left} of {found.num_trainings} trainings are left.")
    else:
        search = command_line("archbench", "search", space_typed(found.header))
        step = search if found.is_certified else ""
        remarks = Lines([_noise(told), _rungs(told), *map(str, found.header["notes"])], rest="")
        if told.rungs:
            taus = [_taus(told), Lines([_explained(told)], rest=""), remarks]
        parts.append(told.sentence)
        parts += [f"what helps: {told.advice}"] if told.advice else []
        parts.append(_left_out(found, told))
        parts += ["Kendall's tau with the longer trainings", *taus] if taus else [remarks]
    in_full = Lines([_in_full(one) for one in retrained_under(found)])
    parts += [in_full, trained]
    return Finding(
        found.document(),
        parts,
        step,
        page=lambda: _page(found, taus, in_full),
        plot=("taus", lambda: figure(found)),
    )


def _page(found: Certificate, taus: Sequence[Part], in_full: Part) -> Markup:
    told, header = found.finding, found.header
    drawn = plot(
        lambda width: figure(found, width_inches=width),
        title=f"{found.name}: taus with intervals",
        caption=_CAPTION,
    )
    shown = [drawn, *taus] if taus else ["Nothing can be compared yet."]
    verdict = told.sentence if told else "Its trainings have not ended."
    advice = f" What helps: {told.advice}." if told and told.advice else ""
    return page(
        "certificate",
        name=found.name,
        badge=told.state if told else f"{found.num_done} of {found.num_trainings} trainings",
        question=f"Can this proxy rank {header['space_name']}? {_trained(found)}.",
        verdict=verdict + advice,
        is_good=found.is_certified,
        key_figures=_key_figures(told),
        sections={
            "taus": ("How well it orders", shown),
            "full": ("In full training", [in_full]),
            "candidates": ("The candidates", [_candidates(found)]),
            "conditions": ("Conditions", taken_under(header, {"Holds for": header["subject"]})),
            "method": ("What the numbers mean", [str(header["method"])]),
        },
        begun=header["created"],
    )


def _in_full(one: Retraining) -> str:
    tau = f"; {one.tau_text}" if one.tau_text else ""
    return f"study {one.study} in full training ({one.how}): {one.sentence[:-1]}{tau}"


def _trained(found: Certificate) -> str:
    proxy, header = found.proxy, found.header
    return (
        f"{plural(len(found.candidates), 'candidate')}, of each {plural(header['seeds'], 'seed')} "
        f"of {proxy['rungs'][-1]} and of {header['longer']} epochs, on {proxy['data']} at "
        f"{pixels(proxy)}"
    )


def _key_figures(told: Judgement | None) -> list[tuple[str, str, str]]:
    if told is None or not told.rungs:
        return []
    taus = {
        "tau at equal cost": told.last,
        "tau overall": told.rungs[-1].agreement.overall,
        "tau of MACs alone": told.nulls["macs"].overall,
    }
    advised = ", ".join(map(str, told.rungs_advised)) or "none"
    return [
        *((name, f"{e.value:.2f}", f"{e.low:.2f} to {e.high:.2f}") for name, e in taus.items()),
        ("rungs that follow", advised, "epochs"),
    ]


def _left_out(found: Certificate, told: Judgement) -> Lines:
    left_out = len(found.candidates) - told.num_used
    if not left_out:
        return Lines([])
    lost = [candidate for candidate in found.candidates if candidate.failures]
    reasons = [f"  {c.digest}: {'; '.join(c.failures)}" for c in lost[:3]]
    return Lines([f"left out, as trainings failed: {plural(left_out, 'candidate')}", *reasons])


def _scores(told: Judgement) -> Iterator[tuple[str, float | None, Agreement]]:
    """Every score: its name, the median accuracy where it is one, how well it orders."""
    for rung in told.rungs:
        yield f"epoch {rung.epoch}", rung.median, rung.agreement
    if told.nulls:
        yield "MACs", None, told.nulls["macs"]
        yield "params", None, told.nulls["params"]
    if told.ceiling is not None:
        yield "ceiling", None, told.ceiling


def _taus(told: Judgement) -> ReportTable:
    rows = [
        {
            "score": name,
            "median": NOT_THERE if median is None else percent(median),
            "at equal cost": estimate_text(agreement.at_equal_cost),
            "near the front": estimate_text(agreement.near_front),
            "overall": estimate_text(agreement.overall),
        }
        for name, median, agreement in _scores(told)
    ]
    return ReportTable(rows, align="nrrrr")


def _explained(told: Judgement) -> str:
    ceiling = "; ceiling: one longer training against the others of the same length"
    return (
        "epoch: the proxy's accuracy after so many of its epochs; MACs and params: size alone, "
        f"which knows nothing at equal cost{ceiling if told.ceiling else ''}"
    )


def _noise(told: Judgement) -> str:
    """What separates candidates beside what separates seeds; empty where it is not known."""
    found = told.spread
    if found is None:
        return ""
    return (
        f"longer trainings differ by {100 * found.seeds:.1f} points between seeds of one "
        f"candidate, by {100 * found.candidates:.1f} points between candidates, and by "
        f"{100 * found.at_equal_cost:.1f} points between candidates of equal cost (standard "
        "deviations)"
    )


def _rungs(told: Judgement) -> str:
    if not told.rungs:
        return ""
    if not told.rungs_advised:
        return "no rung of this proxy is good enough to stop a candidate at"
    guess = ""
    for rung in told.rungs:
        if not rung.is_above_chance:
            guess = (
                f"; after {plural(rung.epoch, 'epoch')} the median candidate is at "
                f"{percent(rung.median)}, no more than guessing"
            )
    return f"rungs that follow: [{', '.join(map(str, told.rungs_advised))}]{guess}"


def _candidates(found: Certificate) -> ReportTable:
    rows = [
        {
            "network": candidate.digest,
            "parameters": Cell(f"{candidate.params:,}", value=candidate.params),
            "MACs": Cell(f"{candidate.macs:,}", value=candidate.macs),
            "proxy": _accuracy([curve[max(curve)] for curve in candidate.proxy.values()]),
            "longer": _accuracy(list(candidate.longer.values())),
            "choices": "; ".join([to_words(dict(candidate.choices)), *candidate.failures]),
        }
        for candidate in found.candidates
    ]
    return ReportTable(rows, align="nrrrrp", is_sortable=True)


def _accuracy(accuracies: Sequence[float]) -> Cell:
    if not accuracies:
        return Cell(value="")
    mean = statistics.fmean(accuracies)
    return Cell(percent(mean), small=in_percent(accuracies), value=mean)


def figure(found: Certificate, *, width_inches: float = 8.0) -> Figure | None:
    """Taus with their intervals and, beside or below, the candidates at equal cost; None as yet."""
    from matplotlib.figure import Figure

    told = found.finding
    if told is None or not told.rungs:
        return None
    has_candidates = any(candidate.longer for candidate in found.candidates)
    draws = [_draw_taus, *([_draw_candidates] if has_candidates else [])]
    is_beside = width_inches >= _SIDE_BY_SIDE_FROM
    shape = (1, len(draws)) if is_beside else (len(draws), 1)
    with style():
        size = (width_inches, shape[0] * _HEIGHT)
        drawn = Figure(figsize=size, layout="constrained")
        for draw, axes in zip(draws, drawn.subplots(*shape, squeeze=False).flat, strict=True):
            draw(axes, found)
    return drawn


def _draw_taus(axes: Axes, found: Certificate) -> None:
    assert found.finding is not None
    rows = list(_scores(found.finding))
    for row, (_, median, agreement) in enumerate(rows):
        colour = PALETTE["front" if median is not None else "other"]
        for place, tau, width, fill in (
            (row - 0.14, agreement.at_equal_cost, 2, colour),
            (row + 0.16, agreement.overall, 1, PALETTE["paper"]),
        ):
            axes.plot([tau.low, tau.high], [place, place], color=colour, lw=width)
            axes.plot([tau.value], [place], marker="o", ms=5, ls="none", color=colour, mfc=fill)
    axes.axvline(0, color=PALETTE["muted"], lw=1)
    axes.axvline(GOOD, color=PALETTE["reference"], lw=1, ls="--")
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Kendall's tau; filled: at equal cost, hollow: overall")


def _draw_candidates(axes: Axes, found: Certificate) -> None:
    """Points above or below what others of their cost reach, by the proxy and by the longer."""
    used = [c for c in found.candidates if c.longer and c.proxy]
    log_cost = np.log([float(c.macs) for c in used])
    short = np.array([np.mean([curve[max(curve)] for curve in c.proxy.values()]) for c in used])
    longer = np.array([np.mean(list(c.longer.values())) for c in used])
    axes.scatter(
        100 * without_cost(short, log_cost), 100 * without_cost(longer, log_cost), s=18,
        color=PALETTE["front"], alpha=0.8, linewidths=0,
    )  # fmt: skip
    axes.axhline(0, color=PALETTE["muted"], lw=1)
    axes.axvline(0, color=PALETTE["muted"], lw=1)
    axes.set_xlabel("points above others of its cost: proxy")
    axes.set_ylabel(f"after {found.header['longer']} epochs")
