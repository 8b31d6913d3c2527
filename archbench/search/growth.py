"""How does a study go on in a larger space, its trials being what they were?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.command_line import command_line
from archbench.errors import UsageError
from archbench.search.optuna_mirror import Ledger
from archbench.search.proposer import encoded
from archbench.space import (
    Choices,
    SearchSpace,
    candidate_changes,
    choices_for,
    condition_changes,
)
from archbench.study import folder
from archbench.study.file import write_atomically
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from archbench.models import ArchSpec

_KEPT = ("sampler", "pruner", "audit", "seed")
_SAMPLES = 300
_TRIES = 50


def refuse_other_meaning(before: SearchSpace, after: SearchSpace, *, path: Path) -> None:
    """Nothing, when numbers mean the same in both spaces and no value of an axis is gone.

    Args:
        before: The space of the study.
        after: The one that it shall go on with.
        path: The study's folder.

    Raises:
        UsageError: A section says something else, or a value is gone; with place, old and new.
    """
    for change in condition_changes(before, after):
        raise UsageError(
            f"the study was begun with {change.before}, not {change.after}: its numbers and new "
            "ones would not mean the same",
            place=change.place,
            help=_instead(path),
        )
    for change in candidate_changes(before, after):
        if change.is_loss:
            raise UsageError(
                f"the study was begun with {change.before}, not {change.after}: a study that goes "
                "on may gain values and loses none",
                place=change.place,
                help=_instead(path),
            )


def refuse_other_search(
    before: SearchSpace, after: SearchSpace, *, header: Mapping[str, Any], path: Path
) -> None:
    """Nothing, when a space file asks for no other search than the study was begun with.

    Sampler, pruner, audit and seed stay those of its beginning, where an option may have given
    another one than its space; what else ``search`` says may change.

    Args:
        before: The space of the study.
        after: The one that it shall go on with.
        header: Of the study.
        path: The study's folder.

    Raises:
        UsageError: One of them was changed; with place, old and new.
    """
    for key in _KEPT:
        old, new = (getattr(space.search, key) for space in (before, after))
        begun = header.get(key, old)
        if new not in (old, begun):
            raise UsageError(
                f"the study was begun with the {key} {begun}, not {new}, and a study keeps the one "
                "that it was begun with",
                place=f"search.{key}",
                help=f"write {begun} there, or {_instead(path)}",
            )


def grow(
    study: Ledger,
    space: SearchSpace,
    *,
    before: SearchSpace,
    record_of: Callable[[FrozenTrial], TrialRecord],
) -> None:
    """Lets a study go on in a space that holds all candidates of its own.

    Every trial is found in the new space, to the digest, and stored as that encodes it. The
    header keeps which space stood from which trial on.

    Args:
        study: Owned and open.
        space: The new one; see ``refuse_other_meaning``.
        before: The study's own.
        record_of: The record, in that space, of a trial that was begun in Optuna's tables only.

    Raises:
        UsageError: A trial, or another candidate of the study's space, is none of the new one.
    """
    from archbench.models import as_spec

    study.mend(record_of)
    home = study.path.parent
    found = {
        number: _found(space, as_spec(record.spec), known=record.choices, home=home)
        for number, record in study.trials.items()
    }
    for choices in _some(before):
        _found(space, before.decode(choices), known=before.values(choices), home=home)
    records = [
        replace(record, choices=space.values(found[number]))
        for number, record in study.trials.items()
    ]
    write_atomically(home / folder.SPACE, space.text.encode())  # first: that way it can be repeated
    study.re_encode(
        records,
        parameters={number: encoded(space, choices) for number, choices in found.items()},
        header=_header(study, space, before=before),
    )


def _found(space: SearchSpace, spec: ArchSpec, *, known: Mapping[str, Any], home: Path) -> Choices:
    choices = choices_for(space, spec, known=known)
    if choices is None:
        told = ", ".join(f"{axis} {value}" for axis, value in known.items())
        raise UsageError(
            f"a candidate of the study is none of this space, or another network there: {told}",
            place=space.name,
            help=_instead(home),
        )
    return choices


def _some(space: SearchSpace) -> Iterator[Choices]:
    """Every feasible candidate of a small space, some of a large one."""
    if space.size() <= _SAMPLES:
        yield from (choices for choices in space.enumerate() if space.is_feasible(choices))
        return
    rng = random.Random(0)
    for _ in range(_SAMPLES):
        choices = space.sample_feasible(rng, tries=_TRIES)
        if choices is not None:
            yield choices


def _header(study: Ledger, space: SearchSpace, *, before: SearchSpace) -> dict[str, Any]:
    header = study.store.header()
    changes = [str(change) for change in candidate_changes(before, space)]
    named = {
        "space_text": space.text,
        "space_name": space.name,
        "space_digest": space.digest,
        "axes": {a.name: [a.label(i) for i in range(len(a.values))] for a in space.axes},
        "question": space.question,
    }
    if not changes:  # only how is searched, for example how long a trial may take
        return named
    share = space.feasible()
    first = _entry(header["size"], since=0, when=header["created"], changes=[], text=before.text)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    entry = _entry(
        space.size(), since=study.next_number, when=now, changes=changes, text=space.text
    )
    return {
        **named,
        "size": space.size(),
        "feasible_share": share.value,
        "feasible_low": share.low,
        "feasible_high": share.high,
        "spaces": [*header.get("spaces", [first]), entry],
    }


def _entry(size: int, *, since: int, when: str, changes: list[str], text: str) -> dict[str, Any]:
    return {"since": since, "when": when, "size": size, "changes": changes, "text": text}


def _instead(path: Path) -> str:
    another = command_line("archbench", "search", "SPACE", "--from", path, "--name", "NAME")
    return (
        f"go on as it was begun: {folder.resume_command(path)}; or begin another that takes over "
        f"what it can: {another}"
    )
