"""How is the page of a study put together: one file that needs nothing beside it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archbench.analysis.statistics import estimate_text
from archbench.analysis.verdict import answer, doubts, next_command, taken_in_words
from archbench.report.document import to_words, to_yaml
from archbench.report.element import Cell, Code, FactList, Lines, Part, ReportTable, fold, plot
from archbench.report.exploration_plot import (
    LINES,
    ends_of,
    history_figure,
    parallel_columns,
    parallel_figure,
)
from archbench.report.finding import key_list, page
from archbench.report.findings import front, other_runtimes, retraining
from archbench.report.findings.importance import what_matters
from archbench.report.findings.parts import where_time_goes
from archbench.report.findings.standing import Standing
from archbench.report.html import SCRIPT, Markup, data_block, html, one_line
from archbench.report.inventory import commands, conditions, outcomes, searched, train_command
from archbench.report.meaning import meaning
from archbench.report.number import alone, duration, percent
from archbench.report.study_plot import curve_figure, pareto_figure, tooltip
from archbench.report.summary import Summary
from archbench.report.trial_data import ACCURACY, COST, STATES, TRIAL, trial_data
from archbench.study.trial import TrialRecord

TRIALS_SHOWN = 200
"""Rows of the table of all trials; the study's ``trials.csv`` has them all."""

DATA = "trial-data"
"""The identifier of what the page's script knows of the trials."""

_ELSEWHERE = ("measurement", "digest")  # of a member: told with its design
_COMMAND = '<div class="code"><pre tabindex="0">{}</pre></div>'
_COURSE = (
    "Above each trial with its accuracy, blue: members of the front. Below the hypervolume of the "
    "front that stood after each trial, by the numbers and in the box of today."
)
_PARALLEL = (
    "Each line is a trial and runs from axis to axis through what was chosen, to its accuracy and "
    "its cost; blue: members of the front. At each value the lines are spread by the rank of their "
    f"accuracy, the best rightmost. Of many trials {LINES} are drawn, evenly."
)
_CURVES = (
    "Validation accuracy at each rung of the proxy training, mean over seeds; blue: members of the "
    "front. Lines that still rise or cross at the end say that longer training could change the "
    "order."
)


def study_page(summary: Summary, *, standing: Standing | None = None, renewed_s: int = 0) -> Markup:
    """The whole page; one that is served says how the search stands, and renews itself."""
    running = summary.study.counts()["running"]
    badge = f"{running} running" if running else ""
    data = trial_data(summary)
    title = "The front" if summary.front else "What was measured"
    shown = [_figure(summary), *_members(summary), *_trials(summary), data_block(DATA, data)]
    return page(
        "study",
        name=summary.name,
        badge=standing.headline() if standing else badge,
        question=str(summary.header.get("question") or ""),
        verdict=_answer(summary),
        is_good=bool(summary.front),
        sections={
            "front": (title, shown),
            "doubts": ("How sure that is", [Lines(doubts(summary.study))]),
            "numbers": ("In numbers", [key_list(_key_figures(summary))]),
        },
        folded=_folded(summary, data),
        begun=summary.header.get("created"),
        scripts=("trials.js", SCRIPT),
        renewed_s=renewed_s if standing is None or standing.is_running else 0,
    )


def _answer(summary: Summary) -> str:
    """Which design to take and what to type next, as a terminal says it."""
    following = next_command(summary.study) if summary.front else ""
    return f"{answer(summary.study)}{following and f' Next: `{following}`'}"


def _folded(summary: Summary, data: Mapping[str, Any]) -> dict[str, tuple[str, Sequence[Part]]]:
    curves = plot(
        lambda width: curve_figure(summary, width_inches=width),
        title="Learning curves",
        caption=_CURVES,
        prefix="curves-",
        is_narrow=False,
    )
    return {
        "retrained": ("In full training", _in_full(summary)),
        "runtimes": ("In other runtimes", other_runtimes.parts(summary.study)),
        "designs": ("The designs", _designs(summary)),
        "where": ("Where their time goes", where_time_goes(summary)),
        "baselines": ("Known networks beside them", _baselines(summary)),
        "references": ("Published networks, untrained", _references(summary)),
        "course": ("How the search went", _course(summary, data)),
        "choices": ("The choices of all trials", _choices(summary, data)),
        "searched": ("What was searched", searched(summary)),
        "outcomes": ("How the trials ended", outcomes(summary)),
        "insight": ("What matters", what_matters(summary.study.insight)),
        "curves": ("Learning curves", [curves]),
        "conditions": ("Conditions", [conditions(summary)]),
        "commands": ("Commands", commands(summary)),
        "meaning": ("What the numbers mean", [FactList(meaning(summary), css="meaning")]),
    }


