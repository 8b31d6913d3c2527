"""How long may a confirmation train: a share of what its search took, or a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archbench.errors import UsageError
from archbench.space.sections import MOST_CONFIRMATION, parse_duration

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds of training, summed over workers.

    Attributes:
        share: Of the seconds that the search's trials took.
        seconds: In place of a share.
    """

    share: float = 0.2
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str, *, place: str) -> Budget:
        """The budget of ``20%``, ``90s``, ``20m`` or ``1h30m``; ``0`` trains nothing.

        Raises:
            UsageError: It is something else.
        """
        written = text.strip()
        share = _SHARE.fullmatch(written)
        if share is not None and float(share[1]) <= 100 * MOST_CONFIRMATION:
            return cls(share=float(share[1]) / 100)
        if written == "0":
            return cls(share=0.0)
        seconds = parse_duration(written)
        if seconds is None:
            raise UsageError(
                f"{text!r} is neither a share such as 20% nor a time such as 10m",
                place=place,
                help=f"use up to {100 * MOST_CONFIRMATION:.0f}% of the search's time, or a time",
            )
        return cls(seconds=seconds)

    def of(self, search_seconds: float) -> float:
        """Seconds, given those of the search."""
        return self.share * search_seconds if self.seconds is None else self.seconds
