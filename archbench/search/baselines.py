"""Which known networks stand beside the candidates of a study, and what do they reach?"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from archbench.analysis.baseline import BASELINES
from archbench.errors import ArchbenchError, UsageError
from archbench.models import ArchSpec, as_spec, count
from archbench.search.affordable import baseline_seconds
from archbench.search.context import StudyContext
from archbench.search.jobs import Document, Note, RungReached, TrainJob, TrialJob, time_each
from archbench.search.preparation_jobs import count_built
from archbench.search.scheduler import KILLED, Broken, Done, Job, Jobs, Report, Sent
from archbench.space import InfeasibleError, choices_for
from archbench.study.measurement import Measurement
from archbench.study.objective import costs
from archbench.train.checkpoint import remove_checkpoints

_CLASSICS = (
    *("mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv3_large_100"),
    *("mobilenetv4_conv_small", "mobilenetv4_conv_medium", "edgenext_xx_small", "shvit_s1"),
    *("levit_128s", "levit_256", "efficientvit_b0", "efficientvit_b1", "cvt_13", "resnet_50"),
)
"""Published networks among which is chosen where a space names none."""

_TIME_OVER = "left out: the time for known networks is over"
_MOST = 3
_TIMED = 5
_SLACK = 4.0  # times the least and the most MACs of candidates: latency does not follow MACs
_ASKED = 5
_SECONDS_EACH = 120.0


def train_baselines(context: StudyContext) -> None:
    """Times and trains the known networks of a study that are no candidates, once.

    Those that are candidates are tried first; the ancestor counts as a known network.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; what was begun goes on another time.
        ArchbenchError: Data or storage were lost.
    """
    study, before = context.study, context.study.header()
    kept: list[dict[str, Any]] = list(before.get(BASELINES) or ())
    names = [entry["name"] for entry in kept]
    named = context.settings.space.baselines
    wanted: Sequence[str] = named or ()
    if named is None and before.get(BASELINES, kept) is None:
        wanted = _chosen(context)
    elif named is not None and names:
        _tell_changes(context, names, wanted)
    added = [_entry(context, name) for name in wanted if name not in names]
    added += [one for one in _ancestor(context) if one["name"] not in (*names, *wanted)]
    first = [{"choices": {}, "spec": one["spec"]} for one in added if one["digest"] is not None]
    with study.transaction():
        study.set_header(BASELINES, [*kept, *added])
        if first:
            study.set_header("start", [*before.get("start", ()), *first])
    context.header = study.header()
    context.run(Baselines(context), timeout_s=context.settings.search.timeout_s)


class Baselines(Jobs):
    """The known networks that are still to be timed and trained, as trials are.

    They take at most a fifth of the search's time, and those that the space names half of its time
    limit; what does not fit is left out. A training that was cut off goes on from its checkpoint.
    """

    def __init__(self, context: StudyContext) -> None:
        self._context = context
        self._entries: list[dict[str, Any]] = context.header[BASELINES]
        self._waiting = deque(
            number
            for number, entry in enumerate(self._entries)
            if entry["digest"] is None and entry["state"] == "running"
        )
        self._started: dict[int, float] = {}
        self._budget_s = budget_seconds(context)

    def next_job(self) -> TrialJob | None:
        """The next network that fits."""
        while self._waiting:
            number = self._waiting.popleft()
            if self._fits(number):
                return self._job(number)
            self._end(number, state="pruned", reason=_TIME_OVER)
        return None

    def restarted(self, job: Job) -> Job:
        """The same, which goes on from its checkpoint."""
        self._context.warn(f"{self._entries[job.number]['name']}: {KILLED}")
        return job

    def take(self, report: Report) -> None:
        """Writes down what a worker reports."""
        number = report.number
        entry, study = self._entries[number], self._context.study
        match report:
            case Sent(payload=Measurement() as taken):
                study.add_reference(entry["name"], taken, entry["params"], entry["macs"])
            case Sent(payload=RungReached(point=point)):
                known = ((one["seed"], one["epoch"]) for one in entry["curve"])
                if (point.seed, point.epoch) not in known:
                    self._keep(number, curve=[*entry["curve"], asdict(point)])
            case Sent(payload=Note(text=text)):
                self._context.warn(f"{entry['name']}: {text}")
            case Done(result=end):
                quantised = list(map(asdict, end.quantised))
                reached = {"accuracy": end.proxy_accuracy, "quantised": quantised}
                self._end(number, state=end.state, reason=end.reason, **reached)
            case Broken(failure=failure):
                self._end(number, state="failed", reason=failure.message)

    def _fits(self, number: int) -> bool:
        """Whether the time that is left holds another one, as long as the longest so far."""
        took = [entry["seconds"] for entry in self._entries if entry["digest"] is None]
        each = max(self._context.header["trial_seconds"], *took)
        left = self._budget_s - sum(took) - each * len(self._started)
        return each <= left or self._is_ancestor(number)

    def _job(self, number: int) -> TrialJob:
        context, entry = self._context, self._entries[number]
        self._started[number] = context.clock()
        name, is_ancestor = entry["name"], self._is_ancestor(number)
        sides = None if is_ancestor else context.settings.space.known_network(name).sides
        proxy, target = replace(context.proxy, sides=sides), context.target
        timed = {one.name: one.latency for one in context.study.snapshot().references}
        if is_ancestor and target is not None:
            own = tuple(as_spec(entry["spec"]).resolution)
            target = target if own == target.conditions.resolution else None
        int8 = None if context.has_both else context.int8
        context.say(f"training {name}, a known network")
        return TrialJob(
            number=number,
            trainings=[
                TrainJob(
                    number=number,
                    spec=entry["spec"],
                    proxy=proxy,
                    seed=seed,
                    checkpoint=self._file(number, seed=seed, ending="checkpoint.safetensors"),
                    weights=self._file(number, seed=seed, ending="safetensors") if int8 else None,
                    int8=int8,
                )
                for seed in range(proxy.num_seeds)
            ],
            target=target,
            latency=timed.get(name),
            limits={} if is_ancestor else context.settings.timed_limits,
        )

    def _end(self, number: int, **ended: Any) -> None:
        context, entry = self._context, self._entries[number]
        begun = self._started.pop(number, None)
        seconds = 0.0 if begun is None else context.clock() - begun
        for seed in range(context.proxy.num_seeds):
            remove_checkpoints(self._file(number, seed=seed, ending="checkpoint.safetensors"))
            self._file(number, seed=seed, ending="safetensors").unlink(missing_ok=True)
        self._keep(number, seconds=entry["seconds"] + seconds, **ended)
        reached, reason = ended.get("accuracy"), ended["reason"]
        if reached is not None:
            context.say(f"{entry['name']} reaches {100 * reached:.1f} %")
        elif ended["state"] == "failed":
            context.warn(f"{entry['name']} could not be trained: {reason}")
        else:
            context.say(f"{entry['name']} is not trained: {reason}")

    def _keep(self, number: int, **changes: Any) -> None:
        self._entries[number] |= changes
        self._context.study.set_header(BASELINES, self._entries)

    def _is_ancestor(self, number: int) -> bool:
        weights = self._context.proxy.weights
        return weights is not None and weights.name == self._entries[number]["name"]

    def _file(self, number: int, *, seed: int, ending: str) -> Path:
        return self._context.checkpoints / f"baseline-{number:02d}-seed-{seed}.{ending}"


def budget_seconds(context: StudyContext) -> float:
    """Seconds of all workers that known networks may take."""
    each_s = context.header["trial_seconds"] / context.workers
    return context.workers * baseline_seconds(context.settings, each_s=each_s)


def _entry(context: StudyContext, name: str) -> dict[str, Any]:
    """What a header keeps of a known network that is to be trained."""
    space = context.settings.space
    found = space.known_network(name)
    if found.spec is None:
        if context.int8 and not context.has_both:
            told = f"{name} is a network of another library, which no study trains in int8"
            raise UsageError(told, place=BASELINES, help="name published networks, or fp32 beside")
        count_it = partial(count_built, document=found.document)
        return _planned(name, found.document, counted=context.call(count_it), digest=None)
    is_candidate = choices_for(space, found.spec) is not None
    return _of_spec(name, found.spec, digest=found.spec.digest if is_candidate else None)


def _of_spec(name: str, spec: ArchSpec, *, digest: str | None) -> dict[str, Any]:
    work = count(spec)
    counted = {key: getattr(work, key) for key in ("params", "macs", "activations")}
    return _planned(name, spec.to_document(), counted=counted, digest=digest)


def _planned(
    name: str, document: Document, *, counted: Mapping[str, int], digest: str | None
) -> dict[str, Any]:
    return {
        "name": name,
        "spec": document,
        "digest": digest,
        **counted,
        "state": "running",
        "accuracy": None,
        "curve": [],
        "quantised": [],
        "reason": "",
        "seconds": 0.0,
    }


def _ancestor(context: StudyContext) -> Iterator[dict[str, Any]]:
    """The network from whose weights trainings begin, where it is none of the candidates."""
    about, weights = context.study.header().get("ancestor"), context.proxy.weights
    if weights and about and about["digest"] is None and about["accuracy"] is None:
        yield _of_spec(weights.name, as_spec(about["spec"]), digest=None)


def _tell_changes(context: StudyContext, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Says which known networks are others than when the study was begun."""
    weights = context.proxy.weights
    own = {*wanted, weights.name if weights else ""}
    new = [name for name in wanted if name not in names]
    gone = [name for name in names if name not in own]
    if new:
        context.say(f"baselines that are new: {', '.join(new)}")
    if gone:
        context.say(f"baselines that the space names no more stay: {', '.join(gone)}")


