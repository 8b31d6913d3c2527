"""One of many trainings that run side by side: what a worker does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.study.trial import CurvePoint

if TYPE_CHECKING:
    from archbench.evaluate import Proxy
    from archbench.search.job import Send


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One training of one network; goes on where an interrupted one stood.

    Attributes:
        number: Among those that are run together.
        spec: The network as a document.
        proxy: What its accuracy is taken on.
        seed: Which training.
        checkpoint: Its file.
    """

    number: int
    spec: Mapping[str, Any]
    proxy: Proxy
    seed: int
    checkpoint: Path

    def run(self, send: Send) -> float:
        """Sends each point when its checkpoint is durable, and notes; gives the accuracy."""
        from archbench.evaluate import as_spec

        def tell(point: CurvePoint, path: Path, sha256: str) -> None:
            send(point)

        return self.proxy.train(
            as_spec(self.spec),
            seed=self.seed,
            checkpoint=self.checkpoint,
            sha256=None,
            weights=None,
            on_point=tell,
            on_note=send,
        )
