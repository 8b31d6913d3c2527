"""How ``archbench profile --serving`` goes: run each batch, then print or hand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from archbench.cli import console
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.models import ArchSpec
    from archbench.study.measurement import Conditions


def show_serving(
    specs: Sequence[ArchSpec],
    conditions: Conditions,
    *,
    batches: Sequence[int],
    resolution: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Prints how each network serves.

    Args:
        specs: The networks.
        conditions: All but resolution and batch.
        batches: Images of a pass; none means doubled until the throughput is saturated.
        resolution: Height and width; each network's own by default.
        as_json: Print one JSON document instead of text.

    Raises:
        ArchbenchError: See ``archbench.evaluate.serving.serving``.
    """
    from archbench.cli.console import meter
    from archbench.evaluate.serving import document, serving
    from archbench.models.part import Grid
    from archbench.report.findings.serving import serving_text

    if resolution is not None:
        specs = [replace(spec, resolution=Grid(*resolution)) for spec in specs]
    with meter(quiet=as_json) as told:
        found = [serving(spec, conditions, batches=batches, on_progress=told) for spec in specs]
    content = document(found)
    if as_json:
        console.document(content)
        return
    console.result("\n\n\n".join(serving_text(entry) for entry in content["networks"]))
    profile = command_line("archbench", "profile", specs[0].name or "FILE", "--where")
    console.next_step(f"{profile} says which blocks take the time")
