"""What does a study's front say, and what not, in the words of a person."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from archbench.analysis.front_probability import SURE
from archbench.analysis.typed import space_typed
from archbench.command_line import command_line
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader

_SYNTHETIC = {"cluttered_digits": "synthetic digits"}


def verdict(study: StudyReader) -> str:
    """What was found, how sure that is, what it says nothing about, and what to do next."""
    reason = study.no_front_reason()
    if reason is not None:
        return f"There is no front: {reason}."
    sentences = (
        _found(study),
        _sure(study),
        _disturbed(study),
        certified(study),
        _meaning(study),
    )
    return " ".join(sentence for sentence in sentences if sentence)


def no_front_reason(study: StudyReader) -> str | None:
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


def certified(study: StudyReader) -> str:
    """Whether the proxy was found able to rank this space; empty where nobody looked."""
    certificate = study.certificate
    if certificate is None:
        return ""
    told = f"{certificate.text[:1].upper()}{certificate.text[1:]}"
    trust = "" if certificate.state == "certified" else ": this front is not to be trusted"
    return f"{told}{trust}."


def _obstacle(study: StudyReader, record: TrialRecord) -> str:
    """What keeps a trial off the front: one word for counting."""
    if record.state != "complete":
        return record.state
    if study.rule.broken_limits(record):
        return "over_limit"
    unknown = [n for n in study.rule.objectives if objective_value(record, n) is None]
    return "unmeasured" if unknown else "chance"


def _explained(study: StudyReader, obstacle: str, stopped: list[TrialRecord]) -> str:
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


def _nearest_to_limit(study: StudyReader, stopped: list[TrialRecord]) -> str:
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


def _found(study: StudyReader) -> str:
    front, trained = study.front_records(), study.counts()["complete"]
    names = list(study.rule.objectives)
    ends = dict.fromkeys([_design(front[0], names), _design(front[-1], names)])
    verb = "is" if len(front) == 1 else "are"
    accuracy = " proxy accuracy" if "proxy_accuracy" in names else ""
    return (
        f"{len(front)} of {trained} trained design{'s' if trained != 1 else ''} {verb} "
        f"on the front: {' to '.join(ends)}{accuracy}."
    )


def _design(record: TrialRecord, names: list[str]) -> str:
    """For example ``0.41 ms at 62.1 %``."""
    texts = {
        n: OBJECTIVES[n].text(v) for n in names if (v := objective_value(record, n)) is not None
    }
    accuracy = texts.pop("proxy_accuracy", None)
    costs = ", ".join(texts.values())
    return f"{costs} at {accuracy}" if accuracy else costs


def _sure(study: StudyReader) -> str:
    """For example ``2 of 3 are sure to belong there, the least sure is trial 5 with 62 %.``."""
    chances = study.doubt.on_front
    members = {r.number: chances[r.number] for r in study.front_records() if r.number in chances}
    if not members:
        return ""
    sure = sum(chance >= SURE for chance in members.values())
    least = min(members, key=lambda number: members[number])
    others = [n for n, chance in chances.items() if n not in members and chance > 1 - SURE]
    told = f"{sure or 'None'} of {len(members)} {'is' if sure < 2 else 'are'} sure to belong there"
    if sure < len(members):
        told += f", the least sure is trial {least} with {100 * members[least]:.0f} %"
    if others:
        best = max(others, key=lambda number: chances[number])
        told += f"; {_designs(len(others))} beside it may, most likely trial {best} with "
        told += f"{100 * chances[best]:.0f} %"
    return f"{told}."


def _disturbed(study: StudyReader) -> str:
    front = study.front_records()
    disturbed = sum(1 for r in front if r.latency is not None and r.latency.verdict == "disturbed")
    if not disturbed:
        return ""
    return (
        f"{disturbed} of these {len(front)} latencies were taken on a disturbed machine: "
        "their order may be wrong."
    )


def _meaning(study: StudyReader) -> str:
    proxy: dict[str, Any] = study.header["proxy"]
    data = str(proxy.get("data", "unknown data"))
    kind = data.split(":")[0]
    where = f"at {proxy['resolution']} px" if "resolution" in proxy else ""
    if kind == "folder":
        best = study.front_records()[-1]
        trial = f"{study.name}:{best.number}"
        train = command_line("archbench", "train", trial, "--data", data, "--epochs", 100)
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
