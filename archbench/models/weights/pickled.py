"""What does a pickle of PyTorch hold, if nothing that it asks for is ever looked up or called?

Python's reader of pickles, and PyTorch's of weights alone, call what a file names. This one only
keeps what it reads: dictionaries and lists, text and numbers, and claims of tensors, which are
made later from the bytes that they claim. For anything else an ``Inert`` stands, which is a name
and what was put into it. So no name has to be allowed, and none can do anything.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from math import prod
from typing import Any

import torch
from torch import Tensor

MAX_OPERATIONS = 4_000_000
"""A pickle of 343 tensors has 10,000; each may keep some dozens of bytes of memory."""

DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
}
_REBUILD = "torch._utils._rebuild_"
_AS_THEY_ARE = ("parameter", "parameter_with_state", "device_tensor_from_cpu_tensor")
_MAX_SIDES = 64
_MAPPINGS = ("collections.OrderedDict", "collections.defaultdict")
_COLLECTIONS = ("torch.Size", "builtins.set", "__builtin__.set")


@dataclass(frozen=True)
class Named:
    """What a pickle names, such as ``argparse.Namespace``: the words, not the thing."""

    name: str


@dataclass(eq=False)
class Inert:
    """Stands for an object of a class that is not looked up; ``held`` is what it was given."""

    name: str
    held: dict[str, Any] = field(default_factory=dict)

    @property
    def is_tensor(self) -> bool:
        """Whether it stands for a tensor that is no plain array: sparse, quantized."""
        return self.name.startswith(_REBUILD)


@dataclass(frozen=True)
class StorageClaim:
    """A storage by its key, and from which of its values on it is meant."""

    key: str
    dtype: torch.dtype
    offset: int


@dataclass(frozen=True)
class TensorClaim:
    """A tensor that a pickle says is there, before anything of its size is made."""

    storage: StorageClaim
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def numel(self) -> int:
        """How many values it claims to have."""
        return prod(self.shape)

    def made(self, raw: Tensor) -> Tensor:
        """The tensor, as a view of the bytes of its storage.

        Raises:
            RuntimeError: It reaches beyond them.
        """
        size = self.dtype.itemsize
        values = raw[: len(raw) // size * size].view(self.dtype)
        start = self.offset + self.storage.offset * self.storage.dtype.itemsize // size
        return values.as_strided(self.shape, self.stride, start)


@dataclass(frozen=True)
class Pickled:
    """What a pickle holds, and the storages that it names, by their keys."""

    content: Any
    storages: Mapping[str, StorageClaim]


def read_pickle(file: BytesIO) -> Pickled:
    """Reads one pickle, from where the file stands to the end of the pickle.

    Raises:
        ValueError, LookupError, TypeError: It is no whole pickle.
    """
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if number > MAX_OPERATIONS:
            raise ValueError(f"it has more than {MAX_OPERATIONS:,} operations")
        machine.step(opcode.name, argument)
    return Pickled(machine.stack.pop(), machine.storages)


class _Machine:
    """The stack machine that a pickle is a program of, without the operations that call."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, StorageClaim] = {}

    def step(self, name: str, argument: Any) -> None:
        """One operation of the pickle."""
        if name in _ARGUMENTS:
            self.stack.append(argument)
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[len(self.stack) - count :] = [tuple(self.popped(count))]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[argument])
        elif name not in ("PROTO", "FRAME", "STOP", "NEXT_BUFFER", "READONLY_BUFFER"):
            _OPERATIONS[name](self, argument)

    def popped(self, count: int) -> list[Any]:
        """The last few entries, which stay on the stack."""
        if count > len(self.stack):
            raise IndexError("its stack is too short")
        return self.stack[len(self.stack) - count :]

    def marked(self) -> list[Any]:
        """The entries behind the last mark, taken from the stack with it."""
        entries, self.stack = self.stack, self.outer.pop()
        return entries

    def mark(self, _: Any) -> None:
        """Sets the entries so far aside."""
        self.outer.append(self.stack)
        self.stack = []

    def drop(self, _: Any) -> None:
        """Takes the last entry, or the mark, from the stack."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def name(self, argument: str) -> None:
        """Keeps the module and the name that are asked for as words."""
        self.stack.append(Named(argument.replace(" ", ".")))

    def stacked_name(self, _: Any) -> None:
        """Likewise, where they are on the stack."""
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Named(f"{module}.{name}"[:200] if isinstance(name, str) else "?"))

    def reduce(self, _: Any) -> None:
        """What a call would give, without the call."""
        arguments = self.stack.pop()
        self.stack[-1] = made(self.stack[-1], arguments)

    def reduce_named(self, _: Any) -> None:
        """Likewise, with arguments by name, which are left out."""
        self.stack.pop()
        self.reduce(None)

    def instance(self, argument: str | None) -> None:
        """Likewise, with the arguments, and perhaps the class, behind the mark."""
        entries = self.marked()
        named = entries.pop(0) if argument is None else Named(argument.replace(" ", "."))
        self.stack.append(made(named, tuple(entries)))

    def build(self, _: Any) -> None:
        """Keeps the state of what stands for an object."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            parts = state if isinstance(state, tuple) else (state,)
            for part in parts:
                if isinstance(part, dict):
                    self.stack[-1].held.update(part)

    def extend(self, entries: list[Any] | None) -> None:
        """Adds entries, by default those behind the mark, to a list."""
        entries = self.marked() if entries is None else entries
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(entries)

    def put(self, _: Any) -> None:
        """Puts one entry under its key."""
        entry, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, entry])

    def put_all(self, _: Any) -> None:
        """Puts the entries behind the mark under their keys."""
        entries = self.marked()
        _put(self.stack[-1], entries)

    def collected(self, kind: Callable[[list[Any]], Any]) -> None:
        """Makes one thing of the entries behind the mark."""
        entries = self.marked()
        self.stack.append(kind(entries))

    def storage(self, _: Any) -> None:
        """The claim of a storage, which is kept beside the pickle."""
        match self.stack[-1]:
            case ("storage", Named(name), str(key), _, _, *view) if (
                name.rpartition(".")[2] in _STORAGES
            ):
                offset = view[0][1] if view and isinstance(view[0], tuple) else 0
                dtype = _STORAGES[name.rpartition(".")[2]]
                self.stack[-1] = self.storages[key] = StorageClaim(key, dtype, _count(offset))
            case ("module", Named() as named, *_):
                self.stack[-1] = named
            case _:
                self.stack[-1] = Inert("a storage of another kind")


