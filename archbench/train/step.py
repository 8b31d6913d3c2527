"""What does an optimiser step see (images, rate, seeds), and what does it do?"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import deterministic

from archbench.data import DataSet, augment
from archbench.errors import UsageError
from archbench.train.recipe import MemoryFormat, Plan, Recipe

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LARGEST_SHARE_OF_DEVICE = 0.25
_ALIGNMENT = 16  # elements; 64 bytes of fp32, as the allocator aligns


class Feed:
    """The batches of each epoch, a function of data, recipe, seed and epoch alone.

    They are made on the device: the images are moved there once if they fill under a quarter of
    its free memory, and batch by batch otherwise.

    Raises:
        UsageError: There are fewer than two images.
    """

    def __init__(
        self, dataset: DataSet, *, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        split = dataset.train
        if len(split) < 2:
            raise UsageError(
                f"{len(split)} training images are too few", place="data", help="use 2 or more"
            )
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        fits = split.images.nbytes < _LARGEST_SHARE_OF_DEVICE * free
        self._images = split.images.to(device) if fits else split.images
        self._labels = split.labels.to(device)
        self._length = recipe.epoch_images(len(split))
        self._bounds = batch_bounds(self._length, batch=recipe.batch)
        self._shift = round(recipe.shift * dataset.resolution)
        self._flip = dataset.flip
        self._seeds = (recipe.seed, seed)
        self._device = device

    @property
    def num_steps(self) -> int:
        """Steps of one epoch."""
        return len(self._bounds)

    def moves(self, epoch: int) -> torch.Generator:
        """What decides the augmentation of an epoch, as it stands before the first batch."""
        return torch.Generator().manual_seed(derived_seed("augmentation", *self._seeds, epoch))

    def epoch(
        self, epoch: int, *, moves: torch.Generator | None = None, first_step: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W), normalised, and labels (B,) of each step, on the device.

        Of an epoch that is gone on with come the steps from the first one, counted from 0, with
        ``moves`` as they stood before it.
        """
        order = self._order(epoch)
        moves = moves or self.moves(epoch)
        here = order.to(self._device)
        stored = here if self._images.device == here.device else order
        for begin, end in self._bounds[first_step:]:
            images = self._images[stored[begin:end]].to(self._device)
            yield (
                augment(images, generator=moves, shift=self._shift, flip=self._flip),
                self._labels[here[begin:end]],
            )

    def _order(self, epoch: int) -> Tensor:
        """The next images of an endless row of passes over all, each in an order of its own."""
        number, begin, end = len(self._labels), epoch * self._length, (epoch + 1) * self._length
        passes = []
        for index in range(begin // number, math.ceil(end / number)):
            shuffle = torch.Generator().manual_seed(derived_seed("order", *self._seeds, index))
            passes.append(torch.randperm(number, generator=shuffle))
        return torch.cat(passes)[begin % number :][: self._length]


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained network, in evaluation, whose answers others learn; the sha256 is of its weights.

    The accuracy is on the validation images; the agreement, None where it was not taken, is the
    share of the training images, as they are, on which its answer is the label: near 1 it says
    little that the labels do not say.
    """

    kind: str
    network: nn.Module
    sha256: str
    accuracy: float
    agreement: float | None = None

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """The class (B,) that it takes each of the images (B, 3, H, W), normalised, to be."""
        found: Tensor = self.network(images).argmax(dim=1)
        return found

    def facts(self) -> dict[str, Any]:
        """What a study's header keeps of it, JSON-able."""
        return {name: value for name, value in vars(self).items() if name != "network"}


class Trainer:
    """A network in training, in place on the device: its optimiser and how a step is computed.

    The width is that of its widest stage, for the learning rate. The plan's memory format is that
    of the images and the convolutions' weights. ``answers`` gives a teacher's classes (B,) of
    images (B, 3, H, W); ``class_weights`` (K,) are those of the classes in the loss.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: Recipe,
        width: int,
        num_classes: int,
        plan: Plan,
        device: torch.device,
        answers: Callable[[Tensor], Tensor] | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        self._memory_format = torch_memory_format(plan.memory_format)
        self.network = network.to(device).to(memory_format=self._memory_format)
        self._flat = FlatParameters(self.network)
        decayed = {"params": [self._flat.decayed], "weight_decay": recipe.weight_decay}
        others = {"params": [self._flat.others], "weight_decay": 0.0}
        self._optimizer = torch.optim.AdamW([decayed, others], fused=True)
        self.recipe = recipe
        self._rate = recipe.learning_rate(width)
        self._num_classes = num_classes
        self.plan = plan
        self.device = device
        self._answers = answers
        self._class_weights = None if class_weights is None else class_weights.to(device)

    def step(self, images: Tensor, labels: Tensor, *, share: float) -> Tensor:
        """Takes one step and gives loss and gradient norm before clipping, on the device.

        Images (B, 3, H, W) are normalised, labels (B,); the share is of the peak learning rate.

        Raises:
            UsageError: The network gives another number of logits than there are classes.
        """
        is_bf16 = self.plan.precision == "bf16"
        images = images.contiguous(memory_format=self._memory_format)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_bf16):
            outputs = self.network(images)
        taught = self._answers(images) if self._answers else None
        loss = self._loss(outputs, labels, taught)
        self._flat.gradient.zero_()
        loss.backward()
        norm = self._flat.clip(self.recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * share
        self._optimizer.step()
        return torch.stack([loss.detach(), norm])

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, by name."""
        return training_state(self.network, self._optimizer)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave, in a network of the same signature."""
        restore_training(self.network, self._optimizer, tensors)

    def _loss(
        self, outputs: Tensor | tuple[Tensor, ...], labels: Tensor, taught: Tensor | None
    ) -> Tensor:
        return classification_loss(
            outputs,
            labels,
            taught=taught,
            num_classes=self._num_classes,
            smoothing=self.recipe.label_smoothing,
            teacher_share=self.recipe.teacher_share,
            weights=self._class_weights,
        )


def training_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors of a network, ``network/NAME``, and of its optimiser, ``optimizer/INDEX/KEY``."""
    moments = {
        f"optimizer/{index}/{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
    }
    return {f"network/{k}": v for k, v in network.state_dict().items()} | moments


def restore_training(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what ``training_state`` gave, in a network of the same signature."""
    weights: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match name.split("/"):
            case "network", key:
                weights[key] = tensor
            case "optimizer", index, key:
                moments.setdefault(int(index), {})[key] = tensor
    network.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def signature(network: nn.Module) -> str:
    """Sixteen hexadecimal digits of the names, shapes and types of the network's tensors."""
    lines = [f"{name} {t.dtype} {list(t.shape)}" for name, t in network.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def classification_loss(
    outputs: Tensor | tuple[Tensor, ...],
    targets: Tensor,
    *,
    taught: Tensor | None,
    num_classes: int,
    smoothing: float,
    teacher_share: float,
    weights: Tensor | None = None,
) -> Tensor:
    """The mean cross-entropy over the classifiers; with a teacher, hard distillation.

    Targets are labels (B,), or probabilities (B, K) where images are mixed; the teacher's answers
    are classes (B,). The first classifier then learns the target and the last the teacher's answer,
    which is not smoothed; a single classifier learns both. Touvron et al. 2021 (arXiv:2012.12877),
    sec. 4, equation 3. The mean over images is by the ``weights`` (K,) of their classes, if any.

    Raises:
        UsageError: The network gives another number of logits than there are classes.
    """
    heads = (outputs,) if isinstance(outputs, Tensor) else outputs
    if heads[0].shape[1] != num_classes:
        raise UsageError(
            f"{heads[0].shape[1]} logits for {num_classes} classes",
            place="network",
            help=f"build it with num_classes {num_classes}",
        )
    if taught is not None:
        own = F.cross_entropy(heads[0].float(), targets, weights, label_smoothing=smoothing)
        learnt = F.cross_entropy(heads[-1].float(), taught, weights)
        return (1 - teacher_share) * own + teacher_share * learnt
    learn = partial(F.cross_entropy, target=targets, weight=weights, label_smoothing=smoothing)
    losses = [learn(one.float()) for one in heads]
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def class_weights(labels: Tensor, *, num_classes: int) -> Tensor:
    """What each class counts in the loss, (K,): the inverse square root of its labels (N,).

    The square root lies between the images as they come and classes that all count alike, for which
    the frequent ones, and so the plain accuracy, would pay. Mahajan et al. 2018 (arXiv:1805.00932)
    sample their classes by it.
    """
    return labels.bincount(minlength=num_classes).clamp(min=1).rsqrt()


def batch_bounds(num_images: int, *, batch: int) -> list[tuple[int, int]]:
    """First and last-but-one index of each batch of an epoch; every image is in one.

    A remainder of one image joins the batch before, as batch norm has no variance of one value.
    """
    ends = list(range(batch, num_images + 1, batch))
    remainder = num_images - (ends[-1] if ends else 0)
    if remainder > 1 or not ends:
        ends.append(num_images)
    elif remainder:
        ends[-1] = num_images
    return list(zip([0, *ends], ends, strict=False))


def rate_share(step: int, *, num_steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    Rises linearly over the first ``warmup`` of the steps to 1, then falls as a half cosine that
    would reach 0 at ``num_steps``.
    """
    rising = math.ceil(warmup * num_steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / (num_steps - rising)))


def derived_seed(purpose: str, *numbers: int) -> int:
    """A generator's seed for one purpose, for example the order of the images in an epoch.

    A hash, so that neighbouring seeds and epochs share nothing, and any epoch can be started
    without those before it.
    """
    text = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_network(seed: int, *, device: torch.device) -> None:
    """Sets what decides dropout and drop path, on this device alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on the CPU; the process's random state is as before afterwards.

    On a GPU nothing is promised, and kernels that add in any order are allowed.
    """
    # use_deterministic_algorithms would do the same, but imports the compiler: 1.2 s
    mode = torch.get_deterministic_debug_mode()
    fill = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        try:
            if device.type == "cpu":
                torch.set_deterministic_debug_mode("error")
                deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def torch_memory_format(name: MemoryFormat) -> torch.memory_format:
    """PyTorch's object for a memory format of a plan."""
    return torch.channels_last if name == "channels_last" else torch.contiguous_format


class FlatParameters:
    """A network's trainable parameters as two vectors, with one vector of their gradients.

    The network's own parameters become views of the vectors, in their memory format, and so do
    their gradients. Clearing, clipping and updating 80 small tensors took 9 % of a step of a
    network of width 32; on vectors it takes 2 %.

    Weights of linears and convolutions decay, which multiply a feature; what is added to it
    (biases, position tables, class tokens) or scales it (norms) does not.

    Raises:
        UsageError: There is no parameter to train, or they are of several types or devices.
    """

    def __init__(self, network: nn.Module) -> None:
        decayed, others = decayed_and_others(network)
        kinds = {(p.dtype, p.device) for p in (*decayed, *others)}
        if len(kinds) != 1:
            raise UsageError(
                f"parameters of {len(kinds)} types and devices, where one is needed",
                place="network",
                help="train a network in fp32 on one device",
            )
        dtype, device = kinds.pop()
        sizes = [sum(map(_aligned_size, group)) for group in (decayed, others)]
        weights = torch.zeros(sum(sizes), dtype=dtype, device=device)
        self.gradient = torch.zeros_like(weights)
        self.decayed, self.others = map(nn.Parameter, weights.split(sizes))
        self.decayed.grad, self.others.grad = self.gradient.split(sizes)
        offset = 0
        for parameter in (*decayed, *others):
            stride = torch.empty_like(parameter).stride()  # dense, in the parameter's memory format
            view = weights.as_strided(parameter.shape, stride, offset)
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = self.gradient.as_strided(parameter.shape, stride, offset)
            offset += _aligned_size(parameter)

    def clip(self, limit: float) -> Tensor:
        """Scales the gradient down to a norm of at most ``limit``; gives its norm before."""
        norm = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((limit / (norm + 1e-6)).clamp(max=1.0))
        return norm


def decayed_and_others(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable weights of linears and convolutions, and all other trainable parameters."""
    weights = {id(m.weight) for m in network.modules() if isinstance(m, _DECAYED)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if id(parameter) in weights]
    return decayed, [parameter for parameter in trained if id(parameter) not in weights]


def _aligned_size(parameter: Tensor) -> int:
    return -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
