"""What can be typed next: to reproduce a study, go on with it, and train one of its designs."""

from __future__ import annotations

import shlex

from archbench.report.markup import Markup, html
from archbench.report.summary import Summary

_EPOCHS = 100


def commands(summary: Summary) -> Markup:
    """The commands with what each is for."""
    name = shlex.quote(summary.name)
    space = shlex.quote(str(summary.header.get("space_name") or "SPACE"))
    entries = []
    begun = summary.header.get("command")
    if isinstance(begun, str) and begun:
        seed = summary.header.get("seed")
        with_seed = "" if seed is None else f" Its seed was {seed}."
        entries.append(("Run this study again", f"As it was begun.{with_seed}", begun))
    entries += [
        (
            "Go on with it",
            "It resumes exactly where it stands; more trials may be asked for.",
            f"archbench search {space} --name {name} --resume",
        ),
        ("Write this report again", "", f"archbench report {name}"),
    ]
    if summary.front:
        best = max(summary.front, key=lambda record: record.proxy_accuracy or 0)
        entries.append(
            (
                "Train a design for longer",
                f"Trial {best.number} is the most accurate here; any other row works alike.",
                train_command(summary, best.number),
            )
        )
    return html(
        "{}",
        [
            html("<h3>{}</h3>\n<p>{}</p>\n{}\n", title, purpose, code(command))
            for title, purpose, command in entries
        ],
    )


def train_command(summary: Summary, number: int) -> str:
    """The command that trains one design of the study, on the user's images or the proxy's."""
    data = str(summary.proxy.get("data", ""))
    images = shlex.quote(data) if data.startswith("folder:") else "folder:PATH"
    return (
        f"archbench train {shlex.quote(f'{summary.name}:{number}')} --data {images} "
        f"--epochs {_EPOCHS}"
    )


def code(text: str) -> Markup:
    """Text to copy."""
    return html('<div class="code"><pre>{}</pre></div>', text)
