"""What does the front of a study say, in the words of a person?"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.analysis.baseline import against_baselines
from archbench.analysis.certificate import pixels
from archbench.analysis.front_probability import SURE
from archbench.analysis.study_facts import StudyFacts
from archbench.analysis.study_header import space_typed
from archbench.command_line import command_line, study_argument
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import TrialRecord, trained_accuracies

_SYNTHETIC = {"cluttered_digits": "synthetic digits"}


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
        best = study.likely_best
        assert best is not None, "there is a front"
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
    return command_line("archbench", "train", trial, "--data", proxy["data"], "--epochs", epochs)


def taken_in_words(trials: Sequence[TrialRecord]) -> str:
    """How many trials were taken from which study; empty where none was."""
    studies = Counter(record.origin.rpartition(":")[0] for record in trials if record.origin)
    parts = [f"{count} from {name}" for name, count in studies.items()]
    return f"of these taken over: {', '.join(parts)}" if parts else ""
