"""What does a certificate say, in the words that text and page share?"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.analysis.certificate import Certificate, Finding
from archbench.analysis.rank import Agreement
from archbench.report.ablation import plural
from archbench.report.number import percent


def title(found: Certificate) -> str:
    """What was asked."""
    return f"{found.name}: can its proxy rank {found.header['space_name']}?"


def trained(found: Certificate) -> str:
    """What was trained, in one sentence."""
    proxy = found.proxy
    epochs = proxy["rungs"][-1]
    seeds = plural(found.header["seeds"], "seed")
    return (
        f"{plural(len(found.candidates), 'candidate')}, of each {seeds} "
        f"of {epochs} and of {found.header['longer']} epochs, on {proxy['data']} at "
        f"{proxy['resolution']} px"
    )


def scores(finding: Finding) -> Iterator[tuple[str, float | None, Agreement]]:
    """Every score: its name, the median accuracy where it is one, how well it orders."""
    for rung in finding.rungs:
        yield f"epoch {rung.epoch}", rung.median, rung.agreement
    if finding.nulls:
        yield "MACs", None, finding.nulls["macs"]
        yield "params", None, finding.nulls["params"]
    if finding.ceiling is not None:
        yield "ceiling", None, finding.ceiling


def explained(finding: Finding) -> str:
    """What the names of the scores mean."""
    ceiling = (
        "; ceiling: one longer training against the others of the same length"
        if finding.ceiling
        else ""
    )
    return (
        "epoch: the proxy's accuracy after so many of its epochs; MACs and params: size alone, "
        f"which knows nothing at equal cost{ceiling}"
    )


def noise(finding: Finding) -> str:
    """What separates candidates beside what separates seeds; empty where it is not known."""
    found = finding.spread
    if found is None:
        return ""
    return (
        f"longer trainings differ by {_points(found.seeds)} between seeds of one candidate, by "
        f"{_points(found.candidates)} between candidates, and by {_points(found.at_equal_cost)} "
        "between candidates of equal cost (standard deviations)"
    )


def rungs(finding: Finding) -> str:
    """Which rungs follow."""
    if not finding.rungs:
        return ""
    if not finding.rungs_advised:
        return "no rung of this proxy is good enough to stop a candidate at"
    advised = ", ".join(map(str, finding.rungs_advised))
    chance = [rung for rung in finding.rungs if not rung.is_above_chance]
    told = (
        f"; after {plural(chance[-1].epoch, 'epoch')} the median candidate is at "
        f"{percent(chance[-1].median)}, no more than guessing"
        if chance
        else ""
    )
    return f"rungs that follow: [{advised}]{told}"


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
