"""How does the deployed form of a network run: part by part, and batch by batch?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from archbench.errors import UsageError
from archbench.evaluate.foreign import noise
from archbench.evaluate.piece import Piece, pieces
from archbench.evaluate.target import calibrated, deployed
from archbench.measure.agreement import prepared
from archbench.measure.backend import dtype_of
from archbench.measure.machine import capture_environment
from archbench.measure.parts import bounds_ms, roofline, time_parts, traffic
from archbench.measure.serving import serve
from archbench.models import Deployed
from archbench.models.network import Network, Written, as_spec
from archbench.progress import Progress
from archbench.study.measurement import Conditions

SERVING_SCHEMA = "archbench.serving/1"
_SATURATED = 0.95
_GAIN = 1.05
_DOUBLED = [2**power for power in range(9)]


def where(
    written: Written,
    conditions: Conditions,
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
    limits = roofline(conditions, environment=target.environment, on_progress=on_progress)
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


def serving(
    written: Written,
    conditions: Conditions,
    *,
    batches: Sequence[int] = (),
    budget_s: float = 2.0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """How the deployed form of a network serves at each batch, of ``budget_s`` seconds.

    It is a network of a JSON document of the schema ``archbench.serving/1``, its batches ascending;
    by default they are doubled from 1 until a doubling brings less than 5 % of images per second.

    Raises:
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    spec, environment = as_spec(written), capture_environment()
    height, width = spec.resolution
    found: list[dict[str, Any]] = []
    for batch in sorted(set(batches)) or _DOUBLED:
        here = replace(conditions, batch=batch, resolution=(height, width))
        target = calibrated(here, environment=environment, on_progress=on_progress)
        network = deployed(spec, here, forms=target.forms)
        ready = prepared(network, noise(spec.resolution, batch=batch), conditions=here)
        with target.bench(precision=ready.precision, on_progress=on_progress) as bench:
            service = serve(ready.run, bench=bench, budget_s=budget_s)
        found.append(service)
        if not batches and len(found) > 1:
            gain = service["images_per_second"] / found[-2]["images_per_second"]
            if gain < _GAIN:
                break
    paces = {entry["conditions"]["batch"]: entry["images_per_second"] for entry in found}
    return {
        "name": spec.name or spec.digest,
        "digest": spec.digest,
        "environment": environment.document(),
        "saturating_batch": saturating_batch(paces),
        "batches": found,
    }


def saturating_batch(images_per_second: Mapping[int, float]) -> int | None:
    """The smallest batch with 95 % of the best throughput; None from one batch only."""
    enough = _SATURATED * max(images_per_second.values())
    found = min(batch for batch, pace in images_per_second.items() if pace >= enough)
    return found if len(images_per_second) > 1 else None
