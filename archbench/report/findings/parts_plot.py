"""Where does the time of a network go: a bar for each part, and what the machine needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import StorageError, UsageError
from archbench.report.figure import PALETTE, axes_in_inches, drawable, png_bytes, style, svg_text
from archbench.study.atomic_file import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

_ROW, _TOP, _BOTTOM, _LEFT, _RIGHT = 0.22, 0.45, 0.55, 1.9, 0.8  # inches


def where_figure(
    found: Mapping[str, Any], *, width_inches: float = 8.0, is_titled: bool = True
) -> Figure:
    """The parts of one network of an ``archbench.where/1`` document, from its first to its last.

    The whole bar is what a part takes; its blue share is what the machine's compute or memory
    asks for at least, and the rest is what could be won.
    """
    from matplotlib.figure import Figure

    bars = [*found["parts"], {"place": "between", "ms": max(0.0, found["between_ms"])}]
    height = _TOP + _ROW * len(bars) + _BOTTOM
    with style():
        figure = Figure(figsize=(width_inches, height))
        width = width_inches - _LEFT - _RIGHT
        axes = axes_in_inches(figure, _LEFT, _BOTTOM, width, _ROW * len(bars))
        rows = range(len(bars))
        taken = [bar["ms"] for bar in bars]
        needed = [bar["ms"] * min(1.0, bar.get("roof_share", 0.0)) for bar in bars]
        axes.barh(rows, taken, color=PALETTE["rule"], height=0.72, label="measured")
        axes.barh(
            rows, needed, color=PALETTE["front"], height=0.72, label="needed at least (roofline)"
        )
        for row, bar in enumerate(bars):
            note = drawable(f"{bar['ms']:.2f}  {bar.get('bound_by', '')}")
            axes.annotate(
                note, (bar["ms"], row), xytext=(3, 0), textcoords="offset points", va="center",
                fontsize=7.5, color=PALETTE["muted"], parse_math=False,
            )  # fmt: skip
        axes.set_yticks(list(rows), [drawable(_label(bar)) for bar in bars], parse_math=False)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("milliseconds")
        if is_titled:
            title = drawable(f"{found['name']}: {found['whole_ms']:.2f} ms")
            axes.set_title(title, fontsize=10, loc="left", parse_math=False)
        axes.legend(loc="lower right")
    return figure


def save_where(found: Mapping[str, Any], path: Path) -> None:
    """Writes the plot as SVG or PNG, as the file's name says.

    Raises:
        UsageError: The name ends otherwise.
        StorageError: It cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{suffix or 'no suffix'!r} is no format of a plot",
            place=str(path),
            help=f"end the name with {' or '.join(SUFFIXES)}",
        )
    if not path.parent.is_dir():
        raise StorageError(
            "its folder is not there", place=str(path), help=f"make {path.parent} first"
        )
    figure = where_figure(found)
    write_atomically(path, png_bytes(figure) if suffix == ".png" else svg_text(figure).encode())


def _label(bar: Mapping[str, Any]) -> str:
    if "kind" not in bar or bar["kind"] == bar["place"]:
        return str(bar["place"])
    layer = str(bar["place"]).partition(".blocks[")[2].rstrip("]")
    return f"{bar['stage']}{'.' if layer else ''}{layer} {bar['kind']}"
