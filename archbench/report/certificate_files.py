"""A certificate as files: the page, the plot, the document."""

from __future__ import annotations

from pathlib import Path

from archbench.analysis.certificate import Certificate
from archbench.report.certificate_page import certificate_page
from archbench.report.certificate_plot import certificate_figure
from archbench.report.files import write_files


def write_certificate(found: Certificate, folder: Path | None = None) -> list[Path]:
    """Write a certificate as page, plot and document, each file whole or not at all.

    Args:
        found: As far as it is known.
        folder: Where to; ``report`` in the certificate's folder if not said.

    Returns:
        The files written.

    Raises:
        StorageError: The folder cannot be made or written in.
    """
    return write_files(
        folder or found.path / "report",
        page=certificate_page(found),
        name="certificate",
        document=found.document(),
        plot="taus",
        figure=certificate_figure(found),
    )
