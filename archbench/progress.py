"""How does work that takes long say how far it is?"""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much.

Of how much is 0 where nothing can be counted, as while it waits for another process.
"""


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


def of_waits(progress: Progress | None) -> Progress:
    """What hands on only that another process is waited for, as of work that is short."""

    def told(what: str, done: int, total: int) -> None:
        if progress and not total:
            progress(what, done, total)

    return told
