"""``archbench space``: what is searched, is it sound, how large is it, what is in it?"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console
from archbench.cli.option import ListByDefault, json_option, set_option
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.space import SearchSpace

SCHEMA = "archbench.space/1"


@click.group(cls=ListByDefault, subcommand_metavar="[COMMAND SPACE]")
def command() -> None:
    """Spaces to search: list those that come along, or look into one.

    SPACE is a YAML file or the name of a space that comes with archbench.
    """


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """The spaces that come with archbench, and what they answer."""
    from archbench.cli.space_text import listing
    from archbench.space import SearchSpace, shipped

    spaces = [SearchSpace.load(name) for name in shipped()]
    if as_json:
        console.document({"schema": SCHEMA, "spaces": [_facts(space) for space in spaces]})
        return
    console.result(listing(spaces))
    console.next_step("archbench space show quickstart, or archbench search quickstart")


@command.command()
@click.argument("space")
@set_option
@json_option
def show(space: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """What SPACE searches, and under which conditions."""
    from archbench.cli.space_text import description, written

    found = _load(space, overrides)
    if as_json:
        console.document({**_facts(found), **written(found)})
        return
    console.result(description(found))
    console.next_step(command_line("archbench", "space", "count", space))


@command.command()
@click.argument("space")
@set_option
@json_option
def validate(space: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say whether SPACE can be searched; what is wrong comes with line and column."""
    from archbench.cli.space_text import share_text

    found = _load(space, overrides)
    share = found.feasible()
    if not share.feasible:
        raise found.infeasible(share)
    if as_json:
        console.document({**_facts(found), "valid": True, **_share(found)})
        return
    console.result(f"{space} is valid: {found.size():,} candidates, {share_text(share)} feasible")
    console.next_step(command_line("archbench", "search", space, "--dry-run"))


@command.command()
@click.argument("space")
@set_option
@json_option
def count(space: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """The exact size of SPACE, the share that is feasible, and dead choices."""
    from archbench.cli.space_text import counts

    found = _load(space, overrides)
    if as_json:
        console.document({**_facts(found), **_share(found)})
        return
    console.result(counts(found))
    sample = command_line("archbench", "space", "sample", space)
    search = command_line("archbench", "search", space, "--dry-run")
    console.next_step(f"{sample}, or {search}")


@command.command()
@click.argument("space")
@click.option("-n", "--number", type=click.IntRange(1, 10_000), default=3, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@set_option
@json_option
def sample(space: str, number: int, seed: int, overrides: tuple[str, ...], as_json: bool) -> None:
    """Random feasible networks of SPACE as YAML, all equally likely."""
    from archbench.cli.space_text import candidate, candidate_text

    found = _load(space, overrides)
    rng = random.Random(seed)
    drawn = []
    for _ in range(number):
        choices = found.sample_feasible(rng)
        if choices is None:
            raise found.infeasible(found.feasible())
        drawn.append(candidate(found, choices))
    if as_json:
        console.document({**_facts(found), "seed": seed, "candidates": drawn})
        return
    console.result("\n".join(candidate_text(entry) for entry in drawn).rstrip("\n"))
    console.next_step("keep one as a file and look at it: archbench profile FILE")


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
