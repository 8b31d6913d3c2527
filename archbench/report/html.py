"""How does data get into a page: always as text, never as markup."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from importlib import resources
from itertools import zip_longest

_ENTITIES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;", "`": "&#96;"}
)
SCRIPT = "page.js"
"""What every page does."""

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
    return "".join(
        spelt_out(character)
        if character not in "\n\t" and unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def spelt_out(character: str) -> str:
    """Its code, as Python and YAML escape it."""
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def one_line(text: str, *, length: int = 300) -> str:
    """The text on one line, white space joined, cut to a length with an ellipsis."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def prose(text: object) -> Markup:
    """A sentence of ours, or markup as it is; what stands between backticks is code.

    >>> prose("type `ls <b>` here")
    'type <code>ls &lt;b&gt;</code> here'
    """
    if isinstance(text, Markup):
        return text
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:  # one is alone
        return html("{}", str(text))
    codes = (html("<code>{}</code>", code) for code in pieces[1::2])
    return html(
        "{}", [part for pair in zip_longest(pieces[::2], codes, fillvalue="") for part in pair]
    )


def data_block(identifier: str, content: object) -> Markup:
    """Numbers and texts for the page's script, as JSON that no browser takes for a script."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return html('<script type="application/json" id="{}">{}</script>\n', identifier, Markup(text))


def shell(
    title: str, body: Markup, *, scripts: Sequence[str] = (SCRIPT,), renewed_s: int = 0
) -> Markup:
    """A whole page as HTML.

    Nothing in it can reach the network: its policy forbids every request, and of all scripts
    allows the page's own, of these files, by its digest alone. A page that is served may ask its
    own server for itself, which it does every so many seconds.
    """
    script = "".join(map(_asset, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        + ("; connect-src 'self'" if renewed_s else "")
    )
    without_script = '<noscript><meta http-equiv="refresh" content="{}"></noscript>\n'
    return html(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">\n{}'
        "<title>{} · archbench</title>\n<style>\n{}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        '<main id="main" tabindex="-1"{}>\n{}\n</main>\n<script>{}</script>\n</body>\n</html>\n',
        Markup(policy),
        html(without_script, renewed_s) if renewed_s else "",
        one_line(title, length=80),
        Markup(_asset("page.css")),
        html(' data-renewed="{}"', renewed_s) if renewed_s else "",
        body,
        Markup(script),
    )


def _written(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "".join(_written(part) for part in value)
    return visible(str(value)).translate(_ENTITIES)


def _asset(name: str) -> str:
    return resources.files("archbench.report").joinpath(name).read_text(encoding="utf-8")
