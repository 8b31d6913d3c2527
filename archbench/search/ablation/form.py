"""One form of a network: the base, or the base with one knob turned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.models import ArchSpec


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What a paper prints of a form.

    Attributes:
        row: What is changed, in words.
        source: Paper and table.
        top1: Its accuracy in percent.
        base_top1: That of the base in the same table.
        params: Parameters as printed, or None.
        flops: Multiply-accumulates as printed, or None.
        note: What of it is a reading of ours; empty where nothing is.
    """

    row: str
    source: str
    top1: float
    base_top1: float
    params: str | None = None
    flops: str | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of a network.

    Attributes:
        name: Knob and value, ``position=none``; ``base`` is the base.
        knob: What is turned, as it was typed.
        value: What it is turned to, as tables show it.
        digest: Identity of the network; empty where it is illegal.
        spec: The network as a document; None where it is illegal.
        training: Fields of the recipe that differ from those of the proxy.
        reason: Why it cannot be built; empty where it can.
        params: Learnt parameters, exact.
        macs: Multiply-accumulates of one image, exact.
        printed: What a paper prints of it, or None.
    """

    name: str
    knob: str = ""
    value: str = ""
    digest: str = ""
    spec: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    params: int = 0
    macs: int = 0
    printed: Printed | None = None

    @property
    def key(self) -> str:
        """What its trainings are known by: the same network trained alike has the same."""
        if not self.training:
            return self.digest
        text = json.dumps(dict(self.training), sort_keys=True)
        return f"{self.digest}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def document(self) -> dict[str, Any]:
        """The form as a JSON-able mapping, which ``form_of`` reads back."""
        return asdict(self)


def form_of(document: Mapping[str, Any]) -> Form:
    """The form that ``document`` wrote."""
    printed = document["printed"]
    return Form(**{**document, "printed": Printed(**printed) if printed else None})


def built(
    spec: ArchSpec,
    *,
    name: str,
    knob: str = "",
    value: str = "",
    training: Mapping[str, Any] | None = None,
    printed: Printed | None = None,
) -> Form:
    """The form of a network that is legal, with its exact counts."""
    from archbench.models import count

    counted = count(spec)
    return Form(
        name=name,
        knob=knob,
        value=value,
        digest=spec.digest,
        spec=spec.to_document(),
        training=dict(training or {}),
        params=counted.params,
        macs=counted.macs,
        printed=printed,
    )
