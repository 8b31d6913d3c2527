"""What does a study's header keep of its data and teacher, and are they still the same?"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from archbench.data.source import source_of
from archbench.errors import MissingError, UsageError
from archbench.evaluate.proxy import Proxy
from archbench.search.context import Context
from archbench.search.preparation_jobs import prepare_data, prepare_teacher
from archbench.search.settings import Settings
from archbench.study.database import Store

SAY_WHERE = "put them back as they were, or say where they are now: --data folder:PLACE"
"""What to do about data that were moved, where the place of the data may be another."""


def known_data(
    context: Context,
    name: str,
    *,
    study: Store,
    path: Path,
    download: bool,
    another: str,
    put_back: str = SAY_WHERE,
    sides: Iterable[int] = (),
) -> Mapping[str, Any]:
    """What the header of a study keeps of the proxy, once its data were compared by their content.

    They are prepared again where the cache is gone, and at ``sides`` that are new; where they lie
    now is kept from here on. The help says how to ``put_back`` data that are gone or others, and
    what begins ``another`` study.

    Raises:
        UsageError: Images, labels or classes are others than when the study was begun.
        MissingError: There are no data where they lay.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    kept: Mapping[str, Any] = study.header()["proxy"]
    known = kept.get("prepared", [])
    try:
        facts = data_facts(
            context,
            name,
            resolution=kept["resolution"],
            sides={*sides, *(entry["resolution"] for entry in known)},
            download=download,
        )
    except MissingError as error:
        if source_of(name)[0] != "folder":
            raise  # of data that others publish it says where to put them, or to download them
        raise MissingError(error.message, place=error.place, help=put_back) from error
    found = facts.get("prepared", [])
    if facts["data_digest"] != kept["data_digest"] or any(one not in found for one in known):
        raise UsageError(
            f"the data {name} are not those that the study was begun with"
            + (f", {kept['data']}" if name != kept["data"] else ""),
            place=str(path),
            help=f"{put_back}, or begin {another}",
        )
    if facts["data"] != kept["data"] or found != known:  # moved, spelt otherwise, or more sides
        kept = {**kept, **{key: facts[key] for key in ("data", "prepared") if key in facts}}
        study.set_header("proxy", kept)
    return kept


def prepared_data(context: Context, settings: Settings) -> dict[str, Any]:
    """What a header keeps of the data of a space, which are in the cache then and told."""
    section = settings.space.proxy
    facts = data_facts(
        context,
        settings.data,
        resolution=section.resolution,
        sides=settings.space.trained_sides.values(),
        download=settings.download,
        balance=section.balance,
    )
    for note in facts["data_notes"]:
        context.say(note)
    return facts


def data_facts(
    context: Context,
    name: str,
    *,
    resolution: int,
    download: bool,
    balance: bool | None = False,
    sides: Iterable[int] = (),
) -> dict[str, Any]:
    """What a header keeps of the data, which are in the cache then, at further ``sides`` too."""
    prepare = partial(prepare_data, name=name, resolution=resolution, sides=tuple(sides))
    how = partial(prepare, download=download, balance=balance)
    facts: dict[str, Any] = context.call(how, place="owner")
    return facts


def teacher_facts(context: Context, proxy: Proxy) -> dict[str, Any]:
    """What a header keeps of the teacher, which is in the cache then; nothing without one."""
    if proxy.recipe.teacher == "none":
        return {}
    facts, words = context.call(partial(prepare_teacher, proxy=proxy))
    context.say(words)
    return {"teacher": facts}
