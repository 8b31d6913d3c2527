"""Under which conditions is searched: the sections of a space file beside its axes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from archbench.bounds import BOUNDS, is_finite, is_number
from archbench.errors import ArchbenchError, SpaceError, UsageError
from archbench.models.rewrite import STEMS
from archbench.study.objective import OBJECTIVES, costs
from archbench.study.objective import REGISTRY as OBJECTIVE_REGISTRY
from archbench.yaml_document import Node, Place

Direction = Literal["max", "min"]
Reader = Callable[[Node], Any]
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
TEACHERS = ("none", "convolutional")
CERTIFY = ("auto", "always", "never")
AUTO = "auto"
"""The backend of a target that leaves it open; a study settles it when it is made."""
MOST_CONFIRMATION = 10.0
"""Times the search's own cost that a confirmation may be given at most."""

_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")
_FROM_OUTSIDE = re.compile(
    r"(optuna:|hub:|module:|object:)[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}(:[\w.]{1,64})?"
)
_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(f"(?:{_AMOUNT}h)?(?:{_AMOUNT}m)?(?:{_AMOUNT}s)?")


def _reader(
    allows: Callable[[Any], bool],
    refusal: str,
    *,
    help: str | None = None,
    form: Callable[[Any], Any] = lambda value: value,
) -> Reader:
    """What reads a value that a check allows, and refuses any other in these words."""

    def read(node: Node) -> Any:
        if not allows(node.value):
            node.fail(f"{node.shown} {refusal}", help=help)
        return form(node.value)

    return read


def _is_number(value: Any) -> bool:
    return is_number(value) and is_finite(value)


def _whole(name: str, *, least: int | None = None) -> Reader:
    """What reads a whole number within the bounds of what it counts."""
    low, high = BOUNDS[name]
    low = low if least is None else least
    return _reader(
        lambda value: _is_number(value) and value % 1 == 0 and low <= value <= high,
        f"is not a whole number from {low:,} to {high:,}",
        form=int,
    )


def _one_of(*words: str) -> Reader:
    return _reader(words.__contains__, f"is not one of {', '.join(words)}")


_device = _reader(
    lambda value: isinstance(value, str) and _DEVICE.fullmatch(value) is not None,
    "is not cpu, cuda or cuda:N",
)
_positive = _reader(lambda value: _is_number(value) and value > 0, "is not a number above 0")
_share = _reader(
    lambda value: _is_number(value) and 0 <= value <= 1,
    "is not a share from 0 to 1",
    form=float,
)
_balance = _reader(
    lambda value: value == "auto" or isinstance(value, bool),
    "is none of auto, true and false",
    form=lambda value: None if value == "auto" else value,
)
_confirm = _reader(
    lambda value: (
        isinstance(value, bool) or (_is_number(value) and 0 <= value <= MOST_CONFIRMATION)
    ),
    f"is neither true, false nor a number from 0 to {MOST_CONFIRMATION:g}",
    help="0.2 spends up to a fifth of the search's time on further training",
    form=lambda value: value if isinstance(value, bool) else float(value),
)


def _entry(node: Node) -> str:
    """The name of an entry of ours or from outside."""
    is_outside = isinstance(node.value, str) and _FROM_OUTSIDE.fullmatch(node.value)
    return str(node.value) if is_outside else node.word()


def _duration(node: Node) -> Any:
    if not isinstance(node.value, str):
        return _positive(node)
    seconds = parse_duration(node.value) or parse_duration(f"{node.value.strip()}s")
    if seconds is None:
        node.fail(f"{node.shown} is not a duration", help="write it like 90s, 20m or 1h30m")
    return seconds


def _precision(node: Node) -> str | tuple[str, ...]:
    """A precision, or two that every design has: one of floats, which comes first, and int8."""
    if not isinstance(node.value, tuple):
        return str(_one_of(*PRECISIONS)(node))
    found = tuple(map(_one_of(*PRECISIONS), node.value))
    if len(found) == 1:
        return str(found[0])
    if len(found) != 2 or len(set(found)) != 2 or "int8" not in found:
        node.fail(
            "a list of precisions is one of floats and int8", help="write it like [fp32, int8]"
        )
    return tuple(sorted(found, key="int8".__eq__))


