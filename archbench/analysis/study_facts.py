"""What is known of a study at one moment: its trials, its front and what follows from them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from archbench.analysis import wish
from archbench.analysis.baseline import Baseline, baselines_of
from archbench.analysis.certificate import CertificateSummary, find_certificate, subject_of
from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import SURE, FrontProbabilities, front_probabilities
from archbench.analysis.importance import Insight, insight
from archbench.analysis.pruning import PruningReport, pruning_report
from archbench.analysis.retraining import Retraining, retraining_of
from archbench.command_line import command_line
from archbench.errors import UsageError
from archbench.study.objective import objective_value
from archbench.study.trial import Reference, Snapshot, Taken, TrialRecord

_STATES = ("complete", "pruned", "over_limit", "failed", "running")


class StudyFacts:
    """A study at one moment: its trials, its front and what follows from them."""

    def __init__(self, path: Path, *, snapshot: Snapshot) -> None:
        self.path = path
        self._snapshot = snapshot

    @property
    def header(self) -> Mapping[str, Any]:
        """What the study is: keys and JSON values."""
        return self._snapshot.header

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.header.get("name") or self.path.resolve().name)

    def trials(self) -> list[TrialRecord]:
        """All trials by number."""
        return list(self._snapshot.trials)

    def trial(self, number: int) -> TrialRecord:
        """One trial.

        Raises:
            UsageError: There is no such trial.
        """
        for record in self._snapshot.trials:
            if record.number == number:
                return record
        report = command_line("archbench", "report", self.path)
        raise UsageError(
            f"there is no trial {number} in the study",
            place=self.name,
            help=f"it has {len(self._snapshot.trials)} trials; see: {report}",
        )

    def references(self) -> list[Reference]:
        """Published networks measured beside the study, by name."""
        return list(self._snapshot.references)

    @cached_property
    def baselines(self) -> list[Baseline]:
        """Known networks that were timed and trained as the candidates are, as named or chosen."""
        return baselines_of(self._snapshot)

    def taken(self) -> list[Taken]:
        """Every measurement, of trials and references, in the order taken."""
        return list(self._snapshot.measurements)

    @cached_property
    def certificate(self) -> CertificateSummary | None:
        """The newest certificate beside the study that holds for its space and proxy."""
        return find_certificate(self.path.resolve().parent, subject_of(self.header))

    @cached_property
    def retraining(self) -> Retraining | None:
        """What its best designs reached in full training; None where none was trained so."""
        sure = self.front_probabilities
        return retraining_of(self.header, self._snapshot.trials, path=self.path, sure=sure)

    @cached_property
    def insight(self) -> Insight:
        """Which choices matter, and where bounds cut."""
        axes = self.header.get("axes", {})
        return insight(self._snapshot.trials, self._front, rule=self.rule, axes=axes)

    @cached_property
    def rule(self) -> FrontRule:
        """Which trials may stand on the front.

        Raises:
            StorageError: The header lacks an entry that this needs.
        """
        return FrontRule.of(self.header, place=str(self.path))

    @cached_property
    def front_probabilities(self) -> FrontProbabilities:
        """How sure each candidate's place is, the front's hypervolume with its interval."""
        return front_probabilities(self._snapshot.trials, rule=self.rule)

    def others_with_a_chance(self) -> list[tuple[int, float]]:
        """Trials off the front that may belong there, with the probability, the likeliest first."""
        members = {record.number for record in self._front}
        chances = self.front_probabilities.on_front.items()
        found = [(n, chance) for n, chance in chances if n not in members and chance > 1 - SURE]
        return sorted(found, key=lambda entry: (-entry[1], entry[0]))

    def front_records(self) -> list[TrialRecord]:
        """The members of the front, cheapest first."""
        return list(self._front)

    def by_accuracy(
        self, records: Iterable[TrialRecord], *, follows: bool = True
    ) -> list[TrialRecord]:
        """Trained designs, the likely most accurate first, of equal tenths of a point the cheaper.

        Where it ``follows`` full trainings, those who had one come in the order of these, if the
        first by the short ones is among them.
        """
        likely, full = self.front_probabilities.accuracy, self.retraining

        def order(record: TrialRecord) -> tuple[float, float, int]:
            return -round(likely[record.number].value, 3), self.cost(record), record.number

        ordered = sorted(records, key=order)
        if follows and full and ordered and full.result_of(ordered[0].number):
            places = {one.number: place for place, one in enumerate(full.results)}
            ordered.sort(key=lambda record: places.get(record.number, len(places)))
        return ordered

    @cached_property
    def likely_best(self) -> TrialRecord | None:
        """The likely most accurate design within the limits, as ``pick`` takes it.

        It is one of the front where none keeps the limits surely, and None where there is no front.
        """
        found, limits = self.front_probabilities, self.rule.limits.keys()
        sure = [
            record
            for record in self._snapshot.trials
            if record.number in found.accuracy
            if found.meets.get(record.number, {}).keys() == limits
            if found.meets_limits.get(record.number, 1.0) >= wish.SURE
        ]
        return next(iter(self.by_accuracy(sure or self._front)), None) if self._front else None

    @cached_property
    def recommended(self) -> TrialRecord | None:
        """The cheapest design within one standard error of the likely best; None without a front.

        That is the rule of Breiman et al. 1984, Classification and Regression Trees, sec. 3.4.3:
        more cost that buys no accuracy beyond the noise is not worth having. Where the likely best
        was trained in full, those that were too are compared, by that training; else the front is.
        """
        best = self.likely_best
        if best is None:
            return None
        full, among = self.retraining, self._front
        reached = self.front_probabilities.accuracy
        if full and full.result_of(best.number):
            among = [one.record for one in full.results]
            reached = {one.number: one.accuracy for one in full.results}
        top, limits = reached[best.number], self.front_probabilities.meets_limits
        found = [
            record
            for record in among
            if record.number in reached
            and reached[record.number].value >= top.value - top.standard_error
            if limits.get(record.number, 1.0) >= wish.SURE
        ]
        return min([*found, best], key=self.cost)

    def cost(self, record: TrialRecord) -> float:
        """What counts as the cost of a trial, less being better; infinite where it is not known.

        That is the first objective beside accuracy, of those that are minimised where one is.
        """
        ways = {name: way for name, way in self.rule.objectives.items() if name != "proxy_accuracy"}
        name = next((name for name, way in ways.items() if way == "min"), next(iter(ways), "macs"))
        value = objective_value(record, name)
        if value is None:
            return math.inf
        return value if ways.get(name, "min") == "min" else -value

    def counts(self) -> dict[str, int]:
        """How many trials are complete, pruned, over_limit, failed and running."""
        found = Counter[str](record.state for record in self._snapshot.trials)
        return {state: found[state] for state in _STATES}

    def reference_point(self) -> dict[str, float] | None:
        """Objective to the worst corner of the hypervolume; None while a cost is unknown."""
        return self.rule.reference_point(self._snapshot.trials)

    def hypervolume(self) -> float:
        """Share of the box between reference point and ideal that the front covers, 0 to 1."""
        return self.rule.hypervolume(self._snapshot.trials)

    @cached_property
    def pruning(self) -> PruningReport | None:
        """What stopping early saved and lost; None where no trial was to be stopped."""
        proxy = self.header.get("proxy", {})
        return pruning_report(
            self._snapshot.trials,
            rule=self.rule,
            rungs=proxy.get("rungs", ()),
            num_seeds=proxy.get("seeds", 1),
        )

    @cached_property
    def _front(self) -> list[TrialRecord]:
        return self.rule.front(self._snapshot.trials)
