"""How does work that takes long say how far it is?"""

import re
from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much.

What is being done may name what is counted behind a comma: ``training, steps``. Of how much is 0
where nothing can be counted, as while it waits for another process.
"""

_COUNTED = re.compile(r"(.+), (\w+)")


def what_and_unit(text: str) -> tuple[str, str]:
    """What is being done, and what is counted of it; the second is empty where it is not named.

    >>> what_and_unit("training, steps"), what_and_unit("waiting for x, which measures")
    (('training', 'steps'), ('waiting for x, which measures', ''))
    """
    found = _COUNTED.fullmatch(text)
    return (found[1], found[2]) if found else (text, "")


def no_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""


def of_waits(progress: Progress | None) -> Progress:
    """What hands on only that another process is waited for, as of work that is short."""

    def told(what: str, done: int, total: int) -> None:
        if progress and not total:
            progress(what, done, total)

    return told
