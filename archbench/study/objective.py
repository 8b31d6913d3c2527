"""What can a search optimise, and what is a trial worth by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archbench.study.trial import TrialRecord

_MILLION = 1e6


@dataclass(frozen=True)
class Objective:
    """A number of a trial that can be optimised or limited.

    Attributes:
        name: As in the study's header and in tables.
        noun: What a person calls it.
        unit: Printed behind the number.
        scale: What the number is divided by for printing.
        digits: Decimals printed.
    """

    name: str
    noun: str
    unit: str
    scale: float
    digits: int

    def text(self, value: float) -> str:
        """The value with its unit, for a person; of millions a part is told in thousands."""
        if self.scale == _MILLION and abs(value) < _MILLION:
            return f"{value / 1e3:.3g} k {self.unit.removeprefix('M ')}"
        return f"{value / self.scale:.{self.digits}f} {self.unit}"


OBJECTIVES: Mapping[str, Objective] = {
    entry.name: entry
    for entry in (
        Objective("proxy_accuracy", "proxy accuracy", "%", 0.01, 1),
        Objective("latency_ms", "latency", "ms", 1.0, 2),
        Objective("macs", "MACs", "M MACs", _MILLION, 1),
        Objective("params", "parameters", "M parameters", _MILLION, 2),
        Objective("activations", "activations", "M activations", _MILLION, 2),
    )
}


def objective_value(record: TrialRecord, name: str) -> float | None:
    """What a trial is worth by an objective, or None where that is not known.

    Raises:
        KeyError: There is no such objective.
    """
    if name == "latency_ms":
        return record.latency.value if record.latency else None
    if name == "proxy_accuracy":
        return record.proxy_accuracy
    return float(
        {"macs": record.macs, "params": record.params, "activations": record.activations}[name]
    )
