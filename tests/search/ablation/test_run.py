"""An ablation ends, goes on after a stop without repeating anything, and takes more seeds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.ablation import AblationRecord, read_ablation
from archbench.errors import ParkedError, StorageError, UsageError
from archbench.models import as_spec
from archbench.search.ablation import run
from archbench.search.ablation.run import ablate
from archbench.study.planned import read_planned
from archbench.study.trial import Snapshot
from tests.search.ablation.toy import SPEC

_AXES = ("stages[0].dim=16,24,3", "teacher=convolutional")


def _ablate(data: str, results: Path, **changes: Any) -> AblationRecord:
    asked: dict[str, Any] = {
        "axes": _AXES, "data": data, "resolution": 16, "epochs": 4, "seeds": 2, "workers": 1,
        "batch": 16, "latency": False, "results": results,
    }  # fmt: skip
    found = ablate(as_spec(SPEC), **{**asked, **changes})
    assert found is not None
    return found


@pytest.fixture(scope="module", autouse=True)
def plan_without_trial() -> Iterator[None]:
    """Steps are fp32: which precision is faster may differ from run to run on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_PLAN_BUDGET_S", 0.0)
        yield


@pytest.fixture(scope="module")
def done() -> list[str]:
    """What is done for ``whole``, in order."""
    return []


@pytest.fixture(scope="module")
def whole(data: str, done: list[str], tmp_path_factory: pytest.TempPathFactory) -> AblationRecord:
    """Trained without a break, with a latency that is taken quickly."""

    def told(what: str, *counts: int) -> None:
        done.append(what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "TIMING_S", 1.0)
        return _ablate(data, tmp_path_factory.mktemp("whole"), latency=True, on_progress=told)


def test_every_form_has_its_state_costs_and_seeds(whole: AblationRecord) -> None:
    states = {form.name: form.state for form in whole.forms}
    assert states == {
        "stages[0].dim=16": "base",
        "stages[0].dim=24": "trained",
        "stages[0].dim=3": "illegal",
        "teacher=convolutional": "trained",
    }
    assert (whole.num_trainings, whole.num_done) == (6, 6)
    wider, taught = whole.forms[1], whole.forms[3]
    assert list(wider.accuracies) == list(whole.base.accuracies) == [0, 1]
    assert wider.params > whole.base.params
    assert wider.accuracy_difference is not None
    assert wider.accuracy_difference.low is not None
    assert (taught.params, taught.digest) == (whole.base.params, whole.base.digest)
    assert taught.accuracies != whole.base.accuracies


def test_latencies_of_all_forms_are_taken_together(whole: AblationRecord, done: list[str]) -> None:
    wider = whole.forms[1]
    assert wider.latency is not None
    assert whole.base.latency is not None
    assert wider.latency.conditions == whole.base.latency.conditions
    assert wider.latency.conditions.resolution == (16, 16)
    assert wider.latency_difference is not None
    found = _stored(whole.path)
    assert [taken.trial for taken in found.measurements] == [0, 1, 2]
    training = done.index("training 6 times")
    assert set(done[training:]) == {"training 6 times"}, (
        "nothing trains before or while it is taken"
    )
    assert found.trials[0].latency == found.trials[2].latency  # the same network, taught


def test_document_is_whole(whole: AblationRecord) -> None:
    document = json.loads(json.dumps(whole.document(), allow_nan=False))
    assert document["schema"] == "archbench.ablation/1"
    assert document["proxy"]["data_digest"]
    assert len(document["proxy"]["teachers"]) == 1
    assert document["forms"][1]["accuracy_difference"]["value"] is not None
    assert document["forms"][2]["reason"]
    assert read_ablation(whole.path) == whole


def test_nothing_is_left_but_plan_and_results(whole: AblationRecord) -> None:
    assert list((whole.path / "checkpoints").iterdir()) == []


