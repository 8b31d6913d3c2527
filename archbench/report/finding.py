"""How is a finding told: from the same parts as text, as a page, as JSON and as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archbench.errors import StorageError
from archbench.report import plain
from archbench.report.element import Code, Part, groups, joined, page_of
from archbench.report.figure import png_bytes, svg_text
from archbench.report.html import SCRIPT, Markup, html, prose, shell
from archbench.study.atomic_file import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SECTION = '<section id="{}">\n<h2>{}</h2>\n{}\n</section>\n'
_FOLDED = (
    '<details class="section" id="{}"><summary><h2>{}</h2></summary>\n<div class="inner">{}</div>'
    "</details>\n"
)


@dataclass(frozen=True)
class Finding:
    """What was found."""

    document: Mapping[str, Any]  # as JSON
    parts: Sequence[Part]  # of a terminal, a blank line between one and the next
    next_step: str = ""
    page: Callable[[], Markup] = Markup
    plot: tuple[str, Callable[[], Figure | None]] = ("", lambda: None)  # kept beside its page
    more: Sequence[Part] = ()  # of a terminal, for who asks for what is usually left out

    def text(self, *, columns: int | None = None, has_more: bool = False) -> str:
        """All of it, in 80 columns but for names, or in fewer where a terminal has no more."""
        return joined([*self.parts, *(self.more if has_more else ())], columns=columns)

    def csv(self) -> str:
        """Its tables as comma-separated values, see ``archbench.report.plain``.

        Raises:
            UsageError: It has none.
        """
        return plain.csv(self.parts)

    def markdown(self) -> str:
        """All of it in Markdown."""
        return plain.markdown(self.parts)

    def write(self, folder: Path) -> list[Path]:
        """Write page, document and plot, each file whole or not at all.

        Raises:
            StorageError: The folder cannot be made or written in.
        """
        kind = self.document["schema"].partition("/")[0].removeprefix("archbench.")
        text = json.dumps(self.document, indent=2, allow_nan=False) + "\n"
        contents = {"index.html": self.page().encode(), f"{kind}.json": text.encode()}
        name, draw = self.plot
        figure = draw()
        if figure is not None:
            contents |= {f"{name}.png": png_bytes(figure), f"{name}.svg": svg_text(figure).encode()}
        return write_files(folder, contents)


def page(
    kind: str,
    *,
    name: str,
    badge: str,
    question: str,
    verdict: str,
    is_good: bool = True,
    key_figures: Sequence[tuple[str, str, str]] = (),
    sections: Mapping[str, tuple[str, Sequence[Part]]],
    folded: Mapping[str, tuple[str, Sequence[Part]]] = MappingProxyType({}),
    begun: object,
    scripts: Sequence[str] = (SCRIPT,),
    renewed_s: int = 0,
) -> Markup:
    """A page, one file that needs nothing beside it, of a study, a certificate or an ablation.

    A badge is what is to be known first, as that it still runs; a key figure is name, number, and
    what stands beneath. A section, title and parts by its identifier, is left out without parts;
    those that are folded come last, with titles that serve as contents. A page that is served
    renews itself every so many seconds.
    """
    written = [
        (identifier, title, told, section)
        for entries, section in ((sections, _SECTION), (folded, _FOLDED))
        for identifier, (title, parts) in entries.items()
        if (told := page_of(parts, caption=title))
    ]
    links = [html('<a href="#{}">{}</a> ', *entry[:2]) for entry in written]
    body = html(
        '<header>\n<p class="kicker">archbench {}{}</p>\n<h1>{}</h1>\n{}</header>\n'
        '<p class="verdict{}">{}</p>\n{}'
        "{}{}\n"
        "<footer><p>{}This file is complete in itself and loads nothing from anywhere.</p>"
        "</footer>",
        kind,
        badge and html('<span class="badge">{}</span>', badge),
        name,
        question and html('<p class="question">{}</p>\n', question),
        "" if is_good else " none",
        prose(verdict),
        key_list(key_figures),
        "" if folded else html('<nav aria-label="Sections">{}</nav>\n', links),
        [html(section, *entry) for *entry, section in written],
        f"{kind.capitalize()} begun {begun}. " if begun else "",
    )
    return shell(name, body, scripts=scripts, renewed_s=renewed_s)


def key_list(figures: Sequence[tuple[str, str, str]]) -> Markup:
    """Key figures: name, number, and what stands beneath."""
    entries = [
        html(
            "<div><dt>{}</dt><dd>{}{}</dd></div>",
            title,
            number,
            text and html("<small>{}</small>", text),
        )
        for title, number, text in figures
    ]
    return html('<dl class="key">{}</dl>\n', entries) if entries else Markup()


def taken_under(header: Mapping[str, Any], more: Mapping[str, Any]) -> list[Part]:
    """How a certificate or an ablation was taken, with facts of its own by title; its command."""
    proxy = dict(header["proxy"])
    plan = proxy.pop("plan")
    machine = {"Machine and software": header["environment"], "How its steps are computed": plan}
    return [groups({"Trainings": proxy, **more, **machine}), Code(str(header["command"]))]


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write each file whole or not at all, into a folder that is made if it is not there.

    Raises:
        StorageError: The folder cannot be made or written in.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder of the report ({error.strerror})",
            place=str(folder),
            help="choose another folder, or make this one writable",
        ) from error
    for file, content in contents.items():
        write_atomically(folder / file, content)
    return [folder / file for file in contents]
