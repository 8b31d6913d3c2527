"""The end of a study: its front timed again beside published networks, and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import ArchbenchError, SpecError
from archbench.records.rule import FrontRule
from archbench.records.trial import TrialRecord
from archbench.search import event
from archbench.search.job import Engine
from archbench.search.ledger import Ledger
from archbench.search.stage import ConfirmJob, SealedTestJob, StageError, finish
from archbench.search.trial import weights_path

if TYPE_CHECKING:
    from archbench.evaluate import Proxy, Target
    from archbench.search.interruption import Interruption

REFERENCES = ("levit_128s", "levit_256", "cvt_13")
_KEY = "confirmed"
_ROUNDS = 2  # the second times those that the first one put on the front
_SECONDS_EACH = 120.0


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What is needed to confirm a front.

    Attributes:
        ledger: The study's truth.
        rule: What may stand on the front.
        proxy: What accuracy is taken on.
        target: What latency is taken on, or None.
        checkpoints: Folder of the weights.
        timeout_s: After how long the test of one trial is ended.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.
    """

    ledger: Ledger
    rule: FrontRule
    proxy: Proxy
    target: Target | None
    checkpoints: Path
    timeout_s: float
    interruption: Interruption
    listener: event.Listener

    @property
    def is_done(self) -> bool:
        """Whether this very front was confirmed before."""
        numbers = [record.number for record in self.front()]
        return self.ledger.store.header().get(_KEY) == numbers

    def front(self) -> list[TrialRecord]:
        """The front as it stands."""
        return self.rule.front(list(self.ledger.trials.values()))

    def run(self, engine: Engine) -> None:
        """Times and tests the members of the front; on a fresh engine that runs nothing else.

        What breaks is told as a warning, and the numbers of the search stand.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            StorageError: The study cannot be written.
        """
        if self.target is not None:
            self._time(engine, target=self.target)
        for record in self.front():
            if record.test_accuracy is None:
                self._test(engine, record)
        numbers = [record.number for record in self.front()]
        self.ledger.store.set_header(_KEY, numbers)

    def _time(self, engine: Engine, *, target: Target) -> None:
        timed: set[int] = set()
        for round_ in range(_ROUNDS):
            fresh = [record for record in self.front() if record.number not in timed]
            if not fresh:
                return
            timed |= {record.number for record in fresh}
            references = _references(fresh) if round_ == 0 else {}
            self._time_together(engine, fresh, references=references, target=target)
            self.listener(event.FrontChanged(members=tuple(self.front())))

    def _time_together(
        self,
        engine: Engine,
        records: Sequence[TrialRecord],
        *,
        references: Mapping[str, Mapping[str, Any]],
        target: Target,
    ) -> None:
        from archbench.evaluate import count

        trials = {str(record.number): record.spec for record in records}
        job = ConfirmJob(specs={**trials, **references}, target=target)
        timeout_s = _SECONDS_EACH * len(job.specs)
        try:
            measured = finish(engine, job, timeout_s=timeout_s, interruption=self.interruption)
        except StageError as error:
            self.listener(event.Warned(text=f"the front could not be timed again: {error.message}"))
            return
        for record in records:
            self.ledger.add_latency(record.number, measured[str(record.number)], kind="confirm")
        for name, spec in references.items():
            counted = count(spec)
            self.ledger.store.add_reference(name, measured[name], counted.params, counted.macs)

    def _test(self, engine: Engine, record: TrialRecord) -> None:
        files = [
            weights_path(self.checkpoints, record.number, seed=seed)
            for seed in range(self.proxy.num_seeds)
        ]
        if not all(file.exists() for file in files):
            self.listener(
                event.Warned(text=f"trial {record.number} was not tested: its weights are gone")
            )
            return
        job = SealedTestJob(number=record.number, spec=record.spec, proxy=self.proxy, weights=files)
        try:
            accuracy = finish(engine, job, timeout_s=self.timeout_s, interruption=self.interruption)
        except ArchbenchError as error:
            self.listener(event.Warned(text=f"trial {record.number} was not tested: {error}"))
            return
        self.ledger.set_test_accuracy(record.number, accuracy)


def _references(records: Sequence[TrialRecord]) -> dict[str, Mapping[str, Any]]:
    """Published networks at the resolution and classes of the first member, where legal."""
    from archbench.evaluate import as_spec

    like = records[0].spec
    found: dict[str, Mapping[str, Any]] = {}
    for name in REFERENCES:
        document = as_spec(name).to_document()
        document |= {"resolution": like["resolution"], "num_classes": like["num_classes"]}
        try:
            as_spec(document).resolved()
        except SpecError:
            continue
        found[name] = document
    return found
