"""How is a front told in the other runtimes of the machine?"""

from collections.abc import Sequence

from archbench.analysis.other_runtimes import InRuntime, in_other_runtimes
from archbench.analysis.study import StudyReader
from archbench.report import number
from archbench.report.element import Cell, Lines, Part, ReportTable
from archbench.study.trial import TrialRecord

_SHOWN = 3  # pairs that are named


def parts(study: StudyReader) -> list[Part]:
    """The front's latencies in each runtime and which pairs change places; nothing untimed."""
    members = study.front_records()
    found = in_other_runtimes(study.header, members)
    timed = [one for one in found if one.latencies_ms]
    if not found:
        return []
    told = [*(_in_words(one) for one in timed), _untimed(found)]
    return [_table(study, members, timed) if timed else "", Lines(told)]


def _table(
    study: StudyReader, members: Sequence[TrialRecord], timed: Sequence[InRuntime]
) -> ReportTable:
    own = study.header["conditions"]["backend"]
    numbers = {trial for one in timed for trial in one.latencies_ms}
    rows = [
        {
            "trial": Cell(record.number, value=record.number),
            f"{own}, ms": number.measured(record.latency),
            **{f"{one.backend}, ms": _latency(one, record.number) for one in timed},
        }
        for record in members
        if record.number in numbers
    ]
    return ReportTable(rows, align="r" * (2 + len(timed)))


def _latency(found: InRuntime, trial: int) -> str:
    """Without its interval, which would make the table wider than a terminal."""
    one = found.latencies_ms.get(trial)
    shown = number.with_interval(one.value, one.low, one.high) if one else number.NOT_THERE
    return shown.partition(" (")[0]


def _in_words(found: InRuntime) -> str:
    """For example ``eager: trials 3 and 5 change places (Kendall's tau 0.90)``."""
    named = [f"trials {one} and {other}" for one, other in found.swapped[:_SHOWN]]
    rest = len(found.swapped) - len(named)
    more = [f"{number.plural(rest, 'more pair')}"] if rest > 0 else []
    told = "no two designs change places beyond their intervals"
    if named:
        told = f"{', '.join([*named, *more])} change places"
    elif found.kendall_tau == 1.0:
        told = "the order is the same"
    tau = "" if found.kendall_tau is None else f" (Kendall's tau {found.kendall_tau:.2f})"
    return f"{found.backend}: {told}{tau}" + (f"; {found.reason}" if found.reason else "")


def _untimed(found: Sequence[InRuntime]) -> str:
    """Which runtimes have no latency; why, the JSON document says."""
    names = [one.backend for one in found if not one.latencies_ms]
    return f"not timed: {', '.join(names)} (--json says why)" if names else ""
