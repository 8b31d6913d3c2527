"""Does every published network, built again, count what its released code counts?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from archbench.measure.macs import OperatorCount, count_operators
from archbench.models import ablation_names, build, count, published_names
from archbench.models.arithmetic import Count
from archbench.models.catalogue import (
    Paper,
    Released,
    difference,
    entry,
    published,
)
from archbench.progress import Progress

MOST_MACS = 10**10
"""Above it a forward pass is left out, which takes seconds a network and gigabytes of memory."""


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """One network of the catalogue, counted in every way that was affordable.

    Attributes:
        name: Of the network.
        family: The file it stands in.
        paper: What its paper prints.
        released: What its released code counts; None where nobody has counted it.
        exact: The closed form.
        params: Parameters of the built network.
        counted: fvcore's count of a forward pass; None where that was left out.
    """

    name: str
    family: str
    paper: Paper
    released: Released | None
    exact: Count
    params: int
    counted: OperatorCount | None

    @property
    def faults(self) -> tuple[str, ...]:
        """Every two exact counts that are not the same."""
        counts: list[tuple[str, int, int | None]] = [("the built network", self.params, None)]
        if self.counted is not None:
            counts.append(("fvcore", self.counted.params, self.counted.macs))
        if self.released is not None:
            counts.append(("the released code", *self.released))
        found = []
        for counter, params, macs in counts:
            if params != self.exact.params:
                found.append(f"{counter} has {params:,} parameters, not {self.exact.params:,}")
            if macs not in {None, self.exact.macs}:
                found.append(f"{counter} computes {macs:,} MACs, not {self.exact.macs:,}")
        return tuple(found)


def rebuild(
    names: Sequence[str] | None = None,
    *,
    most_macs: int | None = MOST_MACS,
    on_progress: Progress | None = None,
) -> tuple[Rebuilt, ...]:
    """Networks of the catalogue, each built and counted again.

    Every one is built on PyTorch's meta device, where weights have shapes and no memory, and its
    parameters are counted.

    Args:
        names: Published networks and ablations; all of them by default.
        most_macs: fvcore counts a forward pass of those with at most so many; None is all.
        on_progress: Told what is being done, how much of it, and of how much.

    Raises:
        UsageError: There is no network of a name.
    """
    names = (*published_names(), *ablation_names()) if names is None else names
    found = []
    for number, name in enumerate(names):
        if on_progress:
            on_progress("building and counting networks", number, len(names))
        found.append(_rebuilt(name, most_macs=most_macs))
    return tuple(found)


def check_document(found: Sequence[Rebuilt]) -> dict[str, Any]:
    """The check as a JSON document of the schema ``archbench.models_check/1``."""
    return {
        "schema": "archbench.models_check/1",
        "agrees": not any(entry.faults for entry in found),
        "models": [_document(entry) for entry in found],
    }


def _rebuilt(name: str, *, most_macs: int | None) -> Rebuilt:
    spec, known = published(name), entry(name)
    exact = count(spec)
    with torch.device("meta"):
        params = sum(parameter.numel() for parameter in build(spec).parameters())
    counted = None
    if most_macs is None or exact.macs <= most_macs:
        counted = count_operators(build(spec, seed=0), torch.zeros(1, 3, *spec.resolution))
    return Rebuilt(
        name=name,
        family=known.family,
        paper=known.paper,
        released=known.released,
        exact=exact,
        params=params,
        counted=counted,
    )


def _document(found: Rebuilt) -> dict[str, Any]:
    return {
        "name": found.name,
        "family": found.family,
        "params": found.exact.params,
        "macs": found.exact.macs,
        "built": {"params": found.params},
        "fvcore": {"params": found.counted.params, "macs": found.counted.macs}
        if found.counted
        else None,
        "released": found.released._asdict() if found.released else None,
        "paper": asdict(found.paper),
        "difference": {
            what: difference(exact, printed)._asdict() if printed else None
            for what, exact, printed in (
                ("params", found.exact.params, found.paper.params),
                ("macs", found.exact.macs, found.paper.flops),
            )
        },
        "faults": list(found.faults),
    }