def _chosen(context: StudyContext) -> list[str]:
    """Classics whose cost lies in the range of the candidates', spread over it, the middle first.

    As many as a fifth of the search's time holds, at most three. Where a latency counts, some of
    about as many MACs as candidates have are timed.
    """
    target, rule = context.target, context.rule
    room = int(budget_seconds(context) / context.header["trial_seconds"])
    if room < 1:
        context.say("no known network is trained: the search is too short for one beside it")
        return []
    low, high = _range(context, "macs")
    near = sorted(_near(context, low=low / _SLACK, high=high * _SLACK).items(), key=lambda e: e[1])
    cost = next((n for n in rule.objectives if n in costs("arithmetic")), "macs")
    if target is None:
        low, high = _range(context, cost)
        known = _near(context, name=cost, low=low, high=high)
    else:
        anchors = [one["constant_ms"] for one in target.constants.get("anchors", ())]
        low, high = min(anchors, default=0.0), max(anchors, default=math.inf)
        limit = rule.limits.get("latency_ms", math.inf)
        names = [name for name, _ in _spread(near, most=min(_TIMED, 2 * room))]
        found = {n: value for n, value in _timed(context, names).items() if value <= limit}
        known = {name: value for name, value in found.items() if low <= value <= high}
        if not known and found:  # all are dearer than the candidates, or cheaper: the nearest
            nearest = min(found, key=lambda n: max(found[n] / high, low / found[n]))
            known = {nearest: found[nearest]}
    chosen = _spread(sorted(known.items(), key=lambda e: e[1]), most=min(_MOST, room))
    names = [name for name, _ in chosen]
    told = ", ".join(names) or "none, as none is as cheap as the candidates"
    context.say(f"known networks beside the candidates: {told}")
    middle = len(names) // 2
    return [*names[middle : middle + 1], *names[:middle], *names[middle + 1 :]]


