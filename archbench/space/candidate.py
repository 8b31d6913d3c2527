"""Which network is a candidate, what do requirements read of it, and what excludes it?"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import cache, cached_property
from typing import Any

from archbench.errors import ArchbenchError, SpaceError
from archbench.models import count, proxy
from archbench.models.arithmetic import Work
from archbench.models.part import Role, part_spec
from archbench.models.path import Path
from archbench.models.rewrite import Sides
from archbench.models.spec import ArchSpec, HeadSpec, ResolvedSpec, StageSpec
from archbench.space.expression import Expression, InfeasibleError
from archbench.space.sections import ProxySection


@dataclass(frozen=True)
class Candidate:
    """A document seen as a candidate: what requirements ask of it, worked out when asked.

    The section says how it is trained, where it must be legal, too; None while some of it is not
    chosen yet, so that a ``when`` may read what is written but no derived values. There are
    ``sides`` where candidates are of different resolutions.
    """

    document: Mapping[str, Any]
    section: ProxySection | None = None
    sides: Sides | None = None

    @cached_property
    def spec(self) -> ArchSpec:
        """The network as written.

        Raises:
            InfeasibleError: A value is out of range for its part.
        """
        with _illegal():
            return ArchSpec.from_document(self.document)

    @cached_property
    def resolved(self) -> ResolvedSpec:
        """The network with derived values.

        Raises:
            InfeasibleError: It is illegal at the target's resolution.
        """
        with _illegal():
            return self.spec.resolved()

    def quantity(self, name: str) -> int:
        """``macs``, ``params`` or ``activations``, in closed form."""
        return int(getattr(self._work, name))

    def values(self, path: Path) -> Sequence[Any]:
        """The values at every place that a path selects; empty where there is none."""
        names = [segment.name for segment in path.segments]
        document = self.document
        if names[0] == "head" and len(names) == 2:
            return [document["head"].get(names[1], _defaults(HeadSpec)[names[1]])]
        if names[0] != "stages":
            return [document[names[0]]]
        stages = document["stages"]
        numbers = [path.stage] if isinstance(path.stage, int) else range(len(stages))
        found = [value for number in numbers for value in self._stage_values(number, path, names)]
        return [value for value in found if value is not None]

    def check_legal(self) -> None:
        """Nothing, when the network is legal at the target's and at the proxy's resolution.

        Raises:
            InfeasibleError: It is not; the message says at which resolution.
        """
        _ = self.resolved
        assert self.section is not None
        side = self.sides.of(self.spec.resolution.height) if self.sides else self.section.resolution
        with _illegal(where=f"at the proxy's {side} px: "):
            trained = proxy(
                self.spec,
                resolution=self.sides or side,
                num_classes=self.spec.num_classes,
                stem=self.section.stem,
            )
            is_target = trained.stages is self.spec.stages
            if not (is_target and trained.resolution == self.spec.resolution):
                trained.resolved()

    @cached_property
    def _work(self) -> Work:
        _ = self.resolved  # an illegal network is infeasible, not an error of the count
        return count(self.spec).total

    def _stage_values(self, number: int, path: Path, names: list[str]) -> list[Any]:
        stage = self.document["stages"][number]
        if len(names) == 2:
            return [stage.get(names[1], _defaults(StageSpec).get(names[1]))]
        role = path.role
        part = stage.get(role)
        if part is None or names[2] not in {"kind", *_part_defaults(role, part["kind"])}:
            return []
        if names[1] != "layers":
            return [self._part_value(number, 0, role, part, names[2])]
        depth, changes = stage.get("depth", 0), stage.get("layers") or {}
        layers = [path.layer] if isinstance(path.layer, int) else range(depth)
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
            value = _part_defaults(role, part["kind"]).get(name)
        if value is not None:
            return value
        if self.section is None:
            raise SpaceError(
                f"stages[{number}].{role}.{name} is derived, and when reads only what is written",
                help="read the field from which it is derived",
            )
        stage = self.resolved.stages[number]
        if role == "embed":
            return getattr(stage.embed, name)
        return getattr(stage.blocks[layer], name) if layer < len(stage.blocks) else None


def exclusions(
    candidate: Candidate, requirements: Sequence[Expression]
) -> Iterator[InfeasibleError]:
    """Everything that excludes a candidate, cheapest reason first.

    An illegal network has no quantities, so requirements that read them are not judged then.

    Raises:
        SpaceError: A requirement compares what cannot be compared; at its line and column.
    """
    for requirement in requirements:
        try:
            if not requirement.holds(candidate):
                message = f"the requirement {requirement.text} is not met"
                yield InfeasibleError(message, requirement=requirement.text)
        except InfeasibleError as error:
            yield error
    try:
        candidate.check_legal()
    except InfeasibleError as error:
        yield error


@contextmanager
def _illegal(*, where: str = "") -> Iterator[None]:
    """Turns an error of the models into one that says what excludes the candidate."""
    try:
        yield
    except InfeasibleError:
        raise
    except ArchbenchError as error:
        message = f"{where}{error.place}: {error.message}" if error.place else where + error.message
        raise InfeasibleError(message, help=error.help, requirement=message) from None


@cache
def _defaults(kind: type) -> Mapping[str, Any]:
    """Every field of a spec with its default, None where there is none."""
    return {f.name: None if f.default is MISSING else f.default for f in fields(kind)}


def _part_defaults(role: Role, kind: str) -> Mapping[str, Any]:
    spec: Any = part_spec(role, kind)
    return _defaults(spec)
