"""``archbench studies``: which are there, and how are they kept, compared and handed on?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line, study_argument
from archbench.errors import UsageError

SCHEMA = "archbench.study-kept/1"


@click.group(cls=option.ListByDefault, subcommand_metavar="[COMMAND STUDY]")
def command() -> None:
    """Studies: list them, or look into, rename, remove, compare, export or import one.

    STUDY is the folder of a study or its name.
    """


@command.command("list")
@option.RESULTS
@option.JSON
def list_(results: Path) -> None:
    """All studies, the newest last: their state, their front and what they take on the disk."""
    from archbench.analysis.study_listing import listed
    from archbench.report.findings import studies

    console.tell(studies.listing(listed(results)))


@command.command()
@click.argument("study")
@option.RESULTS
@option.JSON
def show(study: str, results: Path) -> None:
    """What STUDY is, what it was searched under, and what lies in its folder."""
    from archbench.analysis.study_listing import description
    from archbench.report.findings import studies

    path = names.study_path(study, results=results)
    step = command_line("archbench", "report", study_argument(path))
    console.tell(studies.description(description(path), next_step=step))


@command.command()
@click.argument("study")
@click.argument("new_name", metavar="NAME")
@option.RESULTS
@option.JSON
def rename(study: str, new_name: str, results: Path) -> None:
    """Call STUDY by another NAME."""
    from archbench.study.keeping import rename as rename_study

    path = rename_study(names.study_path(study, results=results), new_name)
    step = command_line("archbench", "report", study_argument(path))
    _tell("renamed", path, f"{study} is {path} now", next_step=step)


@command.command()
@click.argument("study")
@click.option("--yes", is_flag=True, help="Do not ask.")
@option.RESULTS
@option.JSON
def remove(study: str, *, yes: bool, results: Path) -> None:
    """Remove STUDY with its trials, weights and reports."""
    from archbench.analysis.study_listing import facts
    from archbench.report.findings.studies import size_text
    from archbench.study.keeping import remove as remove_study

    path = names.study_path(study, results=results)
    if not yes:
        found = facts(path)
        told = f"{path}: {found['trials']} trials, {size_text(found['bytes'])}"
        if not sys.stdin.isatty() or console.is_json():
            raise UsageError(f"not removed, as nobody can be asked ({told})", help="add --yes")
        if not click.confirm(f"{told}. Remove it for good?", err=True):
            _tell("kept", path, f"{path} is kept")
            return
    remove_study(path)
    _tell("removed", path, f"{path} is removed")


@command.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY STUDY...")
@option.RESULTS
@option.JSON
def compare(studies: tuple[str, ...], results: Path) -> None:
    """The fronts of several studies side by side, and which beats which.

    They are only judged where they were searched alike: the same data and training, and for
    latencies the same target and machine.
    """
    from archbench.analysis.study import open_study
    from archbench.analysis.study_comparison import compare_studies
    from archbench.report.findings import studies as findings

    if len(studies) < 2:
        raise UsageError("one study is compared with nothing", help="name two or more")
    found = [open_study(names.study_path(study, results=results)) for study in studies]
    step = command_line("archbench", "report", *(study_argument(one.path) for one in found))
    console.tell(findings.comparison(compare_studies(found), next_step=step))


@command.command()
@click.argument("study")
@click.option("--out", type=option.FILE, help="File to write; by default STUDY.tar.gz.")
@option.RESULTS
@option.JSON
def export(study: str, out: Path | None, results: Path) -> None:
    """Pack STUDY into one file, with its weights and reports."""
    from archbench.study.keeping import SUFFIX, pack

    path = names.study_path(study, results=results)
    archive = pack(path, out or Path(f"{path.resolve().name}{SUFFIX}"))
    step = f"on another machine: {command_line('archbench', 'studies', 'import', archive.name)}"
    _tell("packed", archive, f"{path} is packed into {archive}", next_step=step)


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the study; by default its own.")
@option.RESULTS
@option.JSON
def import_(file: Path, name: str | None, results: Path) -> None:
    """Take in a study from FILE, as archbench studies export wrote it."""
    from archbench.study.keeping import unpack

    path = unpack(file, results, name=name)
    step = command_line("archbench", "report", study_argument(path))
    _tell("imported", path, f"{file} is the study {path} now", next_step=step)


def _tell(done: str, path: Path, text: str, *, next_step: str = "") -> None:
    from archbench.report.element import Code
    from archbench.report.finding import Finding

    document = {"schema": SCHEMA, "done": done, "path": str(path)}
    console.tell(Finding(document, [Code(text)], next_step))
