"""``compare``, ``estimate`` and ``profile --serving``: how fast networks are beside one another."""

from dataclasses import asdict
from typing import Any

import pytest

from archbench.errors import UsageError
from archbench.report.findings.speed import Limit, comparison, estimates, sentence, serving
from archbench.study.measurement import Conditions


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
        (TIE, "b ties with a: its time differs by -0.3 to +0.7 %"),
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


def test_the_text_is_a_sentence_and_a_table() -> None:
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
        "b is 4.1 % (3.2 to 5.0 %) slower than a.\n"
        "\n"
        "network  ms (95 % interval)  passes  verdict\n"
        "-------  ------------------  ------  ----------\n"
        "a          4.21 (4.18–4.25)      90  stable\n"
        "b                      none      90  incomplete\n"
        "latency on cpu x1, eager fp32, batch 1, 224x224 px\n"
        "\n"
        "b is incomplete: too slow"
    )

    stayed = {**document, "pairs": [{**SLOWER, "placements": 0}]}
    assert "Each network was timed at one memory placement" in comparison(stayed).text()


ESTIMATE: dict[str, Any] = {
    "name": "small",
    "digest": "0123456789abcdef",
    "ms": 4.2134,
    "low": 4.05,
    "high": 4.38,
    "error_percent": 3.14,
    "family": "levit",
    "num_wholes": 4,
    "num_blocks_new": 2,
    "conditions": asdict(Conditions(batch=1, resolution=(224, 224))),
}


def test_estimates_are_called_so_and_carry_their_error() -> None:
    slow = {**ESTIMATE, "name": "large", "ms": 9.0, "low": 8.8, "high": 9.2, "family": "cvt"}
    assert estimates({"estimates": [slow, ESTIMATE]}, next_step="").text() == (
        "small is the fastest by estimate; large takes 2.14 times as long.\n"
        "\n"
        "network  px       family  estimated ms   new blocks\n"
        "-------  -------  ------  -------------  ----------\n"
        "small    224x224  levit   4.2 (4.0–4.4)           2\n"
        "large    224x224  cvt     9.0 (8.8–9.2)           2\n"
        "on cpu x1, eager fp32, batch 1: estimated, not measured, as the sum of the\n"
        "  network's blocks, each timed alone with cold caches\n"
        "mean error of the cvt estimates: 3.1 %, on 4 measured networks, each left out of\n"
        "  the fit in turn\n"
        "mean error of the levit estimates: 3.1 %, on 4 measured networks, each left out\n"
        "  of the fit in turn"
    )


def test_networks_of_one_name_show_their_digest() -> None:
    other = {**ESTIMATE, "digest": "f" * 16}
    text = estimates({"estimates": [ESTIMATE, other]}, next_step="").text()
    assert "small 01234567" in text
    assert "small ffffffff" in text


def quantity(value: float | None, reason: str = "") -> dict[str, Any]:
    return {"value": value, "unit": "", "reason": reason}


def batch(number: int) -> dict[str, Any]:
    return {
        "conditions": asdict(Conditions(batch=number, resolution=(224, 224))),
        "ms": 5.0 * number,
        "images_per_second": 200.0,
        "p50": quantity(5.1),
        "p95": quantity(6.0),
        "p99": quantity(None if number > 1 else 8.0, "few" if number > 1 else ""),
        "peak": quantity(1.5e6),
        "energy": quantity(None, "no counter"),
        "off_cpu": 0.0,
    }


def test_every_number_or_its_reason_is_there() -> None:
    found = {"name": "small", "saturating_batch": 1, "batches": [batch(1), batch(4)]}
    assert serving({"networks": [found]}, next_step="").text() == (
        "small serves 200 images/s at batch 1, the smallest batch within 5 % of the best.\n"
        "\n"
        "batch     ms  images/s  wall p50  wall p95  wall p99  peak MB  mJ/image\n"
        "-----  -----  --------  --------  --------  --------  -------  --------\n"
        "    1   5.00     200.0      5.10      6.00      8.00     1.50         –\n"
        "    4  20.00     200.0      5.10      6.00         –     1.50         –\n"
        "\n"
        "224x224 px, cpu x1, eager fp32, deployed form\n"
        "ms and images/s are calibrated latencies; wall p50, p95 and p99 are milliseconds\n"
        "of the wall clock, with all that other processes took; peak is the memory of a\n"
        "pass beside the weights.\n"
        "energy: not available: no counter\n"
        "p99: not available: few (batch 4)"
    )
