"""Where does the time of a network go, and what holds each of its parts up?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from archbench.errors import UsageError
from archbench.evaluate.foreign import noise
from archbench.evaluate.piece import Piece, pieces
from archbench.evaluate.target import calibrated, deployed
from archbench.measure.backend import dtype_of
from archbench.measure.parts import bounds_ms, roofline, time_parts, traffic
from archbench.models import Deployed
from archbench.models.network import Network, Written, as_spec
from archbench.progress import Progress
from archbench.study.measurement import Conditions


def where(
    written: Written,
    conditions: Conditions | None = None,
    *,
    budget_s: float = 4.0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """The time of every part of a network's deployed form, beside what the machine could do.

    It is a network of a JSON document of the schema ``archbench.where/1``, its parts in the order
    they run. ``between_ms`` is what the network takes beside its parts, below 0 where watching
    cost more than that; ``bounds_ms`` of a part what compute, memory and operators would ask for
    alone. PyTorch's eager mode only is timed, as other backends leave no parts.

    Raises:
        UsageError: Another backend is asked for.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    conditions = conditions or Conditions()
    if conditions.backend != "eager":
        raise UsageError(
            f"the backend {conditions.backend} runs a network as a whole, which has no parts",
            place="backend",
            help="use eager",
        )
    spec = as_spec(written)
    height, width = spec.resolution
    conditions = replace(conditions, resolution=(height, width))
    target = calibrated(conditions, on_progress=on_progress)
    limits = roofline(conditions, environment=target.environment)
    network = deployed(spec, conditions, forms=target.forms)
    kind = dtype_of(conditions.precision, place="precision")
    example = noise(spec.resolution, batch=conditions.batch).to(conditions.device, kind)
    parts = _parts(network)
    moved = traffic(network, example, parts=parts)
    with target.bench(on_progress=on_progress) as bench:
        ms, times = time_parts(network, example, parts=parts, bench=bench, budget_s=budget_s)
    return {
        "name": spec.name or spec.digest,
        "digest": spec.digest,
        "environment": target.environment.document(),
        "conditions": asdict(conditions),
        **times,
        "limits": limits,
        "parts": [
            _part(piece, ms[piece.place], moved[piece.place], batch=conditions.batch, limits=limits)
            for piece in pieces(spec)
        ],
    }


def _parts(network: nn.Module) -> dict[str, nn.Module]:
    """Embeds, blocks and head by their places."""
    built = network.network if isinstance(network, Deployed) else network
    assert isinstance(built, Network)
    found: dict[str, nn.Module] = {}
    for number, stage in enumerate(built.stages):
        found[f"stages[{number}].embed"] = stage.get_submodule("embed")
        blocks = stage.get_submodule("blocks")
        found |= {f"stages[{number}].blocks[{i}]": b for i, b in enumerate(blocks.children())}
    return found | {"head": built.head}


def _part(
    piece: Piece, ms: float, moved: Mapping[str, int], *, batch: int, limits: Mapping[str, Any]
) -> dict[str, Any]:
    """What an embed, block or head costs inside the running network."""
    macs = piece.work.macs * batch
    bounds = bounds_ms(limits, moved, macs=macs)
    return {
        "place": piece.place,
        "stage": None if piece.place == "head" else int(piece.place[7:].partition("]")[0]),
        "kind": str(piece.what["part"]["kind"]) if "part" in piece.what else "head",
        "ms": ms,
        "macs": macs,
        **moved,
        "gflops": 2 * macs / ms / 1e6 if ms else 0.0,
        "roof_share": max(bounds["compute"], bounds["memory"]) / ms if ms else 0.0,
        "bounds_ms": bounds,
        "bound_by": max(bounds, key=bounds.__getitem__),
    }
