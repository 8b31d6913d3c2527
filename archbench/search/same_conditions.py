"""Are the numbers of two studies of one meaning, and if not, what of their conditions differs?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_SOFTWARE = ("archbench", "torch", "torchvision", "numpy")
_PROXY = ("resolution", "num_classes", "stem", "seeds", "device")
_NOT_THERE = "not there"


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What of the conditions of two studies differs, in words, setting by setting.

    Attributes:
        accuracy: What keeps their accuracies from being draws of one quantity. The seed of a study
            is no difference: it decides which draw, not of what. Neither is the machine, as long
            as the software, the precision and the kind of device are the same.
        latency: What keeps their latencies from being comparable; empty where the second study
            measures none.
        rule: What else keeps a training that was stopped early in one from being stopped in the
            other.
    """

    accuracy: tuple[str, ...]
    latency: tuple[str, ...]
    rule: tuple[str, ...]


def differences(earlier: Mapping[str, Any], header: Mapping[str, Any]) -> Differences:
    """How the conditions of a study that is differ from those of an earlier one.

    Args:
        earlier: Header of the study that was.
        header: Header of the study that is.
    """
    latency: Iterable[str] = ()
    if header["calibration"] is not None:
        is_known = earlier.get("calibration") is not None
        latency = (
            _unequal(_measuring(earlier), _measuring(header))
            if is_known
            else ["latency was not measured"]
        )
    before, now = (
        {key: study.get(key) for key in ("objectives", "limits")} for study in (earlier, header)
    )
    return Differences(
        accuracy=(*_data(earlier, header), *_unequal(_training(earlier), _training(header))),
        latency=tuple(latency),
        rule=tuple(_unequal(before, now)),
    )


def _data(earlier: Mapping[str, Any], header: Mapping[str, Any]) -> Iterator[str]:
    before, now = earlier["proxy"], header["proxy"]
    if before.get("data_digest") != now.get("data_digest"):
        if before.get("data") == now.get("data"):
            yield f"the images of {now.get('data')} are others than they were"
        else:
            yield f"proxy.data was {before.get('data')} and is {now.get('data')}"
    teachers = [proxy.get("teacher", {}).get("sha256") for proxy in (before, now)]
    if None not in teachers and teachers[0] != teachers[1]:
        yield "proxy.teacher is another training of it"


def _training(header: Mapping[str, Any]) -> dict[str, Any]:
    proxy, plan = header["proxy"], header["plan"]
    recipe = {key: value for key, value in proxy["recipe"].items() if key != "seed"}
    packages = header["environment"]["packages"]
    return {
        **{f"proxy.{key}": proxy.get(key) for key in _PROXY},
        **{f"proxy.{key}": value for key, value in recipe.items()},
        "precision of training": plan["precision"],
        "memory format of training": plan["memory_format"],
        **{f"software {name}": packages.get(name) for name in _SOFTWARE},
    }


def _measuring(header: Mapping[str, Any]) -> dict[str, Any]:
    conditions = {f"target.{key}": value for key, value in header["conditions"].items()}
    environment = dict(header["environment"])
    packages = environment.pop("packages")
    software = {f"software {name}": version for name, version in packages.items()}
    return {**conditions, **environment, **software}


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        old, new = _plain(before.get(key)), _plain(now.get(key))
        if old != new:
            yield f"{key} was {_text(old)} and is {_text(new)}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None:
        return _NOT_THERE
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items()) or "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