def _key_figures(summary: Summary) -> list[tuple[str, str, str]]:
    counts = summary.study.counts()
    trained = f"{counts['complete']:,} trained to the end"
    told = "; ".join(filter(None, [trained, taken_in_words(summary.trials)]))
    entries = [("trials", f"{sum(counts.values()):,}", told)]
    best = summary.best
    if best is not None and best.proxy_accuracy is not None:
        reached = percent(best.proxy_accuracy, summary.accuracy_error(best))
        entries.append(("best proxy accuracy", reached, f"trial {best.number}"))
    fastest = summary.front[0] if summary.front else None
    if fastest and (latency := alone(fastest.latency)):
        entries.append(("fastest on the front", f"{latency} ms", f"trial {fastest.number}"))
    entries.append(("chance", percent(summary.chance), "always the commonest class"))
    if summary.front:
        covered = summary.study.front_probabilities.hypervolume
        truth = f"in truth {covered.low:.3f}–{covered.high:.3f}" if covered else "0 to 1"
        entries.append(("hypervolume", f"{summary.study.hypervolume():.3f}", truth))
    certificate = summary.study.certificate
    if certificate is not None:
        tau = certificate.at_equal_cost
        text = f"tau at equal cost {estimate_text(tau)}" if tau else certificate.name
        state = "certified" if certificate.state == "certified" else "not certified"
        entries.append(("proxy", state, text))
    seconds = summary.header.get("seconds")
    return [*entries, *([] if not seconds else [("search time", duration(seconds), "")])]


def _figure(summary: Summary) -> Part:
    if not summary.points and not summary.references:
        return "No trial has been measured yet, so there is nothing to plot."
    links = _links(summary)
    return plot(
        lambda width: pareto_figure(summary, width_inches=width, is_titled=False, links=links),
        title=_alternative(summary),
        caption=_caption(summary),
        tooltips={
            links[point.trial].removeprefix("#"): tooltip(summary, point)
            for point in summary.points
            if point.trial in links
        },
        data={"columns": [COST, ACCURACY]},
    )


def _links(summary: Summary) -> dict[int, str]:
    """Trial to where the page tells of it: a member its design, others their row."""
    listed = {record.number: f"#trial-{record.number}" for record in _listed(summary)}
    few = len(summary.trials) <= len(listed)
    members = {record.number: f"#design-{record.number}" for record in summary.front}
    return {**(listed if few else {}), **members}


def _alternative(summary: Summary) -> str:
    """The plot for those who cannot see it."""
    told = f"{summary.name}: proxy accuracy against {summary.cost.label}, {len(summary.points)} "
    told += "trials"
    if not summary.front:
        return told
    ends = dict.fromkeys((summary.front[0].number, summary.front[-1].number))
    points = {point.trial: point for point in summary.points}
    reach = " to ".join(tooltip(summary, points[number]) for number in ends if number in points)
    return f"{told}; the front has {len(summary.front)}, {reach}. The table beneath has them all."


def _members(summary: Summary) -> list[Part]:
    """The front, with the command that trains each design."""
    if not summary.front:
        return []
    table = front.front_table(summary.front, summary=summary)
    taken = summary.study.recommended
    rows = [
        {title: cell for title, cell in row.items() if title not in _ELSEWHERE}
        | ({"trial": _taken(record)} if taken and record.number == taken.number else {})
        | {"command": Cell(train_command(summary, record.number), around=_COMMAND)}
        for row, record in zip(table.members(), summary.front, strict=True)
    ]
    sides = "".join(side for title, side in table.sides().items() if title not in _ELSEWHERE)
    return [replace(table, rows=rows, align=f"{sides}p", ids=())]


def _taken(record: TrialRecord) -> Cell:
    """The number of the design to take, with a mark that says so."""
    opening = html('<span class="badge">take</span> <a href="#design-{}">', record.number)
    return Cell(record.number, value=record.number, around=f"{opening}{{}}</a>")


def _course(summary: Summary, data: Mapping[str, Any]) -> list[Part]:
    drawn = plot(
        lambda width: history_figure(summary, data["columns"], width_inches=width),
        title="Proxy accuracy and hypervolume, trial by trial",
        caption=_COURSE,
        prefix="course-",
        data={"columns": [TRIAL, ACCURACY]},
        is_narrow=False,
    )
    return [drawn]


def _choices(summary: Summary, data: Mapping[str, Any]) -> list[Part]:
    columns, ranks = data["columns"], data["rank"]
    shown = parallel_columns(columns)
    drawn = plot(
        lambda width: parallel_figure(summary, columns, ranks=ranks, width_inches=width),
        title="Choices, accuracy and cost of each trial, as parallel coordinates",
        caption=_PARALLEL,
        prefix="choices-",
        data={"columns": shown, "ends": [ends_of(columns[column]) for column in shown]},
        is_narrow=False,
    )
    return [drawn]


def _caption(summary: Summary) -> str:
    points, has_latency = summary.points, summary.cost.name == "latency_ms"
    words = (
        summary.front
        and "Blue: no other design is both more accurate and cheaper; the number is the trial's, "
        "and the line the best accuracy within each cost.",
        any(point.error and point.kind in ("front", "dominated") for point in points)
        and "Bars are 95 % intervals: 1.96 standard errors of the accuracy"
        + (", and the measured interval of the latency." if has_latency else "."),
        any(point.kind == "stopped" for point in points)
        and "Designs stopped early stand at the accuracy they had then.",
        any(point.accuracy is None for point in points)
        and "Crosses on the axis were over a limit, so they were never trained.",
        summary.known
        and "Green diamonds with names: known networks, timed and trained as the designs were.",
        summary.references
        and "Green: published networks as references, for their cost only; they were not trained "
        "on this data.",
    )
    return " ".join(word for word in words if isinstance(word, str))


