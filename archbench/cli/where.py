"""How ``archbench profile --where`` goes: time the parts, then print, plot or hand them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.cli import console
from archbench.command_line import command_line
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec


def show_where(
    specs: Sequence[ArchSpec],
    *,
    batches: Sequence[int],
    resolution: tuple[int, int] | None,
    threads: int,
    device: str,
    save: Path | None,
    keep: Sequence[tuple[Path, int] | None],
    as_json: bool,
) -> None:
    """Prints where the time of each network goes, at each batch.

    Args:
        specs: The networks.
        batches: Images per forward pass.
        resolution: Height and width; each network's own by default.
        threads: CPU threads.
        device: ``cpu`` or ``cuda``.
        save: A file for the plot, of one network at one batch.
        keep: For each network the study and the trial that it is of, where it is one: its
            report then shows what was found.
        as_json: Print one JSON document instead of text.

    Raises:
        UsageError: A plot of several is asked for, or one of another format.
        ArchbenchError: See ``archbench.evaluate.parts.where``.
    """
    from archbench.cli.console import meter
    from archbench.evaluate.parts import document, where
    from archbench.models.part import Grid
    from archbench.report.findings.parts_text import where_text
    from archbench.report.where_plot import save_where
    from archbench.study.measurement import Conditions

    if save is not None and len(specs) * len(batches) != 1:
        raise UsageError(
            "a plot shows one network at one batch", place="--save", help="name one of each"
        )
    if resolution is not None:
        specs = [replace(spec, resolution=Grid(*resolution)) for spec in specs]
    with meter(quiet=as_json) as told:
        found = [
            where(spec, Conditions(device=device, batch=batch, threads=threads), on_progress=told)
            for spec in specs
            for batch in batches
        ]
    content = document(found)
    if save is not None:
        save_where(content["networks"][0], save)
        console.note(f"plot: {save}")
    is_usual = resolution is None and tuple(batches) == (1,)
    kept = keep_for_reports(content["networks"], keep) if is_usual else []
    for path in kept:
        console.note(f"kept for the study's report: {path}")
    if as_json:
        console.document(content)
        return
    console.result("\n\n\n".join(where_text(entry) for entry in content["networks"]))
    if kept:
        report = command_line("archbench", "report", kept[0].parent.parent)
        console.next_step(f"{report} shows it beside the front")
        return
    ablate = command_line("archbench", "ablate", specs[0].name or "FILE")
    console.next_step(f"{ablate} says what each choice of a network costs and buys")


def keep_for_reports(
    networks: Sequence[Mapping[str, Any]], keep: Sequence[tuple[Path, int] | None]
) -> list[Path]:
    """Keeps those networks of a document that are trials of studies; the files."""
    from archbench.study.where_file import SCHEMA, write_where

    return [
        write_where(*place, {"schema": SCHEMA, "networks": [found]})
        for found, place in zip(networks, keep, strict=True)
        if place is not None
    ]
