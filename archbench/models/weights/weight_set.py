"""Which sets of weights does a file hold, and which of them is meant?

Training programs keep more than one: the weights as they are trained, their average over the
steps (EMA), a teacher's, and beside them an optimizer, arguments and counters. Each set stands
somewhere in nested dictionaries, and its names behind a prefix of whatever wrapped the network.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch

from archbench.errors import WeightsError, unknown_name
from archbench.models.weights.layout import OURS, STATISTICS, layouts, shown
from archbench.models.weights.pickled import Inert, TensorClaim

TOP = "."
"""The key of the set whose tensors stand in a file by their bare names."""
_TRAINED = (TOP, "model", "state_dict", "model_state_dict", "module", "net", "network", "weights")
_AVERAGED = re.compile(r"(?<![a-zA-Z])(?i:ema|swa|averag|shadow)|(?<=[a-z])(EMA|Ema|SWA)")
_OTHERWISE = re.compile(r"optim|sched|scaler", re.IGNORECASE)
_MARKS_OF_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_COUNT = "n_averaged"
_COUNTERS = ("total_ops", "total_params", _COUNT)
"""What thop and torch's AveragedModel leave among the tensors."""
_CONTAINERS = (dict, list, tuple)
_MAX_DEPTH, _MAX_LIST, _MAX_TENSORS, _MAX_DEPTH_OF_MODULES = 8, 16, 100_000, 50

Claim = torch.Tensor | TensorClaim


class Home(NamedTuple):
    """A layout that names are of, behind a prefix, and whether what stands before the base is."""

    layout: str
    prefix: str
    is_base: bool


@dataclass(frozen=True, kw_only=True)
class WeightSet:
    """One set of weights: tensors, or claims of them, by their names without the prefix.

    The ``key`` names it for a person; it lies under the keys of ``path``. ``homes`` are the
    layouts that it may be of; what is ``ignored`` stands beside it and is no weight, and what is
    ``odd`` is a tensor, but no plain array.
    """

    key: str
    path: tuple[str, ...]
    prefix: str
    tensors: Mapping[str, Claim]
    homes: tuple[Home, ...]
    is_average: bool
    ignored: tuple[str, ...]
    odd: tuple[str, ...]

    def size(self) -> dict[str, int]:
        """The numbers of tensors and of parameters, and the bytes of the tensors."""
        learnt = (t for name, t in self.tensors.items() if not name.endswith(STATISTICS))
        return {
            "tensors": len(self.tensors),
            "parameters": sum(tensor.numel() for tensor in learnt),
            "bytes": sum(t.numel() * t.dtype.itemsize for t in self.tensors.values()),
        }


def weight_sets(content: Any) -> list[WeightSet]:
    """All sets of weights that a file's content has, in its order; those of a known layout first.

    A network has layers, and so a dot in its names; a dictionary of losses has none.

    Raises:
        WeightsError: It has none.
    """
    found: list[WeightSet] = []
    number = 0
    for path, entries in _flat(content):
        number += len(entries)
        if number > _MAX_TENSORS:
            raise WeightsError("holds more names than any network here has")
        found += _parts(path, entries)
    sets = [part for part in found if any("." in name for name in (*part.tensors, *part.odd))]
    if sets:
        return sorted(sets, key=lambda part: not part.homes)
    raise WeightsError(
        f"holds no weights by name, but {_told(content)}",
        help="save the state_dict() of the network, by itself or under a key",
    )


def chosen(sets: list[WeightSet], key: str | None) -> WeightSet:
    """The set that a key names; by default the average, else what was trained.

    As in timm's ``load_checkpoint``: papers report the average, where one was taken.

    Raises:
        UsageError: There is no such set.
        WeightsError: No key was given, and it is not plain which is meant.
    """
    if key is not None:
        by_key = {part.key: part for part in sets}
        if key not in by_key:
            raise unknown_name("set of weights", key, by_key)
        return by_key[key]
    candidates = [part for part in sets if part.homes] or sets
    averaged = [part for part in candidates if part.is_average]
    candidates = averaged or candidates
    if len(candidates) > 1 and not averaged:
        ranks = [_rank(part) for part in candidates]
        candidates = [p for p, rank in zip(candidates, ranks, strict=True) if rank == min(ranks)]
    if len(candidates) > 1:
        told = [f"{shown(p.key)} ({p.size()['parameters']:,} parameters)" for p in candidates[:8]]
        raise WeightsError(
            f"holds {len(candidates)} sets of weights: {', '.join(told)}",
            help=f"name one: --key {shown(candidates[0].key)} (key= in Python)",
        )
    return candidates[0]


def _rank(part: WeightSet) -> int:
    last = part.key.rpartition(".")[2] or part.key
    return _TRAINED.index(last) if last in _TRAINED else len(_TRAINED)


def _flat(content: Any) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every dictionary that has tensors under names, outermost first, and the keys to it."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen: set[int] = set()
    for path, node in waiting:  # which grows
        if id(node) in seen or len(path) > _MAX_DEPTH:
            continue
        seen.add(id(node))
        entries = node.held if isinstance(node, Inert) else node
        if isinstance(entries, dict) and "_parameters" in entries and "_modules" in entries:
            yield path, dict(_module_tensors(entries))
            continue
        if isinstance(entries, list | tuple) and len(entries) <= _MAX_LIST:
            entries = {str(number): entry for number, entry in enumerate(entries)}
        if not isinstance(entries, dict):
            continue
        if any(isinstance(value, Claim) or _is_odd(value) for value in entries.values()):
            yield path, entries
        waiting += [
            ((*path, name), value)
            for name, value in entries.items()
            if isinstance(value, (*_CONTAINERS, Inert)) and not _OTHERWISE.search(name)
        ]


