"""At which side is each candidate trained, where the resolution is an axis?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.bounds import BOUNDS
from archbench.errors import ArchbenchError
from archbench.models import ArchSpec
from archbench.models.rewrite import Sides, sides_like
from archbench.space.axis import Axis
from archbench.space.sections import ProxySection
from archbench.yaml_document import Node, write_flow

_MOST_SIDES = 16  # at each of which the images are prepared


def sides_of(axes: Sequence[Axis], *, base: Mapping[str, Any], proxy: ProxySection) -> Sides | None:
    """At which side each candidate is trained; None where the resolution is no axis."""
    axis = next((axis for axis in axes if axis.name == "resolution"), None)
    if axis is None:
        return None
    if len(axis.values) > _MOST_SIDES:
        axis.place.fail(f"resolution: {len(axis.values)} values; at most {_MOST_SIDES}")
    if proxy.teacher != "none":
        axis.place.fail(
            f"resolution: the {proxy.teacher} teacher knows images of one resolution only",
            help="write teacher: none under proxy",
        )
    if base["resolution"] not in axis.values:
        axis.place.fail(
            f"resolution: {write_flow(base['resolution'])}, that of the base, is not "
            "among the values, and the resolution of the proxy is that at which it is trained",
            help=f"add it, or write resolution: {axis.label(-1)} where the base is set",
        )
    try:
        spec = ArchSpec.from_document(base)
        sides = sides_like(spec, trained=proxy.resolution, stem=proxy.stem)
    except ArchbenchError as error:
        raise axis.place.moved(error) from None
    _check_sides(axis, sides)
    return sides


def _check_sides(axis: Axis, sides: Sides) -> None:
    """Refuses resolutions that are none, or whose images cannot be prepared or told apart."""
    low, high = BOUNDS["image side"]
    seen: dict[int, int] = {}
    for node in axis.nodes:
        own = node.plain()
        if type(own) is not int or own < 1:
            node.fail(f"resolution: {node.shown} is not the side of square images in pixels")
        side = sides.of(own)
        if not low <= side <= high:
            node.fail(
                f"resolution: {own} would be trained at {side} px, and {low} to {high} px can be "
                "prepared",
                help=f"take it out, or give another proxy.resolution than {sides.trained}",
            )
        if side in seen:
            node.fail(
                f"resolution: {seen[side]} and {own} would both be trained at {side} px",
                help=f"take one out, or a larger proxy.resolution than {sides.trained}",
            )
        seen[side] = own


def with_side(base: Mapping[str, Any], said: Node | None) -> Mapping[str, Any]:
    """A base at the largest of the sides that are said, unless it is at one of them."""
    sides = said.plain() if said else None
    if not isinstance(sides, list) or base["resolution"] in sides:
        return base
    is_whole = all(type(side) is int for side in sides)
    return {**base, "resolution": max(sides)} if sides and is_whole else base
