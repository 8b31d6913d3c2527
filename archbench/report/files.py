"""A finding as files beside one another: its page, its document, its plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import StorageError
from archbench.report.figure import png_bytes, svg_text
from archbench.study.file import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_files(
    folder: Path,
    *,
    page: str,
    name: str,
    document: Mapping[str, Any],
    plot: str,
    figure: Figure | None,
) -> list[Path]:
    """Writes each file whole or not at all.

    Args:
        folder: Where to; made if it is not there.
        page: HTML, written as ``index.html``.
        name: Of the JSON file, without its ending.
        document: What it holds.
        plot: Name of the plot's PNG and SVG, without their endings.
        figure: What they show; None writes neither.

    Returns:
        The files written.

    Raises:
        StorageError: The folder cannot be made or written in.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder of the report ({error.strerror})", place=str(folder)
        ) from error
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    contents = {"index.html": page.encode(), f"{name}.json": text.encode()}
    if figure is not None:
        contents |= {f"{plot}.png": png_bytes(figure), f"{plot}.svg": svg_text(figure).encode()}
    for file, content in contents.items():
        write_atomically(folder / file, content)
    return [folder / file for file in contents]