def _rungs(node: Node) -> tuple[int, ...]:
    rungs = tuple(map(_whole("epochs"), node.items(noun="epochs")))
    if not rungs or any(later <= earlier for earlier, later in pairwise(rungs)):
        node.fail("rungs are epochs trained in all, so they rise", help="write them like [3, 4, 8]")
    return rungs


@dataclass(frozen=True, kw_only=True)
class TargetSection:
    """On what the latency is measured; threads and batch are those of one forward pass.

    The backend ``auto`` is the fastest that ships networks and is installed. Of two precisions, one
    of floats and then ``int8``, every design has both.
    """

    device: Annotated[str, _device] = "cpu"
    threads: Annotated[int, _whole("threads")] = 1
    backend: Annotated[str, _entry] = AUTO
    batch: Annotated[int, _whole("batch")] = 1
    precision: Annotated[str | tuple[str, ...], _precision] = "fp32"

    @property
    def precisions(self) -> tuple[str, ...]:
        """That of the designs as they are proposed, then int8 where it is a second one."""
        return (self.precision,) if isinstance(self.precision, str) else self.precision


@dataclass(frozen=True, kw_only=True)
class ProxySection:
    """On what the accuracy is measured.

    The ``stem`` ``keep_grid`` reduces the first embed's stride so that the token grid stays about
    that of the target. ``rungs`` are epochs trained in all, rising; a third and a half of the
    schedule are where stopping was seen to save most (benchmarks/pruning). An epoch has so many
    ``images``, the next ones of all; None is all of them. ``balance`` is whether rarer classes
    count more in training, None where the data decide it. With a ``teacher``, the answers of a
    plain convolutional network that is trained on the same data first are learnt beside the
    labels. Trainings begin from the ``weights`` of a file or of the nearest ``published`` network,
    as far as they fit, or from fresh ones with ``none``.
    """

    data: Annotated[str, Node.text] = "cluttered_digits"
    resolution: Annotated[int, _whole("image side")] = 64
    stem: Annotated[str, _one_of(*STEMS)] = "keep_grid"
    rungs: Annotated[tuple[int, ...], _rungs] = (3, 4, 8)
    seeds: Annotated[int, _whole("seeds")] = 1
    images: Annotated[int | None, _whole("images")] = None
    batch: Annotated[int, _whole("batch", least=2)] = 32
    balance: Annotated[bool | None, _balance] = None
    teacher: Annotated[str, _one_of(*TEACHERS)] = "none"
    weights: Annotated[str, Node.text] = "none"


@dataclass(frozen=True, kw_only=True)
class SearchSection:
    """How candidates are proposed, and how many.

    ``sampler`` is an entry of ours, ``optuna:CLASS``, ``hub:PACKAGE`` or, as a pruner may be, one
    from outside, ``module:PACKAGE.MODULE``. ``audit`` is the share of
    the candidates that is trained to the end whatever the rule says, to measure what it loses.
    ``trials`` counts those stopped early, too; where only ``epochs`` is written, it is as many.
    After ``epochs`` trained in all, or ``time_limit_s``, no candidate is begun; after ``timeout_s``
    one candidate's evaluation is ended. Where there are ``hours``, a new search is planned to take
    about as long, see ``archbench.search.planning``. ``workers`` is None for as many as the machine
    serves. ``confirm`` is whether uncertain candidates are timed and trained again at the end:
    False does neither; True spends up to a fifth of the search's time on training; a number is
    another share of it (0 only times). ``certify`` is whether a new search begins with a
    certificate of its proxy: ``auto`` where the search is many times as long, ``always`` or
    ``never``.
    """

    sampler: Annotated[str, _entry] = "cost_aware"
    pruner: Annotated[str, _entry] = "curve"
    audit: Annotated[float, _share] = 0.1
    trials: Annotated[int, _whole("trials")] = 40
    epochs: Annotated[int | None, _whole("trained epochs")] = None
    time_limit_s: Annotated[float | None, _duration] = None
    hours: Annotated[float | None, _positive] = None
    seed: Annotated[int, _whole("seed")] = 0
    workers: Annotated[int | None, _whole("workers")] = None
    timeout_s: Annotated[float, _duration] = 600.0
    confirm: Annotated[bool | float, _confirm] = True
    certify: Annotated[str, _one_of(*CERTIFY)] = "auto"


