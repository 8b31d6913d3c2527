"""How does a certificate reach the person: text, document, page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.cli import console
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.analysis.certificate import Certificate
    from archbench.search.certificate_design import Design

DESIGN_SCHEMA = "archbench.certificate-design/1"


def show(found: Certificate, *, as_json: bool, folder: Path | None = None) -> None:
    """Write the report of a certificate, print what it found, and say what to do next.

    Args:
        found: As far as it is known.
        as_json: Print the document instead.
        folder: Where the report goes; into the certificate's own folder by default.
    """
    from archbench.report.certificate_files import write_certificate
    from archbench.report.findings.certificate_text import certificate_text

    files = write_certificate(found, folder)
    if as_json:
        console.document(found.document())
        return
    console.result(certificate_text(found))
    console.written(files, more=_more(found))


def show_design(design: Design, *, as_json: bool) -> None:
    """Print what a certificate would take."""
    from archbench.search.certificate_design import in_words

    if as_json:
        known = {**asdict(design), "num_trainings": design.num_trainings, "seconds": design.seconds}
        console.document({"schema": DESIGN_SCHEMA, **known})
        return
    console.result(in_words(design))


def _more(found: Certificate) -> str:
    """How to go on: to the end, with what would help, or with the search."""
    from archbench.analysis.verdict import space_typed

    if found.finding is None:
        from archbench.search.certificate_training import resume_command

        return f", or go on: {resume_command(found.path)}"
    search = command_line("archbench", "search", space_typed(found.header))
    return f", then: {search}" if found.is_certified else ""
