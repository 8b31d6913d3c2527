"""What a person sees of a running search, event by event."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from archbench.cli.progress import SearchProgress, shown
from archbench.report.findings.front import ROWS, front_table
from archbench.search import events
from archbench.study.trial import CurvePoint, Failure, TrialRecord
from tests.study.example import latency

PREPARED = events.Prepared(
    name="quickstart",
    path=Path("results/quickstart"),
    size=1_234_567,
    feasible_share=0.56,
    feasible_low=0.54,
    feasible_high=0.58,
    trials=40,
    trials_done=0,
    workers=2,
    trial_seconds=11.2,
    expected_seconds=240.0,
    tried="1.2 s to time, 10 s to train",
    baselines=None,
    baseline_seconds=20.0,
    confirmation_seconds=50.0,
)


def running(number: int) -> TrialRecord:
    return TrialRecord(
        number=number,
        state="running",
        digest="0" * 16,
        choices={},
        spec={},
        params=45_211,
        macs=1_204_211,
        activations=3,
    )


def complete(number: int) -> TrialRecord:
    return replace(
        running(number), state="complete", proxy_accuracy=0.5, latency=latency(1.0 + number)
    )


def over_limit(number: int) -> TrialRecord:
    return replace(running(number), state="over_limit", reason="latency_ms 9.1 is over 8")


def finished(record: TrialRecord, *, done: int = 1) -> events.TrialFinished:
    return events.TrialFinished(record=record, trials_done=done, trials=40, remaining_seconds=200.0)


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> SearchProgress:
    return SearchProgress(clock=clock, now=lambda: datetime(2024, 2, 29, 12, 0))


def test_the_preparation_says_size_price_and_end(progress: SearchProgress) -> None:
    assert progress.update(PREPARED).split("\n") == [
        "about 5 min 10 s in all, until 12:05: 40 trials on 2 workers 4 min 0 s, known",
        "  networks (chosen by their latency) up to 20 s, confirming the front up to 50 s",
        "quickstart: 1,234,567 candidates, 56.0 % (54.0-58.0) feasible",
        "one trial takes 11 s: 1.2 s to time, 10 s to train",
    ]


def test_each_event_is_a_line_that_stands_alone(progress: SearchProgress) -> None:
    point = CurvePoint(seed=0, epoch=4, step=9, loss=1.0, accuracy=0.541, seconds=2.0)
    disturbed = replace(latency(4.2), verdict="disturbed", reason="8 % of the time off the CPU")
    failure = Failure(kind="nan", message="the loss at step 7 is not finite")
    told = [
        progress.update(happened)
        for happened in (
            events.StageChanged(text="calibrating"),
            events.Warned(text="close other programs"),
            events.TrialStarted(record=running(3), worker=0, resumed=True),
            events.TrialWaits(number=3, text="waiting for process 9 (x), which measures on cpu"),
            events.LatencyMeasured(number=3, latency=latency(4.2)),
            events.LatencyMeasured(number=3, latency=disturbed),
            events.RungFinished(number=3, point=point),
            finished(complete(3)),
            finished(replace(running(4), state="failed", failure=failure), done=2),
            events.FrontChanged(members=(complete(3),)),
            events.Finished(path=Path("results/q"), reason="40 trials are done", seconds=247.0),
        )
    ]
    assert told == [
        "calibrating",
        "warning: close other programs",
        "trial 3: goes on, 45.2 k parameters, 1.20 M MACs",
        "trial 3: waiting for process 9 (x), which measures on cpu",
        "trial 3: 4.2 (3.8–4.6) ms",
        "trial 3: 4.2 (3.8–4.6) ms, disturbed: 8 % of the time off the CPU",
        "trial 3: 54.1 % after 4 epochs",
        "[1/40, 3 min 20 s left] trial 3: 50.0 % at 4.0 (3.6–4.4) ms",
        "[2/40, 3 min 20 s left] trial 4: failed (nan): the loss at step 7 is not finite",
        "front: 1 of 2 trials, best 50.0 %, fastest 4 ms",
        "finished after 4 min 7 s: 40 trials are done",
    ]


def test_the_picture_shows_what_each_worker_does(progress: SearchProgress, clock: Clock) -> None:
    progress.update(PREPARED)
    progress.update(events.TrialStarted(record=running(4), worker=1, resumed=False))
    progress.update(events.TrialWaits(number=4, text="waiting for process 9 (x)"))
    assert progress.lines()[0] == "worker 1  trial 4  waiting for process 9 (x)  (0.0 s)"
    progress.update(events.LatencyMeasured(number=4, latency=latency(4.2)))
    clock.now = 31.0
    assert progress.headline() == "quickstart  0 of 40 trials  4 min 39 s left, until 12:04"
    assert progress.share() == 0.1
    assert progress.lines()[0] == "worker 1  trial 4  4.2 (3.8–4.6) ms, training  (31 s)"


def test_before_the_first_trial_only_the_headline_is_shown(
    progress: SearchProgress, clock: Clock
) -> None:
    progress.update(events.StageChanged(text="calibrating"))
    clock.now = 12.0
    assert (progress.headline(), progress.lines()) == ("calibrating  12 s", [])


def test_a_finished_trial_leaves_its_worker(progress: SearchProgress) -> None:
    progress.update(events.TrialStarted(record=running(0), worker=0, resumed=False))
    progress.update(finished(complete(0)))
    assert progress.workers == {}


def test_without_a_front_the_commonest_reason_is_shown(progress: SearchProgress) -> None:
    progress.update(PREPARED)
    assert progress.lines()[-1] == "no front yet: no trial is done yet"
    for number, record in enumerate((over_limit(0), complete(1), over_limit(2)), start=1):
        progress.update(finished(record, done=number))
    assert progress.lines()[-1] == "no front yet: over the limit (2 of 3 trials)"


def test_the_picture_fits_a_terminal_of_80_by_24(progress: SearchProgress) -> None:
    progress.update(PREPARED)
    members = tuple(complete(number) for number in range(100, 130))
    for worker in (0, 1):
        progress.update(events.TrialStarted(record=running(worker), worker=worker, resumed=False))
    progress.update(events.FrontChanged(members=members))
    lines = progress.lines()
    assert lines[-1] == f"and {30 - ROWS} more"
    assert max(map(len, (*lines, *progress.update(PREPARED).split("\n")))) <= 80
    assert 3 + 2 + len(lines) <= 24


def test_the_front_has_no_latency_column_without_latencies() -> None:
    assert front_table([replace(complete(0), latency=None)]).text() == (
        "trial   proxy  params    MACs\n"
        "-----  ------  ------  ------\n"
        "    0  50.0 %  45.2 k  1.20 M"
    )


def test_the_front_marks_disturbed_latencies_and_has_a_column_for_the_test_split() -> None:
    disturbed = replace(latency(1.0), verdict="disturbed", reason="busy")
    tested = replace(complete(1), latency=disturbed, test_accuracy=0.48)
    head, _, first, second, note = front_table([complete(0), tested]).text().split("\n")
    assert head.split() == ["trial", "latency,", "ms", "proxy", "test", "params", "MACs"]
    assert "1.0 (0.9–1.1) " in first
    assert "1.0 (0.9–1.1)*" in second
    assert "48.0 %" in second
    assert note == "* taken on a disturbed machine"


def test_on_a_pipe_every_event_is_a_line_on_stderr(
    progress: SearchProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    with shown(progress) as listener:
        listener(events.StageChanged(text="calibrating\x1b[2J"))
    assert capsys.readouterr() == ("", "calibrating\N{REPLACEMENT CHARACTER}[2J\n")


def test_on_a_pipe_a_long_reason_goes_on_in_further_lines(
    progress: SearchProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "8 % of the time off the CPU; the clock fell from 3200 to 2100 MHz between the rounds"
    measured = replace(latency(4.2), verdict="disturbed", reason=reason)
    with shown(progress) as listener:
        listener(events.LatencyMeasured(number=0, latency=measured))
        listener(PREPARED)
    assert capsys.readouterr().err.split("\n") == [
        "trial 0: 4.2 (3.8–4.6) ms, disturbed: 8 % of the time off the CPU; the clock",
        "  fell from 3200 to 2100 MHz between the rounds",
        *progress.update(PREPARED).split("\n"),
        "",
    ]


def test_on_a_pipe_a_path_stays_whole(
    progress: SearchProgress, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "results/" + "a-long-name/" * 8
    with shown(progress) as listener:
        listener(events.Warned(text=f"nothing is left in {path}"))
    assert capsys.readouterr().err == f"warning: nothing is left in\n  {path}\n"


def test_a_further_training_says_what_it_found(progress: SearchProgress) -> None:
    points = tuple(
        CurvePoint(seed=seed, epoch=8, step=1, loss=1.0, accuracy=0.5, seconds=5.0)
        for seed in range(3)
    )
    told = progress.update(
        events.SeedTrained(
            record=replace(complete(4), curve=points),
            seed=2,
            on_front=0.97,
            in_doubt=1,
            spent_seconds=10.0,
            budget_seconds=20.0,
            remaining_seconds=8.0,
        )
    )
    assert told == (
        "[10 s of 20 s] trial 4: 50.0 % over 3 trainings, Pareto-optimal with 97 %; 1 uncertain"
    )


def test_while_the_front_is_confirmed_the_time_goes_on(
    progress: SearchProgress, clock: Clock
) -> None:
    """And no bar says that all trials are done and nothing is left."""
    progress.update(PREPARED)
    clock.now = 270.0
    started = events.ConfirmationStarted(in_doubt=3, training_seconds=40.0, remaining_seconds=90.0)
    told = progress.update(started)
    assert told == "confirming the front: 3 uncertain candidates, up to 40 s of further training"
    headline = "quickstart  confirming the front  at most 1 min 30 s left, until 12:01"
    assert (progress.headline(), progress.share()) == (headline, 0.75)
    clock.now = 400.0
    told = "quickstart  confirming the front  it takes longer than was expected"
    assert progress.headline() == told


def test_a_step_that_takes_long_is_counted(progress: SearchProgress, clock: Clock) -> None:
    progress.update(events.StageChanged(text="taking calibration constants"))
    clock.now = 12.0
    text = "taking calibration constants"
    step = events.StepAdvanced(text=text, unit="rounds", done=15, total=60)
    assert progress.update(step) == ""
    told = "taking calibration constants  15 of 60 rounds  12 s"
    assert (progress.headline(), progress.share()) == (told, 0.25)
