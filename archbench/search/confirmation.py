"""The end of a study: who is in doubt is timed and trained again, and the front is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.confirmation import CONFIRMED, confirmation_of
from archbench.analysis.front_probability import doubt
from archbench.analysis.rule import FrontRule
from archbench.errors import ArchbenchError, SpecError
from archbench.search import events
from archbench.search.job import Engine
from archbench.search.jobs import (
    Call,
    held_out_accuracy,
    numbers_with_files,
    remove_files,
    time_together,
)
from archbench.search.kept_weights import (
    earlier_folders,
    earlier_weights,
    kept_weights,
    may_reach_front,
)
from archbench.search.optuna_mirror import Ledger
from archbench.search.pool import EnginePool
from archbench.search.repeat import Repeats
from archbench.search.scheduler import StageError, finish
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.evaluate.target import Target
    from archbench.search.interruption import Interruption

REFERENCES = ("levit_128s", "levit_256", "cvt_13")
_SECONDS_EACH = 120.0


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What is needed to confirm a front.

    Attributes:
        ledger: The study's truth.
        rule: What may stand on the front.
        proxy: What accuracy is taken on.
        target: What latency is taken on; None where none is taken again.
        checkpoints: Folder of the weights.
        budget_s: Seconds that further trainings may take in all, those of earlier runs included.
        timeout_s: After how long a training, or the test of one trial, is ended.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.
    """

    ledger: Ledger
    rule: FrontRule
    proxy: Proxy
    target: Target | None
    checkpoints: Path
    budget_s: float
    timeout_s: float
    interruption: Interruption
    listener: events.Listener

    @property
    def is_done(self) -> bool:
        """Whether this very front was confirmed before, with no smaller budget."""
        header = self.ledger.store.header()
        done = confirmation_of(header)
        numbers = [record.number for record in self.front()]
        if done is None:
            return bool(header.get(CONFIRMED) == numbers)
        is_enough = done["settled"] or done["budget_s"] >= self.budget_s
        return bool(done["front"] == numbers and is_enough)

    def front(self) -> list[TrialRecord]:
        """The front as it stands."""
        return self.rule.front(self._trials)

    def run(self, pool: EnginePool) -> None:
        """Times and trains those in doubt, then tests the members of the front.

        What breaks is told as a warning, and the numbers of the search stand.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            StorageError: The study cannot be written.
        """
        repeats = self._repeats()
        self._tell_plan(repeats)
        timed = self._time(pool, without=frozenset(), is_first=True)
        if repeats.is_worth_starting():
            repeats.run(pool.training())
            self.listener(events.FrontChanged(members=tuple(self.front())))
            self._time(pool, without=timed, is_first=False)
        for record in self.front():
            if record.test_accuracy is None:
                self._test(pool, record)
        self._tidy()
        self._note(repeats)

    @property
    def _trials(self) -> list[TrialRecord]:
        return list(self.ledger.trials.values())

    def _repeats(self) -> Repeats:
        return Repeats(
            ledger=self.ledger,
            rule=self.rule,
            proxy=self.proxy,
            folder=self.checkpoints,
            budget_s=self.budget_s,
            timeout_s=self.timeout_s,
            interruption=self.interruption,
            listener=self.listener,
        )

    def _tell_plan(self, repeats: Repeats) -> None:
        open_ = doubt(self._trials, rule=self.rule).in_doubt()
        left = max(0.0, self.budget_s - repeats.spent_s)
        those = f"{len(open_)} candidate{'s' if len(open_) != 1 else ''} in doubt"
        trained = f", up to {left:.0f} s of further training" if left > 0 and open_ else ""
        self.listener(events.StageChanged(text=f"confirming the front: {those}{trained}"))

    def _note(self, repeats: Repeats) -> None:
        found = doubt(self._trials, rule=self.rule)
        self.ledger.store.set_header(
            CONFIRMED,
            {
                "front": [record.number for record in self.front()],
                "settled": not found.in_doubt(),
                "budget_s": self.budget_s,
                "spent_s": repeats.spent_s,
            },
        )

    def _time(self, pool: EnginePool, *, without: frozenset[int], is_first: bool) -> frozenset[int]:
        """Times those in doubt in a fresh process, and at first published networks beside them."""
        if self.target is None:
            return frozenset()
        numbers = doubt(self._trials, rule=self.rule).in_doubt()
        records = [self.ledger.trials[n] for n in numbers if n not in without]
        references = _references(self._trials) if is_first and self.front() else {}
        if records or references:
            engine = pool.fresh()
            self._time_together(engine, records, references=references, target=self.target)
            self.listener(events.FrontChanged(members=tuple(self.front())))
        return frozenset(record.number for record in records)

    def _time_together(
        self,
        engine: Engine,
        records: Sequence[TrialRecord],
        *,
        references: Mapping[str, Mapping[str, Any]],
        target: Target,
    ) -> None:
        from archbench.models import count

        trials = {str(record.number): record.spec for record in records}
        specs = {**trials, **references}
        job = Call(function=partial(time_together, specs=specs, target=target))
        timeout_s = _SECONDS_EACH * len(specs)
        try:
            measured = finish(engine, job, timeout_s=timeout_s, interruption=self.interruption)
        except StageError as error:
            told = f"those in doubt could not be timed again: {error.message}"
            self.listener(events.Warned(text=told))
            return
        for record in records:
            self.ledger.add_latency(record.number, measured[str(record.number)], kind="confirm")
        for name, spec in references.items():
            counted = count(spec)
            self.ledger.store.add_reference(name, measured[name], counted.params, counted.macs)

    def _test(self, pool: EnginePool, record: TrialRecord) -> None:
        files = self._weights(record)
        if not files:
            where = [str(folder) for folder in earlier_folders(record, header=self._header)]
            too = f", and not in {' or '.join(where)}, either" if where else ""
            told = f"trial {record.number} was not tested: its weights are not here{too}"
            self.listener(events.Warned(text=told))
            return
        job = Call(
            function=partial(held_out_accuracy, spec=record.spec, proxy=self.proxy, weights=files)
        )
        try:
            accuracy = finish(
                pool.any(), job, timeout_s=self.timeout_s, interruption=self.interruption
            )
        except ArchbenchError as error:
            self.listener(events.Warned(text=f"trial {record.number} was not tested: {error}"))
            return
        self.ledger.set_test_accuracy(record.number, accuracy)

    @property
    def _header(self) -> Mapping[str, Any]:
        return self.ledger.store.header()

    def _weights(self, record: TrialRecord) -> list[Path]:
        """Of the study; where it has none, of the one that the trial was taken from."""
        num_seeds = self.proxy.num_seeds
        found = kept_weights(self.checkpoints.parent, record, num_seeds=num_seeds)
        found = found or earlier_weights(record, header=self._header, num_seeds=num_seeds)
        return list(found.values())

    def _tidy(self) -> None:
        for number in numbers_with_files(self.checkpoints):
            record = self.ledger.trials[number]
            is_kept = may_reach_front(record, rule=self.rule, among=self._trials)
            remove_files(self.checkpoints, number, keep_weights=is_kept)


def _references(records: Sequence[TrialRecord]) -> dict[str, Mapping[str, Any]]:
    """Published networks at the resolution and classes of the trials, where legal."""
    from archbench.models import as_spec

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
