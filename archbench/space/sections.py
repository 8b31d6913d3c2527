"""Under which conditions is searched: the sections of a space file beside its axes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from archbench.models.rewrite import STEMS
from archbench.space import field
from archbench.space.yaml_document import Node
from archbench.study.objective import OBJECTIVES, costs

Direction = Literal["max", "min"]
PRECISIONS = ("fp32", "bf16", "fp16")
MOST_CONFIRMATION = 10.0
"""Times the search's own cost that a confirmation may be given at most."""
TEACHERS = ("none", "convolutional")
CERTIFY = ("auto", "always", "never")


_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")


@dataclass(frozen=True, kw_only=True)
class TargetSection:
    """On what the latency is measured.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        threads: CPU threads of one forward pass.
        backend: What runs the network.
        batch: Images per forward pass.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``, as far as the backend has it.
    """

    device: str = "cpu"
    threads: int = 1
    backend: str = "eager"
    batch: int = 1
    precision: str = "fp32"


@dataclass(frozen=True, kw_only=True)
class ProxySection:
    """On what the accuracy is measured.

    Attributes:
        data: Name of the data set, for example ``folder:PATH``.
        resolution: Side of the proxy's images in pixels.
        stem: ``keep_grid`` reduces the first embed's stride so that the token grid stays about
            that of the target; ``as_is`` changes nothing.
        rungs: Epochs trained in all at each rung, rising; a third and a half of the schedule are
            where stopping was seen to save most (benchmarks/pruning.md).
        seeds: Trainings of each candidate.
        batch: Images per training step.
        teacher: Whose answers are learnt beside the labels: of nobody, or of a plain convolutional
            network that is trained on the same data first.
    """

    data: str = "cluttered_digits"
    resolution: int = 64
    stem: str = "keep_grid"
    rungs: tuple[int, ...] = (3, 4, 8)
    seeds: int = 1
    batch: int = 32
    teacher: str = "none"


@dataclass(frozen=True, kw_only=True)
class SearchSection:
    """How candidates are proposed, and how many.

    Attributes:
        sampler: Name of the sampler: an entry of ours, ``optuna:CLASS`` or ``hub:PACKAGE``.
        pruner: Name of the rule that stops trainings early, or ``none``.
        audit: Share of the candidates that is trained to the end whatever the rule says, so that
            what it loses can be measured.
        trials: Candidates that are evaluated at most, those stopped early included; where only
            ``epochs`` is written, as many as there are epochs.
        epochs: Epochs trained in all after which no candidate is begun, or None.
        time_limit_s: Seconds after which no candidate is begun (``time: 20m``), or None.
        seed: Of the sampler, and of training.
        workers: Child processes; None for as many as the machine serves.
        timeout_s: Seconds after which one candidate's evaluation is ended (``timeout: 10m``).
        confirm: Whether those in doubt are timed and trained again at the end: False does
            neither; True spends up to a fifth of the search's time on training; a number is
            another share of it (0 only times).
        certify: Whether a new search begins with a certificate of its proxy: ``auto`` where the
            search is many times as long, ``always`` or ``never``.
    """

    sampler: str = "cost_aware"
    pruner: str = "curve"
    audit: float = 0.1
    trials: int = 40
    epochs: int | None = None
    time_limit_s: float | None = None
    seed: int = 0
    workers: int | None = None
    timeout_s: float = 600.0
    confirm: bool | float = True
    certify: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Sections:
    """All conditions of a search; objectives and limits by the name of their quantity."""

    target: TargetSection
    objectives: Mapping[str, Direction]
    limits: Mapping[str, float]
    proxy: ProxySection
    search: SearchSection


SECTIONS = ("target", "objectives", "limits", "proxy", "search")


def read_sections(members: Mapping[str, Node]) -> Sections:
    """The sections that are written, with defaults for all that is not.

    Raises:
        SpaceError: A key is unknown or a value not allowed, with line and column.
    """
    return Sections(
        target=TargetSection(**_read(members.get("target"), "target", _TARGET)),
        objectives=_objectives(members.get("objectives")),
        limits=_read(members.get("limits"), "limit", dict.fromkeys(costs(), field.positive)),
        proxy=ProxySection(**_read(members.get("proxy"), "proxy", _PROXY)),
        search=_search(members.get("search")),
    )


