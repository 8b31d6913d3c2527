"""What a certificate was asked to be, and how its plan keeps what is to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from archbench.analysis.certificate import FEWEST, subject_of
from archbench.command_line import command_line
from archbench.errors import SpaceError, UsageError
from archbench.search.certificate_design import (
    CANDIDATES,
    LONGER,
    SEEDS,
    Design,
    most_candidates,
    sample,
)
from archbench.search.certificate_training import JOURNAL, resume_command
from archbench.search.settings import Settings
from archbench.space import Choices
from archbench.study.environment import Environment

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.models import ArchSpec


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was said of a certificate; None where nothing was."""

    candidates: int | None = None
    seeds: int | None = None
    longer: int | None = None
    max_minutes: float | None = None
    command: str = ""


def designed(settings: Settings, asked: Asked, *, training_seconds: float, workers: int) -> Design:
    """What would be trained where nothing limits it.

    Raises:
        UsageError: What was asked for shows nothing.
    """
    section = settings.space.proxy
    epochs = section.rungs[-1]
    longer = LONGER * epochs if asked.longer is None else asked.longer
    if longer <= epochs:
        raise UsageError(
            f"{longer} epochs are not longer than the proxy's {epochs}",
            place="--longer",
            help=f"use {LONGER * epochs} or so",
        )
    seeds = max(SEEDS, section.seeds) if asked.seeds is None else asked.seeds
    if seeds < section.seeds:
        raise UsageError(
            f"the proxy counts {section.seeds} seeds together, and {seeds} are trained",
            place="--seeds",
            help=f"use {section.seeds} or more",
        )
    return Design(
        candidates=min(asked.candidates or CANDIDATES, settings.space.size()),
        seeds=seeds,
        epochs=epochs,
        longer=longer,
        epoch_seconds=training_seconds / epochs,
        workers=workers,
        proxy_seeds=section.seeds,
    )


def sampled(settings: Settings, *, number: int) -> list[tuple[Choices, ArchSpec]]:
    """The candidates that are trained.

    Raises:
        SpaceError: The space has none, or too few to compare.
    """
    space = settings.space
    found = sample(space, number, seed=settings.search.seed)
    if not found:
        raise space.infeasible(space.feasible())
    if len(found) < FEWEST:
        raise SpaceError(
            f"only {len(found)} feasible candidates, and a tau needs {FEWEST}",
            place=space.name,
            help="train all of them with several seeds instead: "
            + command_line("archbench", "search", space.name, "--set", "proxy.seeds=3"),
        )
    return found


def create(
    settings: Settings,
    *,
    design: Design,
    proxy: Proxy,
    facts: Mapping[str, Any],
    environment: Environment,
    command: str,
    notes: Sequence[str],
) -> None:
    """Stores what is to be trained.

    Raises:
        SpaceError: See ``sampled``.
        StorageError: It cannot be written, or a folder of its name is there.
    """
    from archbench.models import count

    space = settings.space
    chosen = sampled(settings, number=design.candidates)
    if len(chosen) < design.candidates:
        notes = [*notes, f"The space has {len(chosen)} feasible candidates, and all are taken."]
    kept = _proxy_document(proxy, facts=facts)
    candidates = [
        {
            "digest": spec.digest,
            "choices": space.values(choices),
            "spec": spec.to_document(),
            "params": count(spec).params,
            "macs": count(spec).macs,
        }
        for choices, spec in chosen
    ]
    JOURNAL.create(
        settings.path.parent,
        settings.path.name,
        plan={
            "name": settings.path.name,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": command or resume_command(settings.path),
            "space_name": space.name,
            "space_text": space.text,
            "most_candidates": most_candidates(space),
            "question": space.question,
            "subject": subject_of({"space_digest": space.digest, "proxy": kept}),
            "seed": settings.search.seed,
            "seeds": design.seeds,
            "longer": design.longer,
            "epoch_seconds": design.epoch_seconds,
            "workers": design.workers,
            "notes": notes,
            "environment": asdict(environment),
            "proxy": kept,
            "candidates": candidates,
        },
    )


def proxy_in(plan: Mapping[str, Any]) -> Proxy:
    """The proxy of a plan."""
    from archbench.evaluate.proxy import Proxy

    kept = plan["proxy"]
    return Proxy.from_document(kept, plan=kept["plan"], num_seeds=kept["seeds"])


def refuse_another(settings: Settings, asked: Asked, plan: Mapping[str, Any]) -> None:
    """Nothing, when what is asked for now is what was begun.

    Raises:
        UsageError: It is not.
    """
    begun = {
        "space": plan["subject"]["space"],
        "data": plan["proxy"]["data"],
        "rungs": plan["proxy"]["rungs"],
        "candidates": len(plan["candidates"]),
        "seeds": plan["seeds"],
        "longer": plan["longer"],
    }
    now = {
        "space": settings.space.digest,
        "data": settings.data,
        "rungs": list(settings.space.proxy.rungs),
        "candidates": asked.candidates,
        "seeds": asked.seeds,
        "longer": asked.longer,
    }
    differing = [key for key in begun if now[key] is not None and now[key] != begun[key]]
    if differing:
        raise UsageError(
            f"it was begun with other {', '.join(differing)}",
            place=str(settings.path),
            help=f"resume it as it was begun: {resume_command(settings.path)}; or begin another "
            "with another --name",
        )


def _proxy_document(proxy: Proxy, *, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "resolution": proxy.resolution,
        "stem": proxy.stem,
        "rungs": list(proxy.recipe.rungs),
        "seeds": proxy.num_seeds,
        "device": proxy.device,
        "recipe": proxy.recipe.document(),
        "plan": proxy.plan.document(),
    }
