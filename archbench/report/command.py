"""What can be typed next: to reproduce a study, go on with it, and train one of its designs."""

from __future__ import annotations

import shlex

from archbench.command_line import command_line, named_in_results, study_argument
from archbench.report.html import Markup, html
from archbench.report.summary import Summary

_EPOCHS = 100


def commands(summary: Summary) -> Markup:
    """The commands with what each is for."""
    entries = [
        (
            "Run it again",
            "The same search with the same seed, as a study of its own.",
            again_command(summary),
        ),
        (
            "Go on with it",
            "It resumes exactly where it stands; add --trials for more.",
            resume_command(summary),
        ),
        ("Write this report anew", "", command_line("archbench", "report", place_of(summary))),
    ]
    if summary.front:
        best = max(summary.front, key=lambda record: record.proxy_accuracy or 0)
        entries.append(
            (
                "Train a design for longer",
                f"Trial {best.number} is the most accurate here; any other works alike.",
                train_command(summary, best.number),
            )
        )
    return html(
        "{}",
        [
            html(
                "<h3>{}</h3>\n{}{}\n",
                title,
                html("<p>{}</p>\n", purpose) if purpose else "",
                code(command),
            )
            for title, purpose, command in entries
        ],
    )


def again_command(summary: Summary) -> str:
    """The command that makes the same study under another name, with the seed said."""
    seed = summary.header.get("seed")
    words = _without(_begun(summary), ("--name", "--seed") if seed is not None else ("--name",))
    words += [] if seed is None else ["--seed", str(seed)]
    return command_line(*words, "--name", f"{summary.name}-again")


def resume_command(summary: Summary) -> str:
    """The command that goes on with the study, from the space as it was copied into it."""
    path = summary.study.path
    options = (*named_in_results(path), "--resume")
    return command_line("archbench", "search", path / "space.yaml", *options)


def train_command(summary: Summary, number: int) -> str:
    """The command that trains one design of the study, on the user's images or a folder's."""
    data = str(summary.proxy.get("data", ""))
    images = data if data.startswith("folder:") else "folder:PATH"
    trial = f"{place_of(summary)}:{number}"
    return command_line("archbench", "train", trial, "--data", images, "--epochs", _EPOCHS)


def code(text: str) -> Markup:
    """Text to copy."""
    return html('<div class="code"><pre>{}</pre></div>', text)


def _begun(summary: Summary) -> list[str]:
    """The words of the command that began the study; one that is no shell line is one word."""
    command = summary.header.get("command")
    if not isinstance(command, str) or not command:
        return ["archbench", "search", str(summary.header.get("space_name") or "SPACE")]
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


def _without(words: list[str], options: tuple[str, ...]) -> list[str]:
    """The words without these options and the value behind each."""
    pairs = zip(["", *words], words, strict=False)
    return [word for before, word in pairs if word not in options and before not in options]


def place_of(summary: Summary) -> str:
    """What names the study on the command line: its name alone only among the results."""
    return study_argument(summary.study.path)
