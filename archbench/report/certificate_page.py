"""How is the page of a certificate put together?"""

from __future__ import annotations

import statistics
from typing import Any

from archbench.analysis.certificate import Candidate, Certificate, estimate_text
from archbench.analysis.statistics import Estimate
from archbench.report import certificate as words
from archbench.report.certificate_plot import certificate_figure
from archbench.report.command import code
from archbench.report.document import to_words
from archbench.report.figure import inline_svg
from archbench.report.html import Markup, html
from archbench.report.number import NOT_THERE, exact, percent
from archbench.report.shell import shell

_WIDE, _NARROW = 8.0, 3.9  # inches; the page shows the one that fits


def certificate_page(found: Certificate) -> Markup:
    """The whole page as HTML."""
    contents = {
        "taus": ("How well it orders", html("{}{}", _figure(found), _taus(found))),
        "candidates": ("The candidates", _candidates(found)),
        "conditions": ("Conditions", _conditions(found)),
        "method": ("What the numbers mean", html("<p>{}</p>", found.header["method"])),
    }
    body = html(
        "{}\n<nav>{}</nav>\n{}\n<footer><p>{}</p></footer>",
        _opening(found),
        [html('<a href="#{}">{}</a> ', key, title) for key, (title, _) in contents.items()],
        [
            html('<section id="{}">\n<h2>{}</h2>\n{}\n</section>\n', key, title, content)
            for key, (title, content) in contents.items()
        ],
        f"Begun {found.header['created']}. This file is complete in itself and loads nothing from "
        "anywhere.",
    )
    return shell(found.name, body)


def _opening(found: Certificate) -> Markup:
    finding = found.finding
    badge = (
        html('<span class="badge">{} of {} trainings</span>', found.num_done, found.num_trainings)
        if finding is None
        else html('<span class="badge">{}</span>', finding.state)
    )
    entries: list[tuple[str, str, str]] = []
    if finding is not None and finding.rungs:
        last = finding.rungs[-1]
        entries.append(_entry("tau at equal cost", finding.last))
        entries.append(_entry("tau overall", last.agreement.overall))
        entries.append(_entry("tau of MACs alone", finding.nulls["macs"].overall))
        advised = ", ".join(map(str, finding.rungs_advised)) or "none"
        entries.append(("rungs that follow", advised, "epochs"))
    sentence = "Its trainings have not ended." if finding is None else finding.sentence
    if finding is not None and finding.advice:
        sentence += f" What helps: {finding.advice}."
    return html(
        '<header>\n<p class="kicker">archbench certificate{}</p>\n<h1>{}</h1>\n'
        '<p class="question">{}</p>\n</header>\n<p class="verdict{}">{}</p>\n'
        '<dl class="key">{}</dl>',
        badge,
        found.name,
        f"Can this proxy rank {found.header['space_name']}? {words.trained(found)}.",
        "" if found.is_certified else " none",
        sentence,
        [html("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", *entry) for entry in entries],
    )


def _entry(name: str, estimate: Estimate) -> tuple[str, str, str]:
    return name, f"{estimate.value:.2f}", f"{estimate.low:.2f} to {estimate.high:.2f}"


def _figure(found: Certificate) -> Markup:
    drawn = []
    for name, width in (("large", _WIDE), ("small", _NARROW)):
        figure = certificate_figure(found, width_inches=width)
        if figure is None:
            return html("<p>{}</p>", "Nothing can be compared yet.")
        svg = inline_svg(figure, prefix=f"{name}-", title=f"{found.name}: taus with intervals")
        drawn.append(html('<div class="{}">{}</div>', name, svg))
    caption = (
        "Kendall's tau with the longer trainings and its 95 % interval, filled at equal cost, "
        "hollow overall; grey: size alone, and what one longer training tells of the others. "
        "Dashed: what is asked for at equal cost. The points are candidates."
    )
    return html("<figure>{}<figcaption>{}</figcaption></figure>", drawn, caption)


def _taus(found: Certificate) -> Markup:
    finding = found.finding
    if finding is None or not finding.rungs:
        return Markup()
    headings = ("score", "median", "at equal cost", "near the front", "overall")
    rows = [
        html(
            '<tr><td class="name">{}</td><td class="number">{}</td>{}{}{}</tr>\n',
            name,
            NOT_THERE if median is None else percent(median),
            _cell(agreement.at_equal_cost),
            _cell(agreement.near_front),
            _cell(agreement.overall),
        )
        for name, median, agreement in words.scores(finding)
    ]
    told = [words.explained(finding), words.noise(finding), words.rungs(finding)]
    told += map(str, found.header["notes"])
    return html(
        '<div class="scroll" tabindex="0"><table>\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}</tbody>\n</table></div>\n{}",
        [
            html('<th class="number">{}</th>' if index else "<th>{}</th>", heading)
            for index, heading in enumerate(headings)
        ],
        rows,
        [html("<p>{}.</p>\n", _capital(text).rstrip(".")) for text in told if text],
    )


def _cell(estimate: Estimate) -> Markup:
    return html('<td class="number">{}</td>', estimate_text(estimate))


def _candidates(found: Certificate) -> Markup:
    headings = ("network", "parameters", "MACs", "proxy", "longer", "choices")
    return html(
        '<div class="scroll" tabindex="0"><table class="sortable">\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}</tbody>\n</table></div>",
        [html("<th>{}</th>", heading) for heading in headings],
        [_row(candidate) for candidate in found.candidates],
    )


def _row(candidate: Candidate) -> Markup:
    short = [curve[max(curve)] for curve in candidate.proxy.values()]
    choices = to_words(dict(candidate.choices))
    failed = f"; {'; '.join(candidate.failures)}" if candidate.failures else ""
    return html(
        '<tr><td class="name">{}</td><td class="number" data-value="{}">{}</td>'
        '<td class="number" data-value="{}">{}</td>{}{}<td class="prose">{}</td></tr>\n',
        candidate.digest,
        candidate.params,
        exact(candidate.params),
        candidate.macs,
        exact(candidate.macs),
        _accuracy(short),
        _accuracy(list(candidate.longer.values())),
        f"{choices}{failed}",
    )


def _accuracy(accuracies: list[float]) -> Markup:
    if not accuracies:
        return html('<td class="number">{}</td>', NOT_THERE)
    seeds = ", ".join(f"{100 * value:.1f}" for value in accuracies)
    return html(
        '<td class="number" data-value="{}">{} <small>{}</small></td>',
        statistics.fmean(accuracies),
        percent(statistics.fmean(accuracies)),
        seeds,
    )


def _conditions(found: Certificate) -> Markup:
    groups: dict[str, Any] = {
        "Trainings": {key: value for key, value in found.proxy.items() if key != "plan"},
        "Holds for": found.header["subject"],
        "Machine and software": found.header["environment"],
        "How its steps are computed": found.proxy["plan"],
    }
    return html(
        '<div class="groups">{}</div>\n{}',
        [
            html('<div><h3>{}</h3>\n<dl class="facts">{}</dl></div>\n', title, _facts(content))
            for title, content in groups.items()
        ],
        code(str(found.header["command"])),
    )


def _facts(content: Any) -> list[Markup]:
    return [
        html("<dt>{}</dt><dd>{}</dd>", str(key).replace("_", " "), to_words(value))
        for key, value in content.items()
        if value not in (None, "", [], {})
    ]


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