def _module_tensors(module: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the state_dict of a pickled module would be, without the class of the module."""
    waiting: list[tuple[str, Any, int]] = [("", module, 0)]
    number = 0
    while waiting:
        prefix, held, depth = waiting.pop()
        number += 1
        unkept = held.get("_non_persistent_buffers_set")
        unkept = {n for n in unkept if isinstance(n, str)} if isinstance(unkept, list) else ()
        for kind in ("_parameters", "_buffers"):
            for name, value in _entries(held.get(kind)).items():
                number += 1
                if value is not None and not (kind == "_buffers" and name in unkept):
                    yield f"{prefix}{name}", value
        children = _entries(held.get("_modules"))
        if number > _MAX_TENSORS or depth > _MAX_DEPTH_OF_MODULES:
            raise WeightsError("its modules hold one another without end")
        for name, child in reversed(children.items()):
            if isinstance(child, Inert):
                waiting.append((f"{prefix}{name}.", child.held, depth + 1))


def _entries(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parts(path: tuple[str, ...], entries: Mapping[str, Any]) -> Iterator[WeightSet]:
    """The sets of one dictionary: one for each prefix behind which a known layout begins."""
    homes = homes_of(entries)
    plain = dict(entries)
    if not homes:
        plain = _unmarked(entries)
        homes = homes_of(plain)
    prefixes = tuple(sorted({home.prefix for home in homes})) or (_shared(plain),)
    outside = [name for name in plain if not name.startswith(prefixes)]
    for prefix in prefixes:
        here = tuple(home for home in homes if home.prefix == prefix)
        inner = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
        mine = {
            name.removeprefix(prefix): value
            for name, value in plain.items()
            if name.startswith(prefix) and not name.startswith(inner)
        }
        tensors = {
            name: value
            for name, value in mine.items()
            if isinstance(value, Claim) and not _is_counter(name, value, here)
        }
        odd = tuple(name for name, value in mine.items() if _is_odd(value))
        rest = [prefix + name for name in mine if name not in tensors and name not in odd]
        if tensors or odd:
            words = (*path, *filter(None, prefix.split("."))) if len(prefixes) > 1 else path
            yield WeightSet(
                key=".".join(words) or TOP,
                path=path,
                prefix=prefix,
                tensors=tensors,
                homes=here,
                is_average=any(map(_AVERAGED.search, words)) or _is_torch_average(plain, prefix),
                ignored=tuple(
                    one for one in (*rest, *outside) if not isinstance(plain[one], _CONTAINERS)
                ),
                odd=odd,
            )


def _is_torch_average(names: Mapping[str, Any], prefix: str) -> bool:
    """Whether torch's AveragedModel, which counts beside what it wraps, is in the prefix."""
    return any(prefix[: at.start()] + _COUNT in names for at in re.finditer(r"module\.", prefix))


def homes_of(names: Mapping[str, Any]) -> list[Home]:
    """The layouts whose marks all match behind one prefix, for every such prefix."""
    found = []
    for layout, held in layouts().items():
        matches: list[set[tuple[str, bool]]] = []
        for mark in held.marks:
            pattern = _pattern(mark, tuple(held.base))
            hits = [(name, hit) for name in names for hit in pattern.finditer(name)]
            matches.append(
                {(name[: hit.start()], not (held.base and hit["base"])) for name, hit in hits}
            )
        for prefix, is_bare in sorted(set.intersection(*matches)):
            found.append(Home(layout, prefix, bool(held.base) and is_bare))
    # A block of one's own, within a network of ours, may itself have the names of some layout.
    within = tuple(f"{home.prefix}stages." for home in found if home.layout == OURS)
    return [home for home in found if not (within and home.prefix.startswith(within))]


@cache
def _pattern(mark: str, base: tuple[str, ...]) -> re.Pattern[str]:
    """A mark of a layout, behind a prefix, and behind the name of the base if there is one."""
    before = f"(?P<base>{'|'.join(map(re.escape, base))})?" if base else ""
    return re.compile(rf"(?:^|(?<=\.)){before}(?:{mark})")


def _unmarked(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The names without what torch's own wrappers put anywhere within them."""
    found = {
        ".".join(part for part in name.split(".") if part not in _MARKS_OF_WRAPPERS): value
        for name, value in entries.items()
    }
    return found if len(found) == len(entries) else dict(entries)


def _shared(names: Mapping[str, Any]) -> str:
    """The ``module.`` before all names of a layout that is not seen from them, once or more."""
    prefix = ""
    while all(name.startswith(f"{prefix}module.") for name in names):
        prefix += "module."
    return prefix


def _is_odd(value: object) -> bool:
    return isinstance(value, Inert) and value.is_tensor


def _is_counter(name: str, value: Claim, homes: tuple[Home, ...]) -> bool:
    """Whether a tensor is known to be no weight: a counter, or what a layout leaves unread."""
    if any(name.startswith(tuple(layouts()[home.layout].unread)) for home in homes):
        return True
    is_alone = "." not in name and not value.shape
    return is_alone or (name.rpartition(".")[2] in _COUNTERS and value.numel() == 1)


def _told(content: Any) -> str:
    """What a file holds in place of weights, each entry with its kind."""
    if isinstance(content, Inert):
        return f"an object of {shown(content.name)}"
    if not isinstance(content, dict) or not content:
        return f"{'an empty ' if content in ({}, []) else ''}{type(content).__name__}"
    kinds = [f"{shown(name)!r} ({_kind(value)})" for name, value in list(content.items())[:6]]
    return ", ".join(kinds) + (f" and {len(content) - 6} more" if len(content) > 6 else "")


def _kind(value: object) -> str:
    return shown(value.name) if isinstance(value, Inert) else type(value).__name__
