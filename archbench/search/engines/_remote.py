"""Runs jobs on other machines: the owner alone keeps what they report, before they go on."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from archbench.data.cache import entry_path
from archbench.data.given import name_elsewhere
from archbench.errors import UsageError
from archbench.evaluate.proxy import Proxy, open_data
from archbench.evaluate.target import Target
from archbench.search.engines._hand import Heard
from archbench.search.engines._packing import (
    Name,
    OwnerNames,
    PackedJob,
    PackedPayload,
    pack,
    unpack,
)
from archbench.search.jobs import Document, RungReached, TimeJob, TrainJob, TrialJob
from archbench.search.scheduler import (
    Broken,
    Call,
    Done,
    Engine,
    Job,
    Place,
    Question,
    Report,
    Sent,
)
from archbench.study.atomic_file import replace_file, storage_failures
from archbench.study.environment import capture
from archbench.study.trial import Failure
from archbench.train.checkpoint import previous_path

_IN_CACHE = "from_owner"


class LostError(Exception):
    """A hand that is no more: its process or its machine went away."""


class RemoteHand(Protocol):
    """An ``archbench.search.engines._hand.Hand`` elsewhere; what is asked of it comes later."""

    def start(self, job: PackedJob, **how: Any) -> Any:
        """What it reports first, to come."""

    def answer(self, number: int, content: Any) -> Any:
        """What it reports next, to come."""

    def next(self) -> Any:
        """What it reports next, to come."""


class Cluster(Protocol):
    """The machines; they may come and go."""

    def slots(self) -> int:
        """Trainings that they serve at a time."""

    def targets(self) -> int:
        """Machines on which candidates are timed.

        Raises:
            UsageError: There is none.
        """

    def hire(self, place: Place) -> RemoteHand:
        """A hand at a place, as soon as there is room for one."""

    def dismiss(self, hand: RemoteHand) -> None:
        """Ends a hand and what it runs."""

    def share(self, file: Path) -> Any:
        """A file as hands fetch it."""

    def wait(self, coming: Sequence[Any], *, timeout_s: float) -> Sequence[Any]:
        """Those of what is to come that have come, after waiting no longer than this for one."""

    def heard(self, coming: Any) -> Heard:
        """What has come.

        Raises:
            LostError: The hand is no more.
            ArchbenchError: It refused.
        """


@dataclass(eq=False, kw_only=True)
class _Hired:
    """A hand, the number and the names of its job, and what is to come from it."""

    hand: RemoteHand
    place: Place
    index: int
    number: int | None = None
    names: OwnerNames | None = None
    coming: Any = None


class RemoteEngine:
    """At most so many ``workers`` of a cluster, and one of this machine's own beside the data.

    A report is given only once the files that came with it are durable here, and a job that asks
    goes on only once it is answered: so what a study says of a trial is on the disk of its owner.
    """

    def __init__(self, cluster: Cluster, *, workers: int, own: Callable[[], Engine]) -> None:
        self._cluster, self._most, self._make_own = cluster, workers, own
        self._own: Engine | None = None
        self._is_own_busy = False
        self._hired: list[_Hired] = []
        self._environment = capture()
        self._shared: dict[str, Any] = {}
        self._copies: dict[tuple[str, int, int], tuple[str, str, Path]] = {}

    @property
    def workers(self) -> int:
        return max(1, min(self._most, self._cluster.slots()))

    @property
    def targets(self) -> int:
        return self._cluster.targets()

    def start(self, job: Job, *, timeout_s: float) -> int:
        if job.place == "owner":
            self._own = self._own or self._make_own()
            self._is_own_busy = True
            return self._own.start(job, timeout_s=timeout_s)
        texts, copies = self._supplies(job)
        names = OwnerNames(texts=texts)
        content = pack(job, names=names)
        hired = next((h for h in self._hired if h.place == job.place and h.number is None), None)
        hired = hired or self._hire(job.place)
        hired.number, hired.names = job.number, names
        packed = PackedJob(
            number=job.number, place=job.place, content=content, files=tuple(names.files)
        )
        hired.coming = hired.hand.start(
            packed,
            files=dict(_contents(names)),
            cached={path: self._share(file) for path, file in copies.items()},
            owner=self._environment,
            timeout_s=timeout_s,
        )
        return hired.index

    def answer(self, number: int, content: Any) -> None:
        for hired in self._hired:
            if hired.number == number and hired.coming is None:
                hired.coming = hired.hand.answer(number, content)

    def poll(self, timeout_s: float) -> list[Report]:
        if self._own and self._is_own_busy:
            reports = list(self._own.poll(timeout_s))
            self._is_own_busy = not any(isinstance(report, Done | Broken) for report in reports)
            return reports
        coming = {hired.coming: hired for hired in self._hired if hired.coming is not None}
        if not coming:
            time.sleep(timeout_s)
            return []
        ready = self._cluster.wait(list(coming), timeout_s=timeout_s)
        return [self._report_of(coming[one]) for one in ready]

    def hold(self, *, but: int | None) -> None:
        """Nothing: where candidates are timed nothing else runs."""

    def stop(self) -> None:
        for hired in self._hired:
            self._cluster.dismiss(hired.hand)
        self._hired.clear()
        if self._own:
            self._own.stop()

    def _hire(self, place: Place) -> _Hired:
        taken = {hired.index for hired in self._hired}
        index = next(index for index in count() if index not in taken)
        hired = _Hired(hand=self._cluster.hire(place), place=place, index=index)
        self._hired.append(hired)
        return hired

    def _report_of(self, hired: _Hired) -> Report:
        number, names = hired.number, hired.names
        assert number is not None, "only a hand with a job reports"
        assert names is not None, "only a hand with a job reports"
        try:
            heard = self._cluster.heard(hired.coming)
            report = _unpacked(heard.report, names)
            self._keep(heard, report, names)
        except LostError as why:
            self._hired.remove(hired)
            self._cluster.dismiss(hired.hand)
            failure = Failure(kind="crash", message=f"its machine went away: {why}", traceback="")
            return Broken(number=number, failure=failure, is_lost=True)
        hired.coming = None
        if not isinstance(report, Sent):
            hired.number = None
        elif not isinstance(report.payload, Question):
            hired.coming = hired.hand.next()
        return report

    def _keep(self, heard: Heard, report: Report, names: OwnerNames) -> None:
        """Makes the files that came along durable here.

        Raises:
            LostError: They are not what was sent, or lack the checkpoint that is reported.
            StorageError: They cannot be written.
        """
        rung = report.payload if isinstance(report, Sent) else None
        for (key, name), (sha256, content) in heard.files.items():
            path = names.named(("file", key, name))
            wanted = sha256
            if isinstance(rung, RungReached) and rung.path == path:
                wanted = rung.sha256
            if hashlib.sha256(content).hexdigest() != wanted:
                raise LostError(f"{name} is not what was sent")
            is_checkpoint = ".checkpoint." in name
            with storage_failures(path):
                replace_file(
                    path,
                    content,
                    partial=f".{path.name}.partial",
                    previous=previous_path(path) if is_checkpoint else None,
                )

    def _share(self, file: Path) -> Any:
        if str(file) not in self._shared:
            self._shared[str(file)] = self._cluster.share(file)
        return self._shared[str(file)]

    def _supplies(self, job: Job) -> tuple[dict[str, Name], dict[str, Path]]:
        """What a job names in words of this machine, and files that it needs in the cache there.

        Raises:
            UsageError: It needs a teacher.
        """
        texts: dict[str, Name] = {}
        copies: dict[str, Path] = {}
        for proxy, spec in _trained(job):
            if proxy.recipe.teacher != "none":
                raise UsageError(
                    "a cluster does not take a teacher along",
                    place="proxy.teacher",
                    help="search with --set proxy.teacher=none, or on one machine",
                )
            side = proxy.side(spec) if spec else proxy.resolution
            self._take_along(proxy.data, proxy.resolution, side, texts=texts, copies=copies)
            if (ancestor := proxy.weights) is not None:
                path = f"{_IN_CACHE}/{ancestor.sha256}.weights"
                copies[path] = Path(ancestor.file)
                texts[ancestor.file] = "cache", path, ancestor.file
        if images := _calibrating(job):
            self._take_along(images[0], images[1], images[1], texts=texts, copies=copies)
        return texts, copies

    def _take_along(
        self, name: str, base: int, side: int, *, texts: dict[str, Name], copies: dict[str, Path]
    ) -> None:
        """Adds prepared images of a side; by those of the side ``base`` all are named elsewhere."""
        if (name, base, side) not in self._copies:
            file = entry_path(name, resolution=side)
            if not file.exists():
                return  # not prepared yet: who comes before that reads none
            there = name_elsewhere(open_data(name, resolution=base))
            place = f"data/{entry_path(there, resolution=side).name}"
            self._copies[name, base, side] = there, place, file
        there, place, file = self._copies[name, base, side]
        texts[name] = "text", there, name
        copies[place] = file


def _unpacked(report: Report, names: OwnerNames) -> Report:
    if isinstance(report, Sent) and isinstance(report.payload, PackedPayload):
        return replace(report, payload=unpack(report.payload.content, names=names))
    if isinstance(report, Done):
        return replace(report, result=unpack(report.result, names=names))
    return report


def _contents(names: OwnerNames) -> Iterator[tuple[tuple[str, str], bytes]]:
    """The files of a job that there are, and the checkpoints before them."""
    for key, name in names.files:
        path = names.named(("file", key, name))
        for file in (path, previous_path(path)):
            if file.is_file():
                yield (key, file.name), file.read_bytes()


def _trained(job: Job) -> Iterator[tuple[Proxy, Document | None]]:
    """Networks, if there are any, and the proxies on which a job trains or tests them."""
    match job:
        case TrainJob(proxy=proxy, spec=spec):
            yield proxy, spec
        case TrialJob(trainings=trainings):
            for training in trainings:
                yield training.proxy, training.spec
        case Call(function=partial(keywords={"job": TrainJob(proxy=proxy, spec=spec)})):
            yield proxy, spec
        case Call(function=partial(keywords={"proxy": Proxy() as proxy, **given})):
            yield from ((proxy, spec) for spec in given.get("specs") or [given.get("spec")])


def _calibrating(job: Job) -> tuple[str, int] | None:
    """Name and side of the images by which a job quantises networks that it times."""
    match job:
        case (
            TimeJob(target=target) | Call(function=partial(keywords={"target": Target() as target}))
        ):
            return target.images
        case Call(function=partial(keywords={"images": (name, side)})):
            return name, side
    return None
