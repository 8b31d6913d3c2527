"""A search on a cluster whose workers, machines and owner die is the search of one machine."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader, open_study
from archbench.search import search
from tests.search import tiny
from tests.search.owner_process import Owner, assert_gone

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

_MARK = "ARCHBENCH_TEST_CLUSTER"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head on which the owner runs, and a machine of one core, both of them here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_MARK, str(os.getpid()))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        made.add_node(num_cpus=1)
        yield made
        made.shutdown()


def _workers() -> list[int]:
    """Processes in which jobs of the cluster run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = f"{_MARK}={os.getpid()}".encode() in (folder / "environ").read_bytes()
            if ours and b"engines._owned" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def test_a_cluster_in_which_all_die_finds_what_one_machine_does(
    cluster: Any, data: str, tmp_path: Path
) -> None:
    space = tiny.write_space(tmp_path, data, trials=4, sampler="tpe")
    search(space, results=tmp_path / "whole", trials=1, workers=1)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")  # so that both have one plan
    options: dict[str, Any] = {"workers": 1, "trials": 4, "resume": True}
    whole = search(space, results=tmp_path / "whole", **options)
    options["machines"] = {"engine": "ray", "address": cluster.address}
    owner = Owner(space, tmp_path / "parts", **options)
    owner.wait_for("RungFinished")
    for pid in _workers():
        os.kill(pid, signal.SIGKILL)
    owner.wait_for("Warned")
    owner.wait_for("RungFinished")
    (node,) = cluster.worker_nodes
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    owner.wait_for("Warned")
    owner.wait_for("RungFinished")
    workers = _workers()
    owner.signal(signal.SIGKILL)
    owner.end()
    assert_gone(*workers)
    acknowledged = {line for line in owner.events if line.startswith("TrialFinished")}
    ended = [r for r in open_study(tmp_path / "parts" / "toy").trials() if r.state == "complete"]
    assert len(ended) >= 1 + len(acknowledged)
    again = Owner(space, tmp_path / "parts", **options)
    code, said = again.end()
    assert code == 0, said
    assert whole is not None
    assert _what_counts(open_study(tmp_path / "parts" / "toy")) == _what_counts(whole)
    assert sum("killed from outside" in line for line in owner.events) >= 2


def test_several_machines_train_at_once_and_candidates_are_timed_where_the_label_is(
    cluster: Any, data: str, tmp_path: Path
) -> None:
    space = tiny.write_space(
        tmp_path, data, trials=4, objectives="{accuracy: max, latency_ms: min}", sampler="random"
    )
    options = {"machines": {"engine": "ray", "address": cluster.address}, "trials": 4}
    lacking = Owner(space, tmp_path / "lacking", **options)
    code, said = lacking.end()
    assert (code, "has the label of the target" in said) == (2, True), said
    cluster.add_node(num_cpus=1, resources={"archbench_target": 1})
    owner = Owner(space, tmp_path / "timed", **options)
    code, said = owner.end()
    assert code == 0, said
    found = open_study(tmp_path / "timed" / "toy").trials()
    assert [record.state for record in found] == ["complete"] * 4
    assert all(record.latency and record.latency.value for record in found)
    weights = tmp_path / "timed" / "toy" / "checkpoints"
    assert any(weights.glob("trial-*-seed-0.safetensors")), "the front's came to the owner"


def _what_counts(study: StudyReader) -> list[tuple[Any, ...]]:
    return [
        (
            record.number,
            record.state,
            record.digest,
            [(point.seed, point.epoch, point.loss, point.accuracy) for point in record.curve],
            record.proxy_accuracy,
        )
        for record in study.trials()
    ]