_Section = TypeVar("_Section", TargetSection, ProxySection, SearchSection)
_KEYS = {"time_limit_s": "time", "timeout_s": "timeout"}
"""What the file calls the fields of other names."""


def override(section: _Section, **said: Any) -> _Section:
    """A section with what a command says in place of what the file says, held to the same limits.

    What is None is not said.

    Raises:
        UsageError: A value is not allowed; its place is the option, such as ``--trials``.
    """
    nodes = {name: Node(value, Place(f"--{_KEYS.get(name, name)}")) for name, value in said.items()}
    try:
        return _with(section, {n: node for n, node in nodes.items() if node.value is not None})
    except SpaceError as error:
        raise UsageError(error.message, place=error.place, help=error.help) from None


def parse_duration(written: str) -> float | None:
    """Seconds of text such as ``90s``, ``20m``, ``1.5h`` and ``1h30m``.

    None where it is something else or no time at all, as ``0s``.

    >>> parse_duration("1h30m")
    5400.0
    """
    match = _DURATION.fullmatch(written.strip().lower())
    if match is None:
        return None
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds or None


def _section(node: Node | None, *, kind: type[_Section], noun: str) -> _Section:
    if node is None:
        return kind()
    fields = {_KEYS.get(name, name): name for name in _readers(kind)}
    members = node.entries(noun=f"key of {noun}", allowed=fields)
    return _with(kind(), {fields[key]: member for key, member in members.items()})


def _with(section: _Section, nodes: Mapping[str, Node]) -> _Section:
    readers = _readers(type(section))
    values = {name: readers[name](node) for name, node in nodes.items()}
    if "epochs" in values:
        values.setdefault("trials", values["epochs"])
    return replace(section, **values)


def _readers(kind: type) -> dict[str, Reader]:
    """What reads each field of a section, as its annotation says."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def _objectives(node: Node | None) -> dict[str, Direction]:
    if node is None:
        return {"proxy_accuracy": "max", "latency_ms": "min"}
    found: dict[str, Direction] = {}
    _load_outside(node)
    members = node.entries(noun="objective", allowed=("accuracy", *OBJECTIVES))
    for name, direction in members.items():
        objective = OBJECTIVES["proxy_accuracy" if name == "accuracy" else name]
        if direction.value != objective.direction:
            direction.fail(f"{name} can only be {objective.direction}, got {direction.shown}")
        found[objective.name] = objective.direction
    if "proxy_accuracy" not in found or len(found) < 2:
        known = ", ".join(costs())
        node.fail("a front needs accuracy and at least one cost", help=f"costs: {known}")
    return found


def _limits(node: Node | None) -> dict[str, float]:
    _load_outside(node)
    members = node.entries(noun="limit", allowed=costs()) if node else {}
    return {name: _positive(limit) for name, limit in members.items()}


def _baselines(node: Node | None) -> tuple[str, ...] | None:
    """The names of known networks; None where they are chosen by their latency."""
    if node is None or node.value is None:
        return None
    return tuple(dict.fromkeys(item.text() for item in node.items(noun="known networks")))


def _load_outside(node: Node | None) -> None:
    """Makes known the objectives from outside that are the keys of a mapping."""
    members = node.value if node and isinstance(node.value, Mapping) else {}
    for name, member in members.items():
        if OBJECTIVE_REGISTRY.is_outside(str(name)):
            try:
                OBJECTIVES[str(name)]
            except ArchbenchError as error:
                member.fail(error.message, help=error.help, at_key=True)


SECTIONS: Mapping[str, Callable[[Node | None], Any]] = {
    "target": partial(_section, kind=TargetSection, noun="target"),
    "objectives": _objectives,
    "limits": _limits,
    "proxy": partial(_section, kind=ProxySection, noun="proxy"),
    "baselines": _baselines,
    "search": partial(_section, kind=SearchSection, noun="search"),
}
"""What reads each section; None gives the defaults."""
