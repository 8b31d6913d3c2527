"""Does the order of the best designs hold: train the picks of a study and others in full."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from archbench.analysis.pick import Finalist, finalists
from archbench.analysis.retraining import KEY, Retraining, is_over, packed
from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.verdict import train_command
from archbench.analysis.wish import Wish
from archbench.bounds import require_within
from archbench.command_line import command_line
from archbench.data import Data, name_of
from archbench.digest import sha256_of, sha256_of_file
from archbench.errors import MissingError, StorageError, UsageError
from archbench.evaluate.full_training import full_recipe
from archbench.evaluate.training import EPOCHS, Weights, train_network
from archbench.models import ArchSpec, as_spec, count, proxy
from archbench.models.rewrite import Sides
from archbench.study.database import Store
from archbench.study.study_folder import DATABASE, own_folder, ownership, path_of, retrained_path
from archbench.study.study_folder import RETRAINED as FOLDER
from archbench.study.trial import TrialRecord
from archbench.train.resumable import CHECKPOINT_EVERY_S, NonFiniteLossError

PLAN_SCHEMA = "archbench.retraining-plan/1"
TOP = 3


@dataclass(frozen=True, kw_only=True)
class RetrainingPlan:
    """Which designs of a study are to be trained in full, how, and what that takes."""

    study: StudyReader
    name: str  # of this way of training them, as its folder is called
    how: Mapping[str, Any]
    designs: tuple[Finalist, ...]
    seeds: int
    done: frozenset[tuple[int, int]]  # trial and seed of the trainings that have ended
    seconds: Mapping[int, float]  # trial to what a training of it may take, where that is known

    @property
    def left(self) -> list[tuple[TrialRecord, int]]:
        """The trainings to come: all designs with a seed before the next one."""
        every = [(one.record, seed) for seed in range(self.seeds) for one in self.designs]
        return [(record, seed) for record, seed in every if (record.number, seed) not in self.done]

    @property
    def seconds_left(self) -> float | None:
        """What they may take; None where it is not known."""
        numbers = [record.number for record, _ in self.left]
        known = [self.seconds[number] for number in numbers if number in self.seconds]
        return sum(known) if len(known) == len(numbers) else None

    def document(self) -> dict[str, Any]:
        """The plan as a JSON document of the schema ``archbench.retraining-plan/1``."""
        return {
            "schema": PLAN_SCHEMA,
            "study": self.study.name,
            "how": dict(self.how),
            "seeds": self.seeds,
            "designs": [
                {
                    "trial": one.record.number,
                    "digest": one.record.digest,
                    "pick": one.is_pick,
                    "as_good": one.chance,
                    "seconds_each": self.seconds.get(one.record.number),
                }
                for one in self.designs
            ],
            "trainings_left": len(self.left),
            "seconds_left": self.seconds_left,
        }


def retrain(
    study: Path | str,
    *,
    wishes: Sequence[Wish] = (),
    top: int = TOP,
    trials: Sequence[int] = (),
    seeds: int = 1,
    data: Data | None = None,
    recipe: str | Path = "short",
    settings: Sequence[str] = (),
    epochs: int | None = None,
    resolution: int | None = None,
    batch: int | None = None,
    teacher: str | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    workers: int | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    download: bool = False,
    dry_run: bool = False,
    on_plan: Callable[[RetrainingPlan], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    train: Callable[..., Weights] = train_network,
) -> Retraining | RetrainingPlan:
    """Trains the picks of a study and their runners-up in full, and says whether the order held.

    Trained are ``top`` designs in all, as ``archbench.analysis.pick.finalists`` finds them for the
    wishes, by default the most accurate within the study's limits; or these ``trials``. Each is
    trained with so many ``seeds``, as ``archbench.train_network`` does with the other arguments:
    by default on the study's data, and where its trainings began from weights, from those (``none``
    for fresh ones). The order is that of the validation images; the held-out ones are looked at
    once, with the best weights of each training.

    The same call goes on where it was stopped, bit for bit on the CPU. Each training has a folder
    in that of the study, and what it reached is kept in the study, where ``archbench.pick`` goes by
    it. A further call may train more designs, with more seeds or otherwise. A dry run gives the
    plan alone, which ``on_plan`` is told first. ``train`` is what is called for each training.

    Raises:
        NegativeResultError: No design keeps a wish.
        UsageError: A trial has no accuracy to rank it by, or one in int8 alone, or an argument
            cannot be taken.
        StorageError: There is no study, it cannot be written, or another process owns it.
        ArchbenchError: See ``archbench.train_network``.
    """
    require_within("seeds", seeds, place="seeds")
    found = open_study(path_of(study, place="study"))
    chosen = _named(found, trials) if trials else finalists(found, wishes or [Wish()], top=top)
    kept: Mapping[str, Any] = found.header["proxy"]
    _refuse_int8(found, [one.record for one in chosen])
    side = resolution or as_spec(chosen[0].record.spec).resolution.height
    asked: dict[str, Any] = {
        "recipe": recipe,
        "data": name_of(kept["data"] if data is None else data, resolution=side),
        "resolution": resolution,
        "device": device,
        "weights": _weights(weights, kept=kept),
        "settings": tuple(settings),
        "epochs": epochs,
        "batch": batch,
        "teacher": teacher,
    }
    plan = _planned(found, chosen, how=_how(**asked), seeds=seeds)
    if on_plan:
        on_plan(plan)
    if dry_run:
        return plan
    more = {"workers": workers, "download": download, "checkpoint_every_s": checkpoint_every_s}
    trainer = partial(train, **asked, **more)
    with ownership(found.path), Store.open(found.path / DATABASE) as store:
        _plan_trainings(store, plan)
        for place, (record, seed) in enumerate(plan.left, start=1):
            if on_note:
                on_note(f"trial {record.number}, seed {seed}: training {place} of {len(plan.left)}")
            _train(store, plan, record, seed=seed, train=trainer, on_note=on_note)
        store.back_up()
    ended = open_study(found.path).retraining
    assert ended is not None, "it has just been stored"
    return ended


def _how(
    *,
    recipe: str | Path,
    data: str,
    resolution: int | None,
    device: str,
    weights: Path | None,
    settings: tuple[str, ...],
    **more: Any,
) -> dict[str, Any]:
    """What makes trainings of one kind, JSON-able: all that is asked, and the recipe's fields.

    Raises:
        UsageError: There is no such recipe, or a value is none that it takes.
    """
    if recipe == "short":
        fields = {**more, "settings": settings, "epochs": more["epochs"] or EPOCHS}
    else:
        fields = full_recipe(recipe, settings=settings, **more).document()
    how = {
        "recipe": str(recipe),
        "data": data,
        "epochs": fields["epochs"],
        "resolution": resolution,
        "device": device,
        "weights": None if weights is None else sha256_of_file(weights),
        "fields": fields,
    }
    plain: dict[str, Any] = json.loads(json.dumps(how))
    return plain


def _planned(
    study: StudyReader, chosen: Sequence[Finalist], *, how: Mapping[str, Any], seeds: int
) -> RetrainingPlan:
    name = sha256_of(how)[:16]
    return RetrainingPlan(
        study=study,
        name=name,
        how=how,
        designs=tuple(chosen),
        seeds=seeds,
        done=frozenset(_key(t) for t in _kept(study.header, name)["trainings"] if is_over(t)),
        seconds=_seconds(study, chosen, how=how),
    )


def _named(study: StudyReader, numbers: Iterable[int]) -> list[Finalist]:
    """The trials of these numbers, each once.

    Raises:
        UsageError: There is no such trial, or it has no accuracy that ranks it.
    """
    found = []
    for number in dict.fromkeys(numbers):
        record = study.trial(number)
        if number not in study.front_probabilities.accuracy:
            why = record.reason or "it was not trained to the end, or is no better than guessing"
            raise UsageError(
                f"trial {number} has no accuracy that its full training could be held against: "
                f"{why}",
                place="--trials",
                help=f"train it alone: {command_line('archbench', 'train', study.name)}:{number}",
            )
        found.append(Finalist(record=record, is_pick=True, chance=1.0))
    return found


def _refuse_int8(study: StudyReader, records: Sequence[TrialRecord]) -> None:
    """Nothing, where the designs are networks in floats, as a full training is of these.

    Raises:
        UsageError: The accuracy of one is that of its quantised network.
    """
    for record in (one for one in records if one.is_int8):
        if record.design is not None:
            raise UsageError(
                f"trial {record.number} is trial {record.design} in int8, which is quantised after "
                "its training and not trained itself",
                place="--trials",
                help=f"name trial {record.design}, and export its weights in int8",
            )
        trained, data = train_command(study, record.number), study.header["proxy"]["data"]
        quantised = ("--to", "onnx", "--precision", "int8", "--data", data)
        raise UsageError(
            "the accuracies of this study are those in int8, and that of a full training is in "
            "floats: they could not be held against one another",
            place=study.name,
            help=f"{trained}, then {command_line('archbench', 'export', 'WEIGHTS', *quantised)}",
        )


def _weights(asked: str | Path | None, *, kept: Mapping[str, Any]) -> Path | None:
    """The file that trainings begin with: as asked, or the study's own.

    Raises:
        MissingError: It is not there.
    """
    file = kept.get("weights", {}).get("file") if asked is None else asked
    if file is None or file == "none":
        return None
    path = path_of(file, place="weights")
    if not path.is_file():
        raise MissingError(
            "the weights that the trainings would begin with are not here",
            place=str(path),
            help="put them back, or name others with --weights; --weights none begins with fresh",
        )
    return path


def _seconds(
    study: StudyReader, chosen: Sequence[Finalist], *, how: Mapping[str, Any]
) -> dict[int, float]:
    """Trial to what one training may take: by its own short ones, its epochs and MACs.

    Where device or data are others than the study's nothing is known.

    Raises:
        SpecError: A design is not legal at the resolution.
    """
    kept, found = study.header["proxy"], {}
    is_known = {"resolution", "num_classes", "stem"} <= kept.keys()
    is_alike = (how["data"], how["device"]) == (kept["data"], kept.get("device", "cpu"))
    for record in (one.record for one in chosen):
        spec = as_spec(record.spec)
        side, stem = how["resolution"] or spec.resolution.height, "as_is"
        if how["weights"] is None:
            stem = "keep_grid"
        wide = _macs(spec, resolution=side, num_classes=spec.num_classes, stem=stem)
        last = {point.seed: point for point in record.curve}
        if not (is_known and is_alike and last):
            continue
        short = {key: kept[key] for key in ("resolution", "num_classes", "stem")}
        if "sides" in kept:
            short["resolution"] = Sides(trained=kept["resolution"], **kept["sides"])
        seconds, trained = (sum(getattr(p, n) for p in last.values()) for n in ("seconds", "epoch"))
        found[record.number] = how["epochs"] * seconds / trained * wide / _macs(spec, **short)
    return found


def _macs(spec: ArchSpec, *, resolution: int | Sides, num_classes: int, stem: str) -> int:
    return count(proxy(spec, resolution=resolution, num_classes=num_classes, stem=stem)).macs


def _kept(header: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What a header keeps of a retraining; one without trainings where it keeps none."""
    fresh: dict[str, Any] = {"name": name, "data_digests": {}, "num_validation": None}
    fresh["trainings"] = []
    return next((one for one in header.get(KEY, ()) if one["name"] == name), fresh)


