"""Whatever a training program put into its checkpoint, the weights in it are found and read."""

import argparse
import datetime as dt
import http
import io
import pathlib
import sys
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from archbench.errors import UsageError, WeightsError
from archbench.models import build, convert_weights, load_weights
from archbench.models.weights.load import describe_weights
from tests.models.foreign import State, timm_network
from tests.models.test_weights import small_deit

IMAGES = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@cache
def network(seed: int) -> nn.Module:
    """A small DeiT of timm; 1 stands for the trained one, 2 for its average."""
    torch.manual_seed(seed)
    sizes = {"depth": 2, "embed_dim": 48, "num_heads": 3, "mlp_ratio": 2}
    return timm_network("deit_tiny_patch16_224", **sizes)


def trained() -> State:
    return dict(network(1).state_dict())


def averaged() -> State:
    return dict(network(2).state_dict())


def saved(content: object, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the source of a class is not to be found
        torch.save(content, buffer, **how)
    return buffer.getvalue()


def behind(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def optimizer() -> dict[str, Any]:
    """An AdamW after one step."""
    layer = nn.Linear(2, 2)
    stepped = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    stepped.step()
    return stepped.state_dict()


def arguments() -> argparse.Namespace:
    """What a training program may keep of its command line."""
    return argparse.Namespace(
        lr=np.float64(1e-3),
        out=pathlib.PurePosixPath("/out"),
        begun=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        sizes={1, 2},
        names=frozenset({"a"}),
        table=np.arange(3),
        mode=http.HTTPMethod.GET,
        seen=OrderedDict(a=1),
        counts=defaultdict(int, a=1),
        raw=b"\x00",
        root=1j,
        device=torch.device("cpu"),
        dtype=torch.float16,
        shape=torch.Size([1, 2]),
        generator=torch.random.get_rng_state(),
    )


def unknown_class(base: type) -> Any:
    """A class that is in no module any more when ``saved_then_gone`` has saved what it made."""
    made = type("Gone", (base,), {"__module__": "gone"})
    module = types.ModuleType("gone")
    module.Gone = made  # type: ignore[attr-defined]
    sys.modules["gone"] = module
    return made


def saved_then_gone(make: Callable[[], object], **how: Any) -> bytes:
    try:
        return saved(make(), **how)
    finally:
        del sys.modules["gone"]


def whole(number: int) -> nn.Module:
    """A network whose class is not there when it is read, as ``torch.save(network)`` needs."""
    theirs = network(number)
    found: nn.Module = unknown_class(nn.Module)()
    for name, child in theirs.named_children():
        found.add_module(name, child)
    for name, parameter in theirs.named_parameters(recurse=False):
        found.register_parameter(name, parameter)
    found.register_buffer("scratch", torch.ones(3), persistent=False)
    return found


def without_checksums(content: object) -> bytes:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        return saved(content)
    finally:
        torch.serialization.set_crc32_options(before)


def from_a_big_endian_machine(state: State) -> bytes:
    swapped = {name: value.clone() for name, value in state.items()}
    for value in swapped.values():
        value.untyped_storage().byteswap(value.dtype)
    return rebuilt(saved(swapped), byteorder=b"big")


def rebuilt(data: bytes, **records: bytes) -> bytes:
    """The archive with other content in some of its records; ``pickle`` is data.pkl."""
    buffer = io.BytesIO()
    replaced = {name.replace("pickle", "data.pkl"): value for name, value in records.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, replaced.get(name.partition("/")[2], source.read(name)))
    return buffer.getvalue()


def with_attribute(state: State) -> State:
    found = {name: value.clone() for name, value in state.items()}
    for value in found.values():
        value.note = "kept"  # type: ignore[attr-defined]
    return found


def in_one_storage(state: State) -> State:
    flat = torch.cat([value.reshape(-1) for value in state.values()])
    pieces = flat.split([value.numel() for value in state.values()])
    return {
        name: piece.view_as(value)
        for (name, value), piece in zip(state.items(), pieces, strict=True)
    }


def turned(state: State) -> State:
    return {name: value.mT.contiguous().mT for name, value in state.items() if value.ndim > 1} | {
        name: value for name, value in state.items() if value.ndim < 2
    }


def cast(state: State, dtype: torch.dtype) -> State:
    return {name: value.to(dtype) for name, value in state.items()}


def counted_by_thop(state: State) -> State:
    modules = {name.rpartition(".")[0] for name in state}
    counts = {
        f"{one}.{word}".lstrip("."): torch.zeros(1, dtype=torch.float64)
        for one in modules
        for word in ("total_ops", "total_params")
    }
    return state | counts


def lightning(state: State, **more: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"args": arguments()},
        **more,
    }


@dataclass(frozen=True)
class Case:
    """How a file is made; which network's weights are to be taken, under which key."""

    make: Callable[[], object]
    key: str = "."
    others: tuple[str, ...] = ()
    number: int = 1
    asked: str | None = None
    ignored: tuple[str, ...] | None = ()
    tolerance: float = 1e-5
    how: dict[str, Any] = field(default_factory=dict)


EMA = {"number": 2}
CASES = {
    "bare": Case(trained),
    "levit's main.py": Case(
        lambda: {"model": trained(), "optimizer": optimizer(), "epoch": 3, "args": arguments()},
        "model",
    ),
    "timm's saver": Case(
        lambda: {
            "epoch": 3,
            "arch": "deit",
            "state_dict": trained(),
            "optimizer": optimizer(),
            "version": 2,
            "args": arguments(),
            "metric": np.float64(0.5),
            "amp_scaler": {"scale": 1.0},
            "state_dict_ema": averaged(),
        },
        "state_dict_ema",
        ("state_dict",),
        **EMA,
    ),
    "model and model_ema": Case(
        lambda: {"model": trained(), "model_ema": averaged()}, "model_ema", ("model",), **EMA
    ),
    "the trained one beside its average": Case(
        lambda: {"model": trained(), "model_ema": averaged()},
        "model",
        ("model_ema",),
        asked="model",
    ),
    "average alone": Case(lambda: {"ema": averaged(), "step": 4}, "ema", **EMA),
    "net": Case(lambda: {"net": trained(), "acc": np.float32(0.5), "epoch": 2}, "net"),
    "any other key": Case(lambda: {"student": trained(), "epoch": 2}, "student"),
    "deepspeed's module": Case(lambda: {"module": trained(), "ds_config": {"a": 1}}, "module"),
    "keys in keys": Case(lambda: {"state": {"model": trained()}, "epoch": 1}, "state.model"),
    "lightning's model.": Case(lambda: lightning(behind("model.", trained())), "state_dict"),
    "lightning's net.": Case(
        lambda: lightning(behind("net.", trained()) | {"criterion.weight": torch.ones(3)}),
        "state_dict",
        ignored=("criterion.weight",),
    ),
    "lightning's average": Case(
        lambda: lightning(averaged(), current_model_state=trained()),
        "state_dict",
        ("current_model_state",),
        **EMA,
    ),
    "an average within lightning's module": Case(
        lambda: lightning(behind("model.", trained()) | behind("ema_model.", averaged())),
        "state_dict.ema_model",
        ("state_dict.model",),
        **EMA,
    ),
    "an average within a module": Case(
        lambda: trained() | behind("ema.module.", averaged()), "ema.module", (".",), **EMA
    ),
    "torch.compile": Case(lambda: behind("_orig_mod.", trained())),
    "parallel": Case(lambda: {"state_dict": behind("module.", trained())}, "state_dict"),
    "parallel and compiled": Case(lambda: behind("module._orig_mod.", trained())),
    "blocks compiled one by one": Case(
        lambda: {
            name.replace("blocks.0.", "blocks.0._orig_mod."): value
            for name, value in trained().items()
        }
    ),
    "torch's average": Case(
        lambda: {
            "model": trained(),
            "shadowed": torch.optim.swa_utils.AveragedModel(network(2)).state_dict(),
        },
        "shadowed",
        ("model",),
        number=2,
        ignored=("n_averaged",),
    ),
    "wrapped again and again": Case(lambda: behind("runner.model.ema.module.", averaged()), **EMA),
    "half precision": Case(lambda: cast(trained(), torch.float16), tolerance=0.02),
    "bfloat16": Case(lambda: {"model": cast(trained(), torch.bfloat16)}, "model", tolerance=0.1),
    "float64": Case(lambda: cast(trained(), torch.float64)),
    "a step among the tensors": Case(lambda: trained() | {"step": 3}, ignored=("step",)),
    "a step that is a tensor": Case(
        lambda: trained() | {"step": torch.tensor(3), "best": 0.5, "args": arguments()},
        ignored=("step", "best", "args"),
    ),
    "thop": Case(lambda: counted_by_thop(trained()), ignored=None),
    "an object of an unknown class": Case(
        lambda: saved_then_gone(
            lambda: {"model": trained(), "config": unknown_class(argparse.Namespace)(a=1)}
        ),
        "model",
    ),
    "a dictionary of an unknown class": Case(
        lambda: saved_then_gone(lambda: {"model": unknown_class(dict)(trained())}), "model"
    ),
    "a whole network": Case(lambda: saved_then_gone(lambda: whole(1))),
    "whole networks, as it was": Case(
        lambda: saved_then_gone(
            lambda: {"model": network(1), "ema": whole(2)}, _use_new_zipfile_serialization=False
        ),
        "ema",
        ("model",),
        **EMA,
    ),
    "as PyTorch wrote them": Case(trained, how={"_use_new_zipfile_serialization": False}),
    "arguments, as PyTorch wrote them": Case(
        lambda: {"model": trained(), "model_ema": averaged(), "args": arguments()},
        "model_ema",
        ("model",),
        number=2,
        how={"_use_new_zipfile_serialization": False},
    ),
    **{
        f"protocol {number}": Case(
            lambda: {"model": trained(), "args": arguments()},
            "model",
            how={"pickle_protocol": number},
        )
        for number in (3, 4, 5)
    },
    "parameters": Case(lambda: dict(network(1).named_parameters())),
    "in one storage": Case(lambda: in_one_storage(trained())),
    "transposed": Case(lambda: turned(trained())),
    "tensors with attributes": Case(lambda: with_attribute(trained())),
    "without checksums": Case(lambda: without_checksums(trained())),
    "of a big-endian machine": Case(lambda: from_a_big_endian_machine(trained())),
    "another network beside it": Case(
        lambda: {"teacher": {"fc.weight": torch.ones(2, 2)}, "net": trained()},
        "net",
        ("teacher",),
    ),
    "in a list": Case(lambda: [trained(), optimizer()], "0"),
    "losses that are tensors": Case(
        lambda: {"model": trained(), "loss": torch.tensor(0.5), "curve": torch.ones(5)}, "model"
    ),
    "safetensors": Case(lambda: save_safetensors(trained())),
    "safetensors, prefixed": Case(lambda: save_safetensors(behind("model.", trained()))),
    "safetensors, both": Case(
        lambda: save_safetensors(behind("model.", trained()) | behind("model_ema.", averaged())),
        "model_ema",
        ("model",),
        **EMA,
    ),
}


def written(case: Case, folder: Path) -> Path:
    made = case.make()
    path = folder / "a.pth"
    path.write_bytes(made if isinstance(made, bytes) else saved(made, **case.how))
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_checkpoint_computes_what_its_network_did(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = written(case, tmp_path)
    found = build(small_deit(1), seed=5).eval()
    loaded = load_weights(found, path, key=case.asked)
    with torch.no_grad():
        off = (found(IMAGES) - network(case.number)(IMAGES)).abs().max()
    assert off < case.tolerance
    assert (loaded.key, set(loaded.other_keys)) == (case.key, set(case.others))
    if case.ignored is not None:
        assert loaded.ignored == case.ignored
    described = describe_weights(path, key=case.asked)
    assert set(described["sets"]) == {case.key, *case.others}
    assert described["layout"] == "vit_timm"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            lambda: {"student": trained(), "teacher": averaged()},
            r"holds 2 sets of weights: student \(\d+,\d+ parameters\), teacher .*--key student",
        ),
        (
            lambda: {"ema_fast": trained(), "ema_slow": averaged(), "model": trained()},
            r"holds 2 sets of weights: ema_fast .*, ema_slow",
        ),
        (
            lambda: {"optimizer": optimizer(), "epoch": 1, "args": arguments()},
            r"holds no weights by name, but 'optimizer' \(dict\), 'epoch' \(int\), "
            r"'args' \(argparse.Namespace\)",
        ),
        (lambda: arguments(), "holds no weights by name, but an object of argparse.Namespace"),
        (
            lambda: {"model": trained() | {"pos_embed": 3}},
            r"missing: 1 tensor \(pos_embed\); in the file, but no tensors: pos_embed; build",
        ),
        (
            lambda: {"model": trained() | {"norm.weight": "a"}},
            r"missing: 1 tensor \(norm.weight\); in the file, but no tensors: norm.weight; build",
        ),
        (
            lambda: {"model": trained() | {"a.scale": torch.ones(2)}},
            r"left over: 1 tensor \(a.scale\); build",
        ),
        (
            lambda: {"model": trained() | {"norm.weight": torch.ones(2).to_sparse()}},
            r"norm.weight is not a plain array of numbers",
        ),
    ],
)
def test_what_cannot_be_taken_is_named(
    content: Callable[[], object], words: str, tmp_path: Path
) -> None:
    (tmp_path / "a.pth").write_bytes(saved(content()))
    with pytest.raises(WeightsError, match=words):
        load_weights(build(small_deit(1), seed=0), tmp_path / "a.pth")


