"""Of what is a finding made: what each part looks like in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archbench.report.document import facts_of
from archbench.report.figure import inline_svg
from archbench.report.html import Markup, html
from archbench.report.number import NOT_THERE
from archbench.report.text import beside, filled, listed, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = (("large", 8.0), ("small", 3.9))  # inches; the page shows the one that fits
_CLASSES = {"r": "number", "n": "name", "p": "prose"}


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: Its text.
        small: What stands behind it, smaller on a page, for example an interval.
        unit: What ends it.
        value: What a page sorts the column by; empty where there is no number.
        hint: What a page shows on hovering over it.
        around: A page's elements around the text.
        why: The reason that a page adds.
    """

    text: object = NOT_THERE
    small: str = ""
    unit: str = ""
    value: object = None
    hint: str = ""
    around: str = "{}"
    why: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.text), self.small, self.unit)))


@dataclass(frozen=True, kw_only=True)
class ReportTable:
    """Rows under titles.

    Attributes:
        titles: One for each column, ``title`` or ``title, unit``.
        rows: Texts or cells, as many as there are titles.
        align: A letter for each column: ``l``, ``r`` for numbers, ``n`` for names, ``p`` for prose.
        notes: What is said beneath it.
        is_sortable: Whether a click on a title sorts a page's table.
        ids: Of the rows of a page.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[object]]
    align: str
    notes: Sequence[str] = ()
    is_sortable: bool = False
    ids: Sequence[str] = ()

    def text(self) -> str:
        """The table in aligned columns, its notes beneath it."""
        rows = [[str(cell) for cell in row] for row in self.rows]
        shown = table(self.titles, rows, align=self.align)
        return "\n".join([shown, *([listed(self.notes)] if self.notes else [])])

    def html(self) -> Markup:
        """The table of a page."""
        head = [
            html("<th{}>{}{}</th>", _class(side) if side == "r" else "", *_titled(title, side))
            for title, side in zip(self.titles, self.align, strict=True)
        ]
        ids = [html(' id="{}"', name) for name in self.ids] or [Markup()] * len(self.rows)
        rows = [
            html("<tr{}>{}</tr>\n", name, list(map(_cell, row, self.align)))
            for name, row in zip(ids, self.rows, strict=True)
        ]
        return html(
            '<div class="scroll" tabindex="0"><table{}>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}'
            "</tbody>\n</table></div>\n{}",
            Markup(' class="sortable"') if self.is_sortable else "",
            head,
            rows,
            [html('<p class="note">{}</p>\n', note) for note in self.notes],
        )


@dataclass(frozen=True)
class Lines:
    """Sentences that belong together: in a terminal without a blank line between them.

    Attributes:
        texts: Empty ones are left out.
        rest: What stands in a terminal before each line of a sentence but its first.
    """

    texts: Sequence[str]
    rest: str = "  "


@dataclass(frozen=True)
class FactList:
    """Names and what is to be said of each.

    Attributes:
        facts: Name to text, or pairs of both; what has no text is left out.
        left: Width of the names in a terminal.
        css: Class of the list on a page.
    """

    facts: Mapping[str, object] | Sequence[tuple[str, object]]
    left: int = 16
    css: str = "facts"

    def said(self) -> list[tuple[str, object]]:
        """The pairs that say something."""
        facts = self.facts.items() if isinstance(self.facts, Mapping) else self.facts
        return [(name, text) for name, text in facts if text not in (None, "", "[]")]


@dataclass(frozen=True)
class Code:
    """Text to copy, as it is."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure of a page, drawn wide and narrow.

    Attributes:
        draw: Width in inches to the figure; None where there is nothing to see.
        title: What it shows, for those who cannot see it.
        caption: What stands beneath it.
        prefix: Of its identifiers, so that several may share a page.
        tooltips: Link target to the text that is shown there.
    """

    draw: Callable[[float], Figure | None]
    title: str
    caption: str
    prefix: str = ""
    tooltips: Mapping[str, str] = field(default_factory=dict)

    def html(self) -> Markup:
        """The figure with its caption; empty where there is nothing to see."""
        drawn = []
        for size, width in _SIZES:
            figure = self.draw(width)
            if figure is None:
                return Markup()
            svg = inline_svg(
                figure, prefix=f"{self.prefix}{size}-", title=self.title, tooltips=self.tooltips
            )
            drawn.append(html('<div class="{}">{}</div>', size, svg))
        return html("<figure>{}<figcaption>{}</figcaption></figure>\n", drawn, self.caption)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a page unfolds under its title.

    Attributes:
        title: Markup or text.
        parts: What it holds.
        is_open: Whether it is unfolded from the beginning.
        name: Its identifier, if it has one.
    """

    title: object
    parts: Sequence[Part]
    is_open: bool = False
    name: str = ""


