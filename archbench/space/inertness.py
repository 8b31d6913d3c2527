"""Does a field change the part that it is set on, or do two choices make the same part?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from archbench.errors import ArchbenchError
from archbench.models.part import Grid, Site
from archbench.models.resolved import IMAGE_CHANNELS
from archbench.models.spec import Role, part_fields, part_spec
from archbench.space.axis import Axis
from archbench.space.expansion import Document, Slot

Dims = tuple[tuple[int, int], ...]

# Derived values hang on widths, never on the grid, which only has to be large enough here.
_GRID = Grid(256, 256)
_MAX_SITES = 64


def site_dims(base: Document, owners: Mapping[Slot, Axis], part: Slot) -> Dims:
    """Widths that may enter and leave a part, as pairs; not all of them where there are many."""
    number = int(part[1])
    after = _dims(base, owners, number)
    if part[2] == "block":
        return tuple((dim, dim) for dim in after[:_MAX_SITES])
    before = _dims(base, owners, number - 1) if number else [IMAGE_CHANNELS]
    return tuple(product(before, after))[:_MAX_SITES]


def matters(
    role: Role, part: Mapping[str, Any], name: str, values: Sequence[Any], dims: Dims
) -> bool:
    """Whether some of a field's values make different parts.

    Where fewer than two of them are legal nothing is known, and the answer is yes.
    """
    written = tuple(sorted((key, _frozen(value)) for key, value in part.items()))
    return _matters(role, written, name, tuple(map(_frozen, values)), dims)


def resolved_part(role: Role, part: Mapping[str, Any], *, before: int, after: int) -> Any:
    """A part with derived values at its widths; None where it is illegal there."""
    values = {key: value for key, value in part.items() if key != "kind"}
    try:
        spec = part_spec(role, str(part["kind"]))(**values)
        return spec.resolved(Site(grid=_GRID, incoming_dim=before, dim=after))
    except (ArchbenchError, TypeError):
        return None


def filled(role: Role, part: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part that its kind accepts: as written, else with what other axes give it."""
    if _is_whole(role, part):
        return part
    known = part_fields(role, str(part["kind"]))
    return {**{key: value for key, value in given.items() if key in known}, **part}


def _is_whole(role: Role, part: Mapping[str, Any]) -> bool:
    values = {key: value for key, value in part.items() if key != "kind"}
    try:
        part_spec(role, str(part["kind"]))(**values)
    except (ArchbenchError, TypeError):
        return False
    return True


@lru_cache(maxsize=4096)
def _matters(
    role: Role,
    part: tuple[tuple[str, Any], ...],
    name: str,
    values: tuple[tuple[str, Any], ...],
    dims: Dims,
) -> bool:
    written = {key: value for key, (_, value) in part}
    for before, after in dims:
        found = [
            resolved_part(role, {**written, name: value}, before=before, after=after)
            for _, value in values
        ]
        legal = [spec for spec in found if spec is not None]
        if len(legal) > 1:
            return any(spec != legal[0] for spec in legal)
    return True


def _dims(base: Document, owners: Mapping[Slot, Axis], number: int) -> list[int]:
    axis = owners.get((f"stages[{number}].dim",))
    values = axis.values if axis else [base["stages"][number]["dim"]]
    return [value for value in values if isinstance(value, int) and not isinstance(value, bool)]


def _frozen(value: Any) -> tuple[str, Any]:
    """A value that can be hashed, apart from equal ones of another type."""
    return type(value).__name__, value if not isinstance(value, list | dict) else repr(value)
