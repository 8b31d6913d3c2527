"""What did a network reach when it was trained longer?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archbench.report import number
from archbench.report.element import Code
from archbench.report.finding import Finding
from archbench.study.trial import CurvePoint


def finding(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """The last and the best accuracy of a training document."""
    epochs = document["curve"][-1]["epoch"]
    told = (
        f"{document['network']} on {document['data']}: validation accuracy "
        f"{number.percent(document['accuracy'])} after {number.plural(epochs, 'epoch')}; best "
        f"{number.percent(document['best_accuracy'])} after {document['best_epoch']}"
    )
    files = "".join(f"\n  {path}" for path in document["files"].values())
    return Finding(document, [Code(f"{told}\nwritten:{files}")], next_step)


def point_text(point: CurvePoint, *, epochs: int) -> str:
    """One epoch, as it ends."""
    return (
        f"epoch {point.epoch} of {epochs}: {number.percent(point.accuracy)} of the validation "
        f"images, loss {point.loss:.3f}, {number.duration(point.seconds)}"
    )
