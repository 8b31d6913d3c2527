"""Which network does a set of choices name, and is it a candidate?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from typing import Any

from archbench.errors import ArchbenchError, SpaceError
from archbench.models import count, proxy
from archbench.models.arithmetic import Work
from archbench.models.path import Path
from archbench.models.resolved import ResolvedSpec
from archbench.models.spec import (
    ArchSpec,
    HeadSpec,
    Role,
    StageSpec,
    part_spec,
)
from archbench.space.axis import Choices, role_of
from archbench.space.conditions import Wiring
from archbench.space.expression import Expression
from archbench.space.sections import ProxySection
from archbench.space.yaml_document import Place


class InfeasibleError(SpaceError):
    """Choices that name no candidate.

    Attributes:
        requirement: What excludes them: a requirement as written, or the place that is illegal.
    """

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        help: str | None = None,
        requirement: str = "",
    ) -> None:
        super().__init__(message, place=place, help=help)
        self.requirement = requirement

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.message, self.place, self.help, self.requirement)


@dataclass(frozen=True)
class Requirement:
    """A condition that candidates must meet, and where it is written."""

    expression: Expression
    place: Place

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate meets it.

        Raises:
            InfeasibleError: It asks for quantities of an illegal network.
            SpaceError: It compares what cannot be compared; at its line and column.
        """
        try:
            return self.expression.holds(candidate)
        except InfeasibleError:
            raise
        except SpaceError as error:
            raise self.place.moved(error) from None


@dataclass(frozen=True)
class Rules:
    """What a candidate must satisfy.

    Attributes:
        require: The requirements, those that only read the document first.
        proxy: Under which the candidate is trained, and must be legal, too.
    """

    require: tuple[Requirement, ...]
    proxy: ProxySection


def document_of(base: Mapping[str, Any], wiring: Wiring, choices: Choices) -> dict[str, Any]:
    """The base with choices applied: whole parts first, then fields, then layers cut to the depth.

    Nothing of the base is changed; what the choices leave alone is shared with it.
    """
    document = dict(base)
    stages = document["stages"] = [dict(stage) for stage in base["stages"]]
    chosen = [
        (axis, axis.values[choices[axis.name]]) for axis in wiring.axes if axis.name in choices
    ]
    for axis, value in chosen:
        if axis.is_part:
            for target in axis.targets:
                _set_part(stages[_number(target)], target, value)
    owned: set[int] = set()
    for axis, value in chosen:
        if not axis.is_part:
            for target in wiring.targets(axis, choices):
                _set_field(document, target, value, owned)
    for stage in stages:
        layers = stage.get("layers")
        if layers:
            depth = stage.get("depth", 0)
            stage["layers"] = {layer: layers[layer] for layer in sorted(layers) if layer < depth}
    return document


@dataclass(frozen=True)
class Candidate:
    """A document seen as a candidate: what requirements ask of it, worked out when asked.

    Attributes:
        document: The network.
        may_resolve: Whether derived values may be asked for, which a ``when`` may not: the rest
            of the document is not chosen yet.
    """

    document: Mapping[str, Any]
    may_resolve: bool = True

    @cached_property
    def spec(self) -> ArchSpec:
        """The network as written.

        Raises:
            InfeasibleError: A value is out of range for its part.
        """
        try:
            return ArchSpec.from_document(self.document)
        except ArchbenchError as error:
            raise _illegal(error, where="") from None

    @cached_property
    def resolved(self) -> ResolvedSpec:
        """The network with derived values.

        Raises:
            InfeasibleError: It is illegal at the target's resolution.
        """
        try:
            return self.spec.resolved()
        except ArchbenchError as error:
            raise _illegal(error, where="") from None

    @cached_property
    def work(self) -> Work:
        """Parameters, MACs and activations in closed form."""
        _ = self.resolved  # an illegal network is infeasible, not an error of the count
        return count(self.spec).total

    def quantity(self, name: str) -> int:
        """``macs``, ``params`` or ``activations``."""
        return int(getattr(self.work, name))

    def values(self, path: Path) -> Sequence[Any]:
        """The values at every place that a path selects; empty where there is none."""
        names = [segment.name for segment in path.segments]
        document = self.document
        if names[0] == "head" and len(names) == 2:
            return [document["head"].get(names[1], _head_defaults()[names[1]])]
        if names[0] != "stages":
            return [document[names[0]]]
        stages = document["stages"]
        numbers = [path.stage] if isinstance(path.stage, int) else range(len(stages))
        found = []
        for number in numbers:
            found += self._stage_values(number, path, names)
        return [value for value in found if value is not None]

    def check_proxy(self, section: ProxySection) -> None:
        """Refuses a network, legal at the target, that is illegal as its own proxy.

        Raises:
            InfeasibleError: It is; the message says at which resolution.
        """
        try:
            trained = self.proxy(section)
            if trained.stages is self.spec.stages and trained.resolution == self.spec.resolution:
                return  # the proxy is the target, which is judged already
            trained.resolved()
        except ArchbenchError as error:
            raise _illegal(error, where=f"at the proxy's {section.resolution} px: ") from None

    def proxy(self, section: ProxySection) -> ArchSpec:
        """The network that is trained in its place, with the classes of the target."""
        return proxy(
            self.spec,
            resolution=section.resolution,
            num_classes=self.spec.num_classes,
            stem=section.stem,
        )

    def _stage_values(self, number: int, path: Path, names: list[str]) -> list[Any]:
        stage = self.document["stages"][number]
        if len(names) == 2:
            return [stage.get(names[1], _stage_defaults().get(names[1]))]
        role = role_of(path)
        part = stage.get(role)
        if part is None or names[2] not in {"kind", *_defaults(role, part["kind"])}:
            return []
        if names[1] != "layers":
            return [self._part_value(number, 0, role, part, names[2])]
        depth = stage.get("depth", 0)
        layers = [path.layer] if isinstance(path.layer, int) else range(depth)
        changes = stage.get("layers") or {}
        return [
            self._part_value(number, layer, role, {**part, **changes.get(layer, {})}, names[2])
            for layer in layers
            if layer < depth
        ]

    def _part_value(
        self, number: int, layer: int, role: Role, part: Mapping[str, Any], name: str
    ) -> Any:
        value = part.get(name)
        if value is None:
            value = _defaults(role, part["kind"]).get(name)
        if value is not None:
            return value
        if not self.may_resolve:
            raise SpaceError(
                f"stages[{number}].{role}.{name} is derived, and when reads only what is written",
                help="read the field from which it is derived",
            )
        stage = self.resolved.stages[number]
        if role == "embed":
            return getattr(stage.embed, name)
        return getattr(stage.blocks[layer], name) if layer < len(stage.blocks) else None


