"""What of an earlier study lies in the space of now, and which of its conditions differ?"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from archbench.analysis.study import StudyReader, open_study
from archbench.errors import ArchbenchError, SpecError, UsageError
from archbench.evaluate.target import known_anchors
from archbench.measure.machine_cache import protocol_of
from archbench.models import ArchSpec, as_spec
from archbench.models.rewrite import Sides
from archbench.search.context import StudyContext
from archbench.search.settings import conditions_of, space_of
from archbench.space import Choices, SearchSpace, candidate_changes, choices_for
from archbench.study.environment import Environment
from archbench.study.shape import require_entries
from archbench.study.trial import Taken, TrialRecord
from archbench.train.recipe import Plan

Part = Literal["accuracy", "latency", "rule"]

_SOFTWARE = ("archbench", "torch", "torchvision", "numpy")
_PROXY = ("resolution", "num_classes", "stem", "seeds", "device")
_SHOWN = 4
_NEEDED = ("objectives", "limits", "proxy", "plan", "conditions", "environment", "calibration")


@dataclass(frozen=True, kw_only=True)
class Match:
    """A trial of an earlier study, as it stood when it was read, and the candidate it is now."""

    study: StudyReader
    record: TrialRecord
    taken: Sequence[Taken]
    choices: Choices  # in the space of now
    spec: ArchSpec  # with the resolution and number of classes of now

    @property
    def is_same(self) -> bool:
        """Whether it is the very network, resolution and classes included."""
        return self.spec.digest == self.record.digest


def read_earlier(path: Path, *, space: SearchSpace) -> list[Match]:
    """The trials of an earlier study, at one moment, that are candidates of a space; at least one.

    Raises:
        StorageError: There is no study, or it cannot be read.
        UsageError: It has no trial yet, or none is a candidate of the space; says what differs.
    """
    study = open_study(path)
    require_entries(study.header, _NEEDED, place=path)
    trials = study.trials()
    if not trials:
        raise UsageError(
            "the study has no trial yet",
            place=f"--from {path}",
            help="wait until it has some, or leave out --from",
        )
    taken: dict[int | None, list[Taken]] = defaultdict(list)
    for entry in study.taken():
        taken[entry.trial].append(entry)
    matches = (_match(study, record, taken[record.number], space=space) for record in trials)
    found = [match for match in matches if match]
    if not found:
        raise UsageError(
            f"none of the {len(trials)} trials of {study.name} is a candidate of the space "
            f"{space.name}: {'; '.join(_space_differences(study, space))}",
            place=f"--from {path}",
            help="name a study of a like space, widen this one by that study's values, or leave "
            "out --from",
        )
    return found


def known_plan(context: StudyContext, earlier: Sequence[Sequence[Match]]) -> Plan | None:
    """How trainings are computed, from the first study that found it on this very machine.

    Chosen anew by measuring it could come out otherwise, and nothing would be comparable.
    """
    for match, *_ in earlier:
        header = match.study.header
        before, now = Environment(**header["environment"]), context.environment
        is_here = before.what_counts() == now.what_counts()
        if is_here and header["proxy"]["device"] == context.settings.training_device:
            return Plan(**header["plan"])
    return None


def earlier_anchors(
    context: StudyContext, earlier: Sequence[Sequence[Match]]
) -> Sequence[Mapping[str, Any]]:
    """The anchors of the first study that was timed here as this one is, so that levels agree."""
    conditions = conditions_of(context.settings.space)
    found = (
        known_anchors(match.study.header, conditions=conditions, environment=context.environment)
        for match, *_ in earlier
    )
    return next(filter(None, found), ())


def _match(
    study: StudyReader, record: TrialRecord, taken: Sequence[Taken], *, space: SearchSpace
) -> Match | None:
    given = ("num_classes",) if space.sides else ("resolution", "num_classes")
    base = {key: space.base[key] for key in given}
    try:
        wanted = as_spec({**record.spec, **base})
        choices = choices_for(space, wanted, known=record.choices)
    except SpecError:
        return None
    if choices is None:
        return None
    spec = space.decode(choices)
    return Match(study=study, record=record, taken=taken, choices=choices, spec=spec)


def _space_differences(study: StudyReader, space: SearchSpace) -> Sequence[str]:
    """What of the two spaces differs, in words."""
    try:
        before = space_of(study.header, path=study.path)
    except (ArchbenchError, KeyError) as error:
        return [f"its own space cannot be read any more ({error})"]
    changes = [str(change) for change in candidate_changes(before, space)]
    more = [f"and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    return [*changes[:_SHOWN], *more] or ["the same axes come to other networks"]


def differences(earlier: Mapping[str, Any], header: Mapping[str, Any]) -> dict[Part, list[str]]:
    """How the conditions of a study that is differ from those of an earlier one, in words.

    Under ``accuracy`` stands what keeps their accuracies from being draws of one quantity. The seed
    of a study is no difference: it decides which draw, not of what. Neither is the machine, as long
    as the software, the precision and the kind of device are the same. Under ``latency`` stands
    what keeps their latencies from being comparable; nothing where the second study measures none.
    Under ``rule`` stands what else keeps a training that was stopped early in one from being
    stopped in the other. Where one has candidates of several resolutions, those that both may have
    are to be trained alike.
    """
    latency: Iterable[str] = ()
    varies = "sides" in {*earlier["proxy"], *header["proxy"]}
    if header["calibration"] is not None:
        is_known = earlier.get("calibration") is not None
        latency = (
            _unequal(*(_measuring(one, has_side=not varies) for one in (earlier, header)))
            if is_known
            else ["latency was not measured"]
        )
    before, now = (
        {key: study.get(key) for key in ("objectives", "limits")} for study in (earlier, header)
    )
    training = [_training(earlier), _training(header)]
    if varies:
        sides = [_sides(earlier), _sides(header)]
        both = sides[0].keys() & sides[1].keys()
        training = [
            {**each, "proxy.resolution": "by the candidate's", **{own: found[own] for own in both}}
            for each, found in zip(training, sides, strict=True)
        ]
    return {
        "accuracy": [*_data(earlier, header), *_unequal(*training)],
        "latency": list(latency),
        "rule": list(_unequal(before, now)),
    }


def _data(earlier: Mapping[str, Any], header: Mapping[str, Any]) -> Iterator[str]:
    before, now = earlier["proxy"], header["proxy"]
    if before.get("data_digest") != now.get("data_digest"):
        if before.get("data") == now.get("data"):
            yield f"the images of {now.get('data')} are others than they were"
        else:
            yield f"proxy.data was {before.get('data')} and is {now.get('data')}"
    teachers = [proxy.get("teacher", {}).get("sha256") for proxy in (before, now)]
    if None not in teachers and teachers[0] != teachers[1]:
        yield "proxy.teacher is another training of it"


def _training(header: Mapping[str, Any]) -> dict[str, Any]:
    proxy, plan = header["proxy"], header["plan"]
    recipe = {key: value for key, value in proxy["recipe"].items() if key != "seed"}
    packages = header["environment"]["packages"]
    return {
        **{f"proxy.{key}": proxy.get(key) for key in _PROXY},
        **{f"proxy.{key}": value for key, value in recipe.items()},
        "target.precision": header.get("precisions", "int8" if "quantisation" in header else None),
        "quantisation": header.get("quantisation"),
        "proxy.weights": _kept(proxy.get("weights"), "name", "sha256"),
        "precision of training": plan["precision"],
        "memory format of training": plan["memory_format"],
        **{f"software {name}": packages.get(name) for name in _SOFTWARE},
    }


def _sides(header: Mapping[str, Any]) -> dict[str, str]:
    """At which resolution candidates are trained, by their own, and the share of it as a scale."""
    proxy, (height, _) = header["proxy"], header["conditions"]["resolution"]
    trained, sides = {height: proxy["resolution"]}, {"base": height}
    if "sides" in proxy:
        sides = proxy["sides"]
        found = Sides(trained=proxy["resolution"], **sides)
        trained = {own: found.of(own) for own in header["axes"]["resolution"]}
    scale = Fraction(proxy["resolution"], sides["base"])
    return {
        f"the training of candidates of {own} px": f"at {side} px, their stem at {scale} of its own"
        for own, side in trained.items()
    }


def _measuring(header: Mapping[str, Any], *, has_side: bool) -> dict[str, Any]:
    conditions = {f"target.{key}": value for key, value in header["conditions"].items()}
    if not has_side:  # each candidate is timed at its own
        del conditions["target.resolution"]
    backend = header["conditions"]["backend"]
    machine = Environment(**header["environment"]).what_counts(backend=backend)
    protocol = protocol_of(header["calibration"]["settings"])
    more = {"target.batch": header["batches"]} if "batches" in header else {}
    return {**conditions, **more, **machine, "timing protocol": protocol}


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        old, new = _plain(before.get(key)), _plain(now.get(key))
        if old != new:
            yield f"{key} was {_text(old)} and is {_text(new)}"


def _kept(document: Mapping[str, Any] | None, *keys: str) -> dict[str, Any] | None:
    return None if document is None else {key: document[key] for key in keys}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None:
        return "not there"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
