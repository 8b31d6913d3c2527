"""From whose weights do the trainings of a study begin?"""

import math
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from archbench.command_line import command_line
from archbench.errors import MissingError, StorageError, UsageError
from archbench.models import ArchSpec, Network, as_spec, count
from archbench.models.catalogue import entry, published_names
from archbench.models.weights.hub import fetch_weights, weights_kept
from archbench.models.weights.inherit import inherit
from archbench.models.weights.load import ReadNetwork, read_network
from archbench.progress import Progress

NONE, PUBLISHED = "none", "published"


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """The network whose weights candidates inherit, and the file that holds them."""

    name: str
    file: str
    sha256: str

    def document(self) -> dict[str, Any]:
        """What a header keeps of it, JSON-able."""
        return asdict(self)

    def read(self) -> ReadNetwork:
        """Its spec and its weights, which this process reads once.

        Raises:
            ArchbenchError: The file is gone, or another than it was.
        """
        return _read(self.file, self.sha256)

    def given_to(self, network: Network) -> float:
        """The share of a network's parameters that these weights are, once they are given to it.

        Raises:
            ArchbenchError: See ``read``.
        """
        spec, tensors, _ = self.read()
        return inherit(network, ancestor=tensors, ancestor_spec=spec).share


def find_ancestor(
    weights: str, *, base: ArchSpec, download: bool, on_progress: Progress | None = None
) -> Ancestor:
    """That of ``published``, the published network nearest to a base, or of a file of weights.

    Raises:
        MissingError: The weights are not here; the help says how to get them.
        ArchbenchError: They cannot be read, or no published network is like the base.
    """
    path, name = Path(weights), ""
    if weights == PUBLISHED:
        name = nearest_published(base)
        kept = weights_kept(name)
        if kept is None and not download:
            fetch = command_line("archbench", "weights", "fetch", name)
            raise MissingError(
                f"the published weights of {name} are not here",
                place="proxy.weights",
                help=f"get them once with {fetch}, or let the command do so with --download",
            )
        path = kept or fetch_weights(name, on_progress=on_progress).path
    found = read_network(path)
    name = found.spec.name or path.stem
    return Ancestor(name=name, file=str(path.resolve()), sha256=found.sha256)


def nearest_published(base: ArchSpec) -> str:
    """The published network of most nearly as many parameters, with released weights.

    It has as many stages as the base, and the same kinds of parts in each.

    Raises:
        UsageError: There is none.
    """
    like = partial(as_spec, num_classes=base.num_classes, resolution=base.resolution)
    wanted = count(base).params
    found = {
        name: abs(math.log(count(like(name)).params / wanted))
        for name in published_names()
        if entry(name).hub and _kinds(as_spec(name)) == _kinds(base)
    }
    if not found:
        raise UsageError(
            "no published network with released weights has stages like the base of this space",
            place="proxy.weights",
            help="give a file of weights, or none",
        )
    return min(found, key=lambda name: found[name])


def _kinds(spec: ArchSpec) -> list[tuple[str, str]]:
    return [(stage.embed.kind, stage.block.kind if stage.block else "") for stage in spec.stages]


@lru_cache(maxsize=2)
def _read(file: str, sha256: str) -> ReadNetwork:
    found = read_network(file)
    if found.sha256 != sha256:
        raise StorageError(
            "the weights are not those that the trainings began with",
            place=file,
            help="put the file back as it was, or begin anew",
        )
    return found
