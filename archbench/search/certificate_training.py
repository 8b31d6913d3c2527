"""Which trainings of a certificate are still to be done, and what do those that ended show?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.certificate import (
    DOCUMENT,
    Candidate,
    Certificate,
    certificate_bytes,
)
from archbench.analysis.front import FrontRule
from archbench.analysis.judgement import METHOD, judge
from archbench.command_line import command_line, named_in_results
from archbench.search import journal
from archbench.search.certificate_design import epochs_told
from archbench.search.context import Context
from archbench.search.job import Broken, Done, Sent
from archbench.search.jobs import Note, RungReached, TrainJob
from archbench.search.scheduler import Batch
from archbench.study.file import write_atomically
from archbench.study.folder import CHECKPOINTS

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.search.job import Report

SCHEMA = "archbench.certificate-plan/1"
_SLOWEST = 8.0  # times what a training was found to take
_LEAST_TIMEOUT_S = 600.0
_FINAL = ("nan", "illegal")  # the same again would fail alike
_KEPT = (
    "created", "command", "space_name", "question", "subject", "proxy", "seeds", "longer",
    "workers", "notes", "environment",
)  # fmt: skip

OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """One training of a certificate.

    Attributes:
        digest: Of the network.
        is_longer: Whether it is one of the longer ones.
        seed: Which.
    """

    digest: str
    is_longer: bool
    seed: int


@dataclass(kw_only=True)
class Trainings:
    """What of a certificate's trainings is known.

    Attributes:
        path: The folder.
        plan: What is trained.
        points: Of each training, epoch to accuracy.
        ended: The trainings that reached their last epoch.
        failures: Training to kind and message.
    """

    path: Path
    plan: Mapping[str, Any]
    points: dict[Training, dict[int, float]] = field(default_factory=dict)
    ended: set[Training] = field(default_factory=set)
    failures: dict[Training, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, plan: Mapping[str, Any]) -> Trainings:
        """The trainings of a plan with what the folder knows of them.

        Raises:
            StorageError: The folder cannot be read.
        """
        found = cls(path=path, plan=plan)
        for line in journal.read_lines(path):
            found._take(line)
        return found

    @property
    def all(self) -> list[Training]:
        """Seed by seed, first as long as the proxy's; longer ones have seeds of their own."""
        num = int(self.plan["seeds"])
        return [
            Training(candidate["digest"], is_longer, seed + num * is_longer)
            for seed in range(num)
            for is_longer in (False, True)
            for candidate in self.plan["candidates"]
        ]

    @property
    def pending(self) -> list[Training]:
        """Those that are still to be done."""
        return [
            training
            for training in self.all
            if training not in self.ended and self.failures.get(training, ("", ""))[0] not in _FINAL
        ]

    def certificate(self) -> Certificate:
        """The certificate as far as it is known."""
        plan = self.plan
        candidates = tuple(self._candidate(written) for written in plan["candidates"])
        proxy, longer = plan["proxy"], plan["longer"]
        tried = self.ended | self.failures.keys()
        finding = None
        if tried.issuperset(self.all):
            finding = judge(
                candidates,
                proxy_seeds=proxy["seeds"],
                bar=_bar(proxy),
                most=plan.get("most_candidates"),
                holds_for=(
                    f"That holds for {proxy['data']} at {proxy['resolution']} px and "
                    f"{proxy['rungs'][-1]} epochs, judged by {longer}; it says nothing of other "
                    "data or of full training."
                ),
            )
        return Certificate(
            path=self.path,
            header={key: plan[key] for key in _KEPT} | {"method": METHOD},
            candidates=candidates,
            num_trainings=len(self.all),
            num_done=len(self.all) - len(self.pending),
            finding=finding,
        )

    def run(
        self,
        context: Context,
        *,
        proxy: Proxy,
        progress: OnProgress,
        note: OnNote,
    ) -> None:
        """Trains what is pending and, when all has ended, writes the certificate.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what is known is stored.
            ArchbenchError: Data are gone, or the folder cannot be written.
        """
        waiting = dict(enumerate(self.pending))
        what = f"training {len(waiting)} times"
        progress(what, 0, len(waiting))
        done = 0

        def heard(report: Report) -> None:
            nonlocal done
            self._heard(report, waiting[report.number], note=note)
            done += not isinstance(report, Sent)
            progress(what, done, len(waiting))

        seconds = self.plan["epoch_seconds"] * self.plan["longer"]
        jobs = [self._job(number, training, proxy) for number, training in waiting.items()]
        batch = Batch(jobs, heard=heard)
        context.run(batch, timeout_s=max(_LEAST_TIMEOUT_S, _SLOWEST * seconds))
        write_atomically(self.path / DOCUMENT, certificate_bytes(self.certificate()))

    def _heard(self, report: Report, training: Training, *, note: OnNote) -> None:
        about = asdict(training)
        match report:
            case Sent(payload=RungReached(point=point)):
                known = {"epoch": point.epoch, "accuracy": point.accuracy}
                self._store({"kind": "point", **about, **known})
            case Sent(payload=Note(text=text)):
                note(f"{training.digest}, seed {training.seed}: {text}")
            case Done():
                self._store({"kind": "end", **about})
                for file in (self.path / CHECKPOINTS).glob(f"{_checkpoint(training)}*"):
                    file.unlink(missing_ok=True)
            case Broken():
                failure = report.failure
                kept = {"failure": failure.kind, "message": failure.message}
                self._store({"kind": "failure", **about, **kept})
                seed = f"{training.digest}, seed {training.seed}"
                note(f"{seed} failed ({failure.kind}): {failure.message}")

    def _job(self, number: int, training: Training, proxy: Proxy) -> TrainJob:
        rungs = epochs_told(proxy.recipe.rungs)
        if training.is_longer:
            rungs = tuple(sorted({*rungs, int(self.plan["longer"])}))
        specs = {candidate["digest"]: candidate["spec"] for candidate in self.plan["candidates"]}
        return TrainJob(
            number=number,
            spec=specs[training.digest],
            proxy=replace(proxy, recipe=replace(proxy.recipe, rungs=rungs)),
            seed=training.seed,
            checkpoint=self.path / CHECKPOINTS / _checkpoint(training),
        )

    def _store(self, line: journal.Line) -> None:
        journal.append(self.path, line)
        self._take(line)

    def _take(self, line: journal.Line) -> None:
        training = Training(line["digest"], line["is_longer"], line["seed"])
        match line["kind"]:
            case "point":
                self.points.setdefault(training, {})[line["epoch"]] = line["accuracy"]
            case "end":
                self.ended.add(training)
                self.failures.pop(training, None)
            case "failure":
                self.failures[training] = line["failure"], line["message"]

    def _candidate(self, written: Mapping[str, Any]) -> Candidate:
        mine = [training for training in self.all if training.digest == written["digest"]]
        ended = {t: self.points[t] for t in mine if t in self.ended}
        return Candidate(
            digest=written["digest"],
            choices=written["choices"],
            params=written["params"],
            macs=written["macs"],
            proxy={t.seed: points for t, points in ended.items() if not t.is_longer},
            longer={t.seed: points[max(points)] for t, points in ended.items() if t.is_longer},
            failures=tuple(
                f"seed {t.seed} failed ({kind}): {message}"
                for t, (kind, message) in self.failures.items()
                if t in mine
            ),
        )


def resume_command(path: Path) -> str:
    """What to type to go on with a certificate."""
    return command_line("archbench", "certify", *named_in_results(path), "--resume")


JOURNAL = journal.Journal(noun="certificate", schema=SCHEMA, resume_command=resume_command)


def read_certificate(path: Path) -> Certificate:
    """Everything that is known of a certificate; it may still be running.

    Raises:
        StorageError: There is no certificate, or it cannot be read.
    """
    return Trainings.of(path, JOURNAL.read_plan(path)).certificate()


def is_certificate(path: Path) -> bool:
    """Whether a certificate lies at a path."""
    return JOURNAL.is_at(path)


def _checkpoint(training: Training) -> str:
    length = "longer" if training.is_longer else "proxy"
    return f"{training.digest}-{length}-seed-{training.seed}.checkpoint.safetensors"


def _bar(proxy: Mapping[str, Any]) -> float:
    """The accuracy from which a candidate is better than guessing, as for a front."""
    return FrontRule(
        objectives={}, limits={}, chance=proxy["chance"], num_validation=proxy["num_validation"]
    ).bar
