"""How does a study go on in a larger space, its trials being what they were?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from archbench.errors import UsageError
from archbench.models import ArchSpec, as_spec
from archbench.search.optuna_view import Ledger
from archbench.search.preparation import space_entries
from archbench.search.settings import instead
from archbench.search.suggestion import encoded
from archbench.space import Choices, SearchSpace, candidate_changes, choices_for
from archbench.study import study_folder
from archbench.study.atomic_file import write_atomically

_SAMPLES = 300
_TRIES = 50


def grow(study: Ledger, space: SearchSpace, *, before: SearchSpace) -> None:
    """Lets a study go on in a space that holds all candidates of its own.

    Every trial is found in the new space, to the digest, and stored as that encodes it. The
    header keeps which space stood from which trial on; see ``settings.as_begun`` for the new one.

    Raises:
        UsageError: A trial, or another candidate of the study's space, is none of the new one.
    """
    study.mend()
    home = study.path.parent
    found = {
        number: _found(space, as_spec(record.spec), known=record.choices, home=home)
        for number, record in study.trials.items()
    }
    for choices in _some(before):
        _found(space, before.decode(choices), known=before.values(choices), home=home)
    write_atomically(
        home / study_folder.SPACE, space.text.encode()
    )  # first: that way it can be repeated
    with study.transaction():
        for key, value in _header(study, space, before=before).items():
            study.set_header(key, value)
        for number, choices in found.items():
            drawn = encoded(space, choices)
            study.re_encode(number, choices=space.values(choices), drawn=drawn)


def _found(space: SearchSpace, spec: ArchSpec, *, known: Mapping[str, Any], home: Path) -> Choices:
    choices = choices_for(space, spec, known=known)
    if choices is None:
        told = ", ".join(f"{axis} {value}" for axis, value in known.items())
        raise UsageError(
            f"a candidate of the study is none of this space, or another network there: {told}",
            place=space.name,
            help=instead(home),
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
    header = study.header()
    changes = [str(change) for change in candidate_changes(before, space)]
    named = space_entries(space)
    if not changes:  # only how is searched, for example how long a trial may take
        return named
    share = space.feasible()
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    since = {"since": 0, "when": header["created"], "size": header["size"], "changes": []}
    then = {"since": study.next_number, "when": now, "size": space.size(), "changes": changes}
    return {
        **named,
        "size": space.size(),
        "feasible_share": share.value,
        "feasible_low": share.low,
        "feasible_high": share.high,
        "spaces": [
            *header.get("spaces", [{**since, "text": before.text}]),
            {**then, "text": space.text},
        ],
    }
