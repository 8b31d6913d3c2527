"""``archbench space``: what is searched, is it sound, how large is it, what is in it?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, option
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.space import Choices, SearchSpace
    from archbench.space.space import FeasibleShare

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
    from archbench.space import SearchSpace, shipped

    found = [_facts(SearchSpace.load(name)) for name in shipped()]
    console.tell(findings.listing({"schema": SCHEMA, "spaces": found}))


@command.command()
@click.option("--base", metavar="NETWORK", default="levit_128s", help="Network to vary.")
@option.JSON
def init(base: str) -> None:
    """Print a space to begin with: every key, what it is, and its default."""
    from archbench.report.findings import space as findings
    from archbench.space.template import template

    typed = command_line("archbench", "space", "init", "--base", base)
    step = f"{typed} > my_space.yaml"
    document = {"schema": SCHEMA, "base": base, "text": template(base)}
    console.tell(findings.written(document, next_step=step))


@command.command()
@option.JSON_ALONE
def schema() -> None:
    """Print the JSON schema of space files, by which an editor completes and checks them."""
    from archbench.space.schema import schema as space_schema

    console.document(space_schema())


@command.command()
@click.argument("space")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the file itself.")
@option.SET
@option.JSON
def show(space: str, *, as_yaml: bool, overrides: tuple[str, ...]) -> None:
    """What SPACE searches, and under which conditions."""
    from archbench.report.findings import space as findings
    from archbench.space import SearchSpace

    found = SearchSpace.load(space, overrides=overrides)
    if as_yaml:
        typed = command_line("archbench", "space", "show", space, "--yaml")
        step = f"{typed} > my_{found.name}.yaml"
        console.tell(findings.written({**_facts(found), "text": found.text}, next_step=step))
        return
    axes = [
        {
            "name": axis.name,
            "values": list(axis.values),
            "when": axis.when.text if axis.when else None,
        }
        for axis in found.axes
    ]
    document = {
        **_facts(found),
        "base": dict(found.base),
        "axes": axes,
        "require": list(found.require),
        "objectives": dict(found.objectives),
        "limits": dict(found.limits),
        "target": asdict(found.target),
        "proxy": asdict(found.proxy),
        "baselines": None if found.baselines is None else list(found.baselines),
        "search": asdict(found.search),
        "text": found.text,
    }
    labels = {axis.name: list(map(axis.label, range(len(axis.values)))) for axis in found.axes}
    if trained := found.trained_sides:
        told = [f"{own} (trained at {side} px)" for own, side in trained.items()]
        labels["resolution"] = told
    step = command_line("archbench", "space", "count", space)
    console.tell(findings.description(document, labels=labels, next_step=step))


@command.command()
@click.argument("space")
@option.SET
@option.JSON
def validate(space: str, overrides: tuple[str, ...]) -> None:
    """Say whether SPACE can be searched here; what is wrong comes with line and column."""
    from archbench.report.findings import space as findings
    from archbench.search.usable import require_usable
    from archbench.space import SearchSpace

    found = SearchSpace.load(space, overrides=overrides)
    require_usable(found)
    share = found.feasible()
    if not share.feasible:
        raise found.infeasible(share)
    document = {**_facts(found), "valid": True, **_share(share, _dead(found))}
    step = command_line("archbench", "search", space, "--dry-run")
    console.tell(findings.validity(document, name=space, next_step=step))


@command.command()
@click.argument("space")
@option.SET
@option.JSON
def count(space: str, overrides: tuple[str, ...]) -> None:
    """The exact size of SPACE, the share that is feasible, and dead choices."""
    from archbench.report.findings import space as findings
    from archbench.space import SearchSpace

    found = SearchSpace.load(space, overrides=overrides)
    dead = _dead(found)
    step = command_line("archbench", "search", space, "--dry-run")
    document = {**_facts(found), **_share(found.feasible(), dead)}
    console.tell(findings.counts(document, dead=dead, next_step=step))


@command.command()
@click.argument("space")
@click.option("-n", "--number", type=option.whole("samples"), default=3)
@option.SEED
@option.SET
@option.JSON
def sample(space: str, number: int, seed: int, overrides: tuple[str, ...]) -> None:
    """Random feasible networks of SPACE as YAML, all equally likely."""
    from archbench.report.findings import space as findings
    from archbench.space import SearchSpace

    found = SearchSpace.load(space, overrides=overrides)
    rng = random.Random(seed)
    drawn = []
    for _ in range(number):
        choices = found.sample_feasible(rng)
        if choices is None:
            raise found.infeasible(found.feasible())
        drawn.append(_candidate(found, choices))
    console.tell(findings.candidates({**_facts(found), "seed": seed, "candidates": drawn}))


def _facts(space: SearchSpace) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "space": space.name,
        "question": space.question,
        "size": space.size(),
        "num_axes": len(space.axes),
    }


def _dead(space: SearchSpace) -> list[dict[str, Any]]:
    return list(map(asdict, space.dead_choices()))


def _share(share: FeasibleShare, dead: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "feasible_share": share.value,
        "feasible_low": share.low,
        "feasible_high": share.high,
        "feasible_is_exact": share.is_exact,
        "samples": share.samples,
        "excluded": dict(share.excluded),
        "dead_choices": [
            {key: choice[key] for key in ("axis", "value", "is_certain")} for choice in dead
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
