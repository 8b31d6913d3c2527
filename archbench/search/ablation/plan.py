"""What is planned, how long will it take, and how is that told and kept?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archbench.search.ablation.budget import Work
from archbench.search.ablation.request import Request
from archbench.search.ablation.stage import TIMING_S

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy

_BEFORE_S = 30.0  # calibrating, and workers that start


def planned_work(request: Request, *, proxy: Proxy, seconds: float) -> Work:
    """What is to be trained, where one training takes so many seconds on average."""
    forms = len(request.trained)
    timing = TIMING_S * len({form.digest for form in request.trained})
    return Work(
        forms=forms,
        seeds=proxy.num_seeds,
        epochs=proxy.recipe.epochs,
        epoch_seconds=seconds / proxy.recipe.epochs,
        workers=request.num_workers(left=forms * proxy.num_seeds),
        before_seconds=_BEFORE_S + (timing if request.latency else 0),
    )


def in_words(asked: Work, chosen: Work) -> str:
    """What will be trained and how long that takes, and what was left out to fit."""
    workers = f"{chosen.workers} worker{'s' if chosen.workers > 1 else ''}"
    text = (
        f"{chosen.forms} networks x {chosen.seeds} seeds x {chosen.epochs} epochs on {workers}: "
        f"about {_minutes(chosen.seconds)}, of which a training takes "
        f"{chosen.epochs * chosen.epoch_seconds:.0f} s"
    )
    return "; ".join([text, *shortened(asked, chosen)])


def shortened(asked: Work, chosen: Work) -> list[str]:
    """What was left out to fit into the time, in words; nothing where all fits."""
    if asked == chosen:
        return []
    return [
        f"planned {chosen.seeds} of {asked.seeds} seeds and {chosen.epochs} of {asked.epochs} "
        f"epochs to stay within the time; all would take about {_minutes(asked.seconds)}"
    ]


def as_sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def proxy_document(
    proxy: Proxy, *, facts: dict[str, Any], teachers: dict[str, str]
) -> dict[str, Any]:
    """What the plan keeps of the proxy, JSON-able."""
    return {
        **facts,
        "resolution": proxy.resolution,
        "stem": proxy.stem,
        "scale": proxy.scale,
        "epochs": proxy.recipe.epochs,
        "device": proxy.device,
        "teachers": teachers,
        "recipe": proxy.recipe.document(),
        "plan": proxy.plan.document(),
    }
