"""How is the page of a study put together: one file that needs nothing beside it."""

from __future__ import annotations

from archbench.analysis.certificate import estimate_text
from archbench.analysis.verdict import taken_in_words
from archbench.report.command import commands
from archbench.report.curve_plot import curve_figure
from archbench.report.design import designs
from archbench.report.figure import inline_svg
from archbench.report.html import Markup, html
from archbench.report.insight import section as insight_section
from archbench.report.inventory import conditions, outcomes, searched
from archbench.report.meaning import meaning
from archbench.report.number import duration, exact, percent, with_interval
from archbench.report.shell import shell
from archbench.report.study_plot import pareto_figure, tooltip
from archbench.report.summary import Summary, number
from archbench.report.table import front_table, reference_table, trials_table
from archbench.report.where import where_time_goes

_WIDE, _NARROW = 8.0, 3.9  # inches; the page shows the one that fits
_TITLES = {
    "front": "The front",
    "designs": "The designs",
    "where": "Where their time goes",
    "references": "Published networks, untrained",
    "searched": "What was searched",
    "outcomes": "How the trials ended",
    "insight": "What matters",
    "curves": "Learning curves",
    "trials": "All trials",
    "conditions": "Conditions",
    "commands": "Commands",
    "meaning": "What the numbers mean",
}


def page(summary: Summary) -> str:
    """The whole page as HTML, see ``shell``."""
    return shell(summary.name, _body(summary))


def _body(summary: Summary) -> Markup:
    contents = {
        "front": html("{}{}", _figure(summary), front_table(summary)),
        "designs": designs(summary),
        "where": where_time_goes(summary),
        "references": reference_table(summary),
        "searched": searched(summary),
        "outcomes": outcomes(summary),
        "curves": _curves(summary),
        "trials": trials_table(summary),
        "conditions": conditions(summary),
        "insight": insight_section(summary.study.insight),
        "commands": commands(summary),
        "meaning": meaning(summary),
    }
    titles = _TITLES
    if not summary.front:  # then what was measured is all there is to see
        first = {"front": "What was measured", "trials": _TITLES["trials"]}
        titles = first | {key: title for key, title in _TITLES.items() if key not in first}
    shown = [(key, title) for key, title in titles.items() if contents[key]]
    return html(
        "{}\n<nav>{}</nav>\n{}\n<footer><p>{}</p></footer>",
        _opening(summary),
        [html('<a href="#{}">{}</a> ', key, title) for key, title in shown],
        [
            html('<section id="{}">\n<h2>{}</h2>\n{}\n</section>\n', key, title, contents[key])
            for key, title in shown
        ],
        _origin(summary),
    )


def _opening(summary: Summary) -> Markup:
    running = summary.study.counts()["running"]
    badge = html('<span class="badge">{} running</span>', running) if running else ""
    question = summary.header.get("question")
    return html(
        '<header>\n<p class="kicker">archbench study{}</p>\n<h1>{}</h1>\n{}</header>\n'
        '<p class="verdict{}">{}</p>\n{}',
        badge,
        summary.name,
        html('<p class="question">{}</p>\n', question) if question else "",
        "" if summary.front else " none",
        summary.study.verdict(),
        _key_figures(summary),
    )


