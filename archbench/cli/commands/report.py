"""``archbench report``: a study as a page, plots and tables."""

from pathlib import Path

import click

from archbench.cli import console, names, option
from archbench.errors import StorageError, UsageError


@click.command()
@click.argument("studies", metavar="[STUDY]...", nargs=-1)
@click.option(
    "--format",
    "formats",
    metavar="NAME",
    multiple=True,
    help="Write only this format: html, png, svg, csv or markdown. Repeatable.",
)
@option.folder("--out", help="Folder of the report; by default report/ in the study's folder.")
@option.RESULTS
@option.JSON_ALONE
def command(
    studies: tuple[str, ...], formats: tuple[str, ...], out: Path | None, results: Path
) -> None:
    """Write STUDY as a page, plots and tables, and print its front.

    STUDY is the folder of a study or its name, or that of an ablation
    or a certificate. It may still be running:
    the report shows what is there now. Several studies are compared on
    one page; without any the folder of results gets a page of all.
    """
    if len(studies) != 1:
        _write_one_page(studies, out or results, formats=formats, results=results)
        return
    (study,) = studies
    from archbench.analysis.ablation import read_ablation
    from archbench.analysis.certificate import read_certificate
    from archbench.analysis.study import open_study
    from archbench.report import FORMATS, write_report
    from archbench.report.findings import ablation, certificate, front
    from archbench.study.atomic_file import require_own
    from archbench.study.planned import find_planned
    from archbench.study.study_folder import REPORT, own_folder

    path = names.study_path(study, results=results)
    planned = find_planned(path)
    if planned is not None:
        is_ablation = planned.kind == "ablation"
        if formats:
            noun = "an ablation" if is_ablation else "a certificate"
            raise UsageError(
                f"{noun} is written whole", place="--format", help="leave out --format"
            )
        finding = (
            ablation.finding(read_ablation(path, planned))
            if is_ablation
            else certificate.finding(read_certificate(path, planned))
        )
        console.tell(finding, files=finding.write(out or own_folder(path, REPORT)))
        return
    for name in formats:
        FORMATS.load(name, place="--format")
    found = open_study(path)
    require_own(found.path / REPORT)
    try:
        files = write_report(found, out, formats=tuple(dict.fromkeys(formats)))
    except StorageError as error:
        if not console.is_json() or out or formats:
            raise
        files = []  # the document itself was asked for
        console.warn(f"the report could not be written beside the study: {error}")
    console.tell(front.finding(found), files=files)


def _write_one_page(
    studies: tuple[str, ...], folder: Path, *, formats: tuple[str, ...], results: Path
) -> None:
    """A page of several studies, or that of all."""
    from archbench.analysis.study import open_study
    from archbench.report.comparison_page import comparison_page
    from archbench.report.finding import write_files
    from archbench.report.gallery import FILE, gallery

    if formats or console.is_json():
        raise UsageError(
            "only a single study has formats and a document",
            place="--format" if formats else "--json",
            help="name one study, or leave this out",
        )
    if studies:
        found = [open_study(names.study_path(study, results=results)) for study in studies]
        name = f"{'-and-'.join(study.path.name for study in found)}.html"
        page = comparison_page(found)
    else:
        name, page = FILE, gallery(results)
    (file,) = write_files(folder, {name: page.encode()})
    console.result(str(file))
