"""``archbench estimate``: which networks are worth measuring, told without building them?"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec
    from archbench.space import SearchSpace

_TO_FIT = 60
"""Random networks of the space of which some are measured whole, a few of each family."""


@click.command()
@click.argument("networks", metavar="[NETWORK...]", nargs=-1)
@click.option("--space", metavar="SPACE", help="Estimate random networks of this space instead.")
@click.option("--samples", type=option.whole("samples"), default=20)
@option.SEED
@option.SET
@click.option("--batch", type=option.whole("batch"), help="The space's, or 1.")
@click.option("--threads", type=option.whole("threads"), help="The space's, or 1.")
@click.option(
    "--device",
    metavar="NAME",
    help="Device, as for archbench profile; by default that of the space, or cpu.",
)
@option.RESULTS
@option.JSON
def command(
    networks: tuple[str, ...],
    *,
    space: str | None,
    samples: int,
    seed: int,
    overrides: tuple[str, ...],
    results: Path,
    **asked: Any,
) -> None:
    """Estimate latencies from blocks that were timed on this machine; no network is timed whole.

    NETWORK is a published name, a file as archbench models show prints it, or STUDY:TRIAL. Blocks
    that are new to this machine are timed once and kept. Use it for shortlisting, and archbench
    profile to measure. After estimate --space SPACE, a search of SPACE begins with estimates.
    """
    from archbench.evaluate.block_estimate import SCHEMA, estimate_all
    from archbench.evaluate.runtime_choice import fastest_backend
    from archbench.measure.device.known import default_backend
    from archbench.models import as_spec
    from archbench.report.findings import speed
    from archbench.search.settings import conditions_of
    from archbench.space import SearchSpace
    from archbench.space.sections import AUTO
    from archbench.study.measurement import Conditions

    if bool(networks) == (space is not None):
        raise UsageError(
            "name networks or a space, and not both",
            help="archbench estimate levit_128s, or archbench estimate --space hybrid",
        )
    conditions = Conditions()
    alike: list[ArchSpec] = []
    if space is None:
        specs = [names.network(text, overrides=overrides, results=results) for text in networks]
    else:
        loaded = SearchSpace.load(space, overrides=overrides)
        specs, alike = _drawn(loaded, samples=samples, seed=seed)
        conditions = conditions_of(loaded)
    said = {name: value for name, value in asked.items() if value is not None}
    if space is None and "device" in said:
        said["backend"] = default_backend(said["device"])
    conditions = replace(conditions, **said)
    with console.Meter() as progress:
        if conditions.backend == AUTO:
            base = as_spec(loaded.base)
            backend = fastest_backend(base, conditions, on_progress=progress)
            conditions = replace(conditions, backend=backend)
        found = estimate_all(specs, conditions, alike=alike, on_progress=progress)
    for note in () if console.is_json() else dict.fromkeys(entry["note"] for entry in found):
        if note:
            console.warn(note)
    following = ("search", space) if space else ("profile", *networks)
    finding = speed.estimates(
        {"schema": SCHEMA, "estimates": found},
        next_step=command_line("archbench", *following),
    )
    console.tell(finding)


def _drawn(space: SearchSpace, *, samples: int, seed: int) -> tuple[list[ArchSpec], list[ArchSpec]]:
    """Networks of a space, and others of it to fit to."""
    rng = random.Random(seed)
    specs: dict[str, ArchSpec] = {}
    alike: dict[str, ArchSpec] = {}
    for number in range(samples + _TO_FIT):
        choices = space.sample_feasible(rng)
        if choices is None:
            raise space.infeasible(space.feasible())
        spec = space.decode(choices)
        (specs if number < samples else alike)[spec.digest] = spec
    return list(specs.values()), list(alike.values())
