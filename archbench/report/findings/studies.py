"""Which studies are there, what is one, and which of several found the better front?"""

from collections.abc import Mapping
from typing import Any

from archbench.analysis.study_comparison import FrontMember, StudyComparison
from archbench.command_line import command_line
from archbench.report import number
from archbench.report.element import Cell, FactList, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.findings.front import count_cell, latency_cell, share_cell
from archbench.study.objective import OBJECTIVES, objective_value

_OWN = {"latency_ms": "latency, ms", "proxy_accuracy": "proxy"}
_MOST_DATA = 18


def listing(document: Mapping[str, Any]) -> Finding:
    """All studies of a folder, the newest last, and those that cannot be read."""
    rows = [_row(study) for study in document["studies"]]
    unread = [f"{one['study']} cannot be read: {one['error']}" for one in document["unreadable"]]
    if not rows and not unread:
        told = f"there are no studies in {document['results']}"
        return Finding(document, [told], "archbench search quickstart")
    parts: list[Part] = [ReportTable(rows, align="llrrrlrl", leaves_out=True), Lines(unread)]
    step = command_line("archbench", "studies", "show", rows[-1]["study"]) if rows else ""
    return Finding(document, parts, step)


def _row(study: Mapping[str, Any]) -> dict[str, Any]:
    trials, wanted = study["trials"], study["wanted"]
    best = study["best"] or {}
    accuracy = best.get("proxy_accuracy")
    data = str(study["data"] or "")
    return {
        "study": study["study"],
        "state": study["state"] if study["kind"] == "search" else study["kind"],
        "trials": f"{trials} of {wanted}" if wanted and trials < wanted else f"{trials}",
        "front": Cell(study["front"] or "", value=study["front"]),
        "best": Cell("" if accuracy is None else number.percent(accuracy), value=accuracy),
        "begun": str(study["created"] or "")[:10],
        "size": Cell(size_text(study["bytes"]), value=study["bytes"]),
        "data": data if len(data) <= _MOST_DATA else f"…{data[-_MOST_DATA + 1 :]}",
    }


def size_text(size: int) -> str:
    """Bytes as a person reads them.

    >>> size_text(655_360), size_text(1_234_567_890)
    ('655 kB', '1.23 GB')
    """
    return f"{number.short(size)}B" if size >= 1000 else f"{size} B"


def description(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """What a study is, what it was searched under, and what lies in its folder."""
    counts = ", ".join(
        f"{count} {state.replace('_', ' ')}" for state, count in document["counts"].items() if count
    )
    best = document["best"] or {}
    reached = ", ".join(
        OBJECTIVES[name].text(value) for name, value in best.items() if name in OBJECTIVES
    )
    sizes = {name: size_text(size) for name, size in document["sizes"].items() if size}
    total = size_text(sum(document["sizes"].values()))
    facts = {
        "state": document["state"],
        "trials": counts or "none yet",
        "front": f"{document['front']} designs" if document["front"] else "none yet",
        "most accurate": f"trial {best['trial']}: {reached}" if best else "",
        "question": document["question"],
        "space": document["space"],
        "data": document["data"],
        "target": document["target"],
        "machine": document["machine"],
        "begun": document["created"],
        "taken over": ", ".join(document["sources"]),
        "on the disk": f"{total}: " + ", ".join(f"{name} {size}" for name, size in sizes.items()),
        "begun by": document["command"],
    }
    title = f"{document['study']}: a {document['kind']} in {document['path']}"
    return Finding(document, [title, FactList(facts)], next_step)


def comparison(found: StudyComparison, *, next_step: str) -> Finding:
    """The fronts of several studies in one table, and which dominates which."""
    parts: list[Part] = [
        Lines(_judgement(found), rest=""),
        ReportTable(
            [
                _member(one, found)
                for one in sorted(found.members, key=lambda one: _cost(one, found))
            ],
            align="lr" + "r" * len(found.objectives) + "rrl",
            leaves_out=True,
        ),
        Lines(_differences(found)),
    ]
    return Finding(found.document(), parts, next_step)


def _judgement(found: StudyComparison) -> list[str]:
    """Which front is better, in sentences; first of all where that cannot be said."""
    if found.differences:
        listed = ", ".join(found.differences)
        return [f"these fronts cannot be compared: the studies differ in {listed}"]
    told = []
    if found.hypervolumes:
        shares = [
            f"{name} {100 * share:.1f} %"
            for name, share in zip(found.names, found.hypervolumes, strict=True)
        ]
        told.append(f"of one box their fronts dominate: {', '.join(shares)} (hypervolume)")
    for name in found.names:
        own = [one for one in found.members if one.study == name]
        if not own:
            told.append(f"{name} has no front")
            continue
        beaten = [one for one in own if one.beaten_by]
        sure = sum(one.surely for one in beaten)
        more = f", {sure} of them beyond the 95 % intervals" if beaten else ""
        told.append(f"{name}: {len(beaten)} of {len(own)} members are beaten by another's{more}")
    return told


def _member(one: FrontMember, found: StudyComparison) -> dict[str, Any]:
    record = one.record
    cells = {_OWN.get(name, OBJECTIVES[name].label): _cell(one, name) for name in found.objectives}
    by = "" if one.beaten_by is None else ":".join(map(str, one.beaten_by))
    return {
        "study": one.study,
        "trial": Cell(record.number, value=record.number),
        **cells,
        "params": count_cell(record.params),
        "MACs": count_cell(record.macs),
        "beaten by": f"{by}, surely" if one.surely else by,
    }


def _cell(one: FrontMember, name: str) -> Cell:
    if name == "latency_ms":
        return latency_cell(one.record.latency)
    value = objective_value(one.record, name)
    if name == "proxy_accuracy":
        return share_cell(value, None)
    return Cell("" if value is None else OBJECTIVES[name].text(value), value=value)


def _cost(one: FrontMember, found: StudyComparison) -> tuple[float, ...]:
    costs = [name for name, way in found.objectives.items() if way == "min"]
    return tuple(objective_value(one.record, name) or 0.0 for name in costs)


def _differences(found: StudyComparison) -> list[str]:
    return [
        f"{name}: "
        + ", ".join(f"{value} in {study}" for study, value in zip(found.names, values, strict=True))
        for name, values in found.differences.items()
    ]
