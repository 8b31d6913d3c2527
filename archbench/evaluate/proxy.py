"""What accuracy is taken on: data, size of images, recipe; one for all candidates of a study."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from archbench.data import DataSet, load
from archbench.errors import MissingError, StorageError
from archbench.models import ArchSpec, Network, build, proxy
from archbench.progress import Progress
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import previous_path, read_checkpoint, read_tensors, write_tensors
from archbench.train.feed import derived_seed
from archbench.train.loop import accuracy, train
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Teacher
from archbench.train.teacher import teacher_for

OnPoint = Callable[[CurvePoint, Path, str], bool | None]


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """How the accuracy of every candidate is taken.

    Attributes:
        data: Name of the data set.
        resolution: Side of its images in pixels.
        stem: How the first embed is adapted, see ``archbench.models.proxy``.
        num_seeds: Trainings of each candidate; their mean counts.
        recipe: How each is trained; its seed is the study's.
        plan: Precision and memory format of the steps.
        scale: Of all widths, see ``archbench.models.rewrite.scaled``.
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

    @classmethod
    def from_document(
        cls,
        kept: Mapping[str, Any],
        *,
        plan: Mapping[str, Any],
        num_seeds: int,
        scale: float = 1.0,
    ) -> Self:
        """The proxy of a study, a certificate or an ablation, from what its header keeps.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry is not as this version writes it.
        """
        return cls(
            data=kept["data"],
            resolution=kept["resolution"],
            num_classes=kept["num_classes"],
            stem=kept["stem"],
            num_seeds=num_seeds,
            recipe=Recipe.from_document(kept["recipe"]),
            plan=Plan(**plan),
            device=kept["device"],
            scale=scale,
        )

    def spec(self, target: ArchSpec) -> ArchSpec:
        """The network that is trained in place of a target.

        Raises:
            SpecError: It is not legal at the proxy's resolution.
        """
        spec = proxy(
            target,
            resolution=self.resolution,
            num_classes=self.num_classes,
            stem=self.stem,
            scale=self.scale,
        )
        spec.resolved()
        return spec

    def dataset(self) -> DataSet:
        """The data, mapped from the cache and kept open in this process."""
        return open_data(self.data, resolution=self.resolution)

    def teacher(self, *, progress: Progress | None = None) -> Teacher | None:
        """The teacher that the recipe names, trained if it must be and kept open in this process.

        Args:
            progress: Told how far it is trained; whoever does not give it finds it in the cache.

        Raises:
            ArchbenchError: See ``archbench.train.teacher.teacher_for``.
        """
        recipe, device = self.recipe, self.device
        if progress is not None:
            teacher_for(self.dataset(), recipe=recipe, device=device, on_progress=progress)
        return _teacher(self.data, self.resolution, recipe.teacher, recipe.seed, device)

    def network(self, target: ArchSpec, *, seed: int) -> Network:
        """The network to train, with the weights that its training begins with."""
        return build(self.spec(target), seed=derived_seed("weights", self.recipe.seed, seed))

    def train(
        self,
        target: ArchSpec,
        *,
        seed: int,
        checkpoint: Path,
        sha256: str | None,
        weights: Path | None,
        on_point: OnPoint,
        on_note: Callable[[str], None],
    ) -> float:
        """The validation accuracy of one training at the last rung, whose weights are written.

        Args:
            target: The candidate.
            seed: Which training, counted from 0.
            checkpoint: Where an interrupted training is gone on from.
            sha256: Of the checkpoint on record. One that is damaged or gone is replaced by the
                one before it, or by a new start; ``on_note`` is told.
            weights: Written at the end, safetensors; None keeps none.
            on_point: Told each point when its checkpoint is durable; after an interruption the
                last one again. False ends the training there, without weights.
            on_note: Told in words what was not as it should be.

        Raises:
            NonFiniteLossError: The training diverged.
            SpecError: The candidate is not legal at the proxy.
            StorageError: A file cannot be written.
        """
        network = self.network(target, seed=seed)

        def tell(point: CurvePoint, path: Path | None, digest: str | None) -> bool | None:
            assert path is not None, "a checkpoint was asked for"
            assert digest is not None
            return on_point(point, path, digest)

        points = train(
            network,
            self.dataset(),
            recipe=self.recipe,
            seed=seed,
            plan=self.plan,
            width=widest(self.spec(target)),
            device=self.device,
            teacher=self.teacher(),
            checkpoint=checkpoint,
            sha256=_usable(checkpoint, sha256=sha256, on_note=on_note),
            on_point=tell,
            on_note=on_note,
        )
        if weights is not None and points[-1].epoch == self.recipe.epochs:
            write_tensors(weights, network.state_dict(), metadata=identity(self.spec(target)))
        return points[-1].accuracy

    def test(self, target: ArchSpec, *, weights: Path) -> float:
        """The accuracy of trained weights on the sealed test share, 0 to 1.

        Raises:
            StorageError: The weights are damaged, or of another network.
        """
        spec = self.spec(target)
        tensors, metadata, _ = read_tensors(weights)
        if metadata.get("digest") != spec.digest:
            raise StorageError(
                "the weights are of another network",
                place=str(weights),
                help="delete the file and train the trial again",
            )
        network = build(spec, seed=0)
        network.load_state_dict(tensors)
        return accuracy(network.to(self.device), self.dataset().test, device=self.device)


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


def describe(dataset: DataSet) -> dict[str, Any]:
    """What a study's header keeps of its data, JSON-able."""
    return {
        "data": dataset.name,
        "data_description": dataset.description,
        "data_digest": dataset.digest,
        "data_notes": list(dataset.notes),
        "num_classes": dataset.num_classes,
        "num_train": len(dataset.train),
        "num_validation": len(dataset.validation),
        "num_test": len(dataset.test),
        "majority": dataset.majority_share,
        "chance": max(1 / dataset.num_classes, dataset.majority_share),
    }


def teacher_in_words(teacher: Teacher) -> str:
    """How good a teacher is, in one sentence for a person."""
    return (
        f"the {teacher.kind} teacher is right on {100 * teacher.accuracy:.1f} % of the validation "
        f"images; its answer is the label on {100 * teacher.agreement:.1f} % of the training images"
    )


@lru_cache(maxsize=2)
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
        for file in (path, previous_path(path)):
            file.unlink(missing_ok=True)
        return None
    return sha256 if found is None or found.sha256 == sha256 else None


def identity(spec: ArchSpec) -> dict[str, str]:
    """What stands in the header of a network's weights."""
    return {
        "format": "archbench.weights/1",
        "digest": spec.digest,
        "spec": json.dumps(spec.to_document(), sort_keys=True),
    }
