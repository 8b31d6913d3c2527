"""What is asked of a training, and with which network and weights does it begin?"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archbench.data import Data, name_of
from archbench.digest import sha256_of_file
from archbench.errors import UsageError
from archbench.evaluate.held_out import HeldOut
from archbench.evaluate.kept_training import Loop
from archbench.models import ArchSpec, Network, build, load_weights, proxy
from archbench.models.weights.header import header, own_spec
from archbench.models.weights.inherit import inherit
from archbench.models.weights.load import read_network
from archbench.models.weights.skeleton import differing_fields
from archbench.models.weights.weight_file import read_weights
from archbench.progress import Progress
from archbench.study.trial import CurvePoint
from archbench.train.resumable import CHECKPOINT_EVERY_S
from archbench.train.step import derived_seed


@dataclass(frozen=True, kw_only=True)
class Training:
    """A network that is ready to be trained, and how.

    The facts say what is trained on what and how, JSON-able. The texts stand in the headers of
    its weights, so that pictures can be given to them later. Of its images it has those to validate
    on and the held-out ones.
    """

    network: Network
    loop: Loop
    facts: Mapping[str, Any]
    texts: Mapping[str, str]
    validation: HeldOut
    held_out: HeldOut


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What is asked of a training; see ``archbench.evaluate.training.train_network``."""

    target: ArchSpec
    data: Data
    folder: Path
    epochs: int | None = None
    batch: int | None = None
    resolution: int | None = None
    stem: str | None = None
    weights: Path | None = None
    seed: int = 0
    device: str = "cpu"
    teacher: str | None = None
    workers: int | None = None
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    download: bool = False
    on_progress: Callable[[int, int], None] | None = None
    on_note: Callable[[str], None] | None = None
    on_data: Progress | None = None

    def say(self, text: str) -> None:
        """Tells what a person should know, if anybody listens."""
        if self.on_note:
            self.on_note(text)

    def side(self) -> int:
        """The side of the images in pixels: as asked, or the network's own.

        Raises:
            UsageError: That is not square, and no other was asked for.
        """
        height, width = self.target.resolution
        if self.resolution is None and height != width:
            raise UsageError(
                f"the network's own resolution {height}x{width} is not square",
                place="--resolution",
                help=f"give the side of the images, for example --resolution {min(height, width)}",
            )
        return self.resolution or height

    def data_name(self) -> str:
        """The name of the data, whose images are put into the cache if they are an object."""
        return name_of(self.data, resolution=self.side())

    def network(
        self, *, num_classes: int, changed: Callable[[ArchSpec], ArchSpec] = lambda spec: spec
    ) -> tuple[Network, dict[str, Any]]:
        """The network as its training begins, and what is to be said of it in the facts.

        ``changed`` is what a recipe makes of it, as by its drop path.

        Raises:
            SpecError: It is illegal at this resolution.
            WeightsError: The weights to begin with do not fit it.
            MissingError: There is no file of them.
        """
        side, stem = self.side(), self.stem or ("as_is" if self.weights else "keep_grid")
        spec = changed(proxy(self.target, resolution=side, num_classes=num_classes, stem=stem))
        spec.resolved()
        network = build(spec, seed=derived_seed("weights", self.seed, 0))
        facts = {"spec": spec.to_document(), "digest": spec.digest}
        return network, {**facts, **({"weights": self._begin(network)} if self.weights else {})}

    def training(
        self,
        network: Network,
        train: Callable[..., tuple[CurvePoint, ...]],
        *,
        facts: Mapping[str, Any],
        validation: HeldOut,
        held_out: HeldOut,
    ) -> Training:
        """A training by a loop that takes what is asked of every training, and nothing else."""
        data = f"{facts['data']['data']} {facts['data']['data_digest']}"
        texts = {"data": data, "recipe": json.dumps(facts["recipe"])}
        return Training(
            network=network,
            loop=lambda checkpoint, on_point: train(
                device=self.device,
                checkpoint=checkpoint,
                checkpoint_every_s=self.checkpoint_every_s,
                on_point=on_point,
                on_progress=self.on_progress,
                on_note=self.on_note,
            ),
            facts=facts,
            texts={**header(network.spec), **texts, **held_out.preparation.texts()},
            validation=validation,
            held_out=held_out,
        )

    def _begin(self, network: Network) -> dict[str, Any]:
        """Loads the weights to begin with; the file's name and sha256."""
        assert self.weights is not None
        if not self._inherit(network, self.weights):
            self._load(network, self.weights)
        return {"file": self.weights.name, "sha256": sha256_of_file(self.weights)}

    def _inherit(self, network: Network, path: Path) -> bool:
        """Takes over what fits of weights of another network; whether the file says it is one."""
        spec = own_spec(read_weights(path))
        if spec is None or not differing_fields(spec, network.spec):
            return False
        found = inherit(network, ancestor=read_network(path).tensors, ancestor_spec=spec)
        self.say(
            f"{path.name} is of another network{f', {spec.name}' if spec.name else ''}: "
            f"{100 * found.share:.1f} % of the parameters are inherited, the rest begin anew"
        )
        return True

    def _load(self, network: Network, path: Path) -> None:
        loaded = load_weights(network, path, interpolate=True, new_head=None)
        name, side = path.name, network.spec.resolution
        if loaded.other_keys:
            others = ", ".join(loaded.other_keys)
            self.say(f"{name}: the weights {loaded.key} are taken, and not {others}")
        if loaded.interpolated:
            count = len(loaded.interpolated)
            tables = "1 table of positions is" if count == 1 else f"{count} tables of positions are"
            self.say(f"{name}: {tables} interpolated to {side}")
        if loaded.fresh:
            classes = f"another number of classes than the {network.spec.num_classes:,} of the data"
            self.say(f"{name} is for {classes}: the classifier begins anew")
