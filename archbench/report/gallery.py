"""Which studies does a folder of results hold: one page with a card for each."""

from pathlib import Path
from urllib.parse import quote

from archbench.analysis.study import StudyReader
from archbench.errors import ArchbenchError, StorageError
from archbench.report.figure import inline_svg
from archbench.report.finding import page
from archbench.report.html import Markup, html, prose
from archbench.report.number import plural
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary
from archbench.study.connection import read
from archbench.study.study_folder import DATABASE, REPORT, studies_in

FILE = "index.html"
_WIDTH = 3.9  # inches of a plot


def gallery(results: Path) -> Markup:
    """A page of all studies of a folder, the newest first; links lead to their own pages.

    Raises:
        StorageError: There is no study in it.
    """
    paths = studies_in(results)
    if not paths:
        raise StorageError(
            "there is no study here",
            place=str(results),
            help="begin one with: archbench search quickstart",
        )
    cards = sorted((_card(path) for path in paths), key=lambda card: card[0], reverse=True)
    return page(
        "results",
        name=f"{plural(len(cards), 'folder')} of {results.resolve().name}",
        badge="",
        question="",
        verdict="The studies of this folder, the newest first.",
        sections={
            "studies": ("Studies", [html('<div class="cards">{}</div>', [c for _, c in cards])])
        },
        begun=None,
    )


def _card(path: Path) -> tuple[str, Markup]:
    """When a study was begun, and its card; of one that cannot be read the reason."""
    try:
        snapshot = read(path / DATABASE)
        if snapshot.kind != "search":
            return "", _written(path, snapshot.kind, Markup(), page_file="index.html")
        study = StudyReader(path, snapshot=snapshot)
        return str(study.header.get("created") or ""), _of_study(study)
    except ArchbenchError as error:
        return "", _written(path, f"cannot be read: {error.message}", Markup())


def _of_study(study: StudyReader) -> Markup:
    summary = Summary(study)
    drawn = Markup()
    if summary.points:
        figure = pareto_figure(summary, width_inches=_WIDTH, is_titled=False)
        title = f"{study.name}: proxy accuracy against {summary.cost.label}"
        drawn = inline_svg(figure, prefix=f"{study.name}-", title=title)
    begun = str(study.header.get("created") or "")[:10]
    told = f"{sum(study.counts().values()):,} trials{begun and f', begun {begun}'}"
    return _written(study.path, f"{told}. {study.verdict()}", drawn)


def _written(path: Path, told: str, drawn: Markup, *, page_file: str = "report.html") -> Markup:
    file = quote(f"{path.name}/{REPORT}/{page_file}")
    is_there = (path / REPORT / page_file).is_file()
    title = html('<a href="{}">{}</a>', file, path.name) if is_there else html("{}", path.name)
    return html("<article><h3>{}</h3>{}<p>{}</p></article>\n", title, drawn, prose(told))
