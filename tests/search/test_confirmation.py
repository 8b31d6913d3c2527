"""Whose next training settles most, and what further trainings leave in the study."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import LEAST_GAIN, expected_gains, next_training
from archbench.analysis.study import StudyReader, open_study
from archbench.models.weights.weight_file import read_weights
from archbench.search import events, search
from archbench.search.confirmation import confirm, spent_on_repeats
from archbench.search.jobs import weights_path
from archbench.study.database import Store
from archbench.study.trial import TrialRecord, final_accuracies
from tests.search import tiny
from tests.study import example

RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "macs": "min"}, limits={}, chance=0.1, num_validation=1536
)


def candidate(number: int, *accuracies: float, macs: int) -> TrialRecord:
    curve = tuple(example.point(8, value, seed=seed) for seed, value in enumerate(accuracies))
    return example.trial(number, accuracy=sum(accuracies) / len(accuracies), macs=macs, curve=curve)


RIVALS = [
    candidate(0, 0.70, macs=100),
    candidate(1, 0.705, macs=200),  # is it better than 0 at all?
    candidate(2, 0.30, macs=300),
    candidate(3, 0.35, 0.33, 0.36, 0.34, macs=400),
    candidate(4, 0.45, macs=500),
]


def test_who_is_close_gains_most() -> None:
    gains = expected_gains(RIVALS, rule=RULE)
    assert max(gains, key=lambda number: gains[number]) in {0, 1}
    assert gains.get(3, 0.0) < LEAST_GAIN
    assert gains[1] > 5 * gains.get(4, 0.0)


def test_a_candidate_with_many_seeds_gains_little_more() -> None:
    often = [RIVALS[0], candidate(1, *[0.705] * 8, macs=200), *RIVALS[2:]]
    gains = expected_gains(often, rule=RULE)
    assert gains[0] > gains[1]


@pytest.mark.parametrize(
    ("gains", "left", "busy", "number"),
    [
        ({0: 0.2, 1: 0.1}, 10.0, (), 0),
        ({0: 0.2, 1: 0.19}, 10.0, (), 1),  # costs half
        ({0: 0.2, 1: 0.1}, 10.0, (0,), 1),
        ({0: 0.2, 1: 0.1}, 1.5, (), 1),  # the other does not fit
        ({0: 0.2, 1: 0.1}, 0.5, (), None),
        ({0: LEAST_GAIN / 2}, 10.0, (), None),
    ],
)
def test_the_next_training_gains_most_in_its_time(
    gains: dict[int, float], left: float, busy: tuple[int, ...], number: int | None
) -> None:
    assert next_training(gains, seconds={0: 2.0, 1: 1.0}, left=left, busy=busy) == number


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, data: str) -> StudyReader:
    """A study whose space asks for no confirmation."""
    folder = tmp_path_factory.mktemp("searched")
    file = folder / "toy.yaml"
    text = tiny.space_text(Path(data), trials=5)
    text = text.replace("rungs: [1, 2]", "rungs: [4, 16]")  # then it beats chance
    file.write_text(text.replace("seed: 3}", "seed: 3, confirm: false}"))
    found = search(file, results=folder / "results")
    assert found is not None
    return found


def copy(study: StudyReader, folder: Path) -> Path:
    shutil.copytree(study.path, folder / "toy")
    return folder / "toy"


def test_those_uncertain_are_trained_with_more_seeds(searched: StudyReader, tmp_path: Path) -> None:
    heard: list[events.Event] = []
    study = confirm(copy(searched, tmp_path), budget="60s", on_event=heard.append)
    again = [record for record in study.trials() if len(final_accuracies(record)) > 1]
    assert again
    for record in again:
        results = final_accuracies(record)
        assert sorted(results) == list(range(len(results)))
        assert record.proxy_accuracy == pytest.approx(sum(results.values()) / len(results))
    told = study.header["confirmed"]
    assert told["front"] == [record.number for record in study.front_records()]
    assert told["spent_s"] == pytest.approx(sum(spent_on_repeats(r, own=1) for r in again))
    assert all(record.test_accuracy is not None for record in study.front_records())
    trained = [happened for happened in heard if isinstance(happened, events.SeedTrained)]
    assert len(trained) == sum(len(final_accuracies(r)) - 1 for r in again)


def test_no_confirmation_and_a_budget_of_nothing_train_nothing(
    searched: StudyReader, tmp_path: Path
) -> None:
    for study in (searched, confirm(copy(searched, tmp_path), budget="0")):
        assert all(len(final_accuracies(record)) == 1 for record in study.trials())
        assert study.header["confirmed"]["spent_s"] == 0


@pytest.mark.parametrize("is_lost", [False, True], ids=["damaged", "lost"])
def test_damaged_or_lost_weights_are_named_trained_again_and_tested(
    searched: StudyReader, tmp_path: Path, is_lost: bool
) -> None:
    path = copy(searched, tmp_path)
    member = searched.front_records()[0]
    file = weights_path(path / "checkpoints", member.number, seed=0)
    content, sound = file.read_bytes(), read_weights(file)
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 64]))
    if is_lost:
        file.unlink()
    with Store.open(path / "study.db") as store:
        store.update(member.number, test_accuracy=None)
    heard: list[events.Event] = []
    study = confirm(path, budget="0", on_event=heard.append)
    assert read_weights(file).metadata["sha256"] == sound.metadata["sha256"]
    found = {record.number: record.test_accuracy for record in study.trials()}
    assert found[member.number] == member.test_accuracy is not None
    (told,) = [happened.text for happened in heard if isinstance(happened, events.Warned)]
    why = "damaged: the weights are not those of its sha256"
    if is_lost:
        why = "cannot read: No such file or directory"
    told_why = f"trial {member.number}: {file}: {why}; the trial is trained again with seed 0"
    assert told == told_why


CONFIRM = """
import sys
from pathlib import Path
from archbench.search import events
from archbench.search import confirm

def told(happened):
    if isinstance(happened, events.SeedTrained):
        print("trained", flush=True)

if __name__ == "__main__":
    confirm(Path(sys.argv[1]), budget="300s", workers=1, on_event=told)
"""


def test_killed_in_the_middle_it_goes_on(searched: StudyReader, tmp_path: Path) -> None:
    path = copy(searched, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", CONFIRM, str(path)], stdout=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"trained\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    with Store.open(path / "study.db") as store:
        before = {record.number: final_accuracies(record) for record in list(store.trials.values())}
    assert sum(len(results) for results in before.values()) > 5
    study = confirm(path, budget="1s")
    for record in study.trials():
        after = final_accuracies(record)
        assert before[record.number].items() <= after.items()
        assert record.proxy_accuracy == pytest.approx(sum(after.values()) / len(after))
    assert study.header["confirmed"]["front"]
    assert open_study(path).front_probabilities.noise_degrees > 0