def check(candidate: Candidate, rules: Rules) -> None:
    """Refuses a document that is no candidate, cheapest reason first.

    Raises:
        InfeasibleError: A requirement is not met, or the network is illegal at the target's or at
            the proxy's resolution.
    """
    for requirement in rules.require:
        if not requirement.holds(candidate):
            text = requirement.expression.text
            raise InfeasibleError(f"the requirement {text} is not met", requirement=text)
    _ = candidate.resolved
    candidate.check_proxy(rules.proxy)


def reasons(candidate: Candidate, rules: Rules) -> list[str]:
    """Everything that excludes a document, not only the first; empty for a candidate.

    An illegal network has no quantities, so requirements that read them are not judged then.
    """
    found = []
    for requirement in rules.require:
        try:
            if not requirement.holds(candidate):
                found.append(requirement.expression.text)
        except InfeasibleError as error:
            found.append(error.requirement)
    try:
        _ = candidate.resolved
        candidate.check_proxy(rules.proxy)
    except InfeasibleError as error:
        found.append(error.requirement)
    return list(dict.fromkeys(found))


def _illegal(error: ArchbenchError, *, where: str) -> InfeasibleError:
    place = f"{error.place}: " if error.place else ""
    return InfeasibleError(
        f"{where}{place}{error.message}",
        help=error.help,
        requirement=f"{where}{place}{error.message}",
    )


def _rebuilt(
    message: str, place: str | None, help: str | None, requirement: str
) -> InfeasibleError:
    return InfeasibleError(message, place=place, help=help, requirement=requirement)


def _number(target: Path) -> int:
    assert isinstance(target.stage, int)
    return target.stage


def _set_part(stage: dict[str, Any], target: Path, value: Mapping[str, Any]) -> None:
    role = target.segments[1].name
    stage[role] = dict(value)
    if role == "block":
        stage.pop("layers", None)  # they name fields of the block that is replaced


def _set_field(document: dict[str, Any], target: Path, value: Any, owned: set[int]) -> None:
    """Sets one field; ``owned`` holds the ids of the dicts that are already copies."""
    if isinstance(target.stage, int):
        inner: dict[str, Any] = document["stages"][target.stage]
    elif len(target.segments) == 1:
        document[target.segments[0].name] = value
        return
    else:
        inner = document
    for segment in target.segments[1 if inner is not document else 0 : -1]:
        inner = _own(inner, segment.name, owned)
        if segment.index is not None:
            inner = _own(inner, segment.index, owned)
    inner[target.segments[-1].name] = value


def _own(outer: dict[Any, Any], key: Any, owned: set[int]) -> dict[Any, Any]:
    inner = outer.get(key)
    if inner is None or id(inner) not in owned:
        inner = outer[key] = dict(inner or {})
        owned.add(id(inner))
    return inner


@cache
def _defaults(role: Role, kind: str) -> Mapping[str, Any]:
    """Every field of a kind with its default, None where there is none."""
    return {
        f.name: None if f.default is MISSING else f.default for f in fields(part_spec(role, kind))
    }


@cache
def _stage_defaults() -> Mapping[str, Any]:
    return {f.name: f.default for f in fields(StageSpec) if f.default is not MISSING}


@cache
def _head_defaults() -> Mapping[str, Any]:
    return {f.name: f.default for f in fields(HeadSpec)}
