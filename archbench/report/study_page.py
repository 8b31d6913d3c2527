"""How is the page of a study put together: one file that needs nothing beside it."""

import math
from collections.abc import Sequence

from archbench.analysis.certificate import pixels
from archbench.analysis.statistics import estimate_text
from archbench.analysis.study_header import space_typed
from archbench.analysis.verdict import taken_in_words
from archbench.command_line import command_line
from archbench.report.document import to_words, to_yaml
from archbench.report.element import Cell, Code, FactList, Part, ReportTable, fold, plot
from archbench.report.finding import page
from archbench.report.findings import front, other_runtimes, retraining
from archbench.report.findings.importance import what_matters
from archbench.report.findings.parts import where_time_goes
from archbench.report.html import Markup, html, one_line
from archbench.report.inventory import commands, conditions, outcomes, searched, train_command
from archbench.report.number import alone, duration, percent, plural
from archbench.report.study_plot import curve_figure, pareto_figure, tooltip
from archbench.report.summary import Summary
from archbench.study.trial import TrialRecord

TRIALS_SHOWN = 300
"""Rows of the table of all trials; the study's ``trials.csv`` has them all."""

_STATES = {"pruned": "stopped early", "over_limit": "over the limit"}
_CURVES = (
    "Validation accuracy at each rung of the proxy training, mean over seeds; blue: members of the "
    "front. Lines that still rise or cross at the end say that longer training could change the "
    "order."
)


def study_page(summary: Summary) -> Markup:
    """The whole page."""
    running = summary.study.counts()["running"]
    return page(
        "study",
        name=summary.name,
        badge=f"{running} running" if running else "",
        question=str(summary.header.get("question") or ""),
        verdict=summary.study.verdict(),
        is_good=bool(summary.front),
        key_figures=_key_figures(summary),
        sections=_sections(summary),
        begun=summary.header.get("created"),
    )


