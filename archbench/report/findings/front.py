"""How is a front told: of a study as it stands, on another device, in a terminal and on a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archbench.analysis.front_probability import SURE, FrontProbabilities
from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import answer, doubts, next_command, taken_in_words
from archbench.report import number
from archbench.report.element import Cell, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.findings import other_runtimes, retraining
from archbench.report.html import html, one_line
from archbench.report.summary import OWN_RESOLUTION, Summary
from archbench.study.measurement import Conditions, Measurement, Verdict
from archbench.study.objective import OBJECTIVES
from archbench.study.throughput import throughput
from archbench.study.trial import PRECISION, TrialRecord

ROWS = 8
"""Members of the front that are shown at most while a search runs."""

_OWN_COLUMN = ("proxy_accuracy", "latency_ms", "params", "macs")
_TITLES = {
    "px": "side of the images, px",
    "latency, ms": "latency, ms, 95 % interval",
    "proxy": "proxy accuracy, ± standard error",
    "front": "on the front, probability",
    "limits": "in the limits, probability",
    "test": "test accuracy, held-out split",
    "params": "parameters",
    "MACs": "MACs, one image",
}
_DOUBTS: dict[Verdict, str] = {
    "disturbed": "measure again on a quiet machine (archbench doctor says why)",
    "incomplete": "they have no value, and --json says why",
}


def finding(study: StudyReader) -> Finding:
    """Which design to take, the front, how sure it is, what the early stops saved, the counts."""
    counts, members = study.counts(), study.front_records()
    told = ", ".join(
        f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count
    )
    summary = Summary(study)
    head = f"{study.name}: {sum(counts.values())} trials ({told or 'none yet'})"
    step = next_command(study) if members else ""
    parts: list[Part] = [
        f"{answer(study)}{step and f' Next: {step}'}",
        front_table(members, summary=summary) if members else "",
        Lines(doubts(study)),
        *([baselines_table(summary)] if summary.baselines else []),
        study.pruning.in_words() if study.pruning else "",
        *(["trained in full", *retraining.parts(study.retraining)] if study.retraining else []),
        *(["in other runtimes", *timed] if (timed := other_runtimes.parts(study)) else []),
        Lines([head, taken_in_words(study.trials())], rest=""),
    ]
    return Finding(study.document(), parts, step)


def elsewhere(
    document: Mapping[str, Any], *, front: Sequence[TrialRecord], next_step: str
) -> Finding:
    """A document of the schema ``archbench.elsewhere/1``: the front by new times, what changes."""
    transfer, trials = document["transfer"], document["trials"]
    conditions = Conditions.from_document(document["conditions"])
    sides = {record.latency.conditions.resolution for record in front if record.latency}
    told = str(conditions) if len(sides) < 2 else conditions.text(resolution=OWN_RESOLUTION)
    verdicts = [trial["latency_verdict"] for trial in trials]
    tau, compared, lost = transfer["kendall_tau"], transfer["compared"], transfer["lost"]
    lines = [
        f"on both fronts: {_listed(transfer['kept'])}",
        f"on the front of the search only: {_listed(transfer['left'])}",
        f"on the front of this device only: {_listed(transfer['joined'])}",
        tau is not None
        and f"rank correlation of both latencies (Kendall's tau): {tau:.2f} over {compared} "
        "networks",
        lost is not None
        and f"the front of the search lacks {100 * lost:.1f} % of the hypervolume that the trained "
        "designs reach here",
        conditions.precision == "int8"
        and any(trial["accuracy_in"] != "int8" for trial in trials)
        and "accuracies are those of the search in fp32: what int8 costs is not known here",
        *(
            f"{count} of {len(verdicts)} latencies are {verdict}: {meaning}"
            for verdict, meaning in _DOUBTS.items()
            if (count := verdicts.count(verdict))
        ),
        f"{document['study']}: {len(trials)} networks on {told}",
    ]
    shown = front_table(front) if front else "no network stands on a front here"
    return Finding(document, [_transfer_text(transfer), shown, Lines(lines)], next_step)


def _transfer_text(transfer: Mapping[str, Any]) -> str:
    """Whether the front of the search stands on another device."""
    kept, left, joined = (len(transfer[key]) for key in ("kept", "left", "joined"))
    if not left and not joined:
        those = f"all its {kept} designs stay" if kept > 1 else "its design stays"
        return f"The front stands on this device: {those}."
    changes = [f"{left} of {number.plural(kept + left, 'design')} leave it"] if left else []
    changes += [f"{number.plural(joined, 'other')} join it"] if joined else []
    return f"The front changes on this device: {', and '.join(changes)}."


def front_table(members: Sequence[TrialRecord], *, summary: Summary | None = None) -> ReportTable:
    """The front, cheapest first; the summary, which a search that goes on lacks, says how sure."""
    has_sides = any("resolution" in record.choices for record in members)
    rows = [_member(record, summary, has_side=has_sides) for record in members]
    return ReportTable(
        rows,
        align="r" * (len(rows[0]) - 4) + "lrrl",
        notes=_notes(members, summary),
        leaves_out=True,
        titles=_TITLES,
        page_alone=("limits", "measurement", "digest"),
        is_sortable=True,
        ids=[f"trial-{record.number}" for record in members],
    )


def front_so_far(members: Sequence[TrialRecord]) -> list[str]:
    """The lines of a front while its search runs: its cheapest members, and how many more."""
    rest = len(members) - ROWS
    more = [f"and {rest} more"] if rest > 0 else []
    return ["the front so far", *front_table(members[:ROWS]).text().split("\n"), *more]


def baselines_table(summary: Summary) -> ReportTable:
    """The known networks of a study, and why one was not trained."""
    rows = [
        {
            "known network": one.name,
            "trial": Cell("" if one.trial is None else one.trial),
            "latency, ms": latency_cell(one.record.latency),
            "proxy": share_cell(one.record.proxy_accuracy, summary.accuracy_error(one.record)),
            "measurement": verdict_cell(one.record.latency),
            "params": count_cell(one.record.params),
            "MACs": count_cell(one.record.macs),
            "why it ended": one_line(one.record.why_it_ended, length=200),
        }
        for one in summary.baselines
    ]
    return ReportTable(
        rows,
        align="nrrrlrrp",
        leaves_out=True,
        titles=_TITLES,
        page_alone=("measurement",),
        is_sortable=True,
    )


def _member(record: TrialRecord, summary: Summary | None, *, has_side: bool) -> dict[str, Cell]:
    sure = summary.study.front_probabilities if summary else FrontProbabilities()
    error, test_error = (
        (summary.accuracy_error(record), summary.test_error(record)) if summary else (None, None)
    )
    latency, link = latency_cell(record.latency), html('<a href="#design-{}">', record.number)
    if _is_marked(record):
        latency = replace(latency, small=f"{latency.small}*")
    limits = _chance_cell(sure.meets_limits.get(record.number))
    return {
        "trial": Cell(record.number, value=record.number, around=f"{link}{{}}</a>"),
        **({"px": Cell(record.spec["resolution"])} if has_side else {}),
        "latency, ms": latency,
        **precision_cell(record),
        **_other_objectives(record, summary),
        "proxy": share_cell(record.proxy_accuracy, error),
        "front": _chance_cell(sure.on_front.get(record.number)),
        **({"limits": limits} if summary and summary.limits else {}),
        "test": share_cell(record.test_accuracy, test_error),
        "measurement": verdict_cell(record.latency),
        "params": count_cell(record.params),
        "MACs": count_cell(record.macs),
        "digest": Cell(record.digest, around="<code>{}</code>"),
    }


def precision_cell(record: TrialRecord) -> dict[str, Cell]:
    """The precision of a trial, where its space has int8."""
    return {"precision": Cell(record.choices[PRECISION])} if PRECISION in record.choices else {}


def _other_objectives(record: TrialRecord, summary: Summary | None) -> dict[str, Cell]:
    """Label to value of the objectives of a study that have no column of their own."""
    names = summary.study.rule.objectives if summary else ()
    others = {OBJECTIVES[n]: OBJECTIVES[n].value(record) for n in names if n not in _OWN_COLUMN}
    return {
        one.label: Cell("", value="") if value is None else Cell(one.text(value), value=value)
        for one, value in others.items()
    } | _best_batch(record, summary)


def _best_batch(record: TrialRecord, summary: Summary | None) -> dict[str, Cell]:
    """At which batch its throughput is best, where a study times its networks at several."""
    if summary is None or "batches" not in summary.header:
        return {}
    best = throughput(record.latency)
    return {"best batch": Cell(best.batch, value=best.batch) if best else Cell("", value="")}


def latency_text(latency: Measurement | None) -> str:
    """A latency with its interval and unit, or none."""
    return f"{number.measured(latency)} ms".replace("none ms", "none")


def accuracy_text(record: TrialRecord, *, summary: Summary | None = None) -> str:
    """The proxy accuracy of a trial, with its standard error where a study is given, or none."""
    reached = record.proxy_accuracy
    error = summary.accuracy_error(record) if summary else None
    return "none" if reached is None else number.percent(reached, error)


def cost_text(record: TrialRecord) -> str:
    """What a trial costs: its latency, or its MACs where none was measured."""
    return latency_text(record.latency) if record.latency else f"{number.short(record.macs)} MACs"


def _is_marked(record: TrialRecord) -> bool:
    return record.latency is not None and record.latency.verdict != "stable"


def _notes(members: Sequence[TrialRecord], summary: Summary | None) -> list[str]:
    """What the latencies are of, who may break a limit, and who else may belong on the front."""
    notes = ["* taken on a disturbed machine"] if any(map(_is_marked, members)) else []
    if summary is None:
        return notes
    conditions, kept = summary.conditions_text, summary.study.front_probabilities.meets_limits
    if conditions and any(record.latency for record in members):
        notes.append(f"latency per batch under: {conditions}")
    notes += [
        f"trial {record.number} keeps the limits with {number.chance(chance)} only"
        for record in members
        if (chance := kept.get(record.number, SURE)) < SURE
    ]
    return notes


def latency_cell(latency: Measurement | None) -> Cell:
    """A latency with its interval."""
    if latency is None or latency.value is None:
        return Cell(value="")
    value, _, interval = number.measured(latency).partition(" ")
    return Cell(value, small=interval, value=latency.value)


def verdict_cell(latency: Measurement | None) -> Cell:
    """Whether a measurement can be relied on, and why not."""
    if latency is None:
        return Cell()
    kind = latency.verdict if latency.verdict in ("stable", "disturbed") else "incomplete"
    around = html('<span class="{}">', kind)
    return Cell(kind, value=kind, around=f"{around}{{}}</span>", why=one_line(latency.reason))


def share_cell(share: float | None, error: float | None) -> Cell:
    """An accuracy with its standard error."""
    if share is None:
        return Cell(value="")
    value, _, spread = number.percent(share, error).removesuffix(" %").partition(" ")
    return Cell(value, small=spread, unit="%", value=share)


def count_cell(count: int) -> Cell:
    """A count to three digits, with all of them on hovering over it."""
    return Cell(number.short(count), value=count, hint=f"{count:,}")


def _chance_cell(share: float | None) -> Cell:
    return Cell(value="") if share is None else Cell(number.chance(share), value=share)


def _listed(numbers: Sequence[int]) -> str:
    return f"trials {', '.join(map(str, numbers))}" if numbers else "none"
