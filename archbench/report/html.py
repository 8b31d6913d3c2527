"""How does data get into a page: always as text, never as markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"}
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Markup(str):
    """Text that is HTML already; only literals of this package become it directly."""

    __slots__ = ()


def html(template: str, *values: object) -> Markup:
    """A template of ours with each ``{}`` replaced by a value, escaped unless it is markup.

    Several pieces of markup may stand for one value. In attributes the template must put double
    quotes around the ``{}``.

    >>> html('<td class="{}">{}</td>', "name", "<script>")
    '<td class="name">&lt;script&gt;</td>'
    """
    pieces = template.split("{}")
    if len(pieces) != len(values) + 1:
        raise ValueError(f"{len(values)} values for {len(pieces) - 1} places in {template!r}")
    written = [pieces[0]]
    for value, piece in zip(values, pieces[1:], strict=True):
        written += [_written(value), piece]
    return Markup("".join(written))


def visible(text: str) -> str:
    r"""The text with every character that hides or reorders others spelt out.

    Line breaks and tabs stay. A right-to-left override, for one, becomes ``\u202e``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_seen(character) for character in text)


def one_line(text: str, *, length: int = 300) -> str:
    """The text on one line, white space joined, cut to a length with an ellipsis."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _written(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "".join(_written(part) for part in value)
    return visible(str(value)).translate(_ENTITIES)


def _seen(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