def _read(
    node: Node | None, noun: str, readers: Mapping[str, Callable[[Node], Any]]
) -> dict[str, Any]:
    if node is None:
        return {}
    noun = noun if noun == "limit" else f"key of {noun}"
    return field.read(field.entries(node, noun=noun, allowed=readers), readers)


def _search(node: Node | None) -> SearchSection:
    values = _read(node, "search", _SEARCH)
    if "epochs" in values:
        values.setdefault("trials", values["epochs"])
    names = {"time": "time_limit_s", "timeout": "timeout_s"}
    return SearchSection(**{names.get(key, key): value for key, value in values.items()})


def _objectives(node: Node | None) -> dict[str, Direction]:
    if node is None:
        return {"proxy_accuracy": "max", "latency_ms": "min"}
    allowed = ("accuracy", *OBJECTIVES)
    members = field.entries(node, noun="objective", allowed=allowed)
    found: dict[str, Direction] = {}
    for name, direction in members.items():
        objective = OBJECTIVES["proxy_accuracy" if name == "accuracy" else name]
        wanted = objective.direction
        if direction.value != wanted:
            direction.fail(f"{name} can only be {wanted}, got {field.shown(direction)}")
        found[objective.name] = wanted
    if "proxy_accuracy" not in found or len(found) < 2:
        node.fail(
            "a front needs accuracy and at least one cost",
            help=f"costs: {', '.join(costs())}",
        )
    return found


def _device(node: Node) -> str:
    if not isinstance(node.value, str) or not _DEVICE.fullmatch(node.value):
        node.fail(f"{field.shown(node)} is not cpu, cuda or cuda:N")
    return node.value


def _rungs(node: Node) -> tuple[int, ...]:
    rungs = tuple(field.whole(rung, high=100_000) for rung in field.items(node, noun="epochs"))
    if not rungs or any(later <= earlier for earlier, later in pairwise(rungs)):
        node.fail("rungs are epochs trained in all, so they rise", help="write them like [3, 4, 8]")
    return rungs


def _seed(node: Node) -> int:
    return field.whole(node, low=0, high=2**31 - 1)


def _resolution(node: Node) -> int:
    return field.whole(node, low=8, high=4096)


def _confirm(node: Node) -> bool | float:
    value = node.value
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float) or not 0 <= value <= MOST_CONFIRMATION:
        node.fail(
            f"{field.shown(node)} is neither true, false nor a number from 0 to "
            f"{MOST_CONFIRMATION:g}",
            help="0.2 spends up to a fifth of the search's time on further training",
        )
    return float(value)


_TARGET: Mapping[str, Callable[[Node], Any]] = {
    "device": _device,
    "threads": lambda node: field.whole(node, high=1024),
    "backend": field.word,
    "batch": lambda node: field.whole(node, high=65536),
    "precision": lambda node: field.one_of(node, PRECISIONS),
}
_PROXY: Mapping[str, Callable[[Node], Any]] = {
    "data": field.text,
    "resolution": _resolution,
    "stem": lambda node: field.one_of(node, STEMS),
    "rungs": _rungs,
    "seeds": lambda node: field.whole(node, high=100),
    "batch": lambda node: field.whole(node, low=2, high=65536),
    "teacher": lambda node: field.one_of(node, TEACHERS),
}
_SEARCH: Mapping[str, Callable[[Node], Any]] = {
    "sampler": field.sampler_name,
    "pruner": field.word,
    "audit": field.share,
    "trials": field.whole,
    "epochs": field.whole,
    "time": field.duration,
    "seed": _seed,
    "workers": lambda node: field.whole(node, high=4096),
    "timeout": field.duration,
    "confirm": _confirm,
    "certify": lambda node: field.one_of(node, CERTIFY),
}
