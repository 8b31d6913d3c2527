"""Which design of a study to take, how sure is that, and what is to be typed next?"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from archbench.analysis.baseline import against_baselines
from archbench.analysis.certificate import pixels
from archbench.analysis.front_probability import SURE
from archbench.analysis.statistics import Estimate
from archbench.analysis.study_facts import StudyFacts
from archbench.analysis.study_header import space_typed
from archbench.command_line import command_line, study_argument
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import TrialRecord, trained_accuracies

_NO_CHANGE = 0.0005  # of accuracy, less than a tenth of a point
_SYNTHETIC = {"cluttered_digits": "synthetic digits"}


def verdict(study: StudyFacts) -> str:
    """Which design to take, how sure all is, what it says nothing about and what to type next."""
    following = next_command(study) if study.front_records() else ""
    told = [answer(study), *doubts(study), following and f"Next: {following}"]
    return " ".join(filter(None, told))


def answer(study: StudyFacts) -> str:
    """Which design to take, and what others cost and reach beside it."""
    reason, taken = no_front_reason(study), study.recommended
    if reason is not None or taken is None:
        return f"There is no front: {reason}."
    known = against_baselines(
        study.baselines, study.trials(), rule=study.rule, sure=study.front_probabilities
    )
    take = f"Take trial {taken.number}: {design_in_words(study, taken)}."
    told = [take, known.beaten, known.unbeaten]
    if known.unbeaten and not known.beaten:
        told = [known.unbeaten, f"Else {take[0].lower()}{take[1:]}"]
    others = (_beside(study, taken, other) for other in _alternatives(study, taken))
    return " ".join(filter(None, [*told, *others]))


def doubts(study: StudyFacts) -> list[str]:
    """How sure the front is, and what it says nothing about; nothing without a front."""
    if not study.front_records():
        return []
    told = (
        _sure,
        _why,
        _disturbed,
        int8_in_words,
        ancestor_in_words,
        certified,
        _in_full,
        _meaning,
    )
    return [sentence for tell in told if (sentence := tell(study))]


def next_command(study: StudyFacts) -> str:
    """What to type next: train or export the design to take, or search on one's own photos."""
    taken, data = study.recommended, str(study.header["proxy"].get("data", ""))
    if data.split(":")[0] in _SYNTHETIC:
        space = space_typed(study.header)
        return command_line("archbench", "search", space, "--data", "folder:PATH")
    if taken is None:
        return ""
    if study.retraining and study.retraining.result_of(taken.number):
        trial = f"{study_argument(study.path)}:{taken.number}"
        return command_line("archbench", "export", trial, "--to", "onnx")
    return train_command(study, taken.number if taken.design is None else taken.design)


def train_command(study: StudyFacts, number: int | str) -> str:
    """What to type to train a design longer, on the data of its study."""
    trial = f"{study_argument(study.path)}:{number}"
    return command_line("archbench", "train", trial, "--epochs", 100)


def design_in_words(study: StudyFacts, record: TrialRecord) -> str:
    """For example ``0.54 ms, 76.4 % proxy accuracy (test 76.6 ± 1.1 %)``.

    Of a design that was trained in full it is the accuracy of that training.
    """
    full = study.retraining and study.retraining.result_of(record.number)
    texts = _costs(study, record)
    reached, kind = record.proxy_accuracy, "proxy accuracy"
    tested, images = record.test_accuracy, study.header["proxy"].get("num_test")
    if full:
        reached, kind = full.accuracy.value, "validation accuracy in full training"
        tested = full.test.value if full.test else None
    test = ""
    if tested is not None:
        error = f" ± {100 * math.sqrt(tested * (1 - tested) / images):.1f}" if images else ""
        test = f" (test {100 * tested:.1f}{error} %)"
    if reached is not None:
        texts.append(f"{_percent(reached)} {kind}{test}")
    return f"{', '.join(texts)}{' in int8' * record.is_int8}"


def accuracy_change(study: StudyFacts, one: TrialRecord, other: TrialRecord) -> Estimate | None:
    """The expected accuracy of the other less that of the one, in full where both were trained so.

    None where one of them is not known.
    """
    full, likely = study.retraining, study.front_probabilities.accuracy
    if full and (mine := full.result_of(one.number)) and (theirs := full.result_of(other.number)):
        return full.difference(mine, theirs)
    if not {one.number, other.number} <= likely.keys():
        return None
    before, after = likely[one.number], likely[other.number]
    half = math.hypot(before.high - before.low, after.high - after.low) / 2
    value = after.value - before.value
    return Estimate(value=value, low=value - half, high=value + half)


def _alternatives(study: StudyFacts, taken: TrialRecord) -> list[TrialRecord]:
    """The likely most accurate design, and of the cheaper ones of the front the most accurate."""
    own = study.cost(taken)
    cheaper = [record for record in study.front_records() if study.cost(record) < own]
    found = [study.likely_best, *study.by_accuracy(cheaper)[:1]]
    return [record for record in found if record is not None and record.number != taken.number]


