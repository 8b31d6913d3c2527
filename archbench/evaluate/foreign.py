"""Which network is meant: one of ours, another library's, or the user's?"""

import contextlib
import copy
import difflib
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archbench.bounds import require_memory
from archbench.errors import MissingError, UsageError, unknown_name, wrong_type
from archbench.models import ArchSpec
from archbench.models.network import Written, as_spec, spec_of
from archbench.models.part import Grid
from archbench.registry import guest, import_outside
from archbench.study.environment import usable_memory_bytes

SOURCES = ("module", "timm", "torchvision")
INSTALL = {"timm": "pip install 'archbench[timm]'", "torchvision": "pip install torchvision"}
RESOLUTION = 224
_EXAMPLE = "write it like module:my_package.my_model:build"


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A network that is no point of the grammar, measured for comparison."""

    name: str  # as the person typed it
    origin: str  # where it comes from, with the version of a library
    network: nn.Module  # with fresh weights; in the form that is timed, where there is a ``form``
    resolution: Grid
    form: str = ""  # ``deployed``, or ``as built`` where ``archbench.deploy`` cannot take it
    form_reason: str = ""  # why it is as built


def noise(resolution: Grid, *, batch: int = 1) -> Tensor:
    """Images of noise (B, 3, H, W), always the same.

    Raises:
        UsageError: They alone fill half of the machine's memory.
    """
    require_memory(batch, *resolution, has=usable_memory_bytes(), place="batch")
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *resolution, generator=generator)


def is_foreign(text: str) -> bool:
    """Whether a text is ``timm:NAME``, ``torchvision:NAME`` or ``module:MODULE:BUILDER``.

    ``timm:3`` is trial 3 of a study of that name.
    """
    source, colon, rest = text.partition(":")
    return bool(colon) and source in SOURCES and not rest.isdecimal()


def opened(
    written: Written | Foreign, *, resolution: tuple[int, int] | int | None
) -> ArchSpec | Foreign:
    """The network that was asked for, in whatever way it is given, at a resolution or its own.

    A module that ``archbench.build`` made and nobody changed is its spec; any other is foreign.

    Raises:
        UsageError: A name is unknown, or it is no network.
        SpecError: The network is illegal at this resolution.
    """
    if isinstance(written, str) and is_foreign(written):
        return open_foreign(written, resolution=resolution)
    if isinstance(written, nn.Module):
        written = spec_of(written) or _given(written)
    found = written if isinstance(written, Foreign) else as_spec(written)
    return found if resolution is None else replace(found, resolution=_pixels(resolution))


def several(models: Written | Foreign | Sequence[Written | Foreign]) -> list[Written | Foreign]:
    """The networks of an argument that takes one or several.

    Raises:
        UsageError: It is neither.
    """
    if isinstance(models, str | ArchSpec | Mapping | Foreign | nn.Module):
        return [models]
    try:
        return list(models)
    except TypeError:
        raise wrong_type(models, place="network", allowed="a network or several") from None


def widest_of(network: nn.Module) -> int:
    """Channels of the widest layer: what timm states as its features, else those of the widest.

    They decide the learning rate, as those of the widest stage do in networks of ours.
    """
    stated = getattr(network, "num_features", None)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    inputs = (layer.weight.shape[1] for layer in layers if isinstance(layer, nn.Linear))
    outputs = (layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d))
    return int(stated) if isinstance(stated, int) else max([*inputs, *outputs], default=1)


def _given(network: nn.Module) -> Foreign:
    """A module of the user's, copied, as it is put into evaluation and its layers are replaced."""
    name = type(network).__name__
    settings = getattr(network, "default_cfg", None) or {}  # timm's
    _, *sides = settings.get("input_size", (3, RESOLUTION, RESOLUTION))
    resolution = _pixels(getattr(network, "resolution", sides))
    with guest(place=name):
        copied = copy.deepcopy(network)
    _refuse_lazy(copied, place=name)
    return Foreign(name=name, origin="a module of yours", network=copied, resolution=resolution)


def _pixels(resolution: int | Sequence[int]) -> Grid:
    """Height and width, which one side may stand for."""
    return Grid(*((resolution, resolution) if isinstance(resolution, int) else resolution))


def planned_network(document: Mapping[str, Any]) -> ArchSpec | Foreign:
    """The network of a spec, or the one that a document of other keys says how to build.

    These are ``network``, a text as ``open_foreign`` takes it, ``resolution`` and ``num_classes``.

    Raises:
        ArchbenchError: There is none, or it cannot be built.
    """
    if "network" not in document:
        return as_spec(document)
    sides = _pixels(document["resolution"])
    return open_foreign(document["network"], resolution=sides, num_classes=document["num_classes"])


