"""``archbench doctor``: what can this machine resolve today, and what disturbs it?"""

from pathlib import Path
from typing import Any

import click

from archbench.cli import configuration, console, names, option


@click.command()
@click.argument("study", required=False)
@click.option(
    "--seconds",
    type=option.finite(1, 600),
    default=10.0,
    help="Duration of the A/A test, which times copies of one network.",
)
@click.option(
    "--config", is_flag=True, help="Print what files and variables set as defaults, and stop."
)
@option.TARGET
@option.THREADS
@option.RESULTS
@option.JSON
def command(study: str | None, *, config: bool, results: Path, **how: Any) -> None:
    """Say what this machine can measure today, and how to remove what disturbs it.

    Times several copies of one network against one another: each difference between them is
    noise. With a STUDY, its database is checked, too.
    """
    if config:
        _tell_configuration()
        return
    from archbench.evaluate.doctor import doctor
    from archbench.report.findings.doctor import finding

    path = names.study_path(study, results=results) if study else None
    with console.Meter() as progress:
        found = doctor(study=path, on_progress=progress, **how)
    console.tell(finding(found))


def _tell_configuration() -> None:
    from archbench.report.findings.configuration import finding

    group = click.get_current_context().find_root().command
    assert isinstance(group, click.Group), "doctor is one of several commands"
    console.tell(finding(configuration.in_effect(group, configuration.read(Path.cwd()))))
