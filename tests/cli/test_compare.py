"""``archbench compare``: words that say which is slower, and a limit that ends with 1."""

from __future__ import annotations

import pytest

from archbench.errors import UsageError
from archbench.report.findings.speed import Limit, comparison, sentence


def pair(
    outcome: str, value: float, low: float, high: float, **changed: object
) -> dict[str, object]:
    ratio = {"value": value, "low": low, "high": high}
    found = {"first": "a", "second": "b", "outcome": outcome, "ratio": ratio, "rounds": 90}
    return {**found, "placements": 12, "reason": "", **changed}


SLOWER = pair("slower", 1.041, 1.032, 1.05)
FASTER = pair("faster", 0.959, 0.95, 0.968)
TIE = pair("tie", 1.002, 0.997, 1.007)
UNKNOWN = pair("unknown", 1.0, 1.0, 1.0, reason="b: it raised ValueError")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (SLOWER, "b is 4.1 % (3.2 to 5.0 %) slower than a"),
        (FASTER, "b is faster than a: it takes 4.1 % (3.2 to 5.0 %) less time"),
        (TIE, "b ties with a: it takes -0.3 to +0.7 % more time"),
        (UNKNOWN, "b cannot be compared with a: b: it raised ValueError"),
        (
            {**SLOWER, "rounds": 0},
            "b is 4.1 % (3.2 to 5.0 %) slower than a, timed in another process",
        ),
    ],
    ids=["slower", "faster", "tie", "unknown", "stored"],
)
def test_a_sentence_says_which_is_which(found: dict[str, object], words: str) -> None:
    assert sentence(found) == words


@pytest.mark.parametrize(
    ("limit", "broken_by"),
    [
        ("slower:3%", [SLOWER]),
        ("slower: 4.2 %", []),
        ("faster:3%", [FASTER]),
        ("either:3%", [SLOWER, FASTER]),
        ("either:0%", [SLOWER, FASTER]),
    ],
)
def test_a_limit_is_broken_by_more_than_it_allows(
    limit: str, broken_by: list[dict[str, object]]
) -> None:
    found = Limit.read(limit)
    assert [entry for entry in (SLOWER, FASTER, TIE) if found.is_broken_by(entry)] == broken_by


def test_a_limit_below_what_can_be_seen_is_known() -> None:
    assert Limit.read("slower:0.4%").is_out_of_sight(TIE)
    assert not Limit.read("slower:0.6%").is_out_of_sight(TIE)


@pytest.mark.parametrize("text", ["3%", "slower", "slower:3", "slower:-3%", "quicker:3%"])
def test_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a limit; write slower:3%"):
        Limit.read(text)


def test_the_text_is_a_table_and_a_sentence() -> None:
    conditions = {"device": "cpu", "backend": "eager", "precision": "fp32", "batch": 1}
    latency = {
        "conditions": {**conditions, "threads": 1, "resolution": [224, 224]},
        "samples": [1.0] * 90,
        "value": 4.21,
        "low": 4.18,
        "high": 4.25,
        "verdict": "stable",
        "reason": "",
    }
    none = {**latency, "value": None, "verdict": "incomplete", "reason": "too slow"}
    networks = [{"name": "a", "latency": latency}, {"name": "b", "latency": none}]
    document = {"networks": networks, "pairs": [SLOWER], "stored": []}
    assert comparison(document).text() == (
        "on cpu x1, eager fp32, batch 1, 224x224 px\n"
        "\n"
        "network  ms (95 % interval)  passes  verdict\n"
        "-------  ------------------  ------  ----------\n"
        "a          4.21 (4.18–4.25)      90  stable\n"
        "b                      none      90  incomplete\n"
        "\n"
        "b is incomplete: too slow\n"
        "\n"
        "b is 4.1 % (3.2 to 5.0 %) slower than a"
    )

    stayed = {**document, "pairs": [{**SLOWER, "placements": 0}]}
    assert "each network lay in one place of memory" in comparison(stayed).text()
