"""What is known of a study at one moment, and what does its front say in the words of a person?"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from archbench.analysis.baseline import Baseline, against_baselines, baselines_of
from archbench.analysis.certificate import CertificateSummary, find_certificate, pixels, subject_of
from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import SURE, FrontProbabilities, front_probabilities
from archbench.analysis.importance import Insight, insight
from archbench.analysis.pruning import PruningReport, pruning_report
from archbench.analysis.retraining import Retraining, retraining_of
from archbench.analysis.study_header import space_typed
from archbench.command_line import command_line, study_argument
from archbench.errors import UsageError
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import (
    Reference,
    Snapshot,
    Taken,
    TrialRecord,
    trained_accuracies,
)

_SYNTHETIC = {"cluttered_digits": "synthetic digits"}
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


def verdict(study: StudyFacts) -> str:
    """What was found, how sure that is, what it says nothing about, and what to do next."""
    reason = no_front_reason(study)
    if reason is not None:
        return f"There is no front: {reason}."
    told = (
        *(_against_baselines, _found, int8_in_words, ancestor_in_words, _sure, _disturbed),
        *(certified, _in_full, _meaning),
    )
    sentences = (tell(study) for tell in told)
    return " ".join(sentence for sentence in sentences if sentence)


def no_front_reason(study: StudyFacts) -> str | None:
    """The commonest reason for which no trial stands on the front, without a full stop."""
    if study.front_records():
        return None
    trials = study.trials()
    if not trials:
        return "no design has been tried yet"
    reasons = Counter(_obstacle(study, record) for record in trials)
    ended = {name: number for name, number in reasons.items() if name != "running"}
    if not ended:
        return f"{_designs(len(trials))} begun, none has ended yet"
    commonest = max(ended, key=lambda name: ended[name])
    stopped = [record for record in trials if _obstacle(study, record) == commonest]
    return _explained(study, commonest, stopped)


def certified(study: StudyFacts) -> str:
    """Whether the proxy was found able to rank this space; empty where nobody looked."""
    certificate = study.certificate
    if certificate is None:
        return ""
    told = f"{certificate.text[:1].upper()}{certificate.text[1:]}"
    trust = "" if certificate.state == "certified" else ": this front is not to be trusted"
    return f"{told}{trust}."


def _against_baselines(study: StudyFacts) -> str:
    return against_baselines(
        study.baselines, study.trials(), rule=study.rule, sure=study.front_probabilities
    )


def _in_full(study: StudyFacts) -> str:
    """Whether the order of the best held in full training; empty where nobody looked."""
    found = study.retraining
    if found is None:
        return ""
    tau = f"{found.tau_text[:1].upper()}{found.tau_text[1:]}"
    return f"In full training ({found.how}): {found.sentence}{tau and f' {tau}.'}"


def int8_in_words(study: StudyFacts) -> str:
    """What int8 does to the designs of a study; empty where none is quantised.

    They are compared with what was quantised, and in time where both forms were timed.
    """
    trials = {record.number: record for record in study.trials()}
    both = [
        (trials[one.number if one.design is None else one.design], one)
        for one in trials.values()
        if one.quantised and one.state == "complete"
    ]
    if not both:
        return ""
    losses = [
        statistics.fmean(trained_accuracies(one).values()) - (other.proxy_accuracy or 0.0)
        for one, other in both
    ]
    loss = 100 * statistics.median(losses)
    less = f"{abs(loss):.1f} points {'less' if loss >= 0 else 'more'} accurate"
    times = [
        other.latency.value / one.latency.value
        for one, other in both
        if one is not other
        if one.latency and other.latency and one.latency.value and other.latency.value
    ]
    if not times:
        return f"In int8 designs are {less} than as trained, by the median of {len(both)}."
    ratio = statistics.median(times)
    how = f"{max(ratio, 1 / ratio):.2f} times as {'slow' if ratio >= 1 else 'fast'}"
    return f"In int8 designs are {how} here and {less}, by the median of {len(both)}."


def ancestor_in_words(study: StudyFacts) -> str:
    """From whose weights all trainings began, and what that network reaches; empty for none."""
    about, weights = (study.header.get("ancestor"), study.header.get("proxy", {}).get("weights"))
    if about is None or weights is None:
        return ""
    told = f"All trainings began from the weights of {weights['name']}"
    same = [r for r in study.trials() if r.digest == about["digest"] and r.state == "complete"]
    if same:
        reached = f"{_design(same[0], list(study.rule.objectives))} (trial {same[0].number})"
        return f"{told}, which itself stands at {reached}."
    found = (r.record.proxy_accuracy for r in study.baselines if r.name == weights["name"])
    accuracy = next(found, about["accuracy"])
    itself = "" if accuracy is None else f", which itself reaches {_percent(accuracy)}"
    return f"{told}{itself}."


def _obstacle(study: StudyFacts, record: TrialRecord) -> str:
    """What keeps a trial off the front: one word for counting."""
    if record.state != "complete":
        return record.state
    if study.rule.broken_limits(record):
        return "over_limit"
    unknown = [n for n in study.rule.objectives if objective_value(record, n) is None]
    return "unmeasured" if unknown else "chance"


def _explained(study: StudyFacts, obstacle: str, stopped: list[TrialRecord]) -> str:
    share = f"{len(stopped)} of {_designs(len(study.trials()))}"
    if obstacle == "over_limit":
        return f"{share} over the limit; {_nearest_to_limit(study, stopped)}"
    if obstacle == "failed":
        messages = Counter(f.message for r in stopped if (f := r.failure) is not None)
        message, number = messages.most_common(1)[0] if messages else ("no reason was recorded", 0)
        return f"{share} failed, {number} of them with: {message}"
    if obstacle == "pruned":
        message = Counter(r.reason for r in stopped).most_common(1)[0][0]
        return f"{share} stopped early, most often because: {message or 'not recorded'}"
    if obstacle == "unmeasured":
        return f"{share} trained without a latency that could be had"
    best = max(record.proxy_accuracy or 0.0 for record in stopped)
    rule = study.rule
    return (
        f"{share} trained, and nothing beats chance yet: the best reached {_percent(best)}, "
        f"guessing gives {_percent(rule.chance)}, and {_percent(rule.bar)} would count as better; "
        "train longer (proxy.rungs) or search larger designs"
    )


def _nearest_to_limit(study: StudyFacts, stopped: list[TrialRecord]) -> str:
    broken = Counter(name for record in stopped for name in study.rule.broken_limits(record))
    if not broken:
        return next(
            (record.reason for record in stopped if record.reason), "no reason was recorded"
        )
    name = broken.most_common(1)[0][0]
    nearest = min(v for r in stopped if (v := objective_value(r, name)) is not None)
    objective = OBJECTIVES[name]
    return (
        f"the limit is {objective.text(study.rule.limits[name])} and the nearest takes "
        f"{objective.text(nearest)}; raise limits.{name} or search smaller designs"
    )


def _found(study: StudyFacts) -> str:
    front, trained = study.front_records(), study.counts()["complete"]
    names = list(study.rule.objectives)
    ends = dict.fromkeys([_design(front[0], names), _design(front[-1], names)])
    verb = "is" if len(front) == 1 else "are"
    accuracy = " proxy accuracy" if "proxy_accuracy" in names else ""
    those = f"trained design{'s' if trained != 1 else ''}"
    if precisions := study.header.get("precisions"):
        those = f"trained designs in {' or '.join(precisions)}"
    return f"{len(front)} of {trained} {those} {verb} on the front: {' to '.join(ends)}{accuracy}."


def _design(record: TrialRecord, names: list[str]) -> str:
    """For example ``0.41 ms at 62.1 %``."""
    texts = {
        n: OBJECTIVES[n].text(v) for n in names if (v := objective_value(record, n)) is not None
    }
    accuracy = texts.pop("proxy_accuracy", None)
    costs = ", ".join(texts.values())
    return f"{costs} at {accuracy}" if accuracy else costs


def _sure(study: StudyFacts) -> str:
    """How many members belong there with 95 %, which is the least probable, and who else may."""
    chances = study.front_probabilities.on_front
    members = {r.number: chances[r.number] for r in study.front_records() if r.number in chances}
    if not members:
        return ""
    sure = sum(chance >= SURE for chance in members.values())
    least = min(members, key=lambda number: members[number])
    others = study.others_with_a_chance()
    told = f"{sure or 'None'} of {len(members)} {'belongs' if sure == 1 else 'belong'} there with "
    told += f"at least {100 * SURE:.0f} % probability"
    if sure < len(members):
        told += f"; least probable: trial {least}, {100 * members[least]:.0f} %"
    if others:
        best, chance = others[0]
        told += f"; {_designs(len(others))} off the front may, too, most probably trial {best}, "
        told += f"{100 * chance:.0f} %"
    return f"{told}."


def _disturbed(study: StudyFacts) -> str:
    front = study.front_records()
    disturbed = sum(1 for r in front if r.latency is not None and r.latency.verdict == "disturbed")
    if not disturbed:
        return ""
    return (
        f"{disturbed} of these {len(front)} latencies are noisy, as other work disturbed "
        "the machine: their order may be wrong."
    )


def _meaning(study: StudyFacts) -> str:
    proxy: dict[str, Any] = study.header["proxy"]
    data = str(proxy.get("data", "unknown data"))
    kind = data.split(":")[0]
    where = f"at {pixels(proxy)}" if "resolution" in proxy else ""
    if kind == "folder":
        best = study.front_records()[-1]
        trial = f"{study_argument(study.path)}:{best.number}"
        train = train_command(trial, proxy, epochs=100)
        return (
            f"This ranks designs by a short training on your images {where}; trained for longer "
            f"they reach more. Next: {train}"
        )
    space = space_typed(study.header)
    search = command_line("archbench", "search", space, "--data", "folder:PATH")
    return (
        f"This ranks designs on {_SYNTHETIC.get(kind, kind)} {where}; it says nothing about "
        f"your accuracy. With your photos: {search}"
    )


def _designs(number: int) -> str:
    return f"{number} design{'s' if number != 1 else ''}"


def _percent(share: float) -> str:
    return OBJECTIVES["proxy_accuracy"].text(share)


def train_command(trial: object, proxy: Mapping[str, Any], *, epochs: int) -> str:
    """What to type to train a network longer on what a study's proxy trained it on."""
    words = ["--data", proxy["data"], "--epochs", epochs]
    if not proxy.get("recipe", {}).get("mirror", True):
        words.append("--no-mirror")
    return command_line("archbench", "train", trial, *words)


def taken_in_words(trials: Sequence[TrialRecord]) -> str:
    """How many trials were taken from which study; empty where none was."""
    studies = Counter(record.origin.rpartition(":")[0] for record in trials if record.origin)
    parts = [f"{count} from {name}" for name, count in studies.items()]
    return f"of these taken over: {', '.join(parts)}" if parts else ""
