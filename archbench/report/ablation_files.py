"""An ablation as files: the page, the plot, the document."""

from __future__ import annotations

import json
from pathlib import Path

from archbench.errors import StorageError
from archbench.records.ablation import AblationRecord
from archbench.records.file import write_atomically
from archbench.report.ablation_page import ablation_page
from archbench.report.ablation_plot import effect_figure
from archbench.report.figure import png_bytes, svg_text


def write_ablation(found: AblationRecord, folder: Path | None = None) -> list[Path]:
    """Write an ablation as page, plot and document, each file whole or not at all.

    Args:
        found: As far as it is known.
        folder: Where to; ``report`` in the ablation's folder if not said.

    Returns:
        The files written.

    Raises:
        StorageError: The folder cannot be made or written in.
    """
    folder = folder or found.path / "report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder of the report ({error.strerror})", place=str(folder)
        ) from error
    document = json.dumps(found.document(), indent=2, allow_nan=False) + "\n"
    contents = {"index.html": ablation_page(found).encode(), "ablation.json": document.encode()}
    figure = effect_figure(found)
    if figure is not None:
        contents |= {"effects.png": png_bytes(figure), "effects.svg": svg_text(figure).encode()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
