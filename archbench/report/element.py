"""Of what is a finding made: what each part looks like in a terminal and on a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archbench.report.document import facts_of
from archbench.report.figure import frame, inline_svg
from archbench.report.html import Markup, html, prose
from archbench.report.number import NOT_THERE
from archbench.report.text import WIDTH, beside, entries, filled, listed, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZES = (("large", 8.0), ("small", 3.9))  # inches; the page shows the one that fits
_NOTHING = ("", NOT_THERE)
_CLASSES = {"r": "number", "n": "name", "p": "prose"}


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table; a terminal shows text, small and unit."""

    text: object = NOT_THERE
    small: str = ""  # behind it, as an interval stands
    unit: str = ""
    value: object = None  # by which a page sorts the column; empty where there is no number
    hint: str = ""  # what a page shows on hovering over it
    around: str = "{}"  # a page's elements around the text
    why: str = ""  # the reason, which a page adds
    full: str = ""  # what a page shows in place of the text

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.text), self.small, self.unit)))


@dataclass(frozen=True)
class ReportTable:
    """Rows under titles."""

    # Of each row its texts or cells by their titles, ``title`` or ``title, unit``. A text instead
    # of a row is a heading in a terminal; None for a cell is nothing.
    rows: Sequence[Mapping[str, object] | str]
    _: KW_ONLY
    align: str  # of each column ``l``, ``r`` for numbers, ``n`` for names, ``p`` for prose
    notes: Sequence[str] = ()  # beneath it
    leaves_out: bool = False  # a terminal does without the columns in which nothing stands
    titles: Mapping[str, str] = field(default_factory=dict)  # of a page, where it has longer ones
    page_alone: Collection[str] = ()  # columns that a terminal has no room for
    is_sortable: bool = False  # by a click on a title of a page
    ids: Sequence[str] = ()  # of the rows of a page

    def text(self, columns: int | None = None) -> str:
        """The table in aligned columns, its notes beneath it; empty without rows.

        Where a terminal of so many columns is too narrow for it, its rows stand by themselves.
        """
        sides = {
            title: side
            for title, side in self.sides().items()
            if title not in self.page_alone
            and not (self.leaves_out and all(_text(r[title]) in _NOTHING for r in self.members()))
        }
        rows = [
            row if isinstance(row, str) else [_text(row[title]) for title in sides]
            for row in self.rows
        ]
        if not sides:
            return ""
        shown, width = table(sides, rows), min(columns or WIDTH, WIDTH)
        if columns and max(map(len, shown.split("\n"))) > columns:
            named = [
                row if isinstance(row, str) else dict(zip(sides, row, strict=True)) for row in rows
            ]
            shown = entries(named, width=width) + "\n" * bool(self.notes)
        return "\n".join(filter(None, [shown, listed(self.notes, width=width)]))

    def html(self, caption: str = "") -> Markup:
        """The table of a page, with a caption for those who cannot see it; empty without rows."""
        sides, rows = self.sides(), self.members()
        ids = [html(' id="{}"', name) for name in self.ids] or [Markup()] * len(rows)
        head = [
            html(
                '<th scope="col" class="number">{}{}</th>',
                name,
                unit and html("<small>{}</small>", unit),
            )
            if side == "r"
            else html('<th scope="col">{}</th>', title)
            for title, side in sides.items()
            for name, _, unit in [self.titles.get(title, title).partition(", ")]
        ]
        body = [
            html("<tr{}>{}</tr>\n", name, [_cell(row[t], side) for t, side in sides.items()])
            for name, row in zip(ids, rows, strict=True)
        ]
        shown = html(
            '<div class="scroll" tabindex="0"><table{}>\n{}<thead><tr>{}</tr></thead>\n<tbody>\n{}'
            "</tbody>\n</table></div>\n{}",
            Markup(' class="sortable"') if self.is_sortable else "",
            caption and html('<caption class="unseen">{}</caption>\n', caption),
            head,
            body,
            [html('<p class="note">{}</p>\n', prose(note)) for note in self.notes],
        )
        return shown if rows else Markup()

    def members(self) -> list[Mapping[str, object]]:
        """The rows that are no headings."""
        return [row for row in self.rows if not isinstance(row, str)]

    def sides(self) -> dict[str, str]:
        """Title to alignment; empty without rows."""
        titles = next(iter(self.members()), {})
        return dict(zip(titles, self.align, strict=bool(titles)))


def _cell(given: object, side: str) -> Markup:
    """A cell of a page, in a column of this alignment."""
    cell = given if isinstance(given, Cell) else Cell("" if given is None else given)
    return html(
        "<td{}{}{}>{}{}{}{}</td>",
        html(' class="{}"', _CLASSES[side]) if side in _CLASSES else "",
        "" if cell.value is None else html(' data-value="{}"', _key(cell.value)),
        cell.hint and html(' title="{}"', cell.hint),
        html(cell.around, cell.full or cell.text),
        cell.small and html(" <small>{}</small>", cell.small),
        cell.unit and f" {cell.unit}",
        cell.why and html('<span class="why">{}</span>', cell.why),
    )


def _key(value: object) -> str:
    """By what a page sorts a cell: of a float the digits that matter."""
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


