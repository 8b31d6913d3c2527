"""How is the page of an ablation put together?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archbench.analysis.ablation import AblationRecord, Difference, FormRecord
from archbench.report.ablation import (
    label,
    milliseconds_text,
    plural,
    points_text,
    sentence,
    signs_text,
    training_text,
)
from archbench.report.ablation_plot import effect_figure
from archbench.report.command import code
from archbench.report.document import to_words, to_yaml
from archbench.report.figure import inline_svg
from archbench.report.html import Markup, html
from archbench.report.number import NOT_THERE, exact, percent, short, with_interval
from archbench.report.shell import shell

_WIDE, _NARROW = 8.0, 3.9  # inches; the page shows the one that fits


def ablation_page(found: AblationRecord) -> Markup:
    """The whole page as HTML."""
    contents = {
        "effects": ("Effects", html("{}{}", _figure(found), _table(found))),
        "paper": ("Beside the paper", _paper(found)),
        "illegal": ("What cannot be built", _illegal(found)),
        "forms": ("The networks", _forms(found)),
        "conditions": ("Conditions", _conditions(found)),
        "method": ("What the numbers mean", _method(found)),
    }
    shown = [(key, title, content) for key, (title, content) in contents.items() if content]
    body = html(
        "{}\n<nav>{}</nav>\n{}\n<footer><p>{}</p></footer>",
        _opening(found),
        [html('<a href="#{}">{}</a> ', key, title) for key, title, _ in shown],
        [
            html('<section id="{}">\n<h2>{}</h2>\n{}\n</section>\n', key, title, content)
            for key, title, content in shown
        ],
        f"Begun {found.header['created']}. This file is complete in itself and loads nothing from "
        "anywhere.",
    )
    return shell(found.name, body)


def _opening(found: AblationRecord) -> Markup:
    base = found.base
    entries = [
        ("parameters of the base", exact(base.params), short(base.params)),
        ("MACs of the base", exact(base.macs), short(base.macs)),
    ]
    if base.latency and base.latency.value is not None:
        text = with_interval(base.latency.value, base.latency.low, base.latency.high)
        entries.append(("latency of the base", f"{text.split(' (')[0]} ms", base.latency.verdict))
    if base.accuracy is not None:
        seeds = plural(len(base.accuracies), "seed")
        entries.append(("accuracy of the base", percent(base.accuracy), seeds))
    is_whole = found.num_done == found.num_trainings
    badge = (
        ""
        if is_whole
        else html(
            '<span class="badge">{} of {} trainings</span>', found.num_done, found.num_trainings
        )
    )
    return html(
        '<header>\n<p class="kicker">archbench ablation{}</p>\n<h1>{}</h1>\n'
        '<p class="question">{}</p>\n</header>\n<p class="verdict">{}</p>\n<dl class="key">{}</dl>',
        badge,
        found.name,
        f"One knob at a time from {(base.spec or {}).get('name') or base.digest}; "
        f"{training_text(found)}",
        _verdict(found),
        [html("<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", *entry) for entry in entries],
    )


def _verdict(found: AblationRecord) -> str:
    trained = [form for form in found.forms if form.accuracy_difference is not None]
    seen = [
        form for form in trained if form.accuracy_difference and form.accuracy_difference.is_seen
    ]
    if not trained:
        return "Nothing has been compared yet."
    words = [
        f"{len(seen)} of {plural(len(trained), 'change')} make a difference in accuracy that "
        f"{plural(found.num_seeds, 'seed')} can tell."
    ]
    largest = sorted(
        seen, key=lambda f: -abs(f.accuracy_difference.value) if f.accuracy_difference else 0
    )
    words += [f"{form.name}: {sentence(form, base=found.base)}." for form in largest[:2]]
    return " ".join([*words, signs_text(found)])


def _figure(found: AblationRecord) -> Markup:
    drawn = []
    for name, width in (("large", _WIDE), ("small", _NARROW)):
        figure = effect_figure(found, width_inches=width)
        if figure is None:
            return Markup()
        svg = inline_svg(figure, prefix=f"{name}-", title=f"{found.name}: differences to the base")
        drawn.append(html('<div class="{}">{}</div>', name, svg))
    paper = " Green diamonds: what the paper prints." if found.header["paper"] else ""
    caption = (
        "Differences to the base with 95 % intervals. Blue: better; orange: worse; grey: not told "
        f"apart from none.{paper}"
    )
    return html("<figure>{}<figcaption>{}</figcaption></figure>", drawn, caption)


def _table(found: AblationRecord) -> Markup:
    headings = (
        ("change", ""),
        ("parameters", "difference"),
        ("MACs", "difference"),
        ("latency", "ms, 95 % interval"),
        ("accuracy", "points, 95 % interval"),
        ("finding", ""),
    )
    rows = [_row(form, base=found.base) for form in found.forms if form.state != "illegal"]
    return _tabled(headings, rows)


def _row(form: FormRecord, *, base: FormRecord) -> Markup:
    if form.state == "base":
        blank = html('<td class="number" data-value="0">{}</td>', "the base")
        return html('<tr><td class="name">{}</td>{}<td></td></tr>', label(form), [blank] * 4)
    return html(
        '<tr><td class="name">{}</td>{}{}{}{}<td class="prose">{}</td></tr>',
        label(form),
        _count_cell(form.params - base.params),
        _count_cell(form.macs - base.macs),
        _difference_cell(form.latency_difference, milliseconds_text(form.latency_difference)),
        _difference_cell(form.accuracy_difference, points_text(form.accuracy_difference)),
        form.finding + (f"; {form.reason}" if form.reason else ""),
    )


def _paper(found: AblationRecord) -> Markup:
    if not found.header["paper"]:
        return Markup()
    headings = (
        ("row", ""),
        ("parameters", "here / paper"),
        ("MACs", "here / paper"),
        ("top-1", "paper, %"),
        ("difference", "paper, points"),
        ("difference", "here, points"),
        ("sign", ""),
    )
    rows = [
        html(
            '<tr><td class="name">{} <small>{}</small></td><td class="number">{} / {}</td>'
            '<td class="number">{} / {}</td><td class="number">{}</td><td class="number">{}</td>'
            "{}<td>{}</td></tr>",
            label(form),
            form.paper.source + (f"; {form.paper.note}" if form.paper.note else ""),
            exact(form.params) if form.spec else NOT_THERE,
            form.paper.params or NOT_THERE,
            exact(form.macs) if form.spec else NOT_THERE,
            form.paper.flops or NOT_THERE,
            f"{form.paper.top1:.1f}",
            f"{form.paper.difference:+.1f}",
            _difference_cell(form.accuracy_difference, points_text(form.accuracy_difference)),
            form.paper.sign,
        )
        for form in found.forms
        if form.paper
    ]
    return _tabled(headings, rows)


def _illegal(found: AblationRecord) -> Markup:
    told = [
        html("<dt>{}</dt><dd>{}</dd>", form.name, form.reason)
        for form in found.forms
        if form.state == "illegal"
    ]
    return html('<dl class="meaning">{}</dl>', told) if told else Markup()


def _forms(found: AblationRecord) -> Markup:
    return html(
        "{}",
        [
            html(
                "<details><summary><b>{}</b> <span>{}</span></summary>"
                '<div class="inner">{}{}</div></details>\n',
                form.name,
                _headline(form),
                html("<p>{}</p>", f"trained with {to_words(dict(form.training))}")
                if form.training
                else "",
                code(to_yaml(form.spec)),
            )
            for form in (found.base, *found.forms)
            if form.spec and (form.state != "base" or form is found.base)
        ],
    )


def _headline(form: FormRecord) -> str:
    words = [f"{short(form.params)} parameters", f"{short(form.macs)} MACs"]
    if form.latency and form.latency.value is not None:
        latency = form.latency
        words.append(f"{with_interval(form.latency.value, latency.low, latency.high)} ms")
    if form.accuracies:
        seeds = ", ".join(f"{100 * value:.1f}" for value in form.accuracies.values())
        words.append(f"accuracy by seed: {seeds} %")
    return ", ".join(words)


def _conditions(found: AblationRecord) -> Markup:
    groups = {
        "Trainings": {key: value for key, value in found.proxy.items() if key != "plan"},
        "Latency": found.header["conditions"] or {},
        "Machine and software": found.header["environment"],
        "How its steps are computed": found.proxy["plan"],
    }
    return html(
        '<div class="groups">{}</div>\n{}',
        [
            html('<div><h3>{}</h3>\n<dl class="facts">{}</dl></div>\n', title, _facts(content))
            for title, content in groups.items()
            if content
        ],
        code(str(found.header["command"])),
    )


def _facts(content: Any) -> list[Markup]:
    return [
        html("<dt>{}</dt><dd>{}</dd>", str(key).replace("_", " "), to_words(value))
        for key, value in content.items()
        if value not in (None, "", [], {})
    ]


def _method(found: AblationRecord) -> Markup:
    return html(
        "{}", [html("<p>{}</p>", text) for text in (found.header["method"], *found.header["notes"])]
    )


def _tabled(headings: Sequence[tuple[str, str]], rows: Sequence[Markup]) -> Markup:
    return html(
        '<div class="scroll" tabindex="0"><table class="sortable">\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}</tbody>\n</table></div>",
        [
            html('<th class="number">{}<small>{}</small></th>', name, unit)
            if unit
            else html("<th>{}</th>", name)
            for name, unit in headings
        ],
        [html("{}\n", row) for row in rows],
    )


def _difference_cell(difference: Difference | None, texts: tuple[str, str]) -> Markup:
    return html(
        '<td class="number" data-value="{}">{} <small>{}</small></td>',
        "" if difference is None else difference.value,
        *texts,
    )


def _count_cell(difference: int) -> Markup:
    sign = "+" if difference > 0 else "-" if difference else ""
    return html(
        '<td class="number" data-value="{}" title="{}">{}{}</td>',
        difference,
        exact(difference),
        sign,
        short(abs(difference)),
    )
