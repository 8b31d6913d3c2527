"""Which known network is meant by a name, as a space would have it among its candidates?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archbench.bounds import require_within
from archbench.errors import UsageError
from archbench.models import ArchSpec, as_spec
from archbench.models.catalogue import published_names
from archbench.models.rewrite import Sides, sides_like
from archbench.space.candidate import Candidate
from archbench.space.sections import ProxySection

_TIMM = "timm:"  # whose networks of the same names are those of the catalogue
_FOREIGN = re.compile(r"(timm|torchvision|module):[\w.:-]{1,128}")


@dataclass(frozen=True, kw_only=True)
class KnownNetwork:
    """A network that is trained beside candidates, at a side of its own where there are ``sides``.

    One of another library has no spec: its document says how it is built, see
    ``archbench.evaluate.foreign.planned_network``.
    """

    document: Mapping[str, Any]
    spec: ArchSpec | None = None
    sides: Sides | None = None


def known_network(name: str, *, base: Mapping[str, Any], section: ProxySection) -> KnownNetwork:
    """A network with the classes and the resolution of a base, trained as that is.

    It is a published one, by its name or as ``timm:NAME``, or that of another library, by
    ``timm:NAME``, ``torchvision:NAME`` or ``module:MODULE:BUILDER``. ``NAME@160`` is the network
    for images of 160 px, which is trained in proportion, as where the resolution is an axis.

    Raises:
        UsageError: There is no such network, or no such resolution.
        InfeasibleError: It is illegal at the target's or at the proxy's resolution.
    """
    written, at, side = name.partition("@")
    sides, resolution = None, base["resolution"]
    if at:
        if not (side.isdecimal() and len(side) < 6):
            raise UsageError(f"{side!r} is no side of images in pixels", help="write NAME@160")
        require_within("side", int(side), place=name)
        like, resolution = ArchSpec.from_document(base), int(side)
        sides = sides_like(like, trained=section.resolution, stem=section.stem)
    size = {"num_classes": base["num_classes"], "resolution": resolution}
    own = written.removeprefix(_TIMM)
    if own not in published_names() and _FOREIGN.fullmatch(written):
        return KnownNetwork(document={"network": written, **size}, sides=sides)
    found = Candidate({**as_spec(own).to_document(), "name": name, **size}, section, sides)
    found.check_legal()
    return KnownNetwork(document=found.spec.to_document(), spec=found.spec, sides=sides)