def test_a_key_that_the_file_lacks_is_answered_with_those_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(saved({"model": trained(), "ema": averaged()}))
    with pytest.raises(UsageError, match=r"unknown set of weights 'em'; did you mean ema\? known:"):
        load_weights(build(small_deit(1), seed=0), tmp_path / "a.pth", key="em")


def test_the_average_comes_back_under_its_key_and_prefix(tmp_path: Path) -> None:
    state = behind("module.", averaged())
    (tmp_path / "a.pth").write_bytes(saved({"model": trained(), "state": {"ema": state}}))
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    converted = convert_weights(tmp_path / "a.pth", ours, model=small_deit(1))
    assert (converted.loaded.key, converted.loaded.other_keys) == ("state.ema", ("model",))
    convert_weights(ours, back, to="timm")
    again = torch.load(back, weights_only=True)["state"]["ema"]
    assert list(again) == list(state)
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_a_program_is_no_file_of_weights(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return 2 * images

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.jit.save(torch.jit.trace(Twice(), torch.ones(1)), tmp_path / "a.pt")
    torch.export.save(torch.export.export(Twice(), (torch.ones(1),)), tmp_path / "a.pt2")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.pth", saved(trained()))
    for name, words in (
        ("a.pt", r"a TorchScript program, not weights; save the state_dict\(\)"),
        ("a.pt2", r"a program of torch.export, not weights"),
        ("a.zip", r"none of PyTorch: it holds 'a.pth'; unpack it"),
    ):
        with pytest.raises(WeightsError, match=words):
            load_weights(build(small_deit(1), seed=0), tmp_path / name)
