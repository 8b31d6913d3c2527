"""What did a study take from earlier ones, and how did its space grow, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.study.trial import TrialRecord


def taken_in_words(trials: Sequence[TrialRecord]) -> str:
    """How many trials were taken from which study; empty where none was."""
    studies = Counter(record.origin.rpartition(":")[0] for record in trials if record.origin)
    parts = [f"{count} from {name}" for name, count in studies.items()]
    return f"of these taken over: {', '.join(parts)}" if parts else ""


def source_in_words(source: Mapping[str, Any]) -> str:
    """What counts of an earlier study, as the header keeps it, and why not all."""
    total = source["trials"]
    told = [f"{source['taken']} of {total} trial{'s' if total > 1 else ''} taken over"]
    if source["timed"]:
        told.append(f"{source['timed']} of them timed anew ({'; '.join(source['otherwise'])})")
    if source["prior"]:
        why = "; ".join(source["differs"]) or "at another resolution or with other classes"
        told.append(f"{source['prior']} only say where to start ({why})")
    if source["strangers"]:
        told.append(f"{source['strangers']} are no candidates here")
    if source["left"]:
        told.append(f"{source['left']} have no number that counts here, or stand here already")
    return f"from {source['study']}: {', '.join(told)}"


def spaces_in_words(header: Mapping[str, Any]) -> list[str]:
    """Each space that a study has had, where there was more than one."""
    told = []
    for space in header.get("spaces", ()):
        changes = "; ".join(space["changes"])
        why = f" ({changes})" if changes else ""
        told.append(f"from trial {space['since']} on {space['size']:,} candidates{why}")
    return told