@dataclass(frozen=True)
class Groups:
    """Title to the facts of a group, which a page shows beside one another."""

    groups: Mapping[str, Mapping[str, Any] | None]


Part = str | ReportTable | Lines | FactList | Code | Plot | Fold | Groups
"""Something to tell; markup is for pages alone."""


def joined(parts: Sequence[Part]) -> str:
    """Parts in a terminal, a blank line between one and the next."""
    return "\n\n".join(filter(None, map(text_of, parts)))


def one_after_another(findings: Iterable[Sequence[Part]]) -> Code:
    """Several findings in a terminal, further from one another than their parts are."""
    return Code("\n\n\n".join(map(joined, findings)))


def text_of(part: Part) -> str:
    """A part in a terminal; empty where only a page shows it."""
    match part:
        case ReportTable():
            return part.text()
        case Lines():
            return listed(part.texts, rest=part.rest)
        case FactList():
            return beside({name: str(text) for name, text in part.said()}, left=part.left)
        case Code():
            return part.text
        case str() if not isinstance(part, Markup):
            return filled(part)
    return ""


def page_of(parts: Sequence[Part]) -> Markup:
    """Parts on a page."""
    return html("{}", [_on_page(part) for part in parts])


def _on_page(part: Part) -> Markup:
    match part:
        case Markup():
            return part
        case ReportTable() | Plot():
            return part.html()
        case Code():
            return html('<div class="code"><pre>{}</pre></div>\n', part.text)
        case FactList():
            facts = [html("<dt>{}</dt><dd>{}</dd>\n", *pair) for pair in part.said()]
            return html('<dl class="{}">{}</dl>\n', part.css, facts) if facts else Markup()
        case Fold():
            return html(
                '<details{}{}><summary>{}</summary><div class="inner">\n{}</div></details>\n',
                html(' id="{}"', part.name) if part.name else "",
                Markup(" open") if part.is_open else "",
                part.title,
                page_of(part.parts),
            )
        case Lines():
            return page_of([_sentence(text) for text in part.texts if text])
        case Groups():
            shown = [
                html("<div><h3>{}</h3>\n{}</div>\n", title, _on_page(FactList(facts_of(content))))
                for title, content in part.groups.items()
                if content
            ]
            return html('<div class="groups">{}</div>\n', shown)
    return html("<p>{}</p>\n", part)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _class(side: str) -> Markup:
    return html(' class="{}"', _CLASSES[side]) if side in _CLASSES else Markup()


def _titled(title: str, side: str) -> tuple[object, object]:
    name, comma, unit = title.partition(", ") if side == "r" else (title, "", "")
    return name, html("<small>{}</small>", unit) if comma else ""


def _cell(cell: object, side: str) -> Markup:
    """One cell of a page; a table in a terminal shows its text alone."""
    if not isinstance(cell, Cell):
        return html("<td{}>{}</td>", _class(side), cell)
    value = html(' data-value="{}"', cell.value) if cell.value is not None else ""
    hint = html(' title="{}"', cell.hint) if cell.hint else ""
    return html(
        "<td{}{}{}>{}{}{}{}</td>",
        _class(side),
        value,
        hint,
        html(cell.around, cell.text),
        html(" <small>{}</small>", cell.small) if cell.small else "",
        f" {cell.unit}" if cell.unit else "",
        html('<span class="why">{}</span>', cell.why) if cell.why else "",
    )
