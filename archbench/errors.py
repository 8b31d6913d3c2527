"""What went wrong, where, and what to do next: every error that a user can meet."""

from __future__ import annotations

import difflib
import importlib.util
import re
import signal
from collections.abc import Iterable, Sequence
from functools import partial

NEGATIVE_RESULT = 1
WRONG_USAGE = 2
MISSING_INPUT = 3
STORAGE_FAILURE = 4
INTERNAL_BUG = 70
INTERRUPTED = 130
TERMINATED = 143

FOREIGN_FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)
"""What code of others raises as its own fault, as PyTorch on damaged files, for which it has no
error."""

NETWORK_FAULTS = (*FOREIGN_FAULTS, SystemExit)
"""What ends a network that is set aside, with the reason in its record, while the others go on."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: whatever parks itself on Ctrl-C parks itself on these, too."""


class ArchbenchError(Exception):
    """An error that the user can cause, with its place and the next step.

    Args:
        message: What was asked, the value got and what is allowed, in one sentence without a
            full stop.
        place: Where it stands, for example ``spaces/edge.yaml:14:3`` or ``--threads``.
        help: What to do next.
    """

    exit_code = WRONG_USAGE

    def __init__(self, message: str, *, place: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.help = help

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        help_ = f"; {self.help}" if self.help else ""
        return f"{place}{self.message}{help_}"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), place=self.place, help=self.help), (self.message,)

    def at(self, place: str) -> ArchbenchError:
        """The same error at an outer place; a place that is already known goes behind it."""
        inner = f"{place}: {self.place}" if self.place else place
        return type(self)(self.message, place=inner, help=self.help)


class UsageError(ArchbenchError):
    """A command, option or argument that cannot be taken."""


class SpecError(ArchbenchError):
    """A network that cannot be built as written."""


class SpaceError(ArchbenchError):
    """A space file that cannot be searched as written."""


class MissingError(ArchbenchError):
    """Data, a device, a checkpoint or an optional package that is not there."""

    exit_code = MISSING_INPUT


class StorageError(ArchbenchError):
    """A study folder that cannot be read, written or owned."""

    exit_code = STORAGE_FAILURE


class ParkedError(ArchbenchError):
    """A search that was stopped from outside and can go on exactly where it stood.

    Its place is the study folder, if anything was stored. Without a signal it was Ctrl-C.
    """

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        help: str | None = None,
        signal_number: int | None = None,
    ) -> None:
        super().__init__(message, place=place, help=help)
        self.exit_code = INTERRUPTED if signal_number in (None, signal.SIGINT) else TERMINATED


class WeightsError(ArchbenchError):
    """A file of weights that is damaged or unsafe, or that does not fit the network."""


class IncomparableError(ArchbenchError):
    """Two numbers that were taken under different conditions."""


class NegativeResultError(ArchbenchError):
    """A check that was asked for and did not hold."""

    exit_code = NEGATIVE_RESULT


class InexactError(ArchbenchError):
    """A form of a network that does not compute what the network computes."""

    exit_code = INTERNAL_BUG


class UncountedOperatorError(ArchbenchError):
    """An operator with matrix products that the counter does not know."""


_ENOUGH_LETTERS = 4
_MOST_LISTED = 60
"""Known names that an error lists; of more the nearest are named, and the others counted."""


def unknown_name(
    noun: str, name: str, known: Iterable[str], *, place: str | None = None
) -> UsageError:
    """The error for a name that is not known: the known ones, nearest first, or their number."""
    name, names = str(name), sorted(known)
    near = _nearest(name, names)
    hint = f"did you mean {near[0]}? " if near else ""
    if len(names) > _MOST_LISTED:
        others = f", also near: {', '.join(near[1:])}" if near[1:] else ""
        listed = f"{len(names):,} are known{others}"
    else:
        rest = (other for other in names if other not in near)
        listed = f"known: {', '.join([*near, *rest]) or 'none'}"
    return UsageError(f"unknown {noun} {name[:80]!r}", place=place, help=f"{hint}{listed}")


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    """Up to three names that begin with this one, whatever signs are between, else are like it."""
    begun = [one for one in known if _letters(one).startswith(_letters(name))]
    if begun and len(_letters(name)) >= _ENOUGH_LETTERS and name not in known:
        return sorted(begun, key=len)[:3]
    return difflib.get_close_matches(name, known, n=3, cutoff=0.5)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def wrong_type(value: object, *, place: str | None, allowed: str) -> UsageError:
    """The error for an object that is none of those that can be taken."""
    article = "an" if type(value).__name__[:1].lower() in "aeiou" else "a"
    return UsageError(
        f"got {article} {type(value).__name__}, which cannot be taken here",
        place=place,
        help=f"give {allowed}",
    )


def library_absence(name: str, *, extra: str) -> MissingError | None:
    """The absence of a library that an extra brings, empty for none; None where it is there."""
    if importlib.util.find_spec(name):
        return None
    wanted = f"'archbench[{extra}]'" if extra else name
    return MissingError(f"{name} is not installed", help=f"pip install {wanted}")


def fault_text(error: BaseException) -> str:
    """What code of others raised, in one line for a record."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    first = str(error).strip().splitlines()
    return f"it raised {type(error).__name__}{': ' + first[0] if first else ''}"
