"""What was measured, under which conditions, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from archbench.errors import IncomparableError

Verdict = Literal["stable", "disturbed", "incomplete"]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions under which a network is measured.

    The device is ``cpu`` or ``cuda``, or the name of another one; the backend an entry of
    ``archbench/measure/backends``, the precision that which was really computed; the threads are
    those of one forward pass.
    """

    device: str = "cpu"
    backend: str = "eager"
    precision: str = "fp32"
    batch: int = 1
    resolution: tuple[int, int] = (224, 224)
    threads: int = 1

    @property
    def processor(self) -> str:
        """``cpu`` or ``cuda``: what computes on the device, which is a CPU on another device."""
        return "cuda" if self.device.startswith("cuda") else "cpu"

    @property
    def is_remote(self) -> bool:
        """Whether the device is another than this machine, see ``archbench.measure.device``."""
        return self.processor == "cpu" and self.device != "cpu"

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The conditions of a JSON document.

        Raises:
            LookupError: A key is missing; likewise ValueError and TypeError for other faults.
        """
        height, width = document["resolution"]
        return cls(**{**document, "resolution": (height, width)})

    def __str__(self) -> str:
        height, width = self.resolution
        return self.text(resolution=f"{height}x{width} px")

    def text(self, *, resolution: str) -> str:
        """In a few words, of which these say the resolution."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = self.device if self.processor == "cuda" else f"{self.device}, {threads}"
        return f"{where}, {self.backend}, {self.precision}, batch {self.batch}, {resolution}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measured quantity of one network; frozen, with all its samples."""

    metric: str
    unit: str
    samples: tuple[float, ...]  # every sample in the order taken, in ``unit``
    value: float | None  # the estimate, or None where ``verdict`` is ``incomplete``
    low: float | None  # lower end of the 95 % interval, of which ``high`` is the upper one
    high: float | None
    conditions: Conditions
    environment_id: str
    verdict: Verdict  # ``stable``; ``disturbed`` (usable, with ``reason``); or ``incomplete``
    reason: str = ""
    details: Mapping[str, float | int | str] = field(default_factory=dict)  # as ``off_cpu_share``

    @classmethod
    def without_value(cls, reason: str, conditions: Conditions, *, environment_id: str) -> Self:
        """A latency that could not be had."""
        return cls(
            metric="latency",
            unit="ms",
            samples=(),
            value=None,
            low=None,
            high=None,
            conditions=conditions,
            environment_id=environment_id,
            verdict="incomplete",
            reason=reason,
        )

    def to_document(self) -> dict[str, Any]:
        """The measurement as a JSON-able mapping."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The measurement of a JSON document.

        Raises:
            LookupError: A key is missing; likewise ValueError and TypeError for other faults.
        """
        conditions = Conditions.from_document(document["conditions"])
        samples = tuple(document["samples"])
        return cls(**{**document, "samples": samples, "conditions": conditions})

    def ratio_to(self, other: Measurement) -> float:
        """How many times the other's value this one is.

        Raises:
            IncomparableError: Metric, conditions or environment differ, or a value is missing.
        """
        for what in ("metric", "unit", "conditions", "environment_id"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise IncomparableError(
                    f"cannot compare measurements of different {what}: {mine} and {theirs}",
                    help="measure both again under the same conditions on one machine",
                )
        if self.value is None or not other.value:
            raise IncomparableError(
                "cannot compare with a number that could not be had",
                help=f"measure again: {self.reason or other.reason}",
            )
        return self.value / other.value
