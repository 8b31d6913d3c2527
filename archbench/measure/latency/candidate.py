"""What takes part in a measurement, and whose fault is it when that fails?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import InexactError, fault_text
from archbench.measure.backend import Prepared, prepared
from archbench.measure.latency.reference_networks import Family
from archbench.measure.latency.rounds import NETWORK_FAULTS, Pair, WarmUp
from archbench.study.measurement import Conditions


@dataclass(kw_only=True)
class Candidate:
    """A network that is to be timed.

    Attributes:
        name: Any.
        family: What kind of work it does.
        prepared: The network ready to be run, if it could be made so.
        warm: What its first passes showed.
        fault: Why it takes no part; mostly empty.
        attempts: Its timings, attempt by attempt.
    """

    name: str
    family: Family
    prepared: Prepared | None = None
    warm: WarmUp | None = None
    fault: str = ""
    attempts: list[Pair] = field(default_factory=list)


def ready_candidate(
    name: str, network: nn.Module, *, family: Family, conditions: Conditions
) -> Candidate:
    """The network ready to be run, or with its fault."""
    candidate = Candidate(name=name, family=family)
    with faults_of(candidate):
        candidate.prepared = prepared(network, _example(conditions), conditions=conditions)
    return candidate


@contextmanager
def faults_of(candidate: Candidate) -> Iterator[None]:
    """What is raised within is the candidate's fault, unless the device is lost to this process."""
    try:
        yield
    except torch.AcceleratorError:
        raise
    except InexactError as error:
        candidate.fault = str(error)
    except NETWORK_FAULTS as error:
        candidate.fault = fault_text(error)


def output_fault(output: object) -> str:
    """Why an output is none, or nothing."""
    tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    if all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return ""
    return "its output is not finite"


def _example(conditions: Conditions) -> Tensor:
    """Images drawn from a normal distribution, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(conditions.batch, 3, *conditions.resolution, generator=generator)
