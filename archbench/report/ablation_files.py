"""An ablation as files: the page, the plot, the document."""

from __future__ import annotations

from pathlib import Path

from archbench.analysis.ablation import AblationRecord
from archbench.report.ablation_page import ablation_page
from archbench.report.ablation_plot import effect_figure
from archbench.report.files import write_files


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
    return write_files(
        folder or found.path / "report",
        page=ablation_page(found),
        name="ablation",
        document=found.document(),
        plot="effects",
        figure=effect_figure(found),
    )
