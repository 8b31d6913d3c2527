"""Under which conditions is searched: the sections of a space file beside its axes."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from archbench.errors import ArchbenchError, SpaceError, UsageError
from archbench.models.rewrite import STEMS
from archbench.space import reader
from archbench.space.reader import Reader
from archbench.study.objective import OBJECTIVES, Objective, costs
from archbench.study.objective import REGISTRY as OBJECTIVE_REGISTRY
from archbench.yaml_document import Node, Place

Direction = Literal["max", "min"]
TEACHERS = ("none", "convolutional")
CERTIFY = ("auto", "always", "never")
AUTO = "auto"
"""The backend of a target that leaves it open; a study settles it when it is made."""


# Behind what reads a key stands what it is, as a new file and the schema for editors say it.


@dataclass(frozen=True, kw_only=True)
class TargetSection:
    """On what the latency is measured."""

    device: Annotated[str, reader.device, "cpu, cuda, cuda:N or another device"] = "cpu"
    threads: Annotated[int, reader.whole("threads"), "CPU threads of one forward pass"] = 1
    backend: Annotated[str, reader.entry, "the runtime; auto: the fastest one here"] = AUTO
    batch: Annotated[
        int | tuple[int, ...], reader.batch, "images per forward pass; or several: [1, 8, 32]"
    ] = 1
    precision: Annotated[
        str | tuple[str, ...], reader.precision, "fp32, bf16, fp16, int8, or two: [fp32, int8]"
    ] = "fp32"

    @property
    def precisions(self) -> tuple[str, ...]:
        """That of the designs as they are proposed, then int8 where it is a second one."""
        return (self.precision,) if isinstance(self.precision, str) else self.precision

    @property
    def batches(self) -> tuple[int, ...]:
        """That of the latency, then the others, of which a throughput is the best."""
        return (self.batch,) if isinstance(self.batch, int) else self.batch


@dataclass(frozen=True, kw_only=True)
class ProxySection:
    """On what the accuracy is measured.

    A third and a half of the schedule are where stopping was seen to save most
    (benchmarks/pruning).
    """

    data: Annotated[str, reader.text, "cluttered_digits, folder:PATH, cifar10:PATH and others"] = (
        "cluttered_digits"
    )
    resolution: Annotated[int, reader.whole("image side"), "side of the images in pixels"] = 64
    stem: Annotated[
        str, reader.one_of(*STEMS), "keep_grid: a smaller stride keeps the token grid; or as_is"
    ] = "keep_grid"
    rungs: Annotated[
        tuple[int, ...], reader.rungs, "epochs trained in all, rising; one may stop in between"
    ] = (3, 4, 8)
    seeds: Annotated[int, reader.whole("seeds"), "trainings of each candidate"] = 1
    images: Annotated[
        int | None,
        reader.or_nothing(reader.whole("images")),
        "training images of an epoch; null: all of them",
    ] = None
    batch: Annotated[int, reader.whole("batch", least=2), "images per training step"] = 32
    balance: Annotated[
        bool | None, reader.balance, "rarer classes count more; auto: where that is needed"
    ] = None
    teacher: Annotated[
        str, reader.one_of(*TEACHERS), "whose answers are learnt, too: none or convolutional"
    ] = "none"
    weights: Annotated[str, reader.text, "to begin from: none, published or a file"] = "none"


@dataclass(frozen=True, kw_only=True)
class SearchSection:
    """How candidates are proposed, and how many.

    Where only ``epochs`` is written, there may be as many ``trials``. A confirmation of True spends
    up to a fifth of the search's time on training; one of 0 only times.
    """

    sampler: Annotated[
        str, reader.entry, "what proposes: cost_aware, tpe, random, optuna:CLASS"
    ] = "cost_aware"
    pruner: Annotated[str, reader.entry, "what stops trainings early: curve, promotion or none"] = (
        "curve"
    )
    audit: Annotated[
        float, reader.share, "share of the trials to stop that run to the end, as a test"
    ] = 0.1
    trials: Annotated[
        int, reader.whole("trials"), "candidates at most, those stopped early too"
    ] = 40
    epochs: Annotated[
        int | None,
        reader.or_nothing(reader.whole("trained epochs")),
        "trained in all, then no candidate is begun",
    ] = None
    time_limit_s: Annotated[
        float | None,
        reader.or_nothing(reader.duration),
        "90s, 20m or 1h30m, then no candidate is begun",
    ] = None
    hours: Annotated[
        float | None, reader.or_nothing(reader.positive), "plan the whole search for so many"
    ] = None
    seed: Annotated[int, reader.whole("seed"), "of proposals and trainings"] = 0
    workers: Annotated[
        int | None,
        reader.or_nothing(reader.whole("workers")),
        "trials at a time; null: what the machine serves",
    ] = None
    timeout_s: Annotated[
        float, reader.duration, "seconds, or 10m, after which a trial is ended"
    ] = 600.0
    confirm: Annotated[
        bool | float, reader.confirm, "time and train the front again; 0.2: a fifth of the time"
    ] = True
    certify: Annotated[
        str, reader.one_of(*CERTIFY), "the proxy first: auto, if the search is long; always, never"
    ] = "auto"


_Section = TypeVar("_Section", TargetSection, ProxySection, SearchSection)
_KEYS = {"time_limit_s": "time", "timeout_s": "timeout"}
"""What the file calls the fields of other names."""
_MEANT = {"epochs": "the epochs are those of the last rung: write  rungs: [8]"}
_LIMIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


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


def keys_of(kind: type) -> Iterator[tuple[str, Reader, str, Any]]:
    """Each key of a section with what reads it, what it is, and its default as a file has it."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        read, told = hint.__metadata__
        yield _KEYS.get(name, name), read, told, read.written(getattr(kind, name))


def _section(node: Node | None, *, kind: type[_Section], noun: str) -> _Section:
    if node is None:
        return kind()
    fields = {_KEYS.get(name, name): name for name in _readers(kind)}
    meant = _MEANT if kind is ProxySection else None
    members = node.entries(noun=f"key of {noun}", allowed=fields, meant=meant)
    return _with(kind(), {fields[key]: member for key, member in members.items()})


def _with(section: _Section, nodes: Mapping[str, Node]) -> _Section:
    readers = _readers(type(section))
    values = {name: readers[name](node) for name, node in nodes.items()}
    if values.get("epochs"):
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
    _require_mapping(node, example="{accuracy: max, latency_ms: min}")
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
    _require_mapping(node, example="{latency_ms: 8}")
    _load_outside(node)
    members = node.entries(noun="limit", allowed=costs()) if node else {}
    return {name: _limit(limit, OBJECTIVES[name]) for name, limit in members.items()}


def _limit(node: Node, cost: Objective) -> float:
    """The number of a limit; the fault of one with a unit says which number is meant."""
    unit = f"; the unit is {cost.unit}" if cost.unit else ", as 400e6"
    found = _LIMIT.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
    if found and found[2] == cost.unit:
        node.fail(f"{node.shown} is not a number", help=f"write {found[1]}{unit}")
    if not reader.is_countable(node.value):
        node.fail(f"{node.shown} is not a number", help=f"write a number alone{unit}")
    number: float = reader.positive(node)
    return number


def _require_mapping(node: Node | None, *, example: str) -> None:
    if node and not isinstance(node.value, Mapping | None):
        node.fail(f"expected a mapping, got {node.kind}", help=f"write it like {example}")


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
