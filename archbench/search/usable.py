"""Is all there that a search of a space would need: names, backend, data, weights?"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from archbench.data.cache import request_for, with_source
from archbench.errors import ArchbenchError, MissingError
from archbench.evaluate.ancestor import NONE, PUBLISHED
from archbench.evaluate.runtime_choice import serving_backends
from archbench.measure.backend import BACKENDS, require_backend
from archbench.measure.device.known import device_named
from archbench.search.pruning import load_pruner
from archbench.search.sampler import load_sampler
from archbench.search.settings import conditions_of
from archbench.space import SearchSpace
from archbench.space.sections import AUTO


def require_usable(space: SearchSpace) -> None:
    """Refuses what a search of a space would refuse before its first trial, where it is written.

    Data are looked for, and none of their images is read.

    Raises:
        ArchbenchError: A name is unknown, or what it names is not on this machine.
    """
    load_sampler(space.search.sampler, place=space.place_of("search.sampler"))
    load_pruner(space.search.pruner, place=space.place_of("search.pruner"))
    refuse_unknown(space)
    asked = conditions_of(space)
    with _written_at(space, "target.backend"):
        if asked.backend == AUTO:
            serving_backends(asked, precisions=space.target.precisions)
        else:
            for precision in space.target.precisions:
                require_backend(replace(asked, precision=precision))
    with _written_at(space, "proxy.data"):
        side = space.proxy.resolution
        request = request_for(
            space.proxy.data, resolution=side, seed=0, download=False, progress=None
        )
        with_source(request, lambda source: None)
    weights = space.proxy.weights
    if weights not in (NONE, PUBLISHED) and not Path(weights).is_file():
        help_ = "give a file of weights, published or none"
        raise MissingError(
            f"there is no file {weights}", place=space.place_of("proxy.weights"), help=help_
        )


def refuse_unknown(space: SearchSpace) -> None:
    """Refuses a backend or a device that is none before anything is prepared.

    Raises:
        ArchbenchError: There is none of this name.
    """
    if (asked := conditions_of(space)).is_remote:
        device_named(asked.device, place=space.place_of("target.device"))
    if (name := space.target.backend) != AUTO:
        BACKENDS.load(name, place=space.place_of("target.backend"))


@contextmanager
def _written_at(space: SearchSpace, key: str) -> Iterator[None]:
    """Tells of an error where the file has what caused it."""
    try:
        yield
    except ArchbenchError as error:
        raise error.at(space.place_of(key)) from None
