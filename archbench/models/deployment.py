"""The form of a network that ships: norms folded, biases gathered, layers packed; same function.

``fold`` changes the network by algebra alone, so it runs wherever PyTorch does and can be
exported. ``deploy`` then lets every layer run in each form that this machine has, inside the
network and on the example, and keeps the fastest.
"""

import copy
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archbench.errors import InexactError, UsageError, wrong_type
from archbench.exactness import Standard
from archbench.memory import keep_memory
from archbench.models import kernels
from archbench.models.attention import Attend
from archbench.models.folding import fold_norm, fold_scale
from archbench.models.layer import LayerScale, QuickGELU

TOLERANCE = 1e-4
BUDGET_S = 3.0
Sizes = tuple[torch.Size | None, ...]
"""Shapes of what a layer takes, in order; None for what is no tensor."""
MOST_IMAGES = 64  # beyond, attention image by image spends its time in calls


class LayerForm(NamedTuple):
    """Which form of the layer in a place of the network runs.

    Equal layers have the same ``kind``, which says the layer and the shapes that it takes. The
    ``seconds`` are what each form took inside the network, as the lower quartile of its runs and of
    those of equal layers; there are none where the form was known before.
    """

    place: str
    kind: str
    chosen: str
    seconds: dict[str, float]


class Deployed(nn.Module):
    """A network that ships, and how it was made.

    It is fast on tensors of the example's shape; others are computed as well. Its ``error`` is the
    largest difference from the network's output in evaluation, over the largest output.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        choices: tuple[LayerForm, ...],
        error: float,
        keeps_memory: bool,
    ) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        self.error = error
        self.keeps_memory = keeps_memory

    def forward(self, images: Tensor) -> Tensor:
        if torch.compiler.is_exporting() and "packed" in self.summary():
            raise UsageError(
                "its weights are packed for this machine and for images of one size, which no file "
                "holds",
                place="a deployed network",
                help="export archbench.fold(network), which computes the same anywhere",
            )
        return self.network(images)

    def summary(self) -> dict[str, int]:
        """How many layers run in each form."""
        chosen = [choice.chosen for choice in self.choices]
        return {form: chosen.count(form) for form in sorted(set(chosen))}

    def raced(self) -> int:
        """How many layers run in a form that was raced now; the others' were known before."""
        return sum(bool(choice.seconds) for choice in self.choices)

    def decided(self) -> dict[str, str]:
        """The form of each kind of layer that was raced now."""
        return {choice.kind: choice.chosen for choice in self.choices if choice.seconds}


def fold(network: nn.Module) -> nn.Module:
    """A copy for evaluation: batch norms folded into their neighbours, attention biases gathered.

    Folding is done in float64; what has no folded form stays as it is. So does the network itself:
    after loading other weights into it, fold again.

    Raises:
        UsageError: It is no module.
    """
    if not isinstance(network, nn.Module):
        raise wrong_type(network, place="network", allowed="what archbench.build made")
    return _folded(copy.deepcopy(network).eval()).requires_grad_(requires_grad=False)


