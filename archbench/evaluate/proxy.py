"""What accuracy is taken on, one for all candidates of a study?"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import nn

from archbench.analysis.front import chance_bar
from archbench.data import DataSet, load
from archbench.data.image_preparation import Preparation
from archbench.data.mirror import mirrored_accuracy
from archbench.data.source import may_flip
from archbench.errors import MissingError, StorageError
from archbench.evaluate.ancestor import Ancestor
from archbench.evaluate.foreign import Foreign, open_foreign, widest_of
from archbench.evaluate.quantised import int8_accuracy
from archbench.models import ArchSpec, Network, build, proxy
from archbench.models.rewrite import Sides
from archbench.models.weights.header import header
from archbench.models.weights.weight_file import content_sha256, write_safetensors
from archbench.progress import Progress
from archbench.study.measurement import Conditions
from archbench.study.trial import CurvePoint, QuantisedAccuracy
from archbench.train.checkpoint import read_checkpoint, read_tensors, remove_checkpoints
from archbench.train.loop import accuracy, train
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Teacher, derived_seed
from archbench.train.teacher import teacher_for

if TYPE_CHECKING:
    from archbench.data.stream import Stream

OnPoint = Callable[[CurvePoint, Path, str], bool | None]
_UNEQUAL = 1.5  # times its even share that the commonest class has
_BALANCED = 5.0  # times the images of the rarest class that the commonest has to train on
_NO_MIRROR = "such as arrows and letters, --data NAME,flip=no switches mirroring off"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """How the accuracy of every candidate is taken: the mean of ``num_seeds`` trainings.

    The resolution is a side in pixels, that of the base where there are ``sides``, which say it for
    each candidate; the recipe's seed is the study's. For the stem, which says how the first embed
    is adapted, see ``archbench.models.proxy``; for the scale of all widths
    ``archbench.models.rewrite.scaled``. From the ancestor's ``weights``, if there are any, each
    training begins: see ``archbench.models.weights.inherit``.
    """

    data: str
    resolution: int
    num_classes: int
    stem: str
    num_seeds: int
    recipe: Recipe
    plan: Plan
    device: str
    scale: float = 1.0
    weights: Ancestor | None = None
    sides: Sides | None = None

    @classmethod
    def from_document(
        cls, kept: Mapping[str, Any], *, plan: Mapping[str, Any], num_seeds: int, scale: float = 1.0
    ) -> Self:
        """The proxy of a study, a certificate or an ablation, from what its header keeps.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is not as this version writes it.
        """
        return cls(
            **{key: kept[key] for key in ("data", "resolution", "num_classes", "stem", "device")},
            num_seeds=num_seeds,
            recipe=Recipe.from_document(kept["recipe"]),
            plan=Plan(**plan),
            scale=scale,
            weights=Ancestor(**kept["weights"]) if "weights" in kept else None,
            sides=Sides(trained=kept["resolution"], **kept["sides"]) if "sides" in kept else None,
        )

    def spec(self, target: ArchSpec) -> ArchSpec:
        """The network that is trained in place of a target.

        Raises:
            SpecError: It is not legal at the proxy's resolution.
        """
        spec = proxy(
            target,
            resolution=self.sides or self.resolution,
            num_classes=self.num_classes,
            stem=self.stem,
            scale=self.scale,
        )
        spec.resolved()
        return spec

    def dataset(self, target: ArchSpec | Foreign) -> DataSet:
        """The data for a target, mapped from the cache and kept open in this process."""
        return open_data(self.data, resolution=self._side(target))

    def teacher(self, *, progress: Progress | None = None) -> Teacher | None:
        """The teacher that the recipe names, trained if it must be and kept open in this process.

        Raises:
            ArchbenchError: See ``archbench.train.teacher.teacher_for``.
        """
        recipe, device = self.recipe, self.device
        if progress is not None:
            dataset = open_data(self.data, resolution=self.resolution)
            teacher_for(dataset, recipe=recipe, device=device, on_progress=progress)
        return _teacher(self.data, self.resolution, recipe.teacher, recipe.seed, device)

    def network(self, target: ArchSpec, *, seed: int) -> Network:
        """The network to train, with the weights that its training begins with."""
        return self.begun(target, seed=seed)[0]

    def begun(self, target: ArchSpec, *, seed: int) -> tuple[Network, float | None]:
        """``network``, and the share of its parameters that are inherited, if any may be.

        Raises:
            ArchbenchError: The ancestor's weights are gone, or are others.
        """
        network = build(self.spec(target), seed=derived_seed("weights", self.recipe.seed, seed))
        return network, self.weights.given_to(network) if self.weights else None

    def train(
        self,
        target: ArchSpec | Foreign,
        *,
        seed: int,
        checkpoint: Path,
        sha256: str | None,
        weights: Path | None,
        on_point: OnPoint,
        on_note: Callable[[str], None],
        on_inherited: Callable[[float], None] | None = None,
    ) -> float:
        """The validation accuracy of one training of a candidate at the last rung.

        A network of another library keeps its stem and begins with fresh weights; none are written.

        An interrupted training goes on from its checkpoint. Where that on record, of this sha256,
        is damaged or gone, it goes on from the one before, or begins anew, and ``on_note`` is told.
        ``on_point`` is told each point when its checkpoint is durable, after an interruption the
        last one again; False ends the training there, without weights. At the end they are written
        to a safetensors file, if one is named. ``on_inherited`` is told which share of the
        parameters the ancestor had, where there is one.

        Raises:
            NonFiniteLossError: The training diverged.
            SpecError: The candidate is not legal at the proxy.
            StorageError: A file cannot be written.
        """
        network, share, width = self._begun(target, seed=seed)
        if on_inherited and share is not None:
            on_inherited(share)
        dataset = self.dataset(target)
        points = train(
            network,
            dataset,
            recipe=self.recipe,
            seed=seed,
            plan=self.plan,
            width=width,
            device=self.device,
            teacher=self.teacher(),
            checkpoint=checkpoint,
            sha256=_usable(checkpoint, sha256=sha256, on_note=on_note),
            on_point=cast(Any, on_point),  # with a checkpoint there are a path and a digest
            on_note=on_note,
        )
        is_whole = points[-1].epoch == self.recipe.epochs
        if isinstance(target, ArchSpec) and weights is not None and is_whole:
            texts = header(self.spec(target)) | Preparation.of(dataset).texts()
            write_safetensors(weights, network.state_dict(), metadata=texts, is_alone=True)
        return points[-1].accuracy

    def _begun(
        self, target: ArchSpec | Foreign, *, seed: int
    ) -> tuple[nn.Module, float | None, int]:
        """The network to train, the share of it that is inherited, and its widest stage."""
        if isinstance(target, ArchSpec):
            return *self.begun(target, seed=seed), widest(self.spec(target))
        network = open_foreign(
            target.name,
            resolution=self._side(target),
            num_classes=self.num_classes,
            seed=derived_seed("weights", self.recipe.seed, seed),
        ).network
        return network, None, widest_of(network)

    def side(self, document: Mapping[str, Any]) -> int:
        """The side in pixels of the images of a network as it is written."""
        sides = document["resolution"]
        height = sides[0] if isinstance(sides, list | tuple) else sides
        return self.sides.of(height) if self.sides else self.resolution

    def _side(self, target: ArchSpec | Foreign) -> int:
        return self.sides.of(target.resolution.height) if self.sides else self.resolution

    def test(
        self, target: ArchSpec, *, weights: Path, quantised: Conditions | None = None
    ) -> float:
        """The accuracy of trained weights on the held-out test split, 0 to 1.

        It is that of the network in int8 where conditions are given under which it is quantised.

        Raises:
            StorageError: The weights are damaged, or of another network; its place is their file.
            ArchbenchError: See ``archbench.evaluate.quantised.quantised_accuracy``.
        """
        network, data = self._trained(target, weights=weights), self.dataset(target)
        if quantised is not None:
            return int8_accuracy(network, data, split=data.test, conditions=quantised)
        return accuracy(network.to(self.device), data.test, device=self.device)

    def quantised(
        self, target: ArchSpec, *, seed: int, weights: Path, conditions: Conditions
    ) -> QuantisedAccuracy:
        """What the weights of one training reach on the validation split once they are int8.

        Raises:
            ArchbenchError: See ``test``.
            RuntimeError: The backend of the conditions cannot quantise the network.
        """
        begin = time.monotonic()
        network, data = self._trained(target, weights=weights), self.dataset(target)
        reached = int8_accuracy(network, data, split=data.validation, conditions=conditions)
        return QuantisedAccuracy(seed=seed, accuracy=reached, seconds=time.monotonic() - begin)

    def _trained(self, target: ArchSpec, *, weights: Path) -> Network:
        spec = self.spec(target)
        tensors, metadata, _ = read_tensors(weights)
        text = metadata.get("spec", "")
        if metadata.get("sha256") != content_sha256(tensors, text):
            raise StorageError(
                "damaged: the weights are not those of its sha256",
                place=str(weights),
                help="delete the file and train the trial again",
            )
        if metadata.get("digest") != spec.digest:
            raise StorageError(
                "the weights are of another network",
                place=str(weights),
                help="delete the file and train the trial again",
            )
        network = build(spec, seed=0)
        network.load_state_dict(tensors)
        return network


def warm_up(threads: int, *, gpu_share: float | None = None) -> None:
    """Readies this process for trials of so many threads: what is heavy is imported here.

    Beyond ``gpu_share`` of the memory of its GPU, 0 to 1, it is refused more of that, so that it
    does not take what another process on it needs.
    """
    torch.set_num_threads(threads)
    if gpu_share is not None and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpu_share)


def widest(spec: ArchSpec) -> int:
    """Channels of the widest stage, by which the learning rate is set."""
    return max(stage.dim for stage in spec.stages)


def open_data(
    name: str, *, resolution: int, download: bool = False, progress: Progress | None = None
) -> DataSet:
    """A data set, prepared if it must be, and kept open in this process.

    Raises:
        ArchbenchError: See ``archbench.data.load``.
    """
    if progress is not None or download:
        load(name, resolution=resolution, download=download, progress=progress)
    return _opened(name, resolution)


def describe(dataset: "DataSet | Stream", *, balance: bool | None = False) -> dict[str, Any]:
    """What a study's header keeps of its data, JSON-able.

    Whether mirrors contradict the labels is asked of images that are held, not of a stream. Where
    it is left open whether training is to ``balance`` the classes, they decide; the facts say it.
    """
    chance = max(1 / dataset.num_classes, dataset.majority_share)
    if balance is None:
        balance = _ratio(dataset) > _BALANCED
    balanced = _balanced(dataset) if balance else []
    notes = [*dataset.notes, *_imbalance(dataset), *balanced, *_mirrors(dataset)]
    return {
        "data": dataset.name,
        "data_description": dataset.description,
        "data_digest": dataset.digest,
        "data_notes": notes,
        "num_classes": dataset.num_classes,
        "num_train": len(dataset.train),
        "num_validation": len(dataset.validation),
        "num_test": len(dataset.test),
        "majority": dataset.majority_share,
        "chance": chance,
        **({"balanced": True} if balance else {}),
    }


def _ratio(dataset: "DataSet | Stream") -> float:
    """How many times the training images of the rarest class the commonest has."""
    counts = dataset.train.labels.bincount(minlength=dataset.num_classes)
    return float(counts.max() / counts.min().clamp(min=1))


def _balanced(dataset: "DataSet | Stream") -> list[str]:
    """What is done in training about classes of unequal size."""
    return [
        f"the commonest class has {_ratio(dataset):.3g} times the training images of the rarest: "
        "in the loss each image counts by the inverse square root of the number in its class, in "
        "accuracies all alike; proxy.balance: false in a space, or --set recipe.balance=false of "
        "train, switches that off"
    ]


def _imbalance(dataset: "DataSet | Stream") -> list[str]:
    """What classes of unequal size do to accuracies, where they are so."""
    share = dataset.majority_share
    if share * dataset.num_classes < _UNEQUAL:
        return []
    counts = dataset.validation.labels.bincount(minlength=dataset.num_classes)
    named, rarest = (dataset.class_names[int(at)] for at in (counts.argmax(), counts.argmin()))
    bar = chance_bar(share, num_validation=len(dataset.validation))
    return [
        f"classes of unequal size: always naming {named} is right on {100 * share:.1f} % of the "
        f"validation images ({rarest} has {int(counts.min()):,} of {len(dataset.validation):,}), "
        f"and more than {100 * bar:.1f} % counts as better than guessing"
    ]


def _mirrors(dataset: "DataSet | Stream") -> list[str]:
    """What a person should know of the mirroring of images, where they are mirrored."""
    if not may_flip(dataset.name):
        return ["training mirrors no image, as flip=no says"]
    if not dataset.flip:
        return []
    if isinstance(dataset, DataSet) and (found := mirrored_accuracy(dataset)):
        as_is, mirrored = (f"{100 * share:.0f} %" for share in found)
        return [
            f"mirrors contradict the labels: a linear rule is right on {as_is} of the validation "
            f"images and on {mirrored} of their mirrors; where left and right distinguish classes, "
            f"{_NO_MIRROR}"
        ]
    return [
        f"training mirrors images at random; where left and right distinguish classes, {_NO_MIRROR}"
    ]


def teacher_in_words(teacher: Teacher) -> str:
    """How good a teacher is, in one sentence for a person."""
    told = (
        f"the {teacher.kind} teacher is right on {100 * teacher.accuracy:.1f} % of the validation"
    )
    if teacher.agreement is None:
        return f"{told} images"
    share = f"{100 * teacher.agreement:.1f} %"
    return f"{told} images; its answer is the label on {share} of the training images"


@lru_cache(maxsize=16)  # the resolutions of a space: maps of files, which take no memory
def _opened(name: str, resolution: int) -> DataSet:
    return load(name, resolution=resolution)


@lru_cache(maxsize=4)
def _teacher(name: str, resolution: int, kind: str, seed: int, device: str) -> Teacher | None:
    recipe = Recipe(teacher=kind, seed=seed)
    return teacher_for(_opened(name, resolution), recipe=recipe, device=device)


def _usable(path: Path, *, sha256: str | None, on_note: Callable[[str], None]) -> str | None:
    """The sha256 of the checkpoint to go on from; None to begin anew, with nothing in the way."""
    try:
        found = read_checkpoint(path, sha256=sha256)
    except (StorageError, MissingError) as error:
        on_note(f"{error.message} ({path.name}); trained from the start")
        remove_checkpoints(path)
        return None
    return sha256 if found is None or found.sha256 == sha256 else None