def _key(training: Mapping[str, Any]) -> tuple[int, int]:
    return training["trial"], training["seed"]


def _plan_trainings(store: Store, plan: RetrainingPlan) -> None:
    """Keeps which trainings are wanted now, beside those that are over."""
    entry = _kept(store.header(), plan.name)
    over = [one for one in entry["trainings"] if is_over(one)]
    wanted = [{"trial": r.number, "seed": seed, "ended": None} for r, seed in plan.left]
    _store(store, {**entry, "how": dict(plan.how), "trainings": [*over, *wanted]})


def _store(store: Store, entry: Mapping[str, Any]) -> None:
    """Keeps a retraining, which counts as the last then."""
    trainings = sorted(entry["trainings"], key=_key)
    others = [one for one in store.header().get(KEY, ()) if one["name"] != entry["name"]]
    store.set_header(KEY, [*others, {**entry, "trainings": trainings}])


def _train(
    store: Store,
    plan: RetrainingPlan,
    record: TrialRecord,
    *,
    seed: int,
    train: Callable[..., Weights],
    on_note: Callable[[str], None] | None,
) -> None:
    """One training in its folder, to its end, and what it reached into the study."""
    path, number = plan.study.path, record.number
    own_folder(path, FOLDER)
    folder = retrained_path(path, plan.name, number, seed=seed)
    own_folder(folder.parent.parent, plan.name)
    own_folder(folder.parent, folder.name)
    spec = replace(as_spec(record.spec), name=f"{plan.study.name}:{number}")
    entry = _kept(store.header(), plan.name)
    try:
        weights = train(spec, folder=folder, seed=seed)
    except NonFiniteLossError as error:
        reached: dict[str, Any] = {"ended": None, "failure": error.message}
        if on_note:
            on_note(f"trial {number}, seed {seed} failed: {error.message}")
    else:
        entry, reached = _with_data(entry, weights, folder=folder), {"ended": _reached(weights)}
    others = [one for one in entry["trainings"] if _key(one) != (number, seed)]
    trained = {"trial": number, "seed": seed, **reached}
    _store(store, {**entry, "trainings": [*others, trained]})