def open_foreign(
    text: str,
    *,
    resolution: tuple[int, int] | int | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> Foreign:
    """The network that a text names, with fresh weights that are always the same for a seed.

    A builder of ``module:PACKAGE.MODULE:BUILDER`` takes no arguments; the current folder is
    searched first, as ``python -m`` does. The resolution is by default what timm states for the
    network, else 224; the number of classes is the library's, and always that of a builder.

    Raises:
        MissingError: The library is not installed, or there is no such module.
        UsageError: There is no such network, or building it failed.
    """
    source, _, name = text.partition(":")
    asked = None if resolution is None else _pixels(resolution)
    sides: Sequence[int] = asked or (RESOLUTION, RESOLUTION)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classes = {} if num_classes is None else {"num_classes": num_classes}
        if source == "timm":
            network, sides = _from_timm(name, asked=asked, classes=classes, place=text)
        elif source == "torchvision":
            network = _from_torchvision(name, classes=classes, place=text)
        else:
            network = _from_module(name, place=text)
    origin = "a module of yours" if source == "module" else f"{source} {version(source)}"
    return Foreign(name=text, origin=origin, network=network, resolution=Grid(*sides))


def _from_timm(
    name: str, *, asked: Grid | None, classes: Mapping[str, int], place: str
) -> tuple[nn.Module, Sequence[int]]:
    """The network and its resolution; one of a fixed size is built for the size asked for."""
    timm = _library("timm", place=place)
    # A tag behind a dot names weights, which are not loaded.
    if not timm.is_model(name.partition(".")[0]):
        raise UsageError(
            f"timm has no network {name!r}",
            place=place,
            help=f"{_nearest(name, timm.list_models())}timm.list_models() lists them",
        )
    network = _quietly(lambda: timm.create_model(name, pretrained=False, **classes), place=place)
    settings = getattr(network, "default_cfg", None) or {}
    channels, *sides = settings.get("input_size", (3, RESOLUTION, RESOLUTION))
    if channels != 3 or len(sides) != 2:
        raise UsageError(f"it takes {channels} channels, and images have 3", place=place)
    if asked and asked != tuple(sides) and settings.get("fixed_input_size"):
        network = _quietly(lambda: timm.create_model(name, img_size=asked, **classes), place=place)
    return network, asked or sides


def _from_torchvision(name: str, *, classes: Mapping[str, int], place: str) -> nn.Module:
    models = _library("torchvision", place=place).models
    known = models.list_models(module=models)
    if name not in known:
        listing = "torchvision.models.list_models(module=torchvision.models)"
        raise UsageError(
            f"torchvision has no classifier {name!r}",
            place=place,
            help=f"{_nearest(name, known)}{listing} lists them",
        )
    return _quietly(lambda: models.get_model(name, weights=None, **classes), place=place)


def _from_module(name: str, *, place: str) -> nn.Module:
    path, colon, attribute = name.partition(":")
    if not path or not colon or not attribute:
        raise UsageError("a module and a builder in it are needed", place=place, help=_EXAMPLE)
    module = import_outside(path, place=place, example=_EXAMPLE)
    builder = getattr(module, attribute, None)
    if not callable(builder):
        own = [
            key
            for key, value in vars(module).items()
            if callable(value) and getattr(value, "__module__", "") == path
        ]
        raise unknown_name(f"function of {path}", attribute, own, place=place)
    try:
        with contextlib.suppress(ValueError):  # a builtin, which has none: calling it will tell
            inspect.signature(builder).bind()
    except TypeError as error:
        raise UsageError(
            f"the builder needs arguments ({error})",
            place=place,
            help="name a function that takes none",
        ) from None
    return _built(builder, place=place)


def _library(name: str, *, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingError(f"{name} is not installed", place=place, help=INSTALL[name]) from None


def _built(builder: Callable[[], object], *, place: str) -> nn.Module:
    with guest(place=place):
        network = builder()
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"it gave a {type(network).__name__}, not a torch.nn.Module",
            place=place,
            help="name a function without arguments that returns the network",
        )
    _refuse_lazy(network, place=place)
    return network


def _refuse_lazy(network: nn.Module, *, place: str) -> None:
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise UsageError(
            "its lazy layers have no parameters yet",
            place=place,
            help="send one image through it first; a builder does so before it returns it",
        )


def _quietly(builder: Callable[[], object], *, place: str) -> nn.Module:
    """As ``_built``, without what a library says to those who call it, which is us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return _built(builder, place=place)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    return f"did you mean {', '.join(near)}? " if near else ""
