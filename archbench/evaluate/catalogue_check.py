"""Does every published network, built again, count what its released code counts?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from archbench.measure.macs import count_operators
from archbench.models import ablation_names, build, count, published_names
from archbench.models.catalogue import difference, entry, published
from archbench.progress import Progress

MOST_MACS = 10**10
"""Above it a forward pass is left out, which takes seconds a network and gigabytes of memory."""


def rebuild(
    names: Sequence[str] | None = None,
    *,
    most_macs: int | None = MOST_MACS,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Networks of the catalogue, each built and counted again in every way that is affordable.

    It is a JSON document of the schema ``archbench.models_check/1``. Every network is built on
    PyTorch's meta device, where weights have shapes and no memory, and its parameters are counted;
    of those with at most ``most_macs`` fvcore counts a forward pass, too.

    Raises:
        UsageError: There is no network of a name.
    """
    names = (*published_names(), *ablation_names()) if names is None else names
    models = []
    for number, name in enumerate(names):
        if on_progress:
            on_progress("building and counting networks, networks", number, len(names))
        models.append(_counted(name, most_macs=most_macs))
    agrees = not any(model["faults"] for model in models)
    return {"schema": "archbench.models_check/1", "agrees": agrees, "models": models}


def faults(model: Mapping[str, Any]) -> list[str]:
    """Every count of a network of such a document that is not the exact one.

    Networks are built, and released, in the form in which they are trained.
    """
    counters = {"the built network": "built", "fvcore": "fvcore", "the released code": "released"}
    exact = model["training"]
    return [
        f"{counter} {verb} {counted:,} {noun}, not {exact[what]:,}"
        for counter, key in counters.items()
        for what, verb, noun in (("params", "has", "parameters"), ("macs", "computes", "MACs"))
        if (counted := (model[key] or {}).get(what)) not in {None, exact[what]}
    ]


def _counted(name: str, *, most_macs: int | None) -> dict[str, Any]:
    spec, known = published(name), entry(name)
    exact, trained = count(spec), count(spec, training=True)
    with torch.device("meta"):
        params = sum(parameter.numel() for parameter in build(spec).parameters())
    counted = None
    if most_macs is None or exact.macs <= most_macs:
        counted = count_operators(build(spec, seed=0), torch.zeros(1, 3, *spec.resolution))
    printed = {"params": known.paper.params, "macs": known.paper.flops}
    model = {
        "name": name,
        "family": known.family,
        "params": exact.params,
        "macs": exact.macs,
        "training": {"params": trained.params, "macs": trained.macs},
        "built": {"params": params},
        "fvcore": {"params": counted.params, "macs": counted.macs} if counted else None,
        "released": known.released._asdict() if known.released else None,
        "paper": asdict(known.paper),
        "difference": {
            what: difference(getattr(exact, what), text)._asdict() if text else None
            for what, text in printed.items()
        },
    }
    return {**model, "faults": faults(model)}
