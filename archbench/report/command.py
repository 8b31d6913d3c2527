"""What can be typed next: to reproduce a study, go on with it, and train one of its designs."""

from __future__ import annotations

import shlex

from archbench.command_line import command_line, study_argument
from archbench.report.element import Code, Part
from archbench.report.html import html
from archbench.report.summary import Summary
from archbench.study.study_folder import resume_command

_EPOCHS = 100


def commands(summary: Summary) -> list[Part]:
    """The commands with what each is for."""
    path, best = summary.study.path, summary.best
    entries = [
        (
            "Run it again",
            "The same search with the same seed, as a study of its own.",
            again_command(summary),
        ),
        (
            "Go on with it",
            "It resumes exactly where it stands; add --trials for more.",
            resume_command(path),
        ),
        ("Write this report anew", "", command_line("archbench", "report", study_argument(path))),
    ]
    if best is not None:
        told = f"Trial {best.number} is the most accurate here; any other works alike."
        train = train_command(summary, best.number)
        entries.append(("Train a design for longer", told, train))
    parts: list[Part] = []
    for title, purpose, typed in entries:
        parts += [html("<h3>{}</h3>\n", title), *([purpose] if purpose else []), Code(typed)]
    return parts


def again_command(summary: Summary) -> str:
    """The command that makes the same study under another name, with the seed said."""
    seed = summary.header.get("seed")
    words = _without(_begun(summary), ("--name", "--seed") if seed is not None else ("--name",))
    words += [] if seed is None else ["--seed", str(seed)]
    return command_line(*words, "--name", f"{summary.name}-again")


def train_command(summary: Summary, number: int) -> str:
    """The command that trains one design of the study, on the user's images or a folder's."""
    data = str(summary.proxy.get("data", ""))
    images = data if data.startswith("folder:") else "folder:PATH"
    trial = f"{study_argument(summary.study.path)}:{number}"
    return command_line("archbench", "train", trial, "--data", images, "--epochs", _EPOCHS)


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
