"""How does a figure look, and how does it become a file or a part of a page.

Matplotlib is used without pyplot, its backends or any state of its own but the settings that hold
while one figure is written.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from archbench.report.html import Markup, html, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which stay apart for the colour-blind; shapes differ as well. In a page
# each name becomes the CSS variable --plot-<name>, so that dark mode has its own.
PALETTE = {
    "paper": "#ffffff",
    "ink": "#24292f",
    "muted": "#59636e",
    "rule": "#d8dee4",
    "front": "#0072b2",
    "other": "#6e7781",
    "limit": "#b54708",
    "reference": "#007a5a",
}
_DPI, _DPI_OF_A_PAGE = 144, 96  # dots an inch of images, which make most of a large page
_FONT = "DejaVu Sans"  # comes with matplotlib, so that every machine draws the same
_STYLE: dict[Any, Any] = {
    "font.family": [_FONT, "sans-serif"],  # the second for a reader of the SVG without the first
    "text.color": PALETTE["ink"],
    "text.usetex": False,
    "axes.edgecolor": PALETTE["muted"],
    "axes.facecolor": PALETTE["paper"],
    "axes.labelcolor": PALETTE["ink"],
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALETTE["rule"],
    "grid.linewidth": 0.6,
    "grid.linestyle": "-",
    "figure.facecolor": PALETTE["paper"],
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "savefig.facecolor": PALETTE["paper"],
    "svg.fonttype": "none",
    "svg.hashsalt": "archbench",
    "path.simplify": True,
}
_TAG = re.compile(r"<[^>]*>")
_LINK = re.compile(r'<a xlink:href="#([^"]*)" target="_blank">')
_PLACES = re.compile(r' (?:d|x|y|width|height|transform)="[^"]*"', re.DOTALL)
_DIGITS = re.compile(r"(\.\d\d)\d+")  # a hundredth of a point is a fiftieth of a pixel
# What a page does without: its own fonts, names of groups, no rotation.
_UNNEEDED = re.compile(r' font-family: [^;"]*;|(?<=<g) id="[^"]*"| transform="rotate\(-0 [^"]*"')
_IDENTIFIER = re.compile(r'(\bid="|xlink:href="#|url\(#)([^")]+)')


@contextmanager
def style() -> Iterator[None]:
    """The look of our figures, whatever the user's settings, while one is drawn and written."""
    from matplotlib import rc_context, rcdefaults, rcParams

    with rc_context():
        rcdefaults()
        rcParams.update(_STYLE)
        yield


def axes_in_inches(
    figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any
) -> Axes:
    """Axes at a place of the figure that is given in inches; options are those of matplotlib."""
    whole_width, whole_height = figure.get_size_inches()
    box = (
        left / whole_width, bottom / whole_height, width / whole_width, height / whole_height,
    )  # fmt: skip
    return figure.add_axes(box, **options)


def in_one_path(lines: Iterable[Iterable[tuple[float, float]]]) -> tuple[list[float], list[float]]:
    """Lines as x and y of a single one that is broken between them, which makes a small file."""
    points = [point for line in lines for point in (*line, (math.nan, math.nan))]
    return [x for x, _ in points], [y for _, y in points]


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file; the same figure gives the same bytes."""
    return _saved(figure, "png", "Software")


def svg_text(figure: Figure, *, dpi: int = _DPI) -> str:
    """The figure as an SVG file with its text as text; the same figure gives the same file.

    Parts that are drawn as images have so many dots an inch.
    """
    return _saved(figure, "svg", "Date", "Creator", "Format", "Type", dpi=dpi).decode()


def inline_svg(
    figure: Figure, *, prefix: str, title: str, tooltips: Mapping[str, str] | None = None
) -> Markup:
    """The figure as an ``<svg>`` element for a page, in the page's colours.

    The prefix stands before every identifier, so that several figures may share a page; the title
    is for those who cannot see it. Tooltips are texts by link target, without its ``#``.
    """
    text = svg_text(figure, dpi=_DPI_OF_A_PAGE)
    opening, rest = text[text.index("<svg") :].rstrip().split(">", 1)
    box = re.search(r'viewBox="[^"]*"', opening)
    assert box is not None
    rest = re.sub(r"\s*<metadata>.*?</metadata>", "", rest, count=1, flags=re.DOTALL)
    rest = _TAG.sub(lambda found: _paged(found.group(), prefix, tooltips or {}), rest)
    role = "group" if "<a " in rest else "img"  # links within an image are told to nobody
    rest = re.sub(r">\s+<", "><", rest)
    start = html('<svg role="{}" aria-label="{}" {}>', role, title, Markup(box.group()))
    return Markup(start + rest)


def frame(figure: Figure) -> dict[str, list[float]]:
    """Where a figure's first axes lie in the drawing, and what they show: ends of x and of y.

    Of each axis the ends in the drawing, then those of the values, then 1 where it is logarithmic.
    """
    axes = figure.axes[0]
    (left, bottom), (right, top) = 72 / figure.dpi * axes.transAxes.transform([(0, 0), (1, 1)])
    height = 72 * figure.get_figheight()
    ends = {"x": (left, right), "y": (height - bottom, height - top)}
    limits = {"x": axes.get_xlim(), "y": axes.get_ylim()}
    scales = {"x": axes.get_xscale(), "y": axes.get_yscale()}
    return {
        name: [
            *(round(float(end), 2) for end in ends[name]),
            *map(float, limits[name]),
            float(scales[name] == "log"),
        ]
        for name in ends
    }


def drawable(text: str) -> str:
    """The text with every character that the figures' font cannot draw replaced by ``□``."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont(_FONT)).get_charmap()
    spelt = visible(" ".join(text.split()))
    return "".join(character if ord(character) in known else "□" for character in spelt)


def _saved(figure: Figure, format_: str, *untold: str, dpi: int = _DPI) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=format_, dpi=dpi, metadata=dict.fromkeys(untold))
    return buffer.getvalue()


def _paged(tag: str, prefix: str, tooltips: Mapping[str, str]) -> str:
    """One tag of a figure as it stands in a page; text between tags is never touched."""
    link = _LINK.fullmatch(tag)
    if link:
        target = link.group(1)
        said = tooltips.get(target)
        return html(
            '<a href="#{}"{}>{}',
            target,
            said and html(' aria-label="{}"', said),
            said and html("<title>{}</title>", said),
        )
    for name, colour in PALETTE.items():
        tag = tag.replace(colour, f"var(--plot-{name})")
    tag = _PLACES.sub(lambda found: _DIGITS.sub(r"\1", found.group()).replace("\n", ""), tag)
    tag = _UNNEEDED.sub("", tag)
    return _IDENTIFIER.sub(rf"\g<1>{prefix}\g<2>", tag)
