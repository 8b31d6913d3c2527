"""How is a finding told: from the same parts as text, as a page, as JSON and as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import StorageError
from archbench.report.element import Code, Part, groups, joined, page_of
from archbench.report.figure import png_bytes, svg_text
from archbench.report.html import Markup, html, shell
from archbench.study.atomic_file import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Finding:
    """What was found."""

    document: Mapping[str, Any]  # as JSON
    parts: Sequence[Part]  # of a terminal, a blank line between one and the next
    next_step: str = ""
    page: Callable[[], Markup] = Markup
    plot: tuple[str, Callable[[], Figure | None]] = ("", lambda: None)  # kept beside its page

    def text(self) -> str:
        """All of it, in 80 columns but for names."""
        return joined(self.parts)

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
    key_figures: Sequence[tuple[str, str, str]],
    sections: Mapping[str, tuple[str, Sequence[Part]]],
    begun: object,
) -> Markup:
    """A page, one file that needs nothing beside it, of a study, a certificate or an ablation.

    A badge is what is to be known first, as that it still runs; a key figure is name, number, and
    what stands beneath. A section, title and parts by its identifier, is left out without parts.
    """
    written = [
        (identifier, title, told)
        for identifier, (title, parts) in sections.items()
        if (told := page_of(parts))
    ]
    body = html(
        '<header>\n<p class="kicker">archbench {}{}</p>\n<h1>{}</h1>\n{}</header>\n'
        '<p class="verdict{}">{}</p>\n<dl class="key">{}</dl>\n<nav>{}</nav>\n{}\n'
        "<footer><p>{}This file is complete in itself and loads nothing from anywhere.</p>"
        "</footer>",
        kind,
        badge and html('<span class="badge">{}</span>', badge),
        name,
        question and html('<p class="question">{}</p>\n', question),
        "" if is_good else " none",
        verdict,
        [
            html(
                "<div><dt>{}</dt><dd>{}{}</dd></div>",
                title,
                number,
                text and html("<small>{}</small>", text),
            )
            for title, number, text in key_figures
        ],
        [html('<a href="#{}">{}</a> ', *entry[:2]) for entry in written],
        [html('<section id="{}">\n<h2>{}</h2>\n{}\n</section>\n', *entry) for entry in written],
        f"{kind.capitalize()} begun {begun}. " if begun else "",
    )
    return shell(name, body)


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
