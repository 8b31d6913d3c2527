"""A known network is beaten, or the verdict says to take it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import answer
from archbench.report.findings import front
from archbench.report.summary import Summary
from archbench.study.trial import Reference, Snapshot, Taken, TrialRecord
from tests.study import example

TRIALS = [
    example.trial(0, accuracy=0.621, latency_ms=0.41),
    example.trial(1, accuracy=0.784, latency_ms=0.93),
    example.trial(2, accuracy=0.700, latency_ms=0.93),
    example.trial(3, accuracy=0.500, latency_ms=0.30),
]
Known = tuple[str, float, float | None]  # its name, milliseconds and accuracy


def entry(name: str, accuracy: float | None, **changes: Any) -> dict[str, Any]:
    """What a header keeps of a known network."""
    point = vars(example.point(4, accuracy or 0.0))
    return {
        "name": name,
        "spec": example.SPEC,
        "digest": None,
        "params": 7,
        "macs": 8,
        "activations": 9,
        "state": "over_limit" if accuracy is None else "complete",
        "accuracy": accuracy,
        "curve": [] if accuracy is None else [point],
        "quantised": [],
        "reason": "latency 9 ms is over the limit of 2 ms" if accuracy is None else "",
        "seconds": 1.5,
        **changes,
    }


def study(
    *known: Known,
    trials: Sequence[TrialRecord] = TRIALS,
    digest: str | None = None,
    limits: dict[str, float] | None = None,
) -> StudyReader:
    """A study with these known networks beside its trials; the digest is that of a candidate."""
    latencies = {name: example.latency(ms) for name, ms, _ in known}
    header = example.header(limits=limits)
    header["baselines"] = [entry(name, share, digest=digest) for name, _, share in known]
    snapshot = Snapshot(
        header=header,
        trials=tuple(trials),
        references=tuple(
            Reference(name=name, latency=latency, params=7, macs=8)
            for name, latency in latencies.items()
        ),
        measurements=tuple(
            Taken(reference=name, kind="reference", measurement=latency)
            for name, latency in latencies.items()
        ),
    )
    return StudyReader(Path("results/edge"), snapshot=snapshot)


def test_the_cheapest_that_is_as_accurate_is_named_with_the_share_of_the_time() -> None:
    told = answer(study(("mobile", 1.64, 0.60)))
    assert "Trial 0 is as accurate as mobile (60.0 %; +" in told
    assert " at 0.25 of its time." in told


def test_among_equals_in_doubt_the_most_accurate_is_named() -> None:
    told = answer(study(("mobile", 2.0, 0.79)))
    assert told.startswith(
        "Take trial 1: 0.93 ms, 78.4 % proxy accuracy. Trial 1 is as accurate as"
    )


def test_where_nothing_beats_it_the_known_network_is_to_be_taken() -> None:
    told = "Nothing here beats mobile (98.7 %, 0.45 ms): take that. Else take trial 1: 0.93 ms, "
    assert answer(study(("mobile", 0.45, 0.987))).startswith(told)
    both = answer(study(("mobile", 0.45, 0.987), ("small", 0.20, 0.9)))
    assert both.startswith(
        "Nothing here beats mobile (98.7 %, 0.45 ms) or small (90.0 %, 0.20 ms): take the one that "
        "you can afford. Else take trial 1: "
    )


def test_one_that_is_beaten_comes_before_one_that_is_not() -> None:
    told = answer(study(("large", 0.95, 0.99), ("mobile", 0.85, 0.60)))
    assert "Trial 0 is as accurate as mobile (60.0 %" in told
    assert "of its time. Nothing here beats large (99.0 %, 0.95 ms)." in told


def test_what_another_known_network_beats_is_not_compared() -> None:
    told = answer(study(("mobile", 0.45, 0.987), ("worse", 0.60, 0.9)))
    assert "worse" not in told


def test_one_that_is_a_candidate_is_not_beaten_by_itself() -> None:
    best = example.trial(4, accuracy=0.95, latency_ms=0.35)
    found = study(("mobile", 9.0, None), trials=[*TRIALS, best], digest=best.digest)
    (one,) = found.baselines
    assert (one.trial, one.record) == (4, best)
    told = "Nothing here beats mobile (trial 4; 95.0 %, 0.35 ms): take that."
    assert found.verdict().startswith(told)


@pytest.mark.parametrize("share", [None, 0.10])
def test_one_that_was_not_trained_or_only_guesses_is_in_the_table_alone(
    share: float | None,
) -> None:
    found = study(("mobile", 0.45, share), limits={"latency_ms": 2.0})
    assert "mobile" not in found.verdict()
    assert "mobile" in front.baselines_table(Summary(found)).text()
    assert found.document()["baselines"][0]["proxy_accuracy"] == share