def deploy(
    network: nn.Module,
    example: Tensor,
    *,
    clock: Callable[[], float] | None = None,
    budget_s: float = BUDGET_S,
    known: Mapping[str, str] | None = None,
) -> Deployed:
    """The fastest form of a network for evaluation on this machine.

    Batch norms are folded, also where a module of another library runs a convolution and then its
    norm; attention biases are gathered once. Then every linear layer, convolution and attention
    runs in each form that PyTorch has for it here, and the fastest stays: plain, or packed for
    oneDNN with the activation behind it; attention by products, fused or image by image.
    Precision is never reduced. The process keeps freed memory from now on, in huge pages where the
    system has them, see ``archbench.memory``. The network itself is left as it is: after loading
    other weights into it, deploy again.

    Args:
        network: Any that takes images and gives one tensor.
        example: Images (B, 3, H, W) as they will come, on their device, in their precision.
        clock: Seconds, for the trial of the forms; by default the CPU time of this thread, or
            with several threads or on a GPU the time that passes.
        budget_s: Seconds that the trial may take; at least two rounds are run.
        known: Forms that were decided before, by the kinds of layers as in ``LayerForm.kind``:
            these are not raced. Where a mapping is given, even an empty one, the others are raced
            for twice as long, as what is decided is to be kept.

    Raises:
        UsageError: It is no module.
        InexactError: The forms differ by more than 1e-4 of the largest output, and the deployed one
            is off the fp64 output by more than ten times what rounding does to the network itself.
    """
    keeps = bool(keep_memory())
    deployed = fold(network)
    with torch.inference_mode():
        standard = Standard(network, example)
        deployed = _with_observed_norms_folded(deployed, example, standard)
        flow = observe(deployed, example)
        candidates = _offer(
            flow, example, known=known or {}, clock=clock or kernels.clock_of(example)
        )
        kernels.race(
            deployed,
            example,
            candidates=[found for _, found in candidates.values()],
            budget_s=budget_s,
            rounds=kernels.MAX_ROUNDS if known is None else kernels.KEPT_ROUNDS,
        )
        choices = []
        for place, (kind, found) in candidates.items():
            chosen = found.fastest()
            deployed.set_submodule(place, found.forms[chosen])
            choices.append(LayerForm(place, kind, chosen, found.quartiles()))
        output = deployed(example)
        if refusal := _refusal(standard, output):
            raise InexactError(refusal, help="use the network as it is")
        error = standard.error(output)
    return Deployed(deployed, choices=tuple(choices), error=error, keeps_memory=keeps).eval()


def deployment_error(network: nn.Module, deployed: nn.Module, example: Tensor) -> float:
    """Largest difference of the outputs in evaluation, over the largest output."""
    with torch.inference_mode():
        return Standard(network, example).error(deployed(example))


def _folded(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _folded(child))
    if isinstance(module, nn.Sequential):
        _without_quick_gelu(module)
        _without_scales(module)
    make = getattr(module, "deployed", None)
    return make().eval() if callable(make) else module


def _without_quick_gelu(layers: nn.Sequential) -> None:
    """``x * sigmoid(a x)`` is ``silu(a x) / a``: the factors go into the linears around it."""
    threes = zip(layers, layers[1:], layers[2:], strict=False)
    for i, (before, between, behind) in enumerate(threes, start=1):
        if isinstance(between, QuickGELU) and type(before) is type(behind) is nn.Linear:
            with torch.no_grad():
                for parameter in before.parameters():
                    parameter.mul_(QuickGELU.FACTOR)
                behind.weight.div_(QuickGELU.FACTOR)
            layers[i] = nn.SiLU()


def _without_scales(layers: nn.Sequential) -> None:
    """The factors of a layer's outputs go into its weights and bias."""
    for i, (before, behind) in enumerate(pairwise(layers)):
        if isinstance(behind, LayerScale) and isinstance(before, nn.Conv2d | nn.Linear):
            layers[i], layers[i + 1] = fold_scale(before, behind.weight), nn.Identity()


def _with_observed_norms_folded(
    network: nn.Module, example: Tensor, standard: Standard
) -> nn.Module:
    """Folds a batch norm that was seen to follow a convolution; not where that changes outputs."""
    if not any(type(module) is nn.BatchNorm2d for module in network.modules()):
        return network
    flow = observe(network, example)
    folded = copy.deepcopy(network)
    for conv, norm in flow.behind.items():
        if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
            continue
        if norm.affine and norm.track_running_stats:
            folded.set_submodule(flow.places[conv], fold_norm(conv, norm))
            folded.set_submodule(flow.places[norm], nn.Identity())
    return network if _refusal(standard, folded(example)) else folded


class Flow(NamedTuple):
    """What was seen of a network's layers that ran exactly once and stand in one place.

    Of a layer, ``behind`` is the only other that took its very output.
    """

    network: nn.Module
    places: dict[nn.Module, str]
    sizes: dict[nn.Module, Sizes]
    behind: dict[nn.Module, nn.Module]


