"""How did a training go, and which classes does the network confuse: two plots.

K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archbench.report import marks
from archbench.report.figure import PALETTE, axes_in_inches, drawable, style
from archbench.report.html import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE_BY_SIDE_FROM = 6.0  # inches
_HEIGHT = 2.9  # inches of a panel
_NAMED_UP_TO = 40  # classes
_COUNTED_FROM = 0.24  # inches of a side of a cell
_RASTER_FROM = 1000  # cells, beyond which they are drawn as an image
_LETTER, _LONGEST = 0.068, 22  # inches of a letter about; letters of a name
_LARGEST = 6.2  # inches of a side of the matrix


def training_figure(document: Mapping[str, Any], *, width_inches: float = 8.0) -> Figure | None:
    """Validation accuracy and training loss over epochs; None for a single epoch.

    Marked are the best weights, with their accuracy on the test images and its interval.
    """
    from matplotlib.figure import Figure

    points = document["curve"]
    if len(points) < 2:
        return None
    shape = (1, 2) if width_inches >= _SIDE_BY_SIDE_FROM else (2, 1)
    with style():
        figure = Figure(figsize=(width_inches, shape[0] * _HEIGHT), layout="constrained")
        accuracies, losses = figure.subplots(*shape).flat
        epochs = [point["epoch"] for point in points]
        _draw_accuracies(accuracies, document, epochs)
        losses.plot(epochs, [point["loss"] for point in points], color=PALETTE["front"], lw=1.4)
        losses.set_ylabel("training loss")
        for axes in (accuracies, losses):
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _draw_accuracies(axes: Axes, document: Mapping[str, Any], epochs: Sequence[int]) -> None:
    shares = [point["accuracy"] for point in document["curve"]]
    chance = document["training"]["data"]["chance"]
    tested = document["test"]
    ends = [tested["low"], tested["high"]] if tested else []
    axes.plot(epochs, shares, color=PALETTE["front"], lw=1.4, zorder=4, label="validation")
    best = document["best_epoch"]
    axes.plot(
        [best], [document["best_accuracy"]], color=PALETTE["front"], marker="o", ms=6, ls="none",
        zorder=5, label=f"best, epoch {best}",
    )  # fmt: skip
    if tested:
        middle = tested["accuracy"]
        axes.errorbar(
            [tested["epoch"]], [middle], yerr=[[middle - ends[0]], [ends[1] - middle]],
            color=PALETTE["reference"], marker="D", ms=5, lw=1.4, capsize=3, ls="none", zorder=6,
            label="test, 95 %",
        )  # fmt: skip
    window = marks.share_window([*shares, *ends], chance=chance)
    marks.show_shares(axes, window, chance=chance, label="accuracy")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=3)


def confusion_figure(document: Mapping[str, Any], *, width_inches: float = 8.0) -> Figure | None:
    """The confusion matrix (K, K), each row as shares of its class; None where nothing was tested.

    Up to 40 classes are named; the counts stand in cells that have room for them.
    """
    from matplotlib.figure import Figure

    if not document["test"]:
        return None
    names = [one["class"] for one in document["test"]["classes"]]
    shown = [drawable(one_line(name, length=_LONGEST)) for name in names]
    has_names = len(names) <= _NAMED_UP_TO
    room = 0.3 + (_LETTER * max(map(len, shown)) if has_names else 0.35)
    side = min(width_inches - room - 0.1, _LARGEST)
    with style():
        figure = Figure(figsize=(width_inches, side + room + 0.1))
        axes = axes_in_inches(figure, room, room, side, side)
        cells = list(_cells(document["test"]))
        _draw_cells(axes, cells)
        if side / len(names) >= _COUNTED_FROM:
            _write_counts(axes, cells)
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axes.grid(visible=False)
        axes.spines[["top", "right"]].set_visible(True)
        if has_names:
            size = min(8.5, 60 * side / len(names))
            axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=size)
            axes.set_yticks(range(len(names)), shown, fontsize=size)
        axes.tick_params(length=0)
        axes.set(xlabel="taken for", ylabel="class")
    return figure


def _cells(tested: Mapping[str, Any]) -> Iterator[tuple[int, int, int, float]]:
    """Row, column, images and their share of the class, of each entry that is not 0."""
    classes = tested["classes"]
    places = {one["class"]: place for place, one in enumerate(classes)}
    for place, one in enumerate(classes):
        if one["right"]:
            yield place, place, one["right"], one["accuracy"]
    for pair in tested["confused"]:
        yield places[pair["class"]], places[pair["predicted"]], pair["images"], pair["share"]


def _draw_cells(axes: Axes, cells: Sequence[tuple[int, int, int, float]]) -> None:
    """A square for each entry, the darker the larger its share of the class."""
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    squares = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column, _, _ in cells]
    colours = [
        to_rgba(PALETTE["front" if row == column else "limit"], 0.12 + 0.88 * share)
        for row, column, _, share in cells
    ]
    axes.add_collection(
        PatchCollection(
            squares, facecolors=colours, edgecolors="none", rasterized=len(cells) > _RASTER_FROM
        )
    )


def _write_counts(axes: Axes, cells: Sequence[tuple[int, int, int, float]]) -> None:
    for row, column, num_images, share in cells:
        colour = PALETTE["paper" if share > 0.5 else "ink"]
        axes.text(
            column, row, f"{num_images:,}", color=colour, fontsize=8, ha="center",
            va="center_baseline",
        )  # fmt: skip