def _key_figures(summary: Summary) -> Markup:
    counts = summary.study.counts()
    trained = f"{exact(counts['complete'])} trained to the end"
    origin = taken_in_words(summary.trials)
    told = f"{trained}; {origin}" if origin else trained
    entries = [("trials", exact(sum(counts.values())), told)]
    if summary.front:
        best = max(summary.front, key=lambda record: record.proxy_accuracy or 0)
        if best.proxy_accuracy is not None:
            error = summary.accuracy_error(best)
            entries.append(
                ("best proxy accuracy", percent(best.proxy_accuracy, error), f"trial {best.number}")
            )
        fastest = summary.front[0]
        if fastest.latency and fastest.latency.value is not None:
            taken = fastest.latency
            text = with_interval(fastest.latency.value, taken.low, taken.high).split(" (")[0]
            entries.append(("fastest on the front", f"{text} ms", f"trial {fastest.number}"))
    if summary.chance is not None:
        entries.append(("chance", percent(summary.chance), "always the commonest class"))
    if summary.front:
        entries.append(
            ("hypervolume", f"{summary.study.hypervolume():.3f}", _hypervolume_range(summary))
        )
    certificate = summary.study.certificate
    if certificate is not None:
        tau = certificate.at_equal_cost
        text = f"tau at equal cost {estimate_text(tau)}" if tau else certificate.name
        state = "certified" if certificate.state == "certified" else "not certified"
        entries.append(("proxy", state, text))
    seconds = number(summary.header.get("seconds"))
    if seconds is not None:
        entries.append(("search time", duration(seconds), ""))
    return html(
        '<dl class="key">{}</dl>',
        [
            html(
                "<div><dt>{}</dt><dd>{}{}</dd></div>",
                *entry[:2],
                html("<small>{}</small>", entry[2]) if entry[2] else "",
            )
            for entry in entries
        ],
    )


def _hypervolume_range(summary: Summary) -> str:
    covered = summary.doubt.hypervolume
    return f"in truth {covered.low:.3f}–{covered.high:.3f}" if covered else "0 to 1"


def _figure(summary: Summary) -> Markup:
    if not summary.points and not summary.references:
        return html("<p>{}</p>", "No trial has been measured yet, so there is nothing to plot.")
    title = f"{summary.name}: proxy accuracy against {summary.cost.label}"
    tooltips = {
        f"trial-{point.trial}": tooltip(summary, point)
        for point in summary.points
        if point.kind == "front"
    }
    drawn = [
        html(
            '<div class="{}">{}</div>',
            name,
            inline_svg(
                pareto_figure(summary, width_inches=width, is_titled=False, is_linked=True),
                prefix=f"{name}-",
                title=title,
                tooltips=tooltips,
            ),
        )
        for name, width in (("large", _WIDE), ("small", _NARROW))
    ]
    return html("<figure>{}<figcaption>{}</figcaption></figure>", drawn, _caption(summary))


def _caption(summary: Summary) -> str:
    measured = summary.cost.name == "latency_ms"
    words = []
    if summary.front:
        words.append(
            "Blue: no other design is both more accurate and cheaper; the number is the trial's, "
            "and the line the best accuracy within each cost."
        )
    if any(point.error and point.kind in ("front", "dominated") for point in summary.points):
        interval = ", and the measured interval of the latency" if measured else ""
        words.append(f"Bars are 95 % intervals: 1.96 standard errors of the accuracy{interval}.")
    if any(point.kind == "stopped" for point in summary.points):
        words.append("Designs stopped early stand at the accuracy they had then.")
    if any(point.accuracy is None for point in summary.points):
        words.append("Crosses on the axis were over a limit, so they were never trained.")
    if summary.references:
        words.append(
            "Green: published networks as references, for their cost only; they were not trained "
            "on this data."
        )
    return " ".join(words)


def _curves(summary: Summary) -> Markup:
    drawn = []
    for name, width in (("large", _WIDE), ("small", _NARROW)):
        figure = curve_figure(summary, width_inches=width)
        if figure is None:
            return Markup()
        svg = inline_svg(figure, prefix=f"curves-{name}-", title="Learning curves")
        drawn.append(html('<div class="{}">{}</div>', name, svg))
    caption = (
        "Validation accuracy at each rung of the proxy training, mean over seeds; blue: members "
        "of the front. Lines that still rise or cross at the end say that longer training could "
        "change the order."
    )
    return html("<figure>{}<figcaption>{}</figcaption></figure>", drawn, caption)


def _origin(summary: Summary) -> str:
    created = summary.header.get("created")
    begun = f"Study begun {created}. " if created else ""
    return f"{begun}This file is complete in itself and loads nothing from anywhere."