def made(named: object, arguments: Any) -> Any:
    """What stands for what a call would give: a dictionary, the claim of a tensor, an ``Inert``."""
    name = named.name if isinstance(named, Named | Inert) else "?"
    arguments = arguments if isinstance(arguments, tuple) else ()
    if name in _MAPPINGS:
        found: dict[str, Any] = {}
        pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
        for pair in pairs:
            if isinstance(pair, list | tuple) and len(pair) == 2:
                _put(found, pair)
        return found
    if name == "torch._tensor._rebuild_from_type_v2" and len(arguments) > 2:
        return made(arguments[0], arguments[2])
    if name.removeprefix(_REBUILD) in _AS_THEY_ARE and arguments:
        return arguments[0]
    if name in _COLLECTIONS and arguments and isinstance(arguments[0], list | tuple):
        return arguments[0]
    if name in ("copy_reg._reconstructor", "copyreg._reconstructor") and arguments:
        return made(arguments[0], ())
    return _claim(name, arguments) or Inert(name)


def _claim(name: str, arguments: tuple[Any, ...]) -> TensorClaim | None:
    """The claim of a plain tensor, if this is one."""
    kind = name.removeprefix(_REBUILD)
    if kind == name or kind not in ("tensor", "tensor_v2", "tensor_v3") or len(arguments) < 4:
        return None
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, StorageClaim):
        return None
    dtype: torch.dtype | None = storage.dtype
    further = arguments[6:]
    if kind == "tensor_v3":
        dtype = DTYPES.get(further[0].name) if further and isinstance(further[0], Named) else None
        further = further[1:]
    if dtype is None or any(further):  # a tensor may be kept conjugated or negated
        return None
    sides, steps = tuple(map(_count, shape)), tuple(map(_count, stride))
    if len(sides) != len(steps) or len(sides) > _MAX_SIDES:
        raise ValueError("a tensor's sizes are no counts")
    return TensorClaim(storage, dtype, _count(offset), sides, steps)


def _put(target: object, entries: Any) -> None:
    """Puts values under their keys, which stand before them; only what has a name is kept."""
    held = target.held if isinstance(target, Inert) else target
    if isinstance(held, dict):
        pairs = zip(entries[::2], entries[1::2], strict=True)
        held.update({key: value for key, value in pairs if isinstance(key, str)})


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError("a tensor's sizes are no counts")
    return value


_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,  # nothing that a file holds is hashed but text
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda: Named("?")),
    "PERSID": lambda: Inert("a storage of another kind"),
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _dictionary(entries: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    _put(found, entries)
    return found


_OPERATIONS: dict[str, Callable[[_Machine, Any], object]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": lambda machine, _: machine.marked(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": lambda machine, _: machine.collected(list),
    "FROZENSET": lambda machine, _: machine.collected(list),
    "TUPLE": lambda machine, _: machine.collected(tuple),
    "DICT": lambda machine, _: machine.collected(_dictionary),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": _Machine.extend,
    "ADDITEMS": _Machine.extend,
    "SETITEM": _Machine.put,
    "SETITEMS": _Machine.put_all,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.reduce_named,
    "INST": _Machine.instance,
    "OBJ": _Machine.instance,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
