"""A sample of candidates of which the truth is known."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from archbench.analysis.certificate import METHOD, Certificate
from archbench.analysis.judgement import CandidateRecord, Judgement, judge

EPOCHS = (1, 2, 4, 8)


def sample(
    *,
    quality: float,
    num: int = 32,
    seeds: int = 2,
    noise: float = 0.03,
    between: float = 0.08,
    level: float = 0.35,
    seed: int = 0,
) -> list[CandidateRecord]:
    """Candidates whose accuracy rises with the cost from a level on and saturates.

    The quality is the correlation, at equal cost, of what the proxy sees with the truth; with 0 it
    knows the size and nothing else. Noise between seeds, and what lies between candidates of equal
    cost, are standard deviations.
    """
    rng = np.random.default_rng(seed)
    log_macs = np.sort(rng.uniform(12, 15, num))
    expected = level + 0.3 * (1 - np.exp(12 - log_macs))
    own = between * rng.normal(size=num)
    seen = quality * own + np.sqrt(1 - quality**2) * between * rng.normal(size=num)

    def curve(index: int) -> dict[int, float]:
        end = expected[index] + seen[index] + noise * rng.normal()
        return {epoch: float(0.1 + (end - 0.1) * epoch / EPOCHS[-1]) for epoch in EPOCHS}

    return [
        CandidateRecord(
            digest=f"{index:016x}",
            choices={"stages[0].dim": 8 * index},
            params=int(np.exp(log_macs[index]) / 20 * rng.uniform(0.8, 1.2)),
            macs=int(np.exp(log_macs[index])),
            proxy={number: curve(index) for number in range(seeds)},
            longer={
                seeds + number: float(expected[index] + own[index] + noise * rng.normal())
                for number in range(seeds)
            },
        )
        for index in range(num)
    ]


def judged(candidates: Sequence[CandidateRecord], **changes: Any) -> Judgement:
    """What a sample shows."""
    given: dict[str, Any] = {"proxy_seeds": 1, "bar": 0.12, "holds_for": "That holds for digits."}
    return judge(candidates, **{**given, **changes})


@cache
def _good() -> tuple[Sequence[CandidateRecord], Judgement]:
    found = tuple(sample(quality=0.95))
    return found, judged(found)


def certificate(
    path: Path, candidates: Sequence[CandidateRecord] | None = None, **changes: Any
) -> Certificate:
    """A certificate of a sample, by default of one whose proxy is good."""
    candidates, finding = _good() if candidates is None else (candidates, judged(candidates))
    proxy = {
        "data": "cluttered_digits", "resolution": 32, "rungs": [4, 8], "seeds": 1,
        "recipe": {"batch": 32}, "plan": {"precision": "fp32"},
    }  # fmt: skip
    header: dict[str, Any] = {
        "created": "2026-11-20T10:00:00+00:00",
        "command": "archbench certify quickstart",
        "space_name": "quickstart",
        "question": "Which is best?",
        "subject": {"space": "0e0205323f6c577a", "data": "91be02c7", "epochs": 8},
        "seeds": 2,
        "longer": 16,
        "workers": 2,
        "notes": [],
        "environment": {"cpu": "a CPU", "cores": 2},
        "proxy": proxy,
        "method": METHOD,
    }
    number = 4 * len(candidates)
    known: dict[str, Any] = {"num_trainings": number, "num_done": number, "finding": finding}
    return Certificate(
        path=path, header=header, candidates=tuple(candidates), **{**known, **changes}
    )