def _sections(summary: Summary) -> dict[str, tuple[str, Sequence[Part]]]:
    curves = plot(
        lambda width: curve_figure(summary, width_inches=width),
        title="Learning curves",
        caption=_CURVES,
        prefix="curves-",
    )
    trials = {"trials": ("All trials", _trials(summary))}
    # Without a front, what was measured is all there is to see.
    first, last = ({}, trials) if summary.front else (trials, {})
    members = front.front_table(summary.front, summary=summary) if summary.front else Markup()
    title = "The front" if summary.front else "What was measured"
    return {
        "front": (title, [_figure(summary), members]),
        **first,
        "retrained": ("In full training", _in_full(summary)),
        "runtimes": ("In other runtimes", other_runtimes.parts(summary.study)),
        "designs": ("The designs", _designs(summary)),
        "where": ("Where their time goes", where_time_goes(summary)),
        "baselines": ("Known networks beside them", _baselines(summary)),
        "references": ("Published networks, untrained", _references(summary)),
        "searched": ("What was searched", searched(summary)),
        "outcomes": ("How the trials ended", outcomes(summary)),
        "insight": ("What matters", what_matters(summary.study.insight)),
        "curves": ("Learning curves", [curves]),
        **last,
        "conditions": ("Conditions", [conditions(summary)]),
        "commands": ("Commands", commands(summary)),
        "meaning": ("What the numbers mean", [FactList(_meaning(summary), css="meaning")]),
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
    return [*entries, *([] if seconds is None else [("search time", duration(seconds), "")])]


def _figure(summary: Summary) -> Part:
    if not summary.points and not summary.references:
        return "No trial has been measured yet, so there is nothing to plot."
    return plot(
        lambda width: pareto_figure(summary, width_inches=width, is_titled=False, is_linked=True),
        title=f"{summary.name}: proxy accuracy against {summary.cost.label}",
        caption=_caption(summary),
        tooltips={
            f"trial-{point.trial}": tooltip(summary, point)
            for point in summary.points
            if point.kind == "front"
        },
    )


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


def _trials(summary: Summary) -> list[Part]:
    """The trials, the most accurate first; unfolded where there is no front to look at."""
    if not summary.trials:
        return []
    shown = sorted(summary.trials, key=_most_accurate_first)[:TRIALS_SHOWN]
    rows = []
    for record in shown:
        origin = f"taken from {record.origin}" if record.origin else ""
        reason = record.failure.message if record.failure else record.reason
        error = summary.accuracy_error(record)
        inherited = front.share_cell(record.weights_inherited, None)
        rows.append(
            {
                "trial": Cell(record.number, value=record.number),
                "state": _STATES.get(record.state, record.state),
                "latency, ms, 95 % interval": front.latency_cell(record.latency),
                **front.precision_cell(record),
                "proxy accuracy, ± standard error": front.share_cell(record.proxy_accuracy, error),
                "parameters": front.count_cell(record.params),
                "MACs, one image": front.count_cell(record.macs),
                **({"weights inherited": inherited} if "weights" in summary.proxy else {}),
                "why it ended": one_line("; ".join(filter(None, (origin, reason))), length=200),
            }
        )
    count = f"{len(summary.trials):,}"
    title = (
        f"{count} trials, the most accurate first"
        if len(shown) == len(summary.trials)
        else f"the {len(shown)} most accurate of {count} trials; trials.csv in the study's folder "
        "has all"
    )
    found = ReportTable(rows, align="ll" + "r" * (len(rows[0]) - 3) + "p", is_sortable=True)
    return [fold(title, [found], is_open=not summary.front)]


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
    told = [html("<span>{}</span> ", word) for word in words]
    command = Code(train_command(summary, record.number))
    return fold(
        html("<b>Trial {}</b> {}", record.number, told),
        [FactList(facts), Code(to_yaml(record.spec)), command],
        name=f"design-{record.number}",
    )


def _meaning(summary: Summary) -> dict[str, str]:
    """What each number of the page means, and what it does not say."""
    corner = summary.study.reference_point() or {}
    sides = ", ".join(f"{name} {value:.4g}" for name, value in corner.items())
    proxy, found = summary.proxy, summary.study.certificate
    size = f" at {pixels(proxy)}" if proxy.get("resolution") else ""
    what = proxy.get("data_description") or proxy.get("data") or "unnamed data"
    certify = command_line("archbench", "certify", space_typed(summary.header))
    return {
        "Proxy accuracy": "Share of validation images classified rightly after a short training on "
        f"{what}{size}. It is made to rank designs cheaply and is not your accuracy: not on your "
        "images, and not after a full training.",
        "Its standard error": _error(summary),
        "Certificate of the proxy": f"{found.sentence} (Taken in {found.name}.)"
        if found
        else "None was taken: whether this proxy can rank this space is not known. "
        f"`{certify}` trains a sample for longer and says so.",
        "Test accuracy": "Accuracy of the proxy training on a held-out split of the data, which no "
        "trial of the search used. Only members of the front get one, at the end.",
        "Latency": "Time of one forward pass of the deployed network (batch norm folded, biases "
        "cached) for one batch, under the conditions above. Networks are timed in turn with a "
        "calibration network, and the interval covers 95 %. “Disturbed” means that the machine was "
        "busy meanwhile: the number is kept and marked.",
        "On the front": _chances(summary),
        "MACs": "Multiply-accumulates of one image at the target resolution; one multiply and its "
        "add count as 1. Papers on vision transformers print this same number as FLOPs; tools that "
        "count multiply and add apart print twice as much.",
        "Hypervolume": "The share of the box between the reference point and the ideal that the "
        f"front covers, 0 to 1{f' (reference: {sides})' if sides else ''}. It compares only "
        "studies of one reference point. The range holds 95 % of what the same designs may cover "
        "in truth: the best of many short trainings profited from noise, so it may lie below the "
        "number itself.",
    }


def _error(summary: Summary) -> str:
    images = summary.proxy.get("num_validation")
    count = f" of {images:,.0f} images" if images else ""
    spread = (
        "Each design was trained once, so how much another seed would change is not known and "
        "not in it."
        if summary.proxy.get("seeds") == 1
        else "The spread over training seeds is in it where a design was trained more than once."
    )
    return f"By the size of the validation set{count}: another set would move it so far. {spread}"


def _chances(summary: Summary) -> str:
    doubt = summary.study.front_probabilities
    noise = ""
    if doubt.noise_sd is not None:
        source = (
            plural(doubt.noise_degrees, "repeated training")
            if doubt.noise_degrees
            else "a share of the spread between designs, as none was trained twice"
        )
        noise = (
            f" Two trainings of one design differ by about {100 * doubt.noise_sd:.1f} points "
            f"(standard deviation, by {source})."
        )
    return (
        "The probability that no other design of this study is both more accurate and cheaper in "
        "truth. It counts over draws of what the accuracies may be without noise between seeds, "
        "judged by all designs together, and the latencies within their intervals. It says nothing "
        f"about designs that were not tried.{noise}"
    )