def observe(network: nn.Module, example: Tensor) -> Flow:
    """Runs the network once and records its layers."""
    runs: list[tuple[nn.Module, Sizes, Tensor, Any]] = []

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            sizes = tuple(x.shape if isinstance(x, Tensor) else None for x in inputs)
            runs.append((module, sizes, inputs[0], output))

    stands: dict[nn.Module, list[str]] = {}
    for place, module in network.named_modules(remove_duplicate=False):
        # Attention counts as one layer.
        if place and (isinstance(module, Attend) or not any(True for _ in module.children())):
            stands.setdefault(module, []).append(place)
    places = {module: found[0] for module, found in stands.items() if len(found) == 1}
    handles = [module.register_forward_hook(record) for module in places]
    try:
        network(example)
    finally:
        for handle in handles:
            handle.remove()
    once = [run for run in runs if sum(run[0] is other[0] for other in runs) == 1]
    # Tensors are compared while all of them are alive: a freed one lends its identity to others.
    maker = {id(output): module for module, _, _, output in once if isinstance(output, Tensor)}
    takers: dict[nn.Module, list[nn.Module]] = {}
    for module, _, first, _ in once:
        if id(first) in maker:
            takers.setdefault(maker[id(first)], []).append(module)
    return Flow(
        network=network,
        places={module: places[module] for module, *_ in once},
        sizes={module: sizes for module, sizes, _, _ in once},
        behind={first: then[0] for first, then in takers.items() if len(then) == 1},
    )


def _offer(
    flow: Flow, example: Tensor, *, known: Mapping[str, str], clock: Callable[[], float]
) -> dict[str, tuple[str, kernels.Candidates]]:
    """Puts candidates in the place of every layer of which there are several forms.

    Layers that are equal but for their weights, on inputs of equal shape, are timed as one: what
    is fastest for one is so for all, and a chance that favours a form now and then cancels out.
    By place it gives the kind of the layer and its candidates; only one where it is known.
    """
    found = {}
    times: dict[str, kernels.Times] = {}
    for module, sizes in flow.sizes.items():
        behind = None if isinstance(module, Attend) else flow.behind.get(module)
        activation = behind if kernels.can_fuse(behind) else None
        forms = _forms(module, activation, sizes, example=example)
        if not forms:
            continue
        if activation is not None:
            flow.network.set_submodule(flow.places[activation], nn.Identity())
        kind = _kind(module, activation, sizes)
        if known.get(kind) in forms:
            forms = {known[kind]: forms[known[kind]]}
        candidates = kernels.Candidates(
            {name: make() for name, make in forms.items()},
            clock=clock,
            seconds=times.setdefault(kind, {}),
        )
        place = flow.places[module]
        found[place] = kind, candidates
        flow.network.set_submodule(place, candidates)
    return found


def _kind(module: nn.Module, activation: nn.Module | None, sizes: Sizes) -> str:
    scale = getattr(module, "scale", None)
    layer = f"{module!r} scaled by {scale}" if scale is not None else repr(module)
    behind = f" with {activation!r}" if activation is not None else ""
    return f"{layer}{behind} on {[size and list(size) for size in sizes]}"


def _forms(
    layer: nn.Module, activation: nn.Module | None, sizes: Sizes, *, example: Tensor
) -> dict[str, Callable[[], nn.Module]]:
    """What computes a layer and the activation behind it here; nothing but itself if empty."""
    size = sizes[0]
    assert size is not None, "a layer is seen by the tensor it takes first"
    if isinstance(layer, Attend):
        names = ["products", "fused"]
        if example.is_cpu and size[0] <= MOST_IMAGES:  # windows of a map count as images, too
            names = ["by_image", "fused"] if size[0] == 1 else [*names, "by_image"]
        return {kernel: partial(Attend, layer.scale, kernel=kernel) for kernel in names}
    can_lay_out = type(layer) is nn.Linear or (
        type(layer) is nn.Conv2d
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )
    if not can_lay_out or not kernels.can_pack(example):
        return {}
    return {
        "plain": lambda: layer if activation is None else nn.Sequential(layer, activation),
        "packed": partial(kernels.Packed, layer, activation=activation, size=size),  # type: ignore[arg-type]
    }


def _refusal(standard: Standard, output: Tensor) -> str:
    """Why a form that gives this output is not the network; empty where it is.

    It may differ by 1e-4 in fp32, by as many steps of rounding in another precision.
    """
    difference = standard.error(output)
    steps = torch.finfo(standard.example.dtype).eps / torch.finfo(torch.float32).eps
    if difference <= TOLERANCE * steps or not (fault := standard.fault(output)):
        return ""
    return f"this form differs from the network by {difference:.1e} of the largest output: {fault}"
