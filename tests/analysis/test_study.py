"""What a study says of itself: its front, its verdict, its document."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archbench.analysis.front import FrontRule
from archbench.analysis.study import open_study
from archbench.analysis.study_header import space_typed
from archbench.analysis.verdict import answer, doubts
from archbench.errors import StorageError, UsageError
from archbench.study.database import Store
from archbench.study.trial import Failure, TrialRecord
from tests.study import example

BAR = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1536)
MEMBERS = [
    example.trial(0, accuracy=0.621, latency_ms=0.41),
    example.trial(1, accuracy=0.784, latency_ms=0.93),
    example.trial(2, accuracy=0.600, latency_ms=0.93),
]


def rule(**changes: Any) -> FrontRule:
    return FrontRule.of({**example.header(), **changes}, place="edge")


def numbers(trials: list[TrialRecord], **changes: Any) -> list[int]:
    return [record.number for record in rule(**changes).front(trials)]


def test_front_is_cheapest_first_and_leaves_out_what_is_beaten_but_no_equals() -> None:
    assert numbers(MEMBERS[::-1]) == [0, 1]
    assert numbers([MEMBERS[0], example.trial(5, accuracy=0.621, latency_ms=0.41)]) == [0, 5]


@pytest.mark.parametrize(
    "record",
    [
        example.trial(9, state="pruned", accuracy=0.9, latency_ms=0.1),
        example.trial(9, state="running", accuracy=0.9, latency_ms=0.1),
        example.trial(9, accuracy=0.9),
        example.trial(9, accuracy=0.9, latency=example.latency(None, verdict="incomplete")),
        example.trial(9, latency_ms=0.1),
        example.trial(9, accuracy=BAR - 1e-6, latency_ms=0.1),
        example.trial(9, accuracy=0.9, latency_ms=8.1),
    ],
    ids=["pruned", "running", "unmeasured", "incomplete", "untrained", "chance", "limit"],
)
def test_not_eligible(record: TrialRecord) -> None:
    assert numbers([record], limits={"latency_ms": 8.0}) == []
    eligible = example.trial(9, accuracy=BAR + 1e-6, latency_ms=0.1)
    assert numbers([eligible], limits={"latency_ms": 8.0}) == [9]


def test_confirmed_latency_over_the_limit_takes_a_design_off_the_front(tmp_path: Path) -> None:
    header = example.header(limits={"latency_ms": 1.0})
    with Store.create(tmp_path / "study.db", header) as store:
        store.add_trial(MEMBERS[1])
        store.add_measurement(1, "confirm", example.latency(1.01))
    study = open_study(tmp_path)
    assert study.front_records() == []
    assert "over the limit" in str(study.no_front_reason())


def test_other_objectives_make_another_front() -> None:
    small = example.trial(3, accuracy=0.5, params=10, macs=7)
    large = example.trial(4, accuracy=0.6, params=20, macs=7)
    objectives = {"proxy_accuracy": "max", "params": "min", "macs": "min"}
    assert numbers([small, large], objectives=objectives) == [3, 4]


def test_hypervolume_is_a_share_of_the_box_under_the_limit() -> None:
    area = (0.621 - 0.1) * (2 - 0.41) + (0.784 - 0.621) * (2 - 0.93)
    held = rule(limits={"latency_ms": 2.0})
    assert held.reference_point(MEMBERS) == {"proxy_accuracy": 0.1, "latency_ms": 2.0}
    assert held.hypervolume(MEMBERS) == pytest.approx(area / (0.9 * 2))


def test_reference_without_a_limit_is_the_largest_latency_seen() -> None:
    slow = example.trial(7, state="over_limit", latency_ms=5.0)
    assert rule().reference_point([*MEMBERS, slow]) == {"proxy_accuracy": 0.1, "latency_ms": 5.0}
    assert rule().reference_point([]) is None
    assert rule().hypervolume([]) == 0.0


def test_header_without_the_data_is_named() -> None:
    with pytest.raises(StorageError, match="edge: the study's header has no entry 'chance'"):
        FrontRule.of({**example.header(), "proxy": {}}, place="edge")


def test_verdict_on_own_photos_leads_to_training(tmp_path: Path) -> None:
    proxy = {"data": "folder:my photos", "resolution": 64}
    study = example.study(tmp_path, MEMBERS[:1], header=example.header(proxy=proxy))
    assert study.verdict() == (
        "Take trial 0: 0.41 ms, 62.1 % proxy accuracy. By the measured values 1 of 1 trained "
        "design is on the front, with a probability of 95 % or more. This ranks designs by a short "
        "training on your images at 64 px; trained for longer they reach more. Next: archbench "
        f"train {tmp_path}:0 --epochs 100"
    )


def test_the_cheapest_within_the_noise_of_the_best_is_recommended(tmp_path: Path) -> None:
    fast = example.trial(0, accuracy=0.782, latency_ms=0.41)
    study = example.study(tmp_path, [fast, *MEMBERS[1:]], header=example.header())
    assert study.likely_best == MEMBERS[1]
    assert study.recommended == fast
    told = answer(study)
    assert told.startswith(
        "Take trial 0: 0.41 ms, 78.2 % proxy accuracy. Trial 1 takes 0.93 ms and "
    )
    assert "is expected to gain 0.2 points (not significant)." in told
    assert "Trial 0 is the cheapest within one standard error" in " ".join(doubts(study))


def test_verdict_names_other_data_and_disturbed_latencies(tmp_path: Path) -> None:
    disturbed = example.trial(0, accuracy=0.6, latency=example.latency(0.4, verdict="disturbed"))
    header = example.header(proxy={"data": "cifar10:/data"})
    study = example.study(tmp_path, [disturbed, MEMBERS[1]], header=header)
    told = "1 of 2 latencies of the front is noisy because other work disturbed the machine"
    assert told in study.verdict()
    assert "This ranks designs on cifar10 at 32 px; it says nothing about" in study.verdict()


def failed(number: int, message: str) -> TrialRecord:
    return example.trial(number, state="failed", failure=Failure(kind="error", message=message))


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        ([], "no design has been tried yet"),
        ([example.trial(0, state="running")], "1 design begun, none has ended yet"),
        (
            [failed(0, "out of memory"), failed(1, "out of memory"), failed(2, "NaN")],
            "3 of 3 designs failed, 2 of them with: out of memory",
        ),
        (
            [
                example.trial(0, state="over_limit", latency_ms=9.3),
                example.trial(1, state="over_limit", latency_ms=12.0),
                failed(2, "NaN"),
            ],
            "2 of 3 designs over the limit; the limit is 8.00 ms and the nearest takes 9.30 ms; "
            "raise limits.latency_ms or search smaller designs",
        ),
        (
            [example.trial(0, state="over_limit", reason="memory 9 GiB > 8 GiB")],
            "1 of 1 design over the limit; memory 9 GiB > 8 GiB",
        ),
        (
            [example.trial(0, state="pruned", reason="cannot reach the front")],
            "1 of 1 design stopped early, most often because: cannot reach the front",
        ),
        (
            [example.trial(0, accuracy=0.11, latency_ms=1.0), example.trial(1, state="running")],
            "1 of 2 designs trained, and nothing beats chance yet: the best reached 11.0 %, "
            "guessing gives 10.0 %, and 12.3 % would count as better; train longer "
            "(proxy.rungs) or search larger designs",
        ),
        (
            [example.trial(0, accuracy=0.5)],
            "1 of 1 design trained without a latency that could be had",
        ),
    ],
    ids=["none", "running", "failed", "limit", "other limit", "pruned", "chance", "unmeasured"],
)
def test_why_there_is_no_front(tmp_path: Path, trials: list[TrialRecord], reason: str) -> None:
    header = example.header(limits={"latency_ms": 8.0})
    study = example.study(tmp_path, trials, header=header)
    assert study.no_front_reason() == reason
    assert study.verdict() == f"There is no front: {reason}."
    assert len(study.front()) == 0
    assert study.hypervolume() == 0.0


STATES = st.sampled_from(["running", "complete", "over_limit", "pruned", "failed"])
ACCURACY = st.none() | st.floats(0, 1)
LATENCY = st.none() | st.floats(1e-6, 1e6)


@given(
    st.lists(st.tuples(STATES, ACCURACY, LATENCY), max_size=8),
    st.dictionaries(st.just("latency_ms"), st.floats(1e-3, 1e3)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_document_of_any_study_is_plain_json(
    tmp_path_factory: pytest.TempPathFactory,
    cells: list[tuple[Any, float | None, float | None]],
    limits: dict[str, float],
) -> None:
    trials = [
        example.trial(number, state=state, accuracy=accuracy, latency_ms=latency_ms)
        for number, (state, accuracy, latency_ms) in enumerate(cells)
    ]
    folder = tmp_path_factory.mktemp("study")
    study = example.study(folder, trials, header=example.header(limits=limits))
    document = study.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert 0 <= document["hypervolume"] <= 1
    assert (document["no_front_reason"] is None) == bool(document["front"])
    assert sum(study.counts().values()) == document["trials"]["total"] == len(trials)


def test_study_is_opened_by_folder_or_file_and_without_a_name_called_so(tmp_path: Path) -> None:
    header = {key: value for key, value in example.header().items() if key != "name"}
    study = example.study(tmp_path, MEMBERS, header=header)
    assert open_study(tmp_path / "study.db").trials() == open_study(str(tmp_path)).trials()
    assert study.trial(1) == MEMBERS[1]
    with pytest.raises(UsageError, match=f"{tmp_path.name}: there is no trial 17 in the study"):
        study.trial(17)


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("archbench search quickstart --trials 9", "quickstart"),
        ("archbench certify 'my spaces/narrow.yaml'", "my spaces/narrow.yaml"),
        ("archbench certify --name x --resume", "narrow"),
        ("archbench.search('narrow')", "narrow"),
        ("it's", "narrow"),
        (None, "narrow"),
    ],
)
def test_the_space_is_named_as_it_was_typed(command: str | None, typed: str) -> None:
    assert space_typed({"command": command, "space_name": "narrow"}) == typed
