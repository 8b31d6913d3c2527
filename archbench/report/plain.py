"""How is a finding told to other programs: its tables as CSV, all of it in Markdown?"""

import re
from collections.abc import Iterable, Iterator, Mapping

from archbench.errors import UsageError
from archbench.report.element import Cell, Code, FactList, Lines, Part, ReportTable, Series
from archbench.report.html import Markup, one_line, visible
from archbench.report.spreadsheet import spreadsheet

# What means something anywhere in a line, and what does at its beginning only.
_ANYWHERE = re.compile(r"[\\`*_\[\]<>&|#@~!$]|:(?=/)|(?<=www)\.", re.IGNORECASE)
_AT_START = re.compile(r"^([-+=]|\d+(?=[.)]))")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_NUMBER = re.compile(r"-?\d{1,3}(,\d{3})*(\.\d+)?")


def csv(parts: Iterable[Part]) -> str:
    """The tables among some parts, a blank line between two; numbers without unit and interval.

    Raises:
        UsageError: There is none.
    """
    tables = [part for part in _single(parts) if isinstance(part, ReportTable) and part.rows]
    if not tables:
        raise UsageError("it prints no table", place="--format csv", help="leave out --format")
    written = [
        spreadsheet([{title: _plain(cell) for title, cell in row.items()} for row in one.members()])
        for one in tables
    ]
    return "\n".join(text.decode().replace("\r\n", "\n") for text in written).rstrip("\n")


def _single(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield from _single(part.parts()) if isinstance(part, Series) else (part,)


def _plain(cell: object) -> object:
    if isinstance(cell, Cell) and cell.value is not None:
        return cell.value
    text = "" if cell is None else str(cell)
    return text.replace(",", "") if _NUMBER.fullmatch(text) else text


def markdown(parts: Iterable[Part]) -> str:
    """Parts in Markdown, in which no name or text means anything."""
    return "\n\n".join(filter(None, map(_in_markdown, parts)))


def _in_markdown(part: Part) -> str:
    match part:
        case ReportTable():
            notes = "\n\n".join(map(escaped, part.notes))
            return "\n\n".join(filter(None, [markdown_table(part) if part.rows else "", notes]))
        case Lines():
            return "\n".join(f"- {escaped(text)}" for text in part.said())
        case FactList():
            return "\n".join(
                f"- **{escaped(name)}**: {escaped(str(text))}" for name, text in part.said()
            )
        case Code():
            return _fenced(part.text)
        case Series():
            return markdown(part.parts())
        case Markup():
            return ""
    return escaped(part)


def markdown_table(found: ReportTable) -> str:
    """A table in Markdown."""
    sides = found.sides()
    titles = [_in_line(found.titles.get(title, title)) for title in sides]
    rows = [titles, ["---:" if side == "r" else ":---" for side in sides.values()]]
    rows += [[_in_line(_text(row, title)) for title in sides] for row in found.members()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def escaped(text: str) -> str:
    """The text on one line such that no part of it means anything in Markdown or HTML."""
    shown = _in_line(text)  # a list item or an underline begins there unless its mark is spelt out
    return _AT_START.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", shown)


def code(text: str) -> str:
    """The text as code within a line, between more backticks than it has in a row."""
    longest = _longest_run(text)
    fence, space = "`" * (longest + 1), " " * bool(longest)
    return f"{fence}{space}{text}{space}{fence}"


def _text(row: Mapping[str, object], title: str) -> str:
    return "" if row[title] is None else str(row[title])


def _in_line(text: str) -> str:
    """The same for a text that begins no line."""
    shown = visible(one_line(text, length=2000))
    return _ANYWHERE.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), shown)


def _fenced(text: str) -> str:
    """The text as it is, between more backticks than it has in a row."""
    fence = "`" * max(3, 1 + _longest_run(text))
    lines = "\n".join(visible(line) for line in text.split("\n"))
    return f"{fence}\n{lines}\n{fence}"


def _longest_run(text: str) -> int:
    """The most backticks in a row."""
    return max(map(len, re.findall("`+", text)), default=0)
