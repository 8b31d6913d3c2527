"""Which known network is meant by a name, as a space would have it among its candidates?"""

from collections.abc import Mapping
from typing import Any

from archbench.bounds import require_within
from archbench.errors import UsageError
from archbench.models import ArchSpec, as_spec
from archbench.models.rewrite import sides_like
from archbench.space.candidate import Candidate
from archbench.space.sections import ProxySection

_LIBRARY = "timm:"  # whose networks of the same names are those of the catalogue


def known_network(name: str, *, base: Mapping[str, Any], section: ProxySection) -> Candidate:
    """A published network with the classes and the resolution of a base, trained as that is.

    ``NAME@160`` is the network for images of 160 px, which is trained in proportion, as where the
    resolution is an axis. A name of timm's, ``timm:NAME``, is that of the catalogue.

    Raises:
        UsageError: There is no such network, or no such resolution.
        InfeasibleError: It is illegal at the target's or at the proxy's resolution.
    """
    written, at, side = name.removeprefix(_LIBRARY).partition("@")
    if at and not (side.isdecimal() and len(side) < 6):
        raise UsageError(f"{side!r} is no side of images in pixels", help=f"write {written}@160")
    document = {**as_spec(written).to_document(), "name": name, "num_classes": base["num_classes"]}
    document["resolution"] = int(side) if at else base["resolution"]
    sides = None
    if at:
        require_within("side", int(side), place=name)
        like = ArchSpec.from_document(base)
        sides = sides_like(like, trained=section.resolution, stem=section.stem)
    found = Candidate(document, section, sides)
    found.check_legal()
    return found
