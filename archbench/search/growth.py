"""How does a study go on that was begun as something else, and may its space grow?"""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from archbench.errors import StorageError, UsageError
from archbench.models import ArchSpec, as_spec
from archbench.search.optuna_view import Ledger
from archbench.search.preparation import sides_entry
from archbench.search.settings import (
    Settings,
    backend_of,
    some_feasible,
    space_entries,
    space_of,
)
from archbench.search.suggestion import encoded
from archbench.space import (
    Choices,
    SearchSpace,
    candidate_changes,
    choices_for,
    condition_changes,
)
from archbench.study.atomic_file import write_atomically
from archbench.study.study_folder import SPACE, another_from, resume_command

_KEPT = ("sampler", "pruner", "audit", "seed")
_SAMPLES = 300


def as_begun(settings: Settings, header: Mapping[str, Any]) -> Settings:
    """The settings with what the study was begun with.

    Its space is the study's own, or another one in which numbers mean the same; where that names
    another number of trials or epochs, that is how many there shall be. Spaces that the study has
    outgrown count as its own, and so does the one of which it set more, as a plan does.

    Which data are meant is compared by their content, once they are prepared.

    Raises:
        UsageError: Something else was asked for now.
        StorageError: The header contradicts itself.
    """
    begun = {
        "seed": header["seed"],
        "sampler": header["sampler"],
        "pruner": header.get("pruner", "none"),
    }
    said, path = settings.options, settings.path
    for key, value in begun.items():
        if said.get(key, value) != value:
            raise UsageError(
                f"the study was begun with the {key} {value}, not {said[key]}",
                place=str(path),
                help=f"resume it as it was begun: {resume_command(path)}; or begin another from "
                f"it: {another_from(path)}",
            )
    planned = header.get("hours")
    if said.get("hours") not in (None, planned and f"{planned:g}"):
        begun_as = f"planned for --hours {planned:g}" if planned else "begun without a plan"
        raise UsageError(
            f"the study was {begun_as}, and one that goes on is not planned again",
            place="--hours",
            help=f"give it more time with --time; or begin another from it: {another_from(path)}",
        )
    own, space = space_of(header, path=path), settings.space.on(backend_of(header))
    if dict(own.objectives) != dict(header["objectives"]):
        told = "the study's header names other objectives than its space"
        raise StorageError(told, place=str(path), help=f"begin another: {another_from(path)}")
    outgrown = {entry["text"] for entry in header.get("spaces", ())}
    if space.is_set_in(own) or space.text in outgrown:
        space = own
    else:
        _refuse_other(own, space, header=header, path=path)
    trials, epochs = max(header["trials"], said.get("epochs", 0)), header.get("epochs")
    if (space.search.trials, space.search.epochs) != (own.search.trials, own.search.epochs):
        trials, epochs = settings.search.trials, settings.search.epochs
    search = replace(
        space.search,
        **begun,
        trials=said.get("trials", trials),
        epochs=said.get("epochs", epochs),
        workers=settings.search.workers,
        time_limit_s=_time_left(settings, space=space, header=header),
    )
    data = data_as_begun(header, own=own, space=space, said=said)
    return replace(settings, space=space, search=search, data=data)


def _time_left(
    settings: Settings, *, space: SearchSpace, header: Mapping[str, Any]
) -> float | None:
    """Seconds within which trials are begun: as said, or what is left of those of its plan."""
    if "time" in settings.options or space.search.time_limit_s is None:
        return settings.search.time_limit_s
    spent_s = header["seconds"] if header.get("hours") else 0.0
    return max(0.0, space.search.time_limit_s - spent_s)


def data_as_begun(
    header: Mapping[str, Any], *, own: SearchSpace, space: SearchSpace, said: Mapping[str, Any]
) -> str:
    """Where the data of a study lie, to be compared with what it was begun with by their content.

    That is where they are ``said`` to be, or a space in place of its ``own`` says; else where they
    lay before.
    """
    lay = header["proxy"]["data"] if space.proxy.data == own.proxy.data else space.proxy.data
    return str(said.get("data", lay))


def _refuse_other(before: SearchSpace, space: SearchSpace, *, header: Any, path: Path) -> None:
    """Refuses a space in which numbers mean something else, or that asks for another search.

    Sampler, pruner, audit and seed stay those of the beginning, where an option may have given
    another one than its space; what else ``search`` says may change.
    """
    losses = [change for change in candidate_changes(before, space) if change.is_loss]
    meaning = "its numbers and new ones would not mean the same"
    lost = "a study that goes on may gain values and loses none"
    for changes, why in ((condition_changes(before, space), meaning), (losses, lost)):
        for change in (one for one in changes if one.place != "proxy.data"):  # by its content
            raise UsageError(
                f"the study was begun with {change.before}, not {change.after}: {why}",
                place=change.place,
                help=_instead(path),
            )
    for key in _KEPT:
        old, new = (getattr(one.search, key) for one in (before, space))
        begun = header.get(key, old)
        if new not in (old, begun):
            raise UsageError(
                f"the study was begun with the {key} {begun}, not {new}, and a study keeps the one "
                "that it was begun with",
                place=f"search.{key}",
                help=f"write {begun} there, or {_instead(path)}",
            )


def grow(study: Ledger, space: SearchSpace, *, before: SearchSpace) -> None:
    """Lets a study go on in a space that holds all candidates of its own.

    Every trial is found in the new space, to the digest, and stored as that encodes it. The
    header keeps which space stood from which trial on; see ``as_begun`` for the new one.

    Raises:
        UsageError: A trial, or another candidate of the study's space, is none of the new one.
    """
    home = study.path.parent
    found = {
        number: _found(space, as_spec(record.spec), known=record.choices, home=home)
        for number, record in study.trials.items()
    }
    some = some_feasible(before, random.Random(0), whole=_SAMPLES, draws=_SAMPLES, tries=50)
    for choices in some:
        _found(space, before.decode(choices), known=before.values(choices), home=home)
    write_atomically(home / SPACE, space.text.encode())  # first: that way it can be repeated
    with study.transaction():
        for key, value in _grown_header(study, space, before=before).items():
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
            help=_instead(home),
        )
    return choices


def _grown_header(study: Ledger, space: SearchSpace, *, before: SearchSpace) -> dict[str, Any]:
    header = study.header()
    changes = [str(change) for change in candidate_changes(before, space)]
    named = space_entries(space)
    if space.sides != before.sides:
        proxy = {key: value for key, value in header["proxy"].items() if key != "sides"}
        named["proxy"] = {**proxy, **sides_entry(space.sides)}
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


def _instead(path: Path) -> str:
    """What to do in place of going on with a study in a space that is too different."""
    return (
        f"go on as it was begun: {resume_command(path)}; or begin another that takes over what it "
        f"can: {another_from(path)}"
    )