def _beside(study: StudyFacts, taken: TrialRecord, other: TrialRecord) -> str:
    """What another design costs and gains or loses, as 0.85 ms and a loss of 6.0 points."""
    change = accuracy_change(study, taken, other)
    if change is None:
        return ""
    first = next((name for name in study.rule.objectives if name != "proxy_accuracy"), "")
    verb = "takes" if first == "latency_ms" else "has"
    does = f"{verb} {', '.join(_costs(study, other))} and is expected to"
    if abs(change.value) < _NO_CHANGE:
        return f"Trial {other.number} {does} be as accurate."
    gains = "gain" if change.value >= 0 else "lose"
    points = (
        f"{100 * abs(change.value):.1f} points{'' if change.is_resolved else ' (not significant)'}"
    )
    return f"Trial {other.number} {does} {gains} {points}."


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
        reached = f"{_design(study, same[0])} (trial {same[0].number})"
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


def _design(study: StudyFacts, record: TrialRecord) -> str:
    """For example ``0.41 ms at 62.1 %``."""
    costs, reached = ", ".join(_costs(study, record)), record.proxy_accuracy
    return costs if reached is None else f"{costs} at {_percent(reached)}"


def _costs(study: StudyFacts, record: TrialRecord) -> list[str]:
    """What a design is worth by each objective but its accuracy, as ``0.41 ms``."""
    names = [name for name in study.rule.objectives if name != "proxy_accuracy"]
    return [OBJECTIVES[n].text(v) for n in names if (v := objective_value(record, n)) is not None]


def _sure(study: StudyFacts) -> str:
    """How many designs are on the front, how surely, and which others may belong there."""
    front, trained = study.front_records(), study.counts()["complete"]
    chances = study.front_probabilities.on_front
    members = [chances[record.number] for record in front if record.number in chances]
    those = f"{trained} trained design{'s' if trained != 1 else ''}"
    if precisions := study.header.get("precisions"):
        those = f"{trained} trained designs in {' or '.join(precisions)}"
    told = f"By the measured values {len(front)} of {those} {_are(len(front))} on the front"
    unsure = sorted(chance for chance in members if chance < SURE)
    if members and not unsure:
        told += f", with a probability of {100 * SURE:.0f} % or more"
    elif unsure:
        low, high = (f"{100 * chance:.0f}" for chance in (unsure[0], unsure[-1]))
        span = low if low == high else f"{low}–{high}"
        sure = len(members) - len(unsure)
        told += (
            f"; {sure} {_are(sure)} Pareto-optimal with a probability of {100 * SURE:.0f} % or "
            f"more, the others with {span} %"
            if sure
            else f"; no design is certain to be Pareto-optimal ({span} %)"
        )
    if others := study.others_with_a_chance():
        best, chance = others[0]
        told += f"; {_designs(len(others))} off the front may be Pareto-optimal, most probably "
        told += f"trial {best} ({100 * chance:.0f} %)"
    return f"{told}."


def _why(study: StudyFacts) -> str:
    """By which rule the design to take was chosen."""
    best, taken = study.likely_best, study.recommended
    if best is None or taken is None or best.number == taken.number:
        return ""
    return (
        f"Trial {taken.number} is the cheapest within one standard error of the likely most "
        f"accurate, trial {best.number}."
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _disturbed(study: StudyFacts) -> str:
    front = study.front_records()
    noisy = sum(1 for r in front if r.latency is not None and r.latency.verdict == "disturbed")
    if not noisy:
        return ""
    return (
        f"{noisy} of {len(front)} latencies of the front {_are(noisy)} noisy because other work "
        "disturbed the machine: their order may be wrong."
    )


def _meaning(study: StudyFacts) -> str:
    """What the accuracies of the search say of those that a user will see."""
    proxy: dict[str, Any] = study.header["proxy"]
    data = str(proxy.get("data", "unknown data"))
    kind = data.split(":")[0]
    where = f"at {pixels(proxy)}" if "resolution" in proxy else ""
    if kind == "folder":
        return (
            f"This ranks designs by a short training on your images {where}; trained for longer "
            "they reach more."
        )
    return (
        f"This ranks designs on {_SYNTHETIC.get(kind, kind)} {where}; it says nothing about your "
        "accuracy."
    )


def _designs(number: int) -> str:
    return f"{number} design{'s' if number != 1 else ''}"


def _percent(share: float) -> str:
    return OBJECTIVES["proxy_accuracy"].text(share)


def taken_in_words(trials: Sequence[TrialRecord]) -> str:
    """How many trials were taken from which study; empty where none was."""
    studies = Counter(record.origin.rpartition(":")[0] for record in trials if record.origin)
    parts = [f"{count} from {name}" for name, count in studies.items()]
    return f"of these taken over: {', '.join(parts)}" if parts else ""