def _with_data(entry: Mapping[str, Any], weights: Weights, *, folder: Path) -> dict[str, Any]:
    """What is kept of a retraining, with what the data of one more training were.

    At each resolution they have a digest; at all of them they are the same images.

    Raises:
        StorageError: They are others than those of the trainings before.
    """
    data, side = weights.facts["data"], str(weights.facts["spec"]["resolution"])
    now = {side: data["data_digest"]}, data["num_validation"]
    known = {**now[0], **entry["data_digests"]}, entry["num_validation"] or now[1]
    if known != ({**known[0], **now[0]}, now[1]):
        raise StorageError(
            f"the data {entry['how']['data']} are others than those that other designs were "
            "trained on",
            place=str(folder),
            help="put the data back as they were, delete this folder, and type the same command; "
            "or train all of them on others: --data folder:PLACE",
        )
    return {**entry, "data_digests": known[0], "num_validation": known[1]}


def _reached(weights: Weights) -> dict[str, Any]:
    """What a study keeps of a training that has ended."""
    assert weights.validated is not None
    assert weights.tested is not None, "nobody ended it from outside"
    right = weights.tested.right
    return {
        "epoch": weights.best_epoch,
        "epochs": weights.points[-1].epoch,
        "right": packed(weights.validated.right),
        "test": {"right": sum(right), "images": len(right)} if right else None,
        "seconds": weights.points[-1].seconds,
    }
