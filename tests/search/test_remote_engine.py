"""What other machines report is durable here before they go on, and files are named by content."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.data import load
from archbench.errors import MissingError, StorageError, UsageError
from archbench.evaluate.proxy import Proxy
from archbench.search.engines._hand import Heard, refuse_other_software
from archbench.search.engines._packing import (
    NodeNames,
    PackedJob,
    PackedQuestion,
    pack,
    unpack,
)
from archbench.search.engines._remote import LostError, RemoteEngine
from archbench.search.jobs import RungReached, TrainJob, checkpoint_path
from archbench.search.scheduler import Broken, Done, HoldOthers, Place, Question, Send, Sent
from archbench.study.environment import capture
from archbench.train.checkpoint import previous_path
from archbench.train.recipe import Plan, Recipe
from tests.evaluate.toy import SPEC
from tests.search.jobs import Act, Asked
from tests.study.example import point

_OLD, _NEW = b"the rung before", b"a rung"


@dataclass
class FakeHand:
    """Reports what a script does of a job, a step for each request."""

    script: Callable[[PackedJob], Iterator[Heard]]
    asked: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)

    def start(self, job: PackedJob, **how: Any) -> Any:
        self.given = {"job": job, **how}
        self._steps = self.script(job)
        return self._ask("start")

    def answer(self, number: int, content: Any) -> Any:
        return self._ask("answer")

    def next(self) -> Any:
        return self._ask("next")

    def _ask(self, what: str) -> Any:
        self.asked.append(what)
        return self._steps.__next__


@dataclass
class FakeCluster:
    """Hands of this very process."""

    script: Callable[[PackedJob], Iterator[Heard]]
    hands: list[FakeHand] = field(default_factory=list)
    dismissed: list[Any] = field(default_factory=list)

    def slots(self) -> int:
        return 2

    def targets(self) -> int:
        return 1

    def hire(self, place: Place) -> FakeHand:
        self.hands.append(FakeHand(self.script))
        return self.hands[-1]

    def dismiss(self, hand: Any) -> None:
        self.dismissed.append(hand)

    def share(self, file: Path) -> bytes:
        return file.read_bytes()

    def wait(self, coming: Sequence[Any], *, timeout_s: float) -> Sequence[Any]:
        return coming

    def heard(self, coming: Any) -> Heard:
        heard: Heard = coming()
        return heard


def _engine(script: Callable[[PackedJob], Iterator[Heard]]) -> tuple[RemoteEngine, FakeCluster]:
    def own() -> Any:
        raise AssertionError("nothing runs beside the data")

    cluster = FakeCluster(script)
    return RemoteEngine(cluster, workers=8, own=own), cluster


def _rung(job: PackedJob, *, says: bytes = _NEW) -> Heard:
    """A rung with its checkpoint, which is said to hold this."""
    home = Path("/tmp/of-a-node")
    (file,) = job.files
    sha256 = hashlib.sha256(says).hexdigest()
    rung = RungReached(point=point(1, 0.5), path=home.joinpath(*file), sha256=sha256)
    packed = PackedQuestion(content=pack(rung, names=NodeNames(home=home)))
    files = {file: (hashlib.sha256(_NEW).hexdigest(), _NEW)}
    return Heard(report=Sent(number=job.number, payload=packed), files=files)


def _trains(job: PackedJob) -> Iterator[Heard]:
    yield _rung(job)
    yield Heard(report=Done(number=job.number, result=pack(0.5, names=NodeNames(home=Path()))))


def _act(folder: Path) -> Act:
    return Act(3, "train", checkpoint_path(folder, 3, seed=0))


def test_a_checkpoint_is_durable_here_before_its_rung_is_told_and_the_job_goes_on(
    tmp_path: Path,
) -> None:
    engine, cluster = _engine(_trains)
    job = _act(tmp_path)
    job.argument.write_bytes(_OLD)
    engine.start(job, timeout_s=1)
    (hand,) = cluster.hands
    (told,) = engine.poll(0)
    assert isinstance(told, Sent)
    assert told.payload.path == job.argument
    assert job.argument.read_bytes() == _NEW
    assert previous_path(job.argument).read_bytes() == _OLD
    assert engine.poll(0) == []
    assert hand.asked == ["start"], "it waits for what the owner says"
    engine.answer(3, None)
    assert engine.poll(0) == [Done(number=3, result=0.5)]
    assert hand.asked == ["start", "answer"]


def test_what_cannot_be_kept_is_not_told_and_the_job_does_not_go_on(tmp_path: Path) -> None:
    engine, cluster = _engine(_trains)
    engine.start(_act(tmp_path / "gone"), timeout_s=1)
    with pytest.raises(StorageError, match="cannot write the study"):
        engine.poll(0)
    assert cluster.hands[0].asked == ["start"]


def test_a_checkpoint_that_is_not_what_was_written_is_not_kept(tmp_path: Path) -> None:
    engine, cluster = _engine(lambda job: iter([_rung(job, says=b"another")]))
    job = _act(tmp_path)
    job.argument.write_bytes(_OLD)
    engine.start(job, timeout_s=1)
    (lost,) = engine.poll(0)
    assert isinstance(lost, Broken)
    assert lost.is_lost
    assert "is not what was sent" in lost.failure.message
    assert job.argument.read_bytes() == _OLD
    assert cluster.dismissed == cluster.hands


def test_a_job_whose_machine_went_away_is_given_back_and_goes_on_elsewhere(tmp_path: Path) -> None:
    def dies(job: PackedJob) -> Iterator[Heard]:
        raise LostError("the node died")
        yield

    engine, cluster = _engine(dies)
    assert engine.start(_act(tmp_path), timeout_s=1) == 0
    (lost,) = engine.poll(0)
    assert isinstance(lost, Broken)
    assert lost.failure.message == "its machine went away: the node died"
    cluster.script = _trains
    _act(tmp_path).argument.write_bytes(_OLD)
    assert engine.start(_act(tmp_path), timeout_s=1) == 0
    _, hand = cluster.hands
    (file,) = hand.given["job"].files
    assert hand.given["files"] == {file: _OLD}, "from its last rung"


@dataclass(frozen=True)
class _Copies:
    """A job that reads a file and writes it beside."""

    number: int
    path: Path
    place: Place = "training"

    def run(self, send: Send) -> Path:
        assert send(HoldOthers()) is None
        send(Asked(word=self.path.read_text()))
        return self.path.with_name("copy")


def test_files_are_named_by_where_they_lie_on_each_machine(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("content")
    engine, cluster = _engine(_trains)
    engine.start(_Copies(5, tmp_path / "own"), timeout_s=1)
    job, files = cluster.hands[0].given["job"], cluster.hands[0].given["files"]
    home = tmp_path / "node"
    for file, content in files.items():
        home.joinpath(*file).parent.mkdir(parents=True)
        home.joinpath(*file).write_bytes(content)
    (tmp_path / "own").unlink()
    there, sent = NodeNames(home=home), list[Any]()
    found = unpack(replace(job, home=home).run(sent.append), names=there)
    (question,) = sent
    assert isinstance(question, Question)
    assert unpack(question.content, names=there) == Asked(word="content")
    assert found == home / files.popitem()[0][0] / "copy"


def test_data_are_named_by_their_content_elsewhere(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, cluster = _engine(_trains)
    own = load(data, resolution=16)
    job = _training(data, teacher="none", folder=tmp_path)
    engine.start(job, timeout_s=1)
    given = cluster.hands[0].given
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path / "there"))
    ((path, content),) = given["cached"].items()
    (tmp_path / "there" / path).parent.mkdir(parents=True)
    (tmp_path / "there" / path).write_bytes(content)
    there = unpack(given["job"].content, names=NodeNames(home=tmp_path / "home"))
    assert there.proxy.data != data
    assert load(there.proxy.data, resolution=16).digest == own.digest
    with pytest.raises(UsageError, match="does not take a teacher along"):
        engine.start(_training(data, teacher="convolutional", folder=tmp_path), timeout_s=1)


def test_data_that_are_prepared_later_are_taken_along_from_then_on(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path / "fresh"))
    engine, cluster = _engine(_trains)
    job = _training(data, teacher="none", folder=tmp_path)
    engine.start(job, timeout_s=1)
    assert cluster.hands[0].given["cached"] == {}
    load(data, resolution=16)
    engine.start(job, timeout_s=1)
    assert len(cluster.hands[1].given["cached"]) == 1


def _training(data: str, *, teacher: str, folder: Path) -> TrainJob:
    proxy = Proxy(
        data=data,
        resolution=16,
        num_classes=3,
        stem="keep_grid",
        num_seeds=1,
        recipe=Recipe(rungs=(1,), teacher=teacher),
        plan=Plan(),
        device="cpu",
    )
    path = checkpoint_path(folder, 1, seed=0)
    return TrainJob(number=1, spec=SPEC, proxy=proxy, seed=0, checkpoint=path)


def test_other_software_than_the_owners_is_refused() -> None:
    own = capture()
    refuse_other_software(own, owner=own)
    other = replace(own, packages={**own.packages, "torch": "1.0"})
    told = rf"torch is 1\.0 and the owner's {own.packages['torch'][0]}.*take the machine out"
    with pytest.raises(MissingError, match=told):
        refuse_other_software(other, owner=own)
