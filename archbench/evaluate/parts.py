"""Where does the time of a network go, and what holds each of its parts up?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from archbench.errors import UsageError
from archbench.evaluate.piece import pieces
from archbench.evaluate.target import deployed
from archbench.measure.backend import dtype_of
from archbench.measure.device import capture_environment
from archbench.measure.latency.calibration import calibrate
from archbench.measure.machine_cache import form_file
from archbench.measure.parts import PartTimes, Roofline, Traffic, roofline, time_parts, traffic
from archbench.models import ArchSpec, Deployed
from archbench.models.network import Network, Written, as_spec
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.where_file import SCHEMA


@dataclass(frozen=True, kw_only=True)
class PartProfile:
    """What one embed, block or head costs inside the running network.

    Attributes:
        place: For example ``stages[0].blocks[1]``.
        stage: Number of its stage; None for the head.
        kind: Of the part.
        ms: Milliseconds of a batch.
        macs: Multiply-accumulates of the batch.
        moved: Operators and bytes, see ``archbench.measure.parts``.
        bounds_ms: What compute, memory and operators would ask for alone, see ``Roofline``.
    """

    place: str
    stage: int | None
    kind: str
    ms: float
    macs: int
    moved: Traffic
    bounds_ms: Mapping[str, float]

    @property
    def gflops(self) -> float:
        """10^9 floating-point operations a second that it reached; a multiply-add is two."""
        return 2 * self.macs / self.ms / 1e6 if self.ms else 0.0

    @property
    def roof(self) -> float:
        """The share of its time that the machine's compute or memory asks for at least."""
        least = max(self.bounds_ms["compute"], self.bounds_ms["memory"])
        return least / self.ms if self.ms else 0.0

    @property
    def bound_by(self) -> str:
        """The limit that alone explains most of the time: compute, memory or overhead."""
        return max(self.bounds_ms, key=self.bounds_ms.__getitem__)


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the time of one network goes.

    Attributes:
        spec: The network.
        conditions: Under which it ran, in its deployed form.
        environment: The machine and software.
        parts: In the order they run.
        spans: Their times, and those of the whole.
        limits: The machine's.
    """

    spec: ArchSpec
    conditions: Conditions
    environment: Environment
    parts: tuple[PartProfile, ...]
    spans: PartTimes
    limits: Roofline

    @property
    def between_ms(self) -> float:
        """What the network takes beside its parts; below 0 where watching cost more than that."""
        return self.spans.whole - sum(part.ms for part in self.parts)

    def document(self) -> dict[str, Any]:
        """As it stands in a JSON document of the schema ``archbench.where/1``."""
        return {
            "name": self.spec.name or self.spec.digest,
            "digest": self.spec.digest,
            "environment": self.environment.document(),
            "conditions": asdict(self.conditions),
            "whole_ms": self.spans.whole,
            "watched_ms": self.spans.watched,
            "between_ms": self.between_ms,
            "rounds": self.spans.rounds,
            "off_cpu_share": self.spans.off_cpu,
            "limits": asdict(self.limits),
            "parts": [
                {
                    "place": part.place,
                    "stage": part.stage,
                    "kind": part.kind,
                    "ms": part.ms,
                    "macs": part.macs,
                    "operators": part.moved.operators,
                    "weight_bytes": part.moved.weight_bytes,
                    "activation_bytes": part.moved.activation_bytes,
                    "gflops": part.gflops,
                    "roof_share": part.roof,
                    "bounds_ms": dict(part.bounds_ms),
                    "bound_by": part.bound_by,
                }
                for part in self.parts
            ],
        }


def where(
    written: Written,
    conditions: Conditions | None = None,
    *,
    budget_s: float = 4.0,
    on_progress: Progress | None = None,
) -> Where:
    """The time of every part of a network's deployed form, beside what the machine could do.

    Args:
        written: A published name, a spec or a plain document.
        conditions: All but the resolution; PyTorch's eager mode only, as other backends leave no
            parts to time.
        budget_s: Seconds of timing.
        on_progress: Told what is being done, how much of it, and of how much.

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
    environment = capture_environment()
    calibration = calibrate(conditions, environment=environment, on_progress=on_progress)
    limits = roofline(conditions, environment=environment)
    forms = form_file(conditions, environment=environment, generation=calibration.generation)
    network = deployed(spec, conditions, forms=forms)
    kind = dtype_of(conditions.precision, place="precision")
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(conditions.batch, 3, height, width, generator=generator)
    example = example.to(conditions.device, kind)
    parts = _parts(network)
    moved = traffic(network, example, parts=parts)
    with calibration.bench(conditions, environment=environment) as bench:
        spans = time_parts(
            network, example, parts=parts, bench=bench, budget_s=budget_s, on_progress=on_progress
        )
    return Where(
        spec=spec,
        conditions=conditions,
        environment=environment,
        parts=_profiles(spec, batch=conditions.batch, moved=moved, spans=spans, limits=limits),
        spans=spans,
        limits=limits,
    )


def document(found: Sequence[Where]) -> dict[str, Any]:
    """Several networks as one JSON document."""
    return {"schema": SCHEMA, "networks": [entry.document() for entry in found]}


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


def _profiles(
    spec: ArchSpec, *, batch: int, moved: Mapping[str, Traffic], spans: PartTimes, limits: Roofline
) -> tuple[PartProfile, ...]:
    profiles = []
    for piece in pieces(spec):
        found = moved[piece.place]
        macs = piece.work.macs * batch
        profiles.append(
            PartProfile(
                place=piece.place,
                stage=None if piece.place == "head" else int(piece.place[7:].partition("]")[0]),
                kind=str(piece.what["part"]["kind"]) if "part" in piece.what else "head",
                ms=spans.parts[piece.place],
                macs=macs,
                moved=found,
                bounds_ms=limits.bounds_ms(
                    flops=2 * macs,
                    weight_bytes=found.weight_bytes,
                    activation_bytes=found.activation_bytes,
                    operators=found.operators,
                ),
            )
        )
    return tuple(profiles)
