"""How does an ablation reach the person: text, document, page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archbench.cli import console
from archbench.command_line import command_line, named_in_results

if TYPE_CHECKING:
    from archbench.analysis.ablation import AblationRecord


def show(found: AblationRecord, *, as_json: bool, folder: Path | None = None) -> None:
    """Write the report of an ablation, print what it found, and say what to do next.

    Args:
        found: As far as it is known.
        as_json: Print the document instead.
        folder: Where the report goes; into the ablation's own folder by default.
    """
    from archbench.report.ablation_files import write_ablation
    from archbench.report.findings.ablation_text import ablation_text

    files = write_ablation(found, folder)
    if as_json:
        console.document(found.document())
        return
    console.result(ablation_text(found))
    console.written(files, more=_more(found))


def _more(found: AblationRecord) -> str:
    """How to learn more where too few seeds say nothing."""
    unseen = [form for form in found.forms if form.finding.startswith("no difference")]
    go_on = command_line("archbench", "ablate", *named_in_results(found.path), "--resume")
    if found.num_done < found.num_trainings:
        return f", or go on: {go_on}"
    return f", or see smaller differences: {go_on} --seeds {2 * found.num_seeds}" if unseen else ""
