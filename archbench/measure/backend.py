"""What can run a network here, in which precision, and what does a file hold for it?

A backend is a file of ``archbench/measure/backends``. It holds

- ``PRECISIONS``: for each device that it runs on, the precisions that it can be asked for;
- ``FORM``: ``deployed`` where it runs the form whose layers were chosen on this machine,
  ``portable`` where it takes the folded network and chooses for itself;
- ``NEEDS``, where it needs libraries: each with the extra that brings it, empty for none;
- ``COMPILES_ON``, where it needs a C++ compiler: the devices on which it does;
- ``SERVES``, true where networks ship in it and it takes one in about a second, so that a search
  whose target says ``auto`` may time every candidate in it;
- ``prepare(network, example, *, conditions)``: the network ready to be run, as `Runnable`.

A backend that runs a file, the artifact, holds in place of ``prepare``

- ``SUFFIX``: how the name of the artifact ends; files that belong to it lie beside it;
- ``write(network, example, *, path, conditions, images)``: writes the artifact for the example's
  shape, and the device and precision of the conditions; int8 is calibrated on the ``images``, an
  iterable of batches (B, 3, H, W);
- ``open_artifact(path, example, *, conditions)``: the artifact ready to be run, as `Runnable`;
- ``QUANTISATION``, where int8 is among its precisions: the library that quantises, and in words
  how;
- ``DYNAMIC_BATCH``, true where ``write`` takes ``dynamic_batch=True``, for an artifact that runs
  any number of images;
- ``write_metadata(path, text)`` and ``read_metadata(path)``, where its files have a place for a
  text about the network; what is read of a file without one is empty.

What holds for all of them is done once: here the refusals and the files, and in ``agreement`` the
time that preparing takes and the comparison with eager.
"""

import copy
import io
import logging
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archbench.errors import MissingError, UsageError, library_absence, unknown_name
from archbench.measure.device.known import device_named
from archbench.measure.device.session import network_there
from archbench.registry import Registry
from archbench.study.measurement import Conditions

BACKENDS = Registry(
    "archbench.measure.backends",
    "backend",
    "archbench.backends",
    needs=("PRECISIONS", "FORM", "prepare or open_artifact"),
)
PRECISIONS = ("fp32", "bf16", "fp16", "int8")

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Bits behind the binary point that a product keeps, and what such products are called.
_NAMES = ((20, "fp32"), (10, "tf32"), (0, "bf16"))
_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class Runnable:
    """A network that a backend can run; the next pass may overwrite the outputs of one.

    The precision is what its products are computed in, whatever was asked for. The complaint tells
    after the passes why they are not to be trusted, empty where they are; ``relocated`` gives a
    pass of a copy that lies elsewhere in memory, as drawn, None where the backend cannot. Preparing
    took the seconds: copying, exporting, compiling and the first pass. The error is the largest
    difference from eager in fp32, over the largest output; None where the network ran as it was
    given, so that there is nothing to compare. A pass of an artifact reads the ``images``, so that
    others may be written into them.
    """

    run: Callable[[], object]
    precision: str
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    complaint: Callable[[], str] = str
    relocated: Callable[[random.Random], Callable[[], object]] | None = None
    seconds: float = 0.0
    error: float | None = None
    images: Tensor | None = None


def absence(name: str, *, device: str) -> MissingError | None:
    """Why a backend cannot be used on a device of this machine; None where it can.

    Raises:
        UsageError: There is no backend of this name.
    """
    backend = BACKENDS.load(name)
    if Conditions(device=device).is_remote:
        if name not in (runtimes := device_named(device).runtimes):
            has = ", ".join(f"{one} {version}" for one, version in runtimes.items())
            return MissingError(f"{device} does not have it", help=f"{device} has {has}")
        device = "cpu"
    if device not in backend.PRECISIONS:
        others = ", ".join(backend.PRECISIONS)
        return MissingError(f"it does not run on {device}", help=f"it runs on {others}")
    for library, extra in getattr(backend, "NEEDS", {}).items():
        if missing := library_absence(library, extra=extra):
            return missing
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    has_compiler = any(shutil.which(one) for one in compilers if one)
    if device in getattr(backend, "COMPILES_ON", ()) and not has_compiler:
        return MissingError(
            "there is no C++ compiler", help="install g++, or name one in the variable CXX"
        )
    return None


