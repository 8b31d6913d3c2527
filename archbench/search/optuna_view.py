"""The open study of a search: our tables, shown in Optuna's so that its own tools open them.

Our tables alone are true. What happens is written there first; Optuna's are a view of them, written
after, and mended when a study is opened for writing. Nothing is read from them but front
probabilities, until they are counted again.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from archbench.analysis.front import FrontRule
from archbench.errors import StorageError
from archbench.search.optuna_tables import OptunaStudy, TrialRows, make_tables, rows_of
from archbench.search.suggestion import BY_CHANCE
from archbench.study.database import Store
from archbench.study.objective import costs, objective_value
from archbench.study.shape import PUT_BACK, require_entries
from archbench.study.study_folder import another_from
from archbench.study.trial import PRECISION, Taken, TrialRecord, precision_of
from archbench.study.trial import TrialState as State

_TOLD_AS: Mapping[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "over_limit": TrialState.PRUNED,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_distribution = lru_cache(maxsize=1024)(json_to_distribution)
_PROBABILITY = "front_probability"
"""Of the user attributes that a trial is shown with."""


class Ledger(Store):
    """The store of a search, whose trials are shown to Optuna's tools; only its owner has one."""

    _shown: OptunaStudy | None = None
    _front: frozenset[int] = frozenset()
    _sure: Mapping[int, float] = MappingProxyType({})  # trial to its front probability

    @classmethod
    def create(cls, path: Path | str, header: Mapping[str, Any]) -> Self:
        """See ``Store.create``; ``name`` and ``objectives`` of the header are Optuna's, too."""
        study = super().create(path, header)
        _mend_or_close(study)
        return study

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """See ``Store.open``; Optuna's tables are mended."""
        study = super().open(path)
        _mend_or_close(study)
        return study

    @property
    def designs(self) -> list[TrialRecord]:
        """The trials that were proposed: not those that share the training of another."""
        return [record for record in self.trials.values() if record.design is None]

    @property
    def next_number(self) -> int:
        """The number that the next trial will have."""
        return len(self.trials)

    def begin(
        self, record: TrialRecord, *, drawn: FrozenTrial, taken: Sequence[Taken] | None = None
    ) -> None:
        """Adds a trial that begins, or that has ended in another study; see ``Store.add_trial``.

        ``drawn`` is how it was drawn, or would have been from this study's space.
        """
        assert record.number == self.next_number, "numbers are given in order, by one owner"
        with self.transaction():
            self.add_trial(record, taken=taken)
            self.set_notes(record.number, _notes_of(drawn, started=None))

    def begin_like(self, record: TrialRecord, other: int) -> None:
        """Adds a trial that has ended, of the design that another one was drawn as."""
        with self.transaction():
            self.add_trial(record)
            kept = {"system_attrs": {}, "started": self.notes[other]["started"]}
            self.set_notes(record.number, {**self.notes[other], **kept})

    def re_encode(self, number: int, *, choices: Mapping[str, Any], drawn: FrozenTrial) -> None:
        """Writes a trial as another space encodes it.

        Optuna refuses trials whose values were drawn from other choices, and its samplers pass
        over them: so all trials of a study bear the values of its present space.
        """
        kept = {key: self.notes[number][key] for key in ("system_attrs", "started")}
        self.set_notes(number, {**_notes_of(drawn, started=None), **kept})
        self.update(number, choices={**choices, **precision_of(self.trials[number])})

    def knowledge(self, record: TrialRecord) -> dict[str, Any]:
        """What a sampler may learn from a trial besides its objectives: see ``Suggester.tell``."""
        others = [name for name in self._objectives if name != "proxy_accuracy"]
        known = [objective_value(record, name) for name in others]
        cost = [value for value in known if value is not None]
        return {
            "curve": [[point.seed, point.epoch, point.accuracy] for point in record.curve],
            "cost": cost if len(cost) == len(known) else [],
            "latency_ms": objective_value(record, "latency_ms"),
            "arithmetic": [objective_value(record, name) for name in costs("arithmetic")],
        }

    def frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial as a sampler knows it; a complete one has its objectives as values.

        Raises:
            StorageError: What a sampler noted of it is nothing that one notes.
        """
        try:
            return self._frozen(record)
        except (ValueError, LookupError, TypeError, OverflowError) as error:
            raise StorageError(
                f"what a sampler noted of trial {record.number} cannot be used: {error!s:.80}",
                place=str(self.path),
                help=PUT_BACK,
            ) from error

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        notes, state = self.notes[record.number], _TOLD_AS[record.state]
        started = datetime.fromisoformat(notes["started"])
        ended = started + timedelta(seconds=record.seconds) if state.is_finished() else None
        distributions = {axis: _distribution(text) for axis, text in notes["distributions"].items()}
        params = {axis: notes["params"][axis] for axis in distributions}
        for axis, one in distributions.items():
            one.to_internal_repr(params[axis])  # which raises for a value of another kind
        values = [objective_value(record, name) for name in self._objectives]
        known = [float(value) for value in values if value is not None]
        return FrozenTrial(
            number=record.number,
            trial_id=record.number + 1,
            state=state,
            value=None,
            values=known if state == TrialState.COMPLETE else None,
            datetime_start=started,
            datetime_complete=ended,
            params=params,
            distributions=distributions,
            user_attrs={"digest": record.digest},
            system_attrs=dict(notes["system_attrs"]),
            intermediate_values={},
        )

    def frozen_trials(self) -> list[FrozenTrial]:
        """Every trial as a sampler knows it, by number."""
        return [self.frozen(record) for record in self.trials.values()]

    def left_to_chance(self) -> dict[str, Any]:
        """How many candidates the sampler left to chance, as the header keeps it."""
        own = [self.notes[r.number] for r in self.designs if not r.origin]
        left = [note for note in own if BY_CHANCE in note["system_attrs"]]
        partly = [
            note["system_attrs"][BY_CHANCE]
            for note in left
            if not note["params"].keys() <= set(note["system_attrs"][BY_CHANCE])
        ]
        return {
            "candidates": len(own),
            "partly": len(partly),
            "wholly": len(left) - len(partly),
            "axes": sorted(set(chain.from_iterable(partly))),
        }

    def mend(self) -> None:
        """Makes Optuna's tables what ours say, whatever they hold, without touching what is right.

        Raises:
            StorageError: The header or a sampler's notes are not whole, as those of archbench 0.1,
                or others have studies in tables that Optuna cannot open.
        """
        header, unnoted = self.header(), sorted(self.trials.keys() - self.notes.keys())
        require_entries(header, ("name", "objectives"), place=self.path)
        if unnoted:
            raise StorageError(
                f"it does not say how the trials {unnoted} were drawn, as archbench 0.1 did not",
                place=str(self.path),
                help="put the database back from its backup; or begin another study, that takes "
                f"over what it can: {another_from(self.path.parent)}",
            )
        make_tables(self.path, name=header["name"])
        self._shown = OptunaStudy(header["name"], directions=header["objectives"])
        with self.transaction() as connection:
            self._written.clear()  # all are shown here
            told = self._shown.attributes(connection, _PROBABILITY)
            self._sure = {n: one for n, one in told.items() if _is_probability(one)}
            self._front = self._front_now()
            trials = {number: self._rows(record) for number, record in self.trials.items()}
            self._shown.mend(connection, trials)

    def show_probabilities(self, on_front: Mapping[int, float]) -> None:
        """Shows how probable it is that trials are on the front, as it was found last."""
        changed = {n for n, chance in on_front.items() if self._sure.get(n) != chance}
        changed |= self._sure.keys() - on_front.keys()
        self._sure = dict(on_front)
        self._show([self.trials[number] for number in sorted(changed & self.trials.keys())])

    @cached_property
    def _objectives(self) -> tuple[str, ...]:
        return tuple(self.header()["objectives"])

    @cached_property
    def _rule(self) -> FrontRule | None:
        """None where it is not known yet who may stand on the front."""
        with suppress(StorageError):
            return FrontRule.of(self.header(), place=str(self.path))
        return None

    def _front_now(self) -> frozenset[int]:
        found = self._rule.front(list(self.trials.values())) if self._rule else []
        return frozenset(record.number for record in found)

    def _show(self, records: Sequence[TrialRecord]) -> None:
        if self._shown is None:  # not mended yet, which shows all
            return
        changed = {record.number for record in records}
        if self._front & changed or any(record.state == "complete" for record in records):
            before, self._front = self._front, self._front_now()
            changed |= before ^ self._front
        shown, self._shown = self._shown, None  # what is half written is mended another time
        with self.transaction() as connection:
            is_there = shown.is_there(connection)
            for number in sorted(changed) if is_there else ():
                shown.write(connection, number, self._rows(self.trials[number]))
        self._shown = shown
        if not is_there:  # somebody deleted it in a dashboard
            self.mend()

    def _rows(self, record: TrialRecord) -> TrialRows:
        """A trial as it is shown.

        Optuna's tools know no bar and take every complete trial for a candidate of the front: one
        that may not stand there is shown as pruned, as one over a limit is.
        """
        trial, number = self.frozen(record), record.number
        if trial.state == TrialState.COMPLETE and self._rule and not self._rule.is_eligible(record):
            trial.state, trial.values = TrialState.PRUNED, None
        known = {
            "state": record.state,
            "reason": record.reason or None,
            **{name: objective_value(record, name) for name in ("proxy_accuracy", "latency_ms")},
            "macs": record.macs,
            "params": record.params,
            "precision": record.choices.get(PRECISION),
            "on_front": number in self._front if self._rule else None,
            _PROBABILITY: self._sure.get(number),
        }
        trial.user_attrs |= {key: value for key, value in known.items() if value is not None}
        return rows_of(trial, distributions=self.notes[number]["distributions"])


def quiet_optuna() -> None:
    """Lets Optuna log warnings only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _mend_or_close(study: Ledger) -> None:
    try:
        study.mend()
    except BaseException:
        study.close()
        raise


def _is_probability(value: object) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def _notes_of(drawn: FrozenTrial, *, started: datetime | None) -> dict[str, Any]:
    """What our tables keep of how a trial was drawn, JSON values."""
    distributions = drawn.distributions.items()
    return {
        "params": dict(drawn.params),
        "distributions": {axis: distribution_to_json(one) for axis, one in distributions},
        "system_attrs": dict(drawn.system_attrs),
        "started": (started or datetime.now()).isoformat(),
    }
