"""What does a person type next: every command that a message, a page or a record names."""

import shlex
from pathlib import Path

RESULTS = Path("results")
"""Where the studies lie unless ``--results`` says otherwise."""


def command_line(*words: object) -> str:
    """The words as one line for a shell, each quoted where it must be.

    >>> command_line("archbench", "report", Path("my results/toy"))
    "archbench report 'my results/toy'"
    """
    return shlex.join(map(str, words))


def named_in_results(folder: Path) -> tuple[str, ...]:
    """The options by which a command that takes ``--name`` finds a study folder.

    >>> named_in_results(Path("my results/toy"))
    ('--name', 'toy', '--results', 'my results')
    """
    name = ("--name", folder.name)
    return name if folder.parent == RESULTS else (*name, "--results", str(folder.parent))


def study_argument(folder: Path) -> str:
    """What names a study where a command takes STUDY: its name alone only among the results.

    >>> study_argument(Path("results/toy")), study_argument(Path("/data/toy"))
    ('toy', '/data/toy')
    """
    return folder.name if folder.parent == RESULTS else str(folder)