def can_compute(conditions: Conditions) -> bool:
    """Whether the backend can be asked for this precision on this device."""
    known = BACKENDS.load(conditions.backend).PRECISIONS
    return conditions.precision in known.get(conditions.processor, ())


def of_calibrators(conditions: Conditions) -> Conditions:
    """The conditions in eager, and in fp32 where eager has no such precision.

    On another device, which has no eager, they are those of its runtime, in fp32.
    """
    if conditions.is_remote:
        return replace(conditions, precision="fp32")
    asked = replace(conditions, backend="eager")
    return asked if can_compute(asked) else replace(asked, precision="fp32")


def require_backend(conditions: Conditions) -> None:
    """Refuses conditions that the backend cannot meet here.

    Raises:
        UsageError: Backend or precision are unknown, or the two do not go together.
        MissingError: What the backend needs is not there.
    """
    name, precision, device = conditions.backend, conditions.precision, conditions.device
    BACKENDS.load(name)
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS, place=f"backend {name}")
    if missing := absence(name, device=device):
        raise missing.at(f"backend {name}")
    if not can_compute(conditions):
        able = [one for one in BACKENDS.names if can_compute(replace(conditions, backend=one))]
        known = ", ".join(BACKENDS.load(name).PRECISIONS[conditions.processor])
        others = f"; {precision} on {device}: {', '.join(able)}" if able else ""
        raise UsageError(
            f"it does not compute {precision} on {device}",
            place=f"backend {name}",
            help=f"use {known}{others}",
        )


def write_artifact(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor] | None = None,
    dynamic_batch: bool = False,
) -> list[Path]:
    """Writes the artifact of a network, whole or not at all, over what was there; all its files.

    The network is in evaluation and stays as it is; the example are images (B, 3, H, W) in fp32,
    on the CPU. int8 is calibrated on the images, batches like the example.

    Raises:
        UsageError: Backend or precision cannot be, the backend runs no file or takes no dynamic
            batch, the name of the file does not end as it must, or int8 has no images.
        MissingError: What the backend needs is not there.
    """
    require_backend(conditions)
    backend, place = _with_files(conditions), f"backend {conditions.backend}"
    if path.suffix != backend.SUFFIX:
        raise UsageError(f"{path.name} does not end in {backend.SUFFIX}", place=place)
    more = {"dynamic_batch": True} if dynamic_batch else {}
    if dynamic_batch and not getattr(backend, "DYNAMIC_BATCH", False):
        able = _names(lambda one: getattr(one, "DYNAMIC_BATCH", False))
        raise UsageError("its file has a fixed batch", place=place, help=f"use {able}")
    if images is None and conditions.precision == "int8":
        raise UsageError(
            "int8 is calibrated on images, and there are none", place=place, help="name their data"
        )
    images = images or ()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder, quiet():
        made = Path(folder, path.name)
        with _complete(conditions.backend):
            backend.write(network, example, path=made, conditions=conditions, images=images, **more)
        files = sorted(Path(folder).iterdir(), key=lambda file: file != made)
        return [file.replace(path.with_name(file.name)) for file in files]


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """An artifact ready to be run on the device of the conditions.

    Of another device only the precision that was asked for is known.

    Raises:
        UsageError: The backend runs no file.
        MissingError: What it needs is not there.
    """
    backend = _with_files(conditions)
    if conditions.is_remote:
        there = network_there(path, example, conditions=conditions)
        return Runnable(run=there, precision=conditions.precision)
    with _complete(conditions.backend):
        found: Runnable = backend.open_artifact(path, example, conditions=conditions)
        return found


