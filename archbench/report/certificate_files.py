"""A certificate as files: the page, the plot, the document."""

from __future__ import annotations

import json
from pathlib import Path

from archbench.errors import StorageError
from archbench.records.certificate import Certificate
from archbench.records.file import write_atomically
from archbench.report.certificate_page import certificate_page
from archbench.report.certificate_plot import certificate_figure
from archbench.report.figure import png_bytes, svg_text


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
    folder = folder or found.path / "report"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder of the report ({error.strerror})", place=str(folder)
        ) from error
    document = json.dumps(found.document(), indent=2, allow_nan=False) + "\n"
    contents = {
        "index.html": certificate_page(found).encode(),
        "certificate.json": document.encode(),
    }
    figure = certificate_figure(found)
    if figure is not None:
        contents |= {"taus.png": png_bytes(figure), "taus.svg": svg_text(figure).encode()}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