def test_stopped_run_goes_on_and_ends_the_same(
    whole: AblationRecord, data: str, tmp_path: Path
) -> None:
    told: list[str] = []

    def stop(text: str) -> None:
        told.append(text)
        if text.startswith("2 of 6"):
            raise KeyboardInterrupt

    with pytest.raises(ParkedError, match=r"--resume") as parked:
        _ablate(data, tmp_path, on_note=stop)
    assert "the ablation is parked" in str(parked.value)
    before = len(_ended(_stored(tmp_path / "ablate-toy")))
    again: list[str] = []
    found = _ablate(data, tmp_path, resume=True, on_note=again.append)
    assert before == 2
    assert [text.partition(" of ")[0] for text in again if " of 6: " in text] == list("3456")
    assert found.base.accuracies == whole.base.accuracies
    assert [f.accuracies for f in found.forms] == [f.accuracies for f in whole.forms]


_KILLED = """
import sys
from pathlib import Path
from archbench.search.ablation import run
from tests.search.ablation.test_run import _ablate
run._PLAN_BUDGET_S = 0.0
_ablate(sys.argv[1], Path(sys.argv[2]), on_note=lambda text: print(text, flush=True))
"""


def test_what_was_told_is_there_after_a_kill(
    whole: AblationRecord, data: str, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", _KILLED, data, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert any(text.startswith("2 of 6: ") for text in owner.stdout)
        owner.kill()
    ended = _ended(_stored(tmp_path / "ablate-toy"))
    assert len(ended) >= 2
    found = _ablate(data, tmp_path, resume=True)
    assert ended.items() <= _ended(_stored(found.path)).items()
    assert [f.accuracies for f in found.forms] == [f.accuracies for f in whole.forms]


def test_finished_one_trains_nothing_more_and_takes_more_seeds_by_name(
    data: str, tmp_path: Path
) -> None:
    short = {"axes": ["stages[0].dim=24"], "epochs": 1, "seeds": 1}
    first = _ablate(data, tmp_path, **short)
    before = _stored(first.path)
    assert _ablate(data, tmp_path, **short, resume=True) == first
    assert _stored(first.path) == before
    more = ablate(name="ablate-toy", results=tmp_path, resume=True, seeds=2, workers=1)
    assert more is not None
    assert more.forms[0].accuracies.keys() == {0, 1}
    assert more.forms[0].accuracies[0] == first.forms[0].accuracies[0]
    assert _ended(before).items() <= _ended(_stored(first.path)).items()
    with pytest.raises(UsageError, match="it was begun with other forms, epochs; resume it as"):
        _ablate(data, tmp_path, resume=True, epochs=3)
    with pytest.raises(StorageError, match="ablate-toy exists already"):
        _ablate(data, tmp_path, **short)


def test_training_that_diverges_is_told_and_not_repeated(data: str, tmp_path: Path) -> None:
    notes: list[str] = []
    asked = {"axes": ["peak_rate=1e30"], "epochs": 1, "seeds": 2}
    found = _ablate(data, tmp_path, **asked, on_note=notes.append)
    (form,) = found.forms
    assert form.state == "failed"
    assert "seed 0 failed (nan)" in form.reason
    assert form.finding == "every training failed"
    before = _stored(found.path)
    again = _ablate(data, tmp_path, **asked, resume=True)
    assert again == found
    assert _stored(found.path) == before


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no ablation here"):
        ablate(name="none", results=tmp_path, resume=True)
    with pytest.raises(UsageError, match="which ablation is to be resumed; say --name NAME"):
        ablate(results=tmp_path, resume=True)


def _stored(path: Path) -> Snapshot:
    return read_planned(path, kind="ablation")


def _ended(found: Snapshot) -> dict[tuple[int, int], float]:
    """Trial and seed to accuracy."""
    return {
        (trial.number, training.seed): training.accuracy
        for trial in found.trials
        for training in trial.trainings
        if training.accuracy is not None
    }
