"""``archbench ablate``: what does each choice of a network cost, and what does it buy?"""

from pathlib import Path
from typing import Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import UsageError


@click.command()
@click.argument("words", metavar="[NETWORK] [AXIS]...", nargs=-1)
@click.option(
    "--axes",
    metavar="AXIS...",
    multiple=True,
    help="Factors and their values: position=bias,none. More may follow. Repeatable.",
)
@click.option(
    "--paper",
    metavar="NAME",
    help="Run a paper's own tables instead: levit, cvt or shvit.",
)
@click.option("--data", default="cluttered_digits", metavar="NAME", help=option.DATA_HELP)
@click.option(
    "--resolution",
    type=option.whole("image side"),
    metavar="PIXELS",
    help="Image size of the trainings; 64 by default.",
)
@click.option(
    "--stem",
    type=click.Choice(["keep_grid", "as_is"]),
    help="Whether the first embed is adapted to small images.",
)
@click.option(
    "--scale",
    type=option.finite(0, is_open=True),
    help="Multiply the widths of the network by this factor, as 0.25.",
)
@click.option(
    "--epochs", type=option.whole("epochs"), help="Epochs of each training; 8 by default."
)
@click.option(
    "--seeds", type=option.whole("trainings"), help="Trainings of each form; 5 by default."
)
@click.option("--batch", type=option.whole("batch", least=2), default=32)
@option.SEED
@click.option(
    "--teacher",
    type=click.Choice(["none", "convolutional"]),
    help="Teacher of the base; by default as in the paper with --paper, else none.",
)
@option.DEVICE
@click.option("--no-latency", is_flag=True, help="Measure no latency.")
@option.max_minutes(help="Time limit; fewer seeds, then fewer epochs are planned to keep it.")
@option.WORKERS
@option.DOWNLOAD
@click.option("--name", help="Name of the study; ablate-NETWORK by default.")
@click.option("--resume", is_flag=True, help="Continue the study; --seeds may be higher now.")
@option.DRY_RUN
@option.SET
@option.RESULTS
@option.JSON
def command(
    words: tuple[str, ...],
    axes: tuple[str, ...],
    no_latency: bool,
    overrides: tuple[str, ...],
    results: Path,
    **asked: Any,
) -> None:
    """Change one factor of NETWORK at a time: what does each value cost, and what does it buy?

    AXIS is FACTOR=VALUE,VALUE. A factor is a field that one kind of place has (position), a path
    ('stages[all].block.kv_stride'; [each] changes one place after another) or a field of the
    training (teacher). Counts are exact, latencies are taken in turn, and all forms are trained
    with the same seeds.
    """
    from archbench.report.findings import ablation
    from archbench.search.ablation.run import ablate

    named, turned = _sorted(words, axes=axes)
    spec = names.network(named, overrides=overrides, results=results) if named else None
    typed = option.typed_command("--resume", "--json")
    with console.Meter() as progress:
        found = ablate(
            spec,
            axes=turned,
            latency=not no_latency,
            results=results,
            command=typed,
            on_progress=progress,
            on_note=progress.say,
            **asked,
        )
    if found is None:
        console.next_step(option.typed_command("--dry-run"))
        return
    finding = ablation.finding(found)
    console.tell(finding, files=finding.write(found.path / "report"))


def _sorted(words: tuple[str, ...], *, axes: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """The network, if one is named, and all axes in the order typed."""
    networks = [word for word in words if "=" not in word]
    if len(networks) > 1:
        raise UsageError(
            f"an ablation changes one network, and {command_line(*networks)} are named",
            place="archbench ablate",
            help="a factor is written NAME=VALUE,VALUE",
        )
    return (networks[0] if networks else None), [*axes, *(word for word in words if "=" in word)]
