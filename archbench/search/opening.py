"""How is a study opened to go on, and are machine, data and rules those that it was begun with?"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.errors import StorageError, UsageError
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.target import Target
from archbench.measure.machine import environment_of
from archbench.measure.machine_cache import PROTOCOL, protocol_of
from archbench.search.context import StudyContext
from archbench.search.data_facts import known_data, teacher_facts
from archbench.search.inheritance import require_ancestor
from archbench.search.kept_weights import remove_strange_files
from archbench.search.optuna_view import Ledger
from archbench.study import study_folder
from archbench.study.connection import read_kind
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.objective import details_wanted
from archbench.study.planned import refuse_planned
from archbench.study.shape import PUT_BACK, require_entries

PREPARED = ("feasible_share", "feasible_low", "feasible_high", "trial_seconds", "tried")
"""Keys of a study's header: what its preparation found, and tells."""

_NEEDED = (
    *("name", "created", "seed", "sampler", "trials", "space_text", "space_name", "size"),
    *("objectives", "limits", "conditions", "environment", "calibration", "proxy", "plan"),
    *("seconds", *PREPARED),
)


@contextmanager
def opened(context: StudyContext) -> Iterator[None]:
    """Owns and opens the study of a context while the block runs.

    Raises:
        UsageError: It was begun on another machine or with other software.
        StorageError: There is no study, it cannot be read, or another process owns it.
    """
    path = context.settings.path
    with study_folder.ownership(path):
        refuse_planned(read_kind(path / study_folder.DATABASE), path=path)
        with Ledger.open(path / study_folder.DATABASE) as context.study:
            if list(context.study.trials) != list(range(len(context.study.trials))):
                raise StorageError(
                    "the study lacks trials: their numbers have gaps",
                    place=str(path),
                    help=PUT_BACK,
                )
            remove_strange_files(context.checkpoints, known=context.study.trials)
            restore(context, context.study.header())
            yield


def restore(context: StudyContext, header: Mapping[str, Any]) -> None:
    """Gives a context the header of a study, and what is made from it.

    Raises:
        UsageError: It was begun on another machine or with other software.
        StorageError: The header lacks an entry.
    """
    place = str(context.settings.path)
    require_entries(header, _NEEDED, place=context.settings.path)
    try:
        refuse_other_environment(
            header,
            context.environment,
            another="another that takes over what it can: "
            + study_folder.another_from(context.settings.path),
        )
        context.header = dict(header)
        kept = header["proxy"]
        context.proxy = Proxy.from_document(kept, plan=header["plan"], num_seeds=kept["seeds"])
        context.target, context.int8 = None, None
        conditions = Conditions.from_document(header["conditions"])
        if "quantisation" in header:
            context.int8 = replace(conditions, precision="int8")
        if header["calibration"] is not None:
            _refuse_other_protocol(header, path=context.settings.path)
            context.target = Target(
                conditions=conditions,
                environment=environment_of(
                    conditions.device, here=Environment(**header["environment"])
                ),
                constants=header["calibration"],
                batches=tuple(header.get("batches", ())[1:]),
                details=details_wanted([*header["objectives"], *header["limits"]]),
                images=(context.proxy.data, context.proxy.resolution),
            )
        context.rule = FrontRule.of(header, place=place)
    except (KeyError, TypeError) as error:
        raise StorageError(
            f"the study's header is not as this version writes it: {error}",
            place=place,
            help="begin a new study with another --name",
        ) from error


def check_data(context: StudyContext) -> None:
    """Prepares data and teacher of a study again, where the cache is gone, and compares.

    Raises:
        UsageError: Images, labels, classes or teacher are others than when the study was begun.
        MissingError: There are no data where they lay.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    settings = context.settings
    context.say(f"preparing the data ({settings.data})")
    kept = known_data(
        context,
        settings.data,
        study=context.study,
        path=settings.path,
        sides=settings.space.trained_sides.values(),
        download=settings.download,
        another="another study that takes over what it can: "
        + study_folder.another_from(settings.path),
    )
    if kept != context.header["proxy"]:
        restore(context, context.study.header())
    require_ancestor(context, context.proxy)
    teacher = teacher_facts(context, context.proxy)
    if teacher.get("teacher", {}).get("sha256") != kept.get("teacher", {}).get("sha256"):
        raise UsageError(
            "the teacher of the study is gone, and the one that was trained anew is another",
            place=str(settings.path),
            help="put back its file in the cache's folder teachers, or begin a new study with "
            "another --name",
        )


def refuse_other_environment(header: Mapping[str, Any], now: Environment, *, another: str) -> None:
    """Nothing, when a study is gone on with where its numbers would come out the same.

    What it was begun in stands in its header; ``another`` is what begins another one.

    Raises:
        UsageError: The machine or its software is another, as far as that changes numbers.
    """
    begun, conditions = Environment(**header["environment"]), header.get("conditions") or {}
    backend = conditions.get("backend", "eager")
    theirs, ours = (one.what_counts(backend=backend) for one in (begun, now))
    differing = [key for key in ours if ours[key] != theirs[key]]
    if not differing:
        return
    told = "; ".join(f"{key} was {theirs[key]} and is {ours[key]}" for key in differing)
    raise UsageError(
        f"the study was begun on another machine or with other software: {told}",
        place="--resume",
        help=f"its numbers and new ones could not be compared; resume it there, or begin {another}",
    )


def _refuse_other_protocol(header: Mapping[str, Any], *, path: Path) -> None:
    if protocol_of(header["calibration"]["settings"]) == PROTOCOL:
        return
    raise UsageError(
        "an earlier version of archbench timed its networks by other rules, and latencies of "
        "now could not be held against its own",
        place=str(path),
        help="begin another study that takes over its accuracies: "
        + study_folder.another_from(path),
    )
