"""``archbench space``: what is searched, is it sound, how large is it, what is in it?"""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, option
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.space import Choices, SearchSpace

SCHEMA = "archbench.space/1"


@click.group(cls=option.ListByDefault, subcommand_metavar="[COMMAND SPACE]")
def command() -> None:
    """Spaces to search: list those that come along, or look into one.

    SPACE is a YAML file or the name of a space that comes with archbench.
    """


@command.command("list")
@option.JSON
def list_() -> None:
    """The spaces that come with archbench, and what they answer."""
    from archbench.report.findings import space as findings
    from archbench.space import shipped

    found = {"schema": SCHEMA, "spaces": [_facts(_load(name, ())) for name in shipped()]}
    console.tell(findings.listing(found))


@command.command()
@click.argument("space")
@option.SET
@option.JSON
def show(space: str, overrides: tuple[str, ...]) -> None:
    """What SPACE searches, and under which conditions."""
    from archbench.report.findings import space as findings

    found = _load(space, overrides)
    labels = {axis.name: list(map(axis.label, range(len(axis.values)))) for axis in found.axes}
    step = command_line("archbench", "space", "count", space)
    console.tell(findings.description(_document(found), labels=labels, next_step=step))


@command.command()
@click.argument("space")
@option.SET
@option.JSON
def validate(space: str, overrides: tuple[str, ...]) -> None:
    """Say whether SPACE can be searched; what is wrong comes with line and column."""
    from archbench.report.findings import space as findings

    found = _load(space, overrides)
    share = found.feasible()
    if not share.feasible:
        raise found.infeasible(share)
    finding = findings.validity(
        {**_facts(found), "valid": True, **_share(found)},
        name=space,
        next_step=command_line("archbench", "search", space, "--dry-run"),
    )
    console.tell(finding)


@command.command()
@click.argument("space")
@option.SET
@option.JSON
def count(space: str, overrides: tuple[str, ...]) -> None:
    """The exact size of SPACE, the share that is feasible, and dead choices."""
    from archbench.report.findings import space as findings

    found = _load(space, overrides)
    sample = command_line("archbench", "space", "sample", space)
    search = command_line("archbench", "search", space, "--dry-run")
    finding = findings.counts(
        {**_facts(found), **_share(found)},
        dead=[
            (dead.axis, dead.value, None if dead.is_certain else dead.samples)
            for dead in found.dead_choices()
        ],
        next_step=f"{sample}, or {search}",
    )
    console.tell(finding)


@command.command()
@click.argument("space")
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=3)
@click.option("--seed", type=click.IntRange(min=0), default=0)
@option.SET
@option.JSON
def sample(space: str, number: int, seed: int, overrides: tuple[str, ...]) -> None:
    """Random feasible networks of SPACE as YAML, all equally likely."""
    from archbench.report.findings import space as findings

    found = _load(space, overrides)
    rng = random.Random(seed)
    drawn = []
    for _ in range(number):
        choices = found.sample_feasible(rng)
        if choices is None:
            raise found.infeasible(found.feasible())
        drawn.append(_candidate(found, choices))
    document = {**_facts(found), "seed": seed, "candidates": drawn}
    console.tell(findings.candidates(document))


def _load(space: str, overrides: tuple[str, ...]) -> SearchSpace:
    from archbench.space import SearchSpace

    return SearchSpace.load(space, overrides=overrides)


def _facts(space: SearchSpace) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "space": space.name,
        "question": space.question,
        "size": space.size(),
        "num_axes": len(space.axes),
    }


def _document(space: SearchSpace) -> dict[str, Any]:
    axes = [
        {
            "name": axis.name,
            "values": list(axis.values),
            "when": axis.when.text if axis.when else None,
        }
        for axis in space.axes
    ]
    return {
        **_facts(space),
        "base": dict(space.base),
        "axes": axes,
        "require": list(space.require),
        "objectives": dict(space.objectives),
        "limits": dict(space.limits),
        "target": asdict(space.target),
        "proxy": asdict(space.proxy),
        "search": asdict(space.search),
        "text": space.text,
    }


def _share(space: SearchSpace) -> dict[str, Any]:
    share = space.feasible()
    return {
        "feasible_share": share.value,
        "feasible_low": share.low,
        "feasible_high": share.high,
        "feasible_is_exact": share.is_exact,
        "samples": share.samples,
        "excluded": dict(share.excluded),
        "dead_choices": [
            {"axis": dead.axis, "value": dead.value, "is_certain": dead.is_certain}
            for dead in space.dead_choices()
        ],
    }


def _candidate(space: SearchSpace, choices: Choices) -> dict[str, Any]:
    from archbench.models import count

    spec = space.decode(choices)
    counted = count(spec)
    return {
        "digest": spec.digest,
        "choices": space.values(choices),
        "params": counted.params,
        "macs": counted.macs,
        "activations": counted.activations,
        "spec": spec.to_document(),
    }