def _with_files(conditions: Conditions) -> Any:
    """The backend, which runs a file.

    Raises:
        UsageError: It does not.
    """
    backend = BACKENDS.load(conditions.backend)
    if not hasattr(backend, "open_artifact"):
        able = _names(lambda one: hasattr(one, "open_artifact"))
        place = f"backend {conditions.backend}"
        raise UsageError("it runs no file", place=place, help=f"use {able}")
    return backend


@contextmanager
def _complete(name: str) -> Iterator[None]:
    """Tells an installation that is not whole: a library is there, and one that it imports is not.

    Raises:
        MissingError: Of that one.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extras = dict.fromkeys(filter(None, getattr(BACKENDS.load(name), "NEEDS", {}).values()))
        wanted = f"'archbench[{','.join(extras)}]'" if extras else error.name
        message = f"{error.name} is not installed, which its library needs"
        remedy = f"pip install {wanted}"
        raise MissingError(message, place=f"backend {name}", help=remedy) from error


def _names(holds: Callable[[Any], bool]) -> str:
    return ", ".join(name for name in BACKENDS.names if holds(BACKENDS.load(name)))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what libraries print, warn of and log below an error out of our output.

    It is for those who call them; ``prepared`` checks whether the network computes the same.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def placed(
    network: nn.Module, example: Tensor, *, conditions: Conditions
) -> tuple[nn.Module, Tensor]:
    """Network and images where the conditions want them; a copy, unless it is there already.

    Raises:
        UsageError: The precision is not one of fp32, bf16 and fp16.
    """
    kind = dtype_of(conditions.precision, place=f"backend {conditions.backend}")
    if not is_placed(network, conditions=conditions):
        network = copy.deepcopy(network).to(device=conditions.device, dtype=kind).eval()
    return network, example.to(device=conditions.device, dtype=kind)


def is_placed(network: nn.Module, *, conditions: Conditions) -> bool:
    """Whether it is in evaluation, on the device and of the data type of the conditions."""
    kind = _TYPES[conditions.precision]
    return not any(module.training for module in network.modules()) and all(
        tensor.device.type == conditions.device
        and (tensor.dtype == kind or not tensor.is_floating_point())
        for tensor in (*network.parameters(), *network.buffers())
    )


def dtype_of(precision: str, *, place: str) -> torch.dtype:
    """The data type of tensors of a precision.

    Raises:
        UsageError: The precision is not one of fp32, bf16 and fp16.
    """
    if precision not in _TYPES:
        raise unknown_name("precision", precision, _TYPES, place=place)
    return _TYPES[precision]


def computed_precision(conditions: Conditions) -> str:
    """The precision in which products are really computed here, under these conditions.

    Torch computes fp32 products in TF32 or bf16 where a setting or a default lets it, for
    example convolutions on a GPU. Other precisions are what they say.
    """
    if conditions.precision != "fp32":
        return conditions.precision
    # Rows of ones, each with one bit more, times the identity: which of the bits survive?
    identity = torch.eye(_SIZE, device=conditions.device)
    bits = torch.arange(1, 24, device=conditions.device)
    rows = torch.ones(_SIZE, _SIZE, device=conditions.device)
    rows[: len(bits)] += torch.exp2(-bits.float())[:, None]
    kept = 23
    for product in (F.linear, _pointwise_convolution):
        with torch.inference_mode():
            survived = (product(rows, identity)[: len(bits)] == rows[: len(bits)]).all(dim=1)
        kept = min(kept, int(bits[survived].max()) if bool(survived.any()) else 0)
    return next(name for least, name in _NAMES if kept >= least)


def _pointwise_convolution(rows: Tensor, weight: Tensor) -> Tensor:
    images = rows.t().reshape(1, _SIZE, 16, _SIZE // 16)  # rows as pixels: (1, C, H, W)
    return F.conv2d(images, weight[:, :, None, None]).reshape(_SIZE, _SIZE).t()