def _near(
    context: StudyContext, *, low: float, high: float, name: str = "macs"
) -> Mapping[str, float]:
    """The classics that are legal here, count between these bounds and keep arithmetic limits."""
    limits = {n: v for n, v in context.rule.limits.items() if n in costs("arithmetic")}
    found = {}
    for classic in _CLASSICS:
        try:
            counted = count(as_spec(context.settings.space.known_network(classic).document))
        except InfeasibleError:
            continue
        value = float(getattr(counted, name))
        if low <= value <= high and all(getattr(counted, n) <= v for n, v in limits.items()):
            found[classic] = value
    return found


def _range(context: StudyContext, name: str) -> tuple[float, float]:
    """The least and the most that some candidates count."""
    specs = context.settings.some_candidates(_ASKED)
    counted = [float(getattr(count(spec), name)) for spec in specs]
    return min(counted), max(counted)


def _spread(ordered: Sequence[tuple[str, float]], *, most: int) -> list[tuple[str, float]]:
    """At most so many, evenly spaced from the cheapest on."""
    if len(ordered) <= most:
        return list(ordered)
    places = {round((len(ordered) - 1) * step / max(1, most - 1)) for step in range(most)}
    return [ordered[place] for place in sorted(places)]


def _timed(context: StudyContext, names: Sequence[str]) -> Mapping[str, float]:
    """Known networks with their latencies, which the study keeps; those that have one."""
    study, target = context.study, context.target
    assert target is not None
    known = {one.name: one.latency for one in study.snapshot().references}
    for name in (one for one in names if one not in known):
        document = context.settings.space.known_network(name).document
        context.say(f"timing {name}, a known network")
        try:
            function = partial(time_each, specs={name: document}, target=target)
            taken = context.call(function, timeout_s=_SECONDS_EACH, place="target")
        except ArchbenchError as error:
            context.say(f"{name} could not be timed: {error.message}")
            continue
        counted = count(as_spec(document))
        study.add_reference(name, taken[name], counted.params, counted.macs)
        known |= taken
    found = {name: known[name].value for name in names if name in known}
    return {name: value for name, value in found.items() if value is not None}