@dataclass(frozen=True)
class Lines:
    """Sentences that belong together: in a terminal without a blank line between them."""

    texts: Sequence[str | bool | None]  # what is empty or false is left out
    rest: str = "  "  # stands in a terminal before each line of a sentence but its first

    def said(self) -> list[str]:
        """The sentences that say something."""
        return [text for text in self.texts if isinstance(text, str) and text]


@dataclass(frozen=True)
class FactList:
    """Names and what is to be said of each; what has no text is left out."""

    facts: Mapping[str, object] | Sequence[tuple[str, object]]
    left: int = 16  # width of the names in a terminal
    css: str = "facts"  # class of the list on a page

    def said(self) -> list[tuple[str, object]]:
        """The pairs that say something."""
        facts = self.facts.items() if isinstance(self.facts, Mapping) else self.facts
        return [(name, text) for name, text in facts if text not in (None, "", "[]")]


@dataclass(frozen=True)
class Code:
    """Text to copy, as it is."""

    text: str


@dataclass(frozen=True)
class Series:
    """Findings one after another, see ``one_after_another``."""

    findings: Sequence[Sequence[Part]]

    def parts(self) -> list[Part]:
        """The parts of all of them."""
        return [part for parts in self.findings for part in parts]


Part = str | ReportTable | Lines | FactList | Code | Series
"""Something to tell; markup is for pages alone."""


def joined(parts: Iterable[Part], *, columns: int | None = None) -> str:
    """Parts in a terminal of so many columns, a blank line between one and the next."""
    return "\n\n".join(filter(None, (text_of(part, columns=columns) for part in parts)))


def one_after_another(findings: Iterable[Iterable[Part]]) -> Series:
    """Several findings, in a terminal further from one another than their parts are."""
    return Series([list(parts) for parts in findings])


def text_of(part: Part, *, columns: int | None = None) -> str:
    """A part in a terminal of so many columns; empty where only a page shows it."""
    width = min(columns or WIDTH, WIDTH)
    match part:
        case ReportTable():
            return part.text(columns)
        case Lines():
            return listed(part.said(), rest=part.rest, width=width)
        case FactList():
            said = {name: str(text) for name, text in part.said()}
            return beside(said, left=part.left, width=width)
        case Code():
            return part.text
        case Series():
            return "\n\n\n".join(joined(parts, columns=columns) for parts in part.findings)
        case Markup():
            return ""
    return filled(part, width=width)


def page_of(parts: Iterable[Part], *, caption: str = "") -> Markup:
    """Parts on a page, under the caption of the tables among them."""
    return html("{}", [_on_page(part, caption) for part in parts])


def _on_page(part: Part, caption: str = "") -> Markup:
    match part:
        case Markup():
            return part
        case ReportTable():
            return part.html(caption)
        case Series():
            return page_of(part.parts())
        case Code():
            return html('<div class="code"><pre tabindex="0">{}</pre></div>\n', part.text)
        case FactList():
            facts = [html("<dt>{}</dt><dd>{}</dd>\n", n, prose(text)) for n, text in part.said()]
            return html('<dl class="{}">{}</dl>\n', part.css, facts) if facts else Markup()
        case Lines():
            return page_of(f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in part.said())
    return html("<p>{}</p>\n", prose(part))


def fold(title: object, parts: Iterable[Part], *, is_open: bool = False, name: str = "") -> Markup:
    """What a page unfolds under its title; the name is its identifier."""
    return html(
        '<details{}{}><summary>{}</summary><div class="inner">\n{}</div></details>\n',
        name and html(' id="{}"', name),
        Markup(" open") if is_open else "",
        title,
        page_of(parts, caption="" if isinstance(title, Markup) else str(title)),
    )


def groups(facts: Mapping[str, Mapping[str, Any] | None]) -> Markup:
    """Groups of facts by their titles, which a page shows beside one another."""
    shown = [
        html("<div><h3>{}</h3>\n{}</div>\n", title, _on_page(FactList(facts_of(content))))
        for title, content in facts.items()
        if content
    ]
    return html('<div class="groups">{}</div>\n', shown)


def plot(
    draw: Callable[[float], Figure | None],
    *,
    title: str,
    caption: str,
    prefix: str = "",
    tooltips: Mapping[str, str] | None = None,
    data: Mapping[str, object] = MappingProxyType({}),
    is_narrow: bool = True,
) -> Markup:
    """A figure of a page, drawn wide and narrow; empty where there is nothing to see.

    It is drawn for a width in inches. The title says what it shows to those who cannot see it, the
    prefix of its identifiers lets several share a page, and the tooltips are by link target. Where
    its first axes show a page's data, it is said how: the page's script marks trials in it. One
    that is not drawn narrow, too, is scrolled on a phone.
    """
    drawn = []
    for size, width in _SIZES if is_narrow else (("wide", _SIZES[0][1]),):
        figure = draw(width)
        if figure is None:
            return Markup()
        svg = inline_svg(figure, prefix=f"{prefix}{size}-", title=title, tooltips=tooltips)
        shown = data and html(' data-axes="{}"', json.dumps({**data, **frame(figure)}))
        reached = "" if is_narrow else Markup(' tabindex="0"')  # by keyboard, to be scrolled
        drawn.append(html('<div class="{}"{}{}>{}</div>', size, reached, shown or "", svg))
    return html("<figure>{}<figcaption>{}</figcaption></figure>\n", drawn, prose(caption))
