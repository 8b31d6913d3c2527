"""What did the confirmation of a front come to?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFIRMED = "confirmed"
"""Key of a study's header: a document, or a list of trials where an older version confirmed,
which trained nothing again."""


def confirmation_of(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """``front``, ``settled``, ``budget_s`` and ``spent_s`` of the last confirmation, or None."""
    found = header.get(CONFIRMED)
    return dict(found) if isinstance(found, Mapping) else None


def confirmation_in_words(header: Mapping[str, Any]) -> str | None:
    """For example ``not settled after 12 s of further training, of at most 12 s``; None without.

    A front is settled where nobody's place is in doubt.
    """
    found = confirmation_of(header)
    if found is None:
        return None
    told = "settled" if found["settled"] else "not settled"
    spent, budget = found["spent_s"], found["budget_s"]
    return f"{told} after {spent:.0f} s of further training, of at most {budget:.0f} s"
