"""How does a space of one's own begin: a file around a known network, with every key in it."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from archbench.errors import ArchbenchError
from archbench.models import ArchSpec, as_spec, count
from archbench.models.path import override, parse_path
from archbench.space.candidate import Candidate
from archbench.space.sections import ProxySection, SearchSection, TargetSection, keys_of
from archbench.yaml_document import write_flow

_WIDTHS = tuple(Fraction(number, 4) for number in (2, 3, 4, 5, 6))
_RATIOS = (1, 2, 4)
_PROXIES: tuple[Mapping[str, Any], ...] = (
    {},
    {"resolution": 128, "stem": "as_is"},
    {"stem": "as_is"},
)

_BEGIN = """\
# Which network like {name} is the most accurate for its latency?
#
# This file can be searched as it is:  archbench search FILE
# What is wrong with it, or is not on this machine, is told by:  archbench space validate FILE
"""


def template(name: str) -> str:
    """The text of a space around a published network: every key, what it is, and its default.

    Widths, depths and the ratio of MLPs vary around those of the network.

    Raises:
        UsageError: There is no such network.
    """
    spec = as_spec(name)
    document = spec.to_document()
    macs = count(spec).macs * 3 // 2
    parts = [
        _BEGIN.format(name=name),
        _lines(
            {
                "base": (name, "archbench models lists others"),
                "set": ({}, "fields that all candidates have: {resolution: 160}"),
            }
        ),
        "\n# What varies; [each] would be a choice for every stage, [all] is one for all.\naxes:\n",
        _lines(dict(_axes(document)), indent="  "),
        "\n# What every candidate must meet, decided before anything is built.\nrequire:\n",
        f"  - macs <= {float(f'{macs / 1e6:.2g}'):g}e6\n",
        "\n# What is wanted, and the most that a cost may be: nothing over a limit is trained.\n",
        _lines(
            {
                "objectives": ({"accuracy": "max", "latency_ms": "min"}, ""),
                "limits": ({}, "in ms and MB: {latency_ms: 8}"),
                "baselines": (None, "networks to compare with; null: small known ones"),
            }
        ),
        *_sections(spec),
    ]
    return "".join(parts)


def _axes(document: Mapping[str, Any]) -> Iterator[tuple[str, tuple[list[Any], str]]]:
    """Paths with the legal values around those of a network."""
    for number, stage in enumerate(document["stages"]):
        path, width = f"stages[{number}].dim", stage["dim"]
        widths = {int(width * share) for share in _WIDTHS if width * share % 1 == 0}
        if len(found := _legal(document, path, sorted(widths))) > 1:
            yield path, (found, "channels")
    for number, stage in enumerate(document["stages"]):
        if stage.get("block"):
            path, depth = f"stages[{number}].depth", stage["depth"]
            depths = range(max(1, depth - 1), depth + 2)
            yield path, (_legal(document, path, depths), "blocks")
    path = "stages[all].block.mlp_ratio"
    if ratios := _legal(document, path, _RATIOS):
        yield path, (ratios, "of an MLP, to its width")


def _legal(document: Mapping[str, Any], path: str, values: Iterable[Any]) -> list[Any]:
    return [value for value in values if _is_legal(document, path, value)]


def _is_legal(document: Mapping[str, Any], path: str, value: Any) -> bool:
    try:
        ArchSpec.from_document(override(document, parse_path(path), value)).resolved()
    except ArchbenchError:
        return False
    return True


def _sections(spec: ArchSpec) -> Iterator[str]:
    """The sections with their defaults; the proxy is one in which the network is legal."""
    kinds = {
        "target": (TargetSection, "Where the latency is measured.", {}),
        "proxy": (ProxySection, "On what the accuracy is measured.", _proxy(spec)),
        "search": (SearchSection, "How candidates are proposed, and how many.", {}),
    }
    for name, (kind, title, own) in kinds.items():
        keys = {key: (own.get(key, default), told) for key, _, told, default in keys_of(kind)}
        yield f"\n# {title}\n{name}:\n" + _lines(keys, indent="  ")


def _proxy(spec: ArchSpec) -> Mapping[str, Any]:
    *first, last = _PROXIES
    sides = {"resolution": max(spec.resolution)}
    return next((one for one in first if _trains(spec, ProxySection(**one))), {**sides, **last})


def _trains(spec: ArchSpec, section: ProxySection) -> bool:
    try:
        Candidate(spec.to_document(), section).check_legal()
    except ArchbenchError:
        return False
    return True


def _lines(keys: Mapping[str, tuple[Any, str]], *, indent: str = "") -> str:
    """A key a line, with what it is behind it."""
    lines = [(f"{indent}{key}: {write_flow(value)}", told) for key, (value, told) in keys.items()]
    left = max((len(line) for line, told in lines if told), default=0)
    return "".join(f"{f'{line:{left}}  # {told}' if told else line}\n" for line, told in lines)
