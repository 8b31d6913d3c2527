"""What the header of a study says, in words: its command, spaces, sources and confirmation."""

import shlex
from collections.abc import Mapping
from typing import Any


def space_typed(header: Mapping[str, Any]) -> str:
    """The space as the command that began it names it; its name where none is kept.

    A name serves for spaces that come along only, others are files.

    >>> space_typed({"command": "archbench search results/mine/space.yaml --name mine"})
    'results/mine/space.yaml'
    """
    try:
        words = shlex.split(str(header.get("command") or ""))
    except ValueError:
        words = []
    is_named = len(words) > 2 and words[0] == "archbench" and not words[2].startswith("-")
    return words[2] if is_named else str(header.get("space_name") or "SPACE")


CONFIRMED = "confirmed"
"""Key of a study's header: a document, or a list of trials where an older version confirmed,
which trained nothing again."""


def confirmation_of(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """``front``, ``settled``, ``budget_s`` and ``spent_s`` of the last confirmation, or None."""
    found = header.get(CONFIRMED)
    return dict(found) if isinstance(found, Mapping) else None


def confirmation_in_words(header: Mapping[str, Any]) -> str | None:
    """For example ``still uncertain after 12 s of further training, of at most 12 s``, or None."""
    found = confirmation_of(header)
    if found is None:
        return None
    told = "certain" if found["settled"] else "still uncertain"
    spent, budget = found["spent_s"], found["budget_s"]
    return f"{told} after {spent:.0f} s of further training, of at most {budget:.0f} s"


def chance_in_words(header: Mapping[str, Any]) -> str | None:
    """How many candidates the sampler left to chance; None where it left none, or is chance itself.

    For example ``9 of 15 candidates in part (stages[1].block.kv_stride), 2 as a whole``.
    """
    found = header.get("left_to_chance")
    if not found or not found["partly"] + found["wholly"]:
        return None
    if header.get("sampler") == "random":
        return None
    told = {"partly": f"in part ({', '.join(found['axes'])})", "wholly": "as a whole"}
    first, *more = [(found[key], how) for key, how in told.items() if found[key]]
    begin = f"{first[0]} of {found['candidates']} candidates {first[1]}"
    return ", ".join([begin, *(f"{count} {how}" for count, how in more)])


def backend_in_words(header: Mapping[str, Any]) -> str:
    """In which runtime candidates are timed, where the study chose it, and why; else empty.

    >>> found = [{"backend": "onnxruntime", "latency_ms": 7.98, "reason": ""},
    ...          {"backend": "eager", "latency_ms": 15.01, "reason": ""}]
    >>> backend_in_words({"backends": found})
    'timed in onnxruntime, where the base network takes 7.98 ms; eager: 15 ms'
    """
    if not (found := header.get("backends")):
        return ""
    first, *others = found
    took = first["latency_ms"]
    why = f", where the base network takes {took:.3g} ms" if took else f": {first['reason']}"
    more = [
        f"{one['backend']}: {one['reason'] or '{:.3g} ms'.format(one['latency_ms'])}"
        for one in others
    ]
    return "; ".join([f"timed in {first['backend']}{why}", *more])


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
        told.append(f"{source['strangers']} are not candidates of this space")
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