def _in_full(summary: Summary) -> list[Part]:
    found = summary.study.retraining
    return [f"{found.how}. {found.sentence}", *retraining.parts(found)] if found else []


def _baselines(summary: Summary) -> list[Part]:
    told = (
        "Timed and trained on the same machine, under the same conditions and by the same proxy as "
        "the designs, to the last rung. One that is a design of the space is a trial, too."
    )
    return [told, front.baselines_table(summary)] if summary.baselines else []


def _references(summary: Summary) -> list[Part]:
    """The published networks measured beside the study."""
    if not summary.references:
        return []
    rows = [
        {
            "network": reference.name,
            "latency, ms, 95 % interval": front.latency_cell(reference.latency),
            "measurement": front.verdict_cell(reference.latency),
            "parameters": front.count_cell(reference.params),
            "MACs, one image": front.count_cell(reference.macs),
        }
        for reference in summary.references
    ]
    told = (
        "Measured on the same machine under the same conditions as the trials, to hold their "
        "latency against. They were not trained here, so they have no accuracy on this data."
    )
    return [told, ReportTable(rows, align="nrlrr", is_sortable=True)]


def _listed(summary: Summary) -> list[TrialRecord]:
    """The trials of the table, the most accurate first."""
    return sorted(summary.trials, key=_most_accurate_first)[:TRIALS_SHOWN]


def _trials(summary: Summary) -> list[Part]:
    """The trials, the most accurate first; unfolded where there is no front to look at."""
    if not summary.trials:
        return []
    shown = _listed(summary)
    rows = []
    for record in shown:
        origin = f"taken from {record.origin}" if record.origin else ""
        ended = "; ".join(filter(None, (origin, record.why_it_ended)))
        error = summary.accuracy_error(record)
        inherited = front.share_cell(record.weights_inherited, None)
        rows.append(
            {
                "trial": Cell(record.number, value=record.number),
                "state": STATES.get(record.state, record.state),
                "latency, ms, 95 % interval": front.latency_cell(record.latency),
                **front.precision_cell(record),
                "proxy accuracy, ± standard error": front.share_cell(record.proxy_accuracy, error),
                "parameters": front.count_cell(record.params),
                "MACs, one image": front.count_cell(record.macs),
                **({"weights inherited": inherited} if "weights" in summary.proxy else {}),
                "why it ended": one_line(ended, length=200),
            }
        )
    count = f"{len(summary.trials):,}"
    title = (
        f"{count} trials, the most accurate first"
        if len(shown) == len(summary.trials)
        else f"the {len(shown)} most accurate of {count} trials; trials.csv in the study's folder "
        "has all"
    )
    found = ReportTable(
        rows,
        align="ll" + "r" * (len(rows[0]) - 3) + "p",
        is_sortable=True,
        ids=[f"trial-{record.number}" for record in shown],
    )
    return [fold(f"All trials: {title}", [found], is_open=not summary.front, name="trials")]


def _most_accurate_first(record: TrialRecord) -> tuple[float, float, int]:
    accuracy = -1.0 if record.proxy_accuracy is None else record.proxy_accuracy
    latency = record.latency.value if record.latency else None
    return (-accuracy, math.inf if latency is None else latency, record.number)


def _designs(summary: Summary) -> list[Part]:
    """Each member of the front: its choices and its spec, to copy."""
    told = (
        "Each spec is a network that archbench builds as it stands, and a valid start of a "
        "space: save it as a file, then profile or train it."
    )
    return [told, *(_design(summary, record) for record in summary.front)] if summary.front else []


def _design(summary: Summary, record: TrialRecord) -> Markup:
    words = [f"{alone(record.latency)} ms"] if alone(record.latency) else []
    if record.proxy_accuracy is not None:
        words.append(f"{percent(record.proxy_accuracy)} proxy accuracy")
    facts: dict[str, object] = {
        "parameters": f"{record.params:,}",
        "MACs, one image": f"{record.macs:,}",
        "activations, one image": f"{record.activations:,}",
        "digest": record.digest,
        "taken from": record.origin,
        **{html("<code>{}</code>", axis): to_words(v) for axis, v in record.choices.items()},
    }
    latency = record.latency
    if latency and latency.verdict != "stable":
        facts["measurement of the latency"] = f"{latency.verdict}: {latency.reason}"
    told = [html("<span>{}</span> ", word) for word in words]
    command = Code(train_command(summary, record.number))
    return fold(
        html("<b>Trial {}</b> {}", record.number, told),
        [FactList(facts), Code(to_yaml(record.spec)), command],
        name=f"design-{record.number}",
    )
