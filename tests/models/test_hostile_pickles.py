"""A pickle that was made to do harm does none: nothing that it names is called or looked up."""

import builtins
import io
import os
import pickle
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.errors import WeightsError
from archbench.models.weights import pickled
from archbench.models.weights.pickled import Inert, read_pickle
from archbench.models.weights.weight_file import read_weights
from tests.models.test_checkpoints import rebuilt, saved

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3)}
SECONDS, BYTES = 20, 400 * 2**20


class Call:
    """Asks for a call, in one of the ways that a pickle can."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.asked = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.asked


def _text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def _global(name: str) -> bytes:
    module, _, name = name.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little")


def _storage(key: str, kind: str = "torch.FloatStorage", count: int = 6) -> bytes:
    return _tuple(
        _text("storage"), _global(kind), _text(key), _text("cpu"), _number(count)
    ) + b"Q"  # fmt: skip


_HOOKS = _global("collections.OrderedDict") + b")R"


def _tensor(shape: int, *, offset: int = 0, stride: int = 1, key: str = "0") -> bytes:
    sizes = _tuple(_number(shape)), _tuple(_number(stride))
    return (
        _global("torch._utils._rebuild_tensor_v2")
        + _tuple(_storage(key), _number(offset), *sizes, b"\x89", _HOOKS)
        + b"R"
    )  # fmt: skip


_MKDIR = _text("mkdir deed")
CALLS = {
    "os.system": _global("posix.system") + _tuple(_MKDIR) + b"R",
    "builtins.eval": _global("builtins.eval") + _tuple(_MKDIR) + b"R",
    "builtins.exec": _global("__builtin__.exec") + _tuple(_MKDIR) + b"R",
    "subprocess": _global("subprocess.Popen") + _tuple(_MKDIR) + b"\x81",
    "getattr of a module": _global("builtins.getattr")
    + _tuple(_global("builtins.__import__") + _tuple(_text("os")) + b"R", _text("system"))
    + b"R"
    + _tuple(_MKDIR)
    + b"R",
    "an instance": b"(" + _MKDIR + b"iposix\nsystem\n",
    "an object": b"(" + _global("posix.system") + _MKDIR + b"o",
    "a name on the stack": _text("posix") + _text("system") + b"\x93" + _tuple(_MKDIR) + b"R",
    "arguments by name": _global("subprocess.Popen") + _tuple(_MKDIR) + b"}\x92",
    "a dotted name": _text("os") + _text("path.os.system") + b"\x93" + _tuple(_MKDIR) + b"R",
    "a setter of state": _global("os.system")
    + b")\x81"
    + b"}"
    + _text("__setstate__")
    + _global("posix.system")
    + b"sb",
    "state for what is loaded": _global("os.environ") + b"}" + _text("PATH") + _text("x") + b"sb",
    "an entry for what is loaded": _global("os.environ") + _text("PATH") + _text("x") + b"s",
    "an appending method": _global("os.system") + b")R" + _MKDIR + b"a",
    "an extension": b"\x82\x01" + _tuple(_MKDIR) + b"R",
    "a tensor's subclass": _global("torch._tensor._rebuild_from_type_v2")
    + _tuple(_global("posix.system"), _global("builtins.eval"), _tuple(_MKDIR), b"}")
    + b"R",
    "a module kept in the file": _tuple(
        _text("module"), _global("posix.system"), _text("a.py"), _text("import os")
    )
    + b"Q"
    + _tuple(_MKDIR)
    + b"R",
    "a foreign storage": _tuple(
        _text("storage"), _global("posix.system"), _text("0"), _text("cpu"), _number(6)
    )
    + b"Q",
    "a hook of a tensor": _global("torch._utils._rebuild_tensor_v2")
    + _tuple(
        _storage("0"),
        _number(0),
        _tuple(_number(6)),
        _tuple(_number(1)),
        b"\x88",
        _global("posix.system") + _tuple(_MKDIR) + b"R",
    )
    + b"R",
    "numpy": _global("numpy.core.multiarray._reconstruct")
    + _tuple(_global("numpy.ndarray"), _tuple(_number(2**40)), _text("b"))
    + b"R",
    "a module to import": _global("antigravity.fly") + b")R",
}


def _file(entry: bytes, *, legacy: bool = False) -> bytes:
    """A file of good weights, and beside them an entry that was written by hand."""
    content = b"\x80\x02}(" + _text("model")
    content += b"}" + _text("a.weight") + _tensor(6) + b"s" + _text("bad") + entry + b"u."
    if not legacy:
        return rebuilt(saved(STATE), pickle=content)
    heads = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    storage = struct.pack("<q", 6) + bytes(24)
    return b"".join(heads) + content + pickle.dumps(["0"], 2) + storage


@pytest.fixture(autouse=True)
def _nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    environment = _environment()
    yield
    assert not Path("deed").exists()
    assert _environment() == environment


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_asked_for_does_nothing(
    name: str, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.pth").write_bytes(_file(CALLS[name], legacy=legacy))

    def run(*_: object, **__: object) -> None:
        raise AssertionError

    for place, function in ((os, "system"), (subprocess, "Popen"), (builtins, "eval")):
        monkeypatch.setattr(place, function, run)
    found = read_weights(Path("a.pth"))
    assert found.part.key == "model"
    assert found.tensors["a.weight"].shape == (6,)


@pytest.mark.parametrize("nested", [False, True])
def test_what_pickle_would_run_is_a_name(nested: bool) -> None:
    call = Call(os.mkdir, "deed")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = Call(getattr, Call(__import__, "os"), call) if nested else call
        found = read_pickle(io.BytesIO(pickle.dumps(content, protocol))).content
        assert isinstance(found, Inert)
        assert found.held == {}


DEEP = 200_000  # whoever hashes tuples so deep in tuples needs more than 8 MiB of stack
HUGE = {
    "a place of a memory that is huge": b"Nr\xff\xff\xff\x7f",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 2**40) + b"a",
    "bytes to be changed that are not there": b"\x96" + struct.pack("<Q", 2**40) + b"a",
    "text that is not there": b"\x8d" + struct.pack("<Q", 2**40) + b"a",
    "a frame that is huge": b"\x95" + struct.pack("<Q", 2**40) + b"N",
    "a number of many digits": b"L" + b"9" * 300_000 + b"L\n",
    "lists in lists": b"](" * 10**5 + b"e" * 10**5,
    "tuples in tuples": b")" + b"\x85" * DEEP,
    "tuples in tuples for a key": b"}" + b")" + b"\x85" * DEEP + b"Ns",
    "tuples in tuples for an entry of a set": b"\x8f(" + b")" + b"\x85" * DEEP + b"\x90",
    "objects in objects": (_global("a.A") + b")\x81}" + _text("a")) * 10**4 + b"N" + b"sb" * 10**4,
    "a list that holds itself": b"]q\x01h\x01a",
    "a dictionary that holds itself": b"}q\x01" + _text("a") + b"h\x01s",
    "an object that holds itself": _global("a.A") + b")\x81q\x01}" + _text("a") + b"h\x01sb",
    "what doubles again and again": b"N" + b"2\x86" * 40 + b"]" + b"2" * 30,
    "a tensor that is huge": _tensor(2**61),
    "a tensor beyond its storage": _tensor(7),
    "a tensor that starts beyond its storage": _tensor(1, offset=2**60),
    "a tensor of one value again and again": _tensor(2**50, stride=0),
    "a tensor of no storage": _tensor(6, key="9"),
    "a tensor of many sides": _global("torch._utils._rebuild_tensor_v2")
    + _tuple(_storage("0"), _number(0), *(2 * [_tuple(*(10**4 * [_number(2**60)]))]), b"\x89", b"}")
    + b"R",
    "modules in modules": b"N"
    + b"".join(
        b"q\x01" + _global("a.A") + b")\x81}(" + _text("_parameters") + b"}" + _text("_modules")
        + b"}(" + _text("a") + b"h\x01" + _text("b") + b"h\x01uub"
        for _ in range(60)
    ),
    "nothing but marks": b"(" * DEEP,
    "what takes from nothing": b"0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("key", ["bad", "model", None])
@pytest.mark.parametrize("name", HUGE)
def test_what_is_huge_or_without_end_is_read_or_refused_soon(name: str, key: str | None) -> None:
    """Beside good weights, among them, and as the whole file."""
    entry = HUGE[name]
    if key == "model":
        content = b"\x80\x02}" + _text("model") + b"}(" + _text("a.weight") + _tensor(6)
        content += _text("a.bad") + entry + b"us."
    elif key == "bad":
        content = b"\x80\x02}(" + _text("bad") + entry + _text("model")
        content += b"}" + _text("a.weight") + _tensor(6) + b"su."
    else:
        content = b"\x80\x02" + entry + b"."
    Path("a.pth").write_bytes(rebuilt(saved(STATE), pickle=content))
    begun = time.process_time()
    tracemalloc.start()
    try:
        found = read_weights(Path("a.pth"))
        assert found.tensors["a.weight"].shape == (6,)
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017  either is allowed
        assert len(str(error)) < 600  # noqa: PT017
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < BYTES
    assert time.process_time() - begun < SECONDS


def test_a_program_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "MAX_OPERATIONS", 1000)
    Path("a.pth").write_bytes(rebuilt(saved(STATE), pickle=b"N0" * 1000 + b"N."))
    with pytest.raises(WeightsError, match="more than 1,000 operations"):
        read_weights(Path("a.pth"))
