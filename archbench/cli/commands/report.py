"""``archbench report``: a study as a page, plots and tables."""

from __future__ import annotations

from pathlib import Path

import click

from archbench.cli import console
from archbench.cli.option import json_option, results_option
from archbench.errors import UsageError


@click.command()
@click.argument("study")
@click.option(
    "--format",
    "formats",
    metavar="NAME",
    multiple=True,
    help="Write only this: html, png, svg, csv or markdown. Repeatable.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to write; report/ in the study's folder by default.",
)
@results_option
@json_option
def command(
    study: str, formats: tuple[str, ...], out: Path | None, results: Path, as_json: bool
) -> None:
    """Write STUDY as a page, plots and tables, and print its front.

    STUDY is the folder of a study or its name, or that of an ablation
    or a certificate. It may still be running:
    the report shows what is there now.
    """
    from archbench.analysis.study import open_study
    from archbench.cli.ablation import show as show_ablation
    from archbench.cli.certificate import show as show_certificate
    from archbench.cli.names import study_path
    from archbench.cli.study import next_after, show
    from archbench.report import FORMATS, write_report
    from archbench.search.ablation import is_ablation, read_ablation
    from archbench.search.certificate_training import is_certificate, read_certificate

    path = study_path(study, results=results)
    if is_ablation(path) or is_certificate(path):
        if formats:
            noun = "an ablation" if is_ablation(path) else "a certificate"
            raise UsageError(
                f"{noun} is written whole", place="--format", help="leave out --format"
            )
        if is_ablation(path):
            show_ablation(read_ablation(path), as_json=as_json, folder=out)
        else:
            show_certificate(read_certificate(path), as_json=as_json, folder=out)
        return
    wanted = [FORMATS.load(name, place="--format") for name in dict.fromkeys(formats)]
    found = open_study(path)
    folder = out or found.path / "report"
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    files = [form.write(found, folder) for form in wanted] or write_report(found, folder)
    if as_json:
        console.document(found.document())
        return
    show(found, files=files)
    page = next((path for path in files if path.suffix == ".html"), None)
    console.next_step(next_after(found, page=page))
