"""Which published weights has a network, and where are they kept on this machine?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archbench.data.cache import cache_folder
from archbench.errors import UsageError
from archbench.evaluate.foreign import Foreign
from archbench.models import ArchSpec
from archbench.models.catalogue import published, published_names
from archbench.models.network import Written, as_spec
from archbench.models.weights.hub import Fetched
from archbench.models.weights.hub import fetch_weights as fetch_into
from archbench.models.weights.skeleton import differing_fields
from archbench.progress import Progress


def fetch_weights(
    written: Written, *, folder: Path | None = None, on_progress: Progress | None = None
) -> Fetched:
    """The published weights of a network, fetched from the model hub where they are not kept yet.

    Args:
        written: A published name, or a spec that differs in its resolution alone.
        folder: Where they are kept; ``weights`` in the user's cache folder by default.
        on_progress: Told what is fetched, the bytes so far and in all.

    Raises:
        UsageError: The network is no published one, or nobody published weights for it.
        MissingError: They could not be fetched, which shows within five seconds.
        ArchbenchError: What was fetched does not fit, or cannot be kept.
    """
    spec = as_spec(written)
    if spec.name in published_names():
        original = published(spec.name)
        changed = differing_fields(original, spec)
        if original.num_classes != spec.num_classes:
            changed.append("num_classes")
        if not changed:
            return fetch_into(
                spec.name, folder=folder or cache_folder() / "weights", on_progress=on_progress
            )
    raise UsageError(
        f"there are published weights only for networks as published, not for "
        f"{spec.name or 'this one'}",
        help="archbench models lists those that are published",
    )


def fetch_all(
    entries: Sequence[ArchSpec | Foreign], *, on_progress: Progress | None = None
) -> dict[ArchSpec, Path]:
    """Files of the published weights of each network, as ``fetch_weights`` gets them.

    Raises:
        UsageError: One is of another library, or has no published weights.
        ArchbenchError: As ``fetch_weights`` does.
    """
    found = {}
    for entry in entries:
        if isinstance(entry, Foreign):
            raise UsageError("no published weights are taken for it", place=entry.name)
        found[entry] = fetch_weights(entry, on_progress=on_progress).path
    return found
