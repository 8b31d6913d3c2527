"""``archbench measure``: networks of a study on another device, and what becomes of its front."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from archbench.analysis.study import open_study
from archbench.evaluate.remeasure import measure_elsewhere
from archbench.study.database import Store
from tests.cli.conftest import Run
from tests.cli.stored import write_study
from tests.report import plausible


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("results") / "edge", trials=5)


def test_the_front_is_timed_and_written_beside_the_study_s_own(run: Run, study: Path) -> None:
    before = (study / "study.db").read_bytes()
    members = [record.number for record in open_study(study).front_records()]
    code, out, err = run("measure", str(study), "--batch", "2")
    assert code == 0
    assert f"edge: {len(members)} networks on cpu, 1 thread, eager, fp32, batch 2" in out
    assert "on the front of this device only: none" in out
    assert err.endswith(f"next: archbench measure {study} --batch 2 --trials all\n")
    assert (study / "study.db").read_bytes() == before
    front = pd.read_parquet(study / "front-cpu-eager.parquet")
    assert set(front["trial"]) <= set(members)
    assert len(pd.read_csv(study / "front-cpu-eager.csv")) == len(front)
    taken = pd.read_parquet(study / "measurements-cpu-eager.parquet")
    assert list(taken["trial"]) == members
    assert set(taken["batch"]) == {2}


def test_all_trials_say_what_was_lost(study: Path) -> None:
    document, _ = measure_elsewhere(study, trials="all", budget_s=0.5)
    complete = [record for record in open_study(study).trials() if record.state == "complete"]
    assert [entry["trial"] for entry in document["trials"]] == [entry.number for entry in complete]
    assert json.loads(json.dumps(document, allow_nan=False))["schema"] == "archbench.elsewhere/1"
    members = [record.number for record in open_study(study).front_records()]
    transfer = document["transfer"]
    assert sorted((*transfer["kept"], *transfer["left"])) == sorted(members)
    assert (transfer["lost"] is None) == (set(members) == {entry.number for entry in complete})


def test_what_was_timed_before_an_interruption_is_not_timed_again(study: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("timing networks again") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_elsewhere(study, trials="all", budget_s=0.5, on_progress=stop)
    (file,) = study.glob("measuring-*.json")
    (first,) = json.loads(file.read_text())["trials"].values()
    document, _ = measure_elsewhere(study, trials="all", budget_s=0.5)
    assert document["trials"][0]["latency_ms"] == first["value"]
    assert not file.exists()


def test_a_study_without_a_front_is_refused(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "young"
    folder.mkdir()
    with Store.create(folder / "study.db", header=plausible.header(name="young")) as store:
        store.add_trial(
            replace(
                plausible.trial(0, random.Random(1)),
                state="running",
                latency=None,
                curve=(),
                proxy_accuracy=None,
                failure=None,
                reason="",
            )
        )
    code, _, err = run("measure", str(folder), "--trials", "all")
    assert code == 2
    assert "young: no trial was trained to the end" in err
