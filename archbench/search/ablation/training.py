"""Which trainings are still to be done, and how are they run side by side?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.search.ablation import store
from archbench.search.ablation.form import Form, form_of
from archbench.search.ablation.request import proxy_of
from archbench.search.context import Context
from archbench.search.job import Broken, Done, Sent
from archbench.search.jobs import Note, RungReached, TrainJob
from archbench.search.scheduler import Batch
from archbench.study.folder import CHECKPOINTS
from archbench.study.measurement import Measurement
from archbench.study.trial import CurvePoint

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.search.job import Report

_SLOWEST = 8.0  # times what a training was found to take
_LEAST_TIMEOUT_S = 600.0
_FINAL = ("nan", "illegal")  # the same again would fail alike

OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]


@dataclass(kw_only=True)
class Trainings:
    """What of an ablation's trainings is known, and what is not.

    Attributes:
        path: The folder.
        proxy: What accuracy is taken on, as the base is trained.
        forms: Each network and training once, the base first.
        num_seeds: Trainings of each.
        training_seconds: What one was found to take.
        accuracies: Key of a form to seed to accuracy.
        points: Key of a form to the points of its curves.
        failures: Key and seed to kind and message.
        latencies: Digest to latency; empty before it is measured.
    """

    path: Path
    proxy: Proxy
    forms: tuple[Form, ...]
    num_seeds: int
    training_seconds: float
    accuracies: dict[str, dict[int, float]] = field(default_factory=dict)
    points: dict[str, dict[tuple[int, int], CurvePoint]] = field(default_factory=dict)
    failures: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    latencies: dict[str, Measurement] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, plan: Mapping[str, Any]) -> Trainings:
        """The trainings of a plan with what the folder knows of them.

        Raises:
            StorageError: The folder cannot be read.
        """
        forms = [form_of(document) for document in (plan["base"], *plan["forms"])]
        legal: dict[str, Form] = {}
        for form in forms:
            if form.spec:
                legal.setdefault(form.key, form)
        found = cls(
            path=path,
            proxy=proxy_in(plan),
            forms=tuple(legal.values()),
            num_seeds=plan["seeds"],
            training_seconds=plan["training_seconds"],
        )
        for line in store.read_lines(path):
            found._take(line)
        return found

    @property
    def num_total(self) -> int:
        """Trainings in all."""
        return len(self.forms) * self.num_seeds

    @property
    def num_done(self) -> int:
        """Those that have ended, or failed in a way that would repeat itself."""
        return self.num_total - len(self.pending())

    def pending(self) -> list[tuple[Form, int]]:
        """Forms and seeds to be trained, every form with one seed before any with the next."""
        return [
            (form, seed)
            for seed in range(self.num_seeds)
            for form in self.forms
            if seed not in self.accuracies.get(form.key, {})
            and self.failures.get((form.key, seed), ("", ""))[0] not in _FINAL
        ]

    def tell_failures(self, note: OnNote) -> None:
        """Says what failed before and is not tried again."""
        for (key, seed), (kind, message) in self.failures.items():
            if kind in _FINAL:
                note(f"{self._form(key).name}, seed {seed} is not trained again: {message}")

    def run(
        self,
        context: Context,
        *,
        progress: OnProgress,
        note: OnNote,
    ) -> None:
        """Trains what is pending, as many at a time as the engine has workers.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what is known is stored.
            ArchbenchError: Data are gone, or the folder cannot be written.
        """
        waiting = dict(enumerate(self.pending()))
        steps = len(waiting) * len(self.proxy.recipe.rungs)
        done = 0
        what = f"training {len(waiting)} times"
        progress(what, 0, steps)

        def heard(report: Report) -> None:
            nonlocal done
            done += self._heard(report, *waiting[report.number], note=note)
            progress(what, min(done, steps), steps)

        jobs = [self._job(number, form, seed) for number, (form, seed) in waiting.items()]
        timeout_s = max(_LEAST_TIMEOUT_S, _SLOWEST * self.training_seconds)
        context.run(Batch(jobs, heard=heard), timeout_s=timeout_s)

    def _heard(self, report: Report, form: Form, seed: int, *, note: OnNote) -> int:
        """Stores what a worker reports; the points that came with it."""
        about = {"key": form.key, "seed": seed}
        match report:
            case Sent(payload=RungReached(point=point)):
                self._store({"kind": "point", "key": form.key, "point": asdict(point)})
                return 1
            case Sent(payload=Note(text=text)):
                note(f"{form.name}, seed {seed}: {text}")
            case Done():
                self._store({"kind": "accuracy", **about, "accuracy": report.result})
                self._tidy(form, seed)
                told = f"{self.num_done} of {self.num_total}: {form.name}, seed {seed}"
                note(f"{told}: {100 * report.result:.1f} %")
            case Broken():
                failure = report.failure
                kept = {"failure": failure.kind, "message": failure.message}
                self._store({"kind": "failure", **about, **kept})
                note(f"{form.name}, seed {seed} failed ({failure.kind}): {failure.message}")
        return 0

    def _job(self, number: int, form: Form, seed: int) -> TrainJob:
        assert form.spec is not None
        return TrainJob(
            number=number,
            spec=form.spec,
            proxy=proxy_of(form, self.proxy),
            seed=seed,
            checkpoint=self._checkpoint(form, seed),
        )

    def _checkpoint(self, form: Form, seed: int) -> Path:
        return self.path / CHECKPOINTS / f"{form.key}-seed-{seed}.checkpoint.safetensors"

    def _tidy(self, form: Form, seed: int) -> None:
        name = self._checkpoint(form, seed).name
        for file in (self.path / CHECKPOINTS).glob(f"{name}*"):
            file.unlink(missing_ok=True)

    def _store(self, line: store.Line) -> None:
        store.append(self.path, line)
        self._take(line)

    def _take(self, line: store.Line) -> None:
        match line["kind"]:
            case "latency":
                for digest, measured in line["measurements"].items():
                    self.latencies[digest] = Measurement.from_document(measured)
            case "point":
                point = CurvePoint(**line["point"])
                self.points.setdefault(line["key"], {})[point.seed, point.epoch] = point
            case "accuracy":
                self.accuracies.setdefault(line["key"], {})[line["seed"]] = line["accuracy"]
                self.failures.pop((line["key"], line["seed"]), None)
            case "failure":
                self.failures[line["key"], line["seed"]] = line["failure"], line["message"]

    def _form(self, key: str) -> Form:
        return next(form for form in self.forms if form.key == key)


def proxy_in(plan: Mapping[str, Any]) -> Proxy:
    """The proxy of a plan, as the base is trained."""
    from archbench.evaluate.proxy import Proxy

    kept = plan["proxy"]
    return Proxy.from_document(
        kept, plan=kept["plan"], num_seeds=plan["seeds"], scale=kept["scale"]
    )
