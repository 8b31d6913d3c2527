"""What does a step of a full training do: images mixed, loss, clipping, AdamW, moving average?

Shapes: B batch, H W image, K classes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from archbench.errors import library_absence
from archbench.train.decay import decay_groups
from archbench.train.full_recipe import FullRecipe
from archbench.train.processes import rank, world
from archbench.train.step import (
    classification_loss,
    derived_seed,
    restore_training,
    seed_network,
    training_state,
)

_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
_AVERAGE, _SCALER = "average/", "scaler/"


class FullTrainer:
    """A network in training by a full recipe, in place on the device.

    Under torchrun it is one of several processes that each see a part of a batch and average their
    gradients (DistributedDataParallel). Batch norm is each process's own, as in the released code
    of LeViT, CvT and DeiT: it sees the images of one process, and the first one's statistics are
    those that all evaluate with.

    What is random in a step (dropout, drop path, mixing) is a function of the seed, the number of
    the step, its part and the process, so nothing of it has to be kept.

    Raises:
        UsageError: The batch cannot be shared out over processes and parts.
        MissingError: The recipe needs timm, which is not installed.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: FullRecipe,
        num_classes: int,
        seed: int,
        device: torch.device,
        answers: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        recipe.step_batch(world())
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self.memory_format: torch.memory_format = layout
        self.network = network.to(device).to(memory_format=layout)
        self.device = device
        self.recipe = recipe
        self._num_classes = num_classes
        self._seed = seed
        self._answers = answers
        self._mixed = _mixing(recipe, num_classes=num_classes)
        self._clip = _clipping(recipe)
        decayed, others = decay_groups(self.network, no_decay=recipe.no_decay)
        self._parameters = [*decayed, *others]
        groups = [
            {"params": group, "weight_decay": decay}
            for group, decay in ((decayed, recipe.weight_decay), (others, 0.0))
            if group
        ]
        betas = recipe.beta1, recipe.beta2
        self._optimizer = torch.optim.AdamW(
            groups, lr=recipe.peak_rate, betas=betas, eps=recipe.eps, fused=True
        )
        self._scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")
        self._average: AveragedModel | None = None
        if recipe.ema:
            rule = get_ema_multi_avg_fn(recipe.ema)
            self._average = AveragedModel(self.network, multi_avg_fn=rule, use_buffers=True)
            self._average.update_parameters(self.network)  # the first one only copies
        self._parallel = _parallel(self.network, device=device)
        whole: nn.Module = self._parallel or self.network
        self._forward: Callable[[Tensor], Any] = torch.compile(whole) if recipe.compile else whole

    def step(
        self, batches: Iterable[tuple[Tensor, Tensor]], *, number: int, parts: int, rate: float
    ) -> Tensor:
        """Takes one step on the next ``parts`` batches, and gives their mean loss, on the device.

        Images (B, 3, H, W) are normalised and may be changed in place, labels (B,). The number of
        the step counts from 0, over the whole training; the rate is the learning rate.

        Raises:
            UsageError: The network gives another number of logits than there are classes.
        """
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for part, (images, labels) in enumerate(islice(batches, parts)):
            with self._synchronised(is_last=part + 1 == parts):
                loss = self._loss(images, labels, places=(self._seed, number, part, rank()))
                self._scaler.scale(loss / parts).backward()
            losses.append(loss.detach())
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._clip:
            self._scaler.unscale_(self._optimizer)
            self._clip(self._parameters)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average:
            self._average.update_parameters(self.network)
        return torch.stack(losses).mean()

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """Within, the network has the weights that the recipe evaluates."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Exchanges the network's tensors with the average's, if these are evaluated."""
        if self.recipe.evaluate == "raw":
            return
        assert self._average is not None, "a recipe that evaluates an average has one"
        others = self._average.module.state_dict()
        for name, tensor in self.network.state_dict().items():
            kept = tensor.clone()
            tensor.copy_(others[name])
            others[name].copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, by name."""
        tensors = training_state(self.network, self._optimizer)
        if self._average:
            tensors |= {_AVERAGE + key: t for key, t in self._average.state_dict().items()}
        scaler = {
            k: torch.tensor(float(v), dtype=torch.float64)
            for k, v in self._scaler.state_dict().items()
        }
        return tensors | {_SCALER + key: value for key, value in scaler.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave, in a network of the same signature."""
        restore_training(self.network, self._optimizer, tensors)
        for parameter, moments in self._optimizer.state.items():
            for key, moment in moments.items():
                if moment.shape == parameter.shape:  # as the fused AdamW takes them to lie alike
                    moments[key] = torch.empty_like(parameter).copy_(moment)
        if self._average:
            self._average.load_state_dict(_under(_AVERAGE, tensors))
        if scaler := {key: value.item() for key, value in _under(_SCALER, tensors).items()}:
            scaler |= {key: int(scaler[key]) for key in ("growth_interval", "_growth_tracker")}
            self._scaler.load_state_dict(scaler)

    def _loss(self, images: Tensor, labels: Tensor, *, places: tuple[int, ...]) -> Tensor:
        """The loss of a batch; where it stands decides what is random in it."""
        recipe = self.recipe
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        images, targets = self._mixed(images, labels, derived_seed("mixing", *places))
        images = images.contiguous(memory_format=self.memory_format)
        seed_network(derived_seed("network", *places), device=self.device)
        is_low = recipe.precision in _LOW
        with torch.autocast(self.device.type, dtype=_LOW.get(recipe.precision), enabled=is_low):
            outputs = self._forward(images)
            taught = self._answers(images) if self._answers else None
        return classification_loss(
            outputs,
            targets,
            taught=taught,
            num_classes=self._num_classes,
            smoothing=0.0 if recipe.mixes else recipe.label_smoothing,
            teacher_share=recipe.teacher_share,
        )

    def _synchronised(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients of several parts are averaged over the processes once, with the last part's."""
        return nullcontext() if self._parallel is None or is_last else self._parallel.no_sync()


_Mixed = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def _mixing(recipe: FullRecipe, *, num_classes: int) -> _Mixed:
    """What gives mixed images and targets (B, K) of images and labels, by a seed.

    Without mixing these are the images and the labels as they are.
    """
    if not recipe.mixes:
        return lambda images, labels, seed: (images, labels)
    _require_timm("mixup or cutmix")
    from timm.data.mixup import Mixup

    mixup = Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        prob=recipe.mix_prob,
        switch_prob=recipe.mix_switch,
        mode="batch",
        label_smoothing=recipe.label_smoothing,
        num_classes=num_classes,
    )

    def mixed(images: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        before = np.random.get_state()  # from which timm draws
        np.random.seed(seed % 2**32)
        try:
            return mixup(images, labels)
        finally:
            np.random.set_state(before)

    return mixed


def _clipping(recipe: FullRecipe) -> Callable[[list[nn.Parameter]], object] | None:
    """What clips the gradients of all parameters in place; None where nothing does."""
    if recipe.clip_mode == "none":
        return None
    if recipe.clip_mode == "norm":
        return lambda parameters: nn.utils.clip_grad_norm_(parameters, recipe.clip)
    _require_timm("clip_mode adaptive")
    from timm.utils.agc import adaptive_clip_grad

    return lambda parameters: adaptive_clip_grad(parameters, clip_factor=recipe.clip)


def _require_timm(what: str) -> None:
    if missing := library_absence("timm", extra="train"):
        raise missing.at(f"recipe, {what}")


def _parallel(network: nn.Module, *, device: torch.device) -> DistributedDataParallel | None:
    if world() == 1:
        return None
    return DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
