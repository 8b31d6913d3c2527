"""Which sampler does a name mean: an entry of ours, one of Optuna's, or one of OptunaHub's."""

from __future__ import annotations

import copy
import inspect
import sys
import warnings
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from archbench.errors import MissingError, UsageError, unknown_name, wrong_type
from archbench.registry import OBJECT, OUTSIDE, Registry, refuse_object
from archbench.space import SearchSpace

if TYPE_CHECKING:
    from archbench.models import ArchSpec

SAMPLERS = Registry("archbench.search.samplers", "sampler", "archbench.samplers")
OPTUNA, HUB = "optuna:", "hub:"
_NEEDS = ("ATTEMPTS", "NEIGHBOURS", "make")


@dataclass(frozen=True, kw_only=True)
class SamplerInput:
    """For one proposal of a study; ``predict`` gives latencies in ms, where they can be told."""

    space: SearchSpace
    seed: int  # of this proposal
    study_seed: int
    conditional: bool  # whether some axes are active only under some choices
    memory: MutableMapping[Any, Any]  # emptied when the study in memory is made anew
    lasting: MutableMapping[Any, Any]  # kept as long as the process lives
    predict: Callable[[ArchSpec], float | None] | None = None


class SamplerEntry(Protocol):
    """A file of ``archbench/search/samplers``, or what stands for one."""

    ATTEMPTS: int
    """Proposals that may be refused, as infeasible or seen."""

    NEIGHBOURS: int
    """Tries to change a refused one a little, before chance decides."""

    def make(self, setting: SamplerInput) -> optuna.samplers.BaseSampler:
        """The sampler for one proposal."""


def named_sampler(sampler: object, *, place: str) -> tuple[Any, SamplerEntry | None]:
    """The name of a sampler that is given, and what stands for it where no name can make it again.

    A class is known by its name, an object as ``object:CLASS``; whatever else is handed on.

    Raises:
        UsageError: It cannot search for a front.
    """
    kind = sampler if isinstance(sampler, type) else type(sampler)
    if not _is_sampler(kind):
        return sampler, None
    name = f"{OBJECT}{kind.__name__}"
    if isinstance(sampler, BaseSampler):
        _try(lambda: copy.deepcopy(sampler), name, place=place)
        return name, _entry_of(lambda given: sampler)
    if getattr(optuna.samplers, kind.__name__, None) is kind:
        return f"{OPTUNA}{kind.__name__}", None
    home = sys.modules.get(kind.__module__)
    if kind.__module__ != "__main__" and getattr(home, kind.__name__, None) is kind:
        return f"{OUTSIDE}{kind.__module__}:{kind.__name__}", None
    return name, _foreign(kind, name, place=place)


def load_sampler(name: str, *, place: str | None = None) -> SamplerEntry:
    """What makes the sampler of a name: an entry of ``archbench/search/samplers``, or of others.

    Those are ``optuna:`` and the name of a class, ``hub:`` and the name of a package such as
    ``samplers/hebo``, followed by ``:`` and the name of a class where it holds several, or what a
    registry takes from outside: an entry like ours, or a class of a sampler.

    Raises:
        UsageError: There is none, it needs more than a seed, or knows one objective only.
        MissingError: The library that loads packages of OptunaHub is not installed.
    """
    if not isinstance(name, str):
        raise wrong_type(name, place=place, allowed="a sampler's name, or one of Optuna's kind")
    if name.startswith(OPTUNA):
        return _foreign(_of_optuna(name.removeprefix(OPTUNA), place=place), name, place=place)
    if name.startswith(HUB):
        return _foreign(_of_hub(name.removeprefix(HUB), place=place), name, place=place)
    refuse_object(name, noun="sampler", place=place)
    found = SAMPLERS.load(name, place=place)
    if _is_sampler(found):
        return _foreign(found, name, place=place)
    if missing := [need for need in _NEEDS if not hasattr(found, need)]:
        raise UsageError(
            f"{name} is no sampler: no class of Optuna's kind, and without {', '.join(missing)}",
            place=place,
            help="archbench/search/samplers/tpe.py shows how one is written",
        )
    return cast(SamplerEntry, found)


def _foreign(kind: type[BaseSampler], name: str, *, place: str | None) -> SamplerEntry:
    """A sampler class of others as an entry; tried once on two objectives."""
    has_seed = "seed" in inspect.signature(kind).parameters

    def made(seed: int) -> BaseSampler:
        options: dict[str, Any] = {"seed": seed} if has_seed else {}
        return kind(**options)

    _try(lambda: made(0), name, place=place)
    return _entry_of(lambda given: made(given.seed))


def _entry_of(make: Callable[[SamplerInput], BaseSampler]) -> SamplerEntry:
    """What stands for a file of ``archbench/search/samplers``."""
    return cast(SamplerEntry, SimpleNamespace(ATTEMPTS=4, NEIGHBOURS=40, make=make))


def _try(make: Callable[[], BaseSampler], name: str, *, place: str | None) -> None:
    """Lets a sampler propose on two objectives.

    Raises:
        UsageError: It cannot.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            _propose_two(make())
    except Exception as error:  # what the code of others raises cannot be listed
        raise UsageError(
            f"the sampler {name} cannot search for a front: {_in_a_line(error)}",
            place=place,
            help="take one that needs no more than a seed and knows several objectives, "
            f"for example {', '.join(SAMPLERS.names)}",
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def _propose_two(sampler: BaseSampler) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(2):
        trial = study.ask()
        value = float(trial.suggest_int("x", 0, 3))
        trial.suggest_categorical("y", ["a", "b"])
        study.tell(trial, [value, value])


def _of_optuna(name: str, *, place: str | None) -> type[BaseSampler]:
    kinds = {key: kind for key, kind in vars(optuna.samplers).items() if _is_sampler(kind)}
    if name not in kinds:
        raise unknown_name("class of optuna.samplers", name, sorted(kinds), place=place)
    return cast(type[BaseSampler], kinds[name])


def _of_hub(name: str, *, place: str | None) -> type[BaseSampler]:
    package, _, wanted = name.partition(":")
    try:
        import optunahub
    except ImportError as error:
        raise MissingError(
            f"hub:{package} needs the library optunahub, which is not installed",
            place=place,
            help="install it with: pip install 'archbench[hub]'",
        ) from error
    try:
        module: ModuleType = optunahub.load_module(package)
    except Exception as error:
        raise UsageError(
            f"the package {package} of OptunaHub cannot be loaded: {_in_a_line(error)}",
            place=place,
            help="look up its name at https://hub.optuna.org and install what it requires",
        ) from error
    kinds = _samplers_of(module)
    if not kinds:
        raise UsageError(
            f"the package {package} of OptunaHub holds no sampler",
            place=place,
            help="samplers begin with samplers/, for example hub:samplers/hebo",
        )
    if wanted and wanted not in kinds:
        raise unknown_name(f"sampler of hub:{package}", wanted, sorted(kinds), place=place)
    if not wanted and len(kinds) > 1:
        raise UsageError(
            f"the package {package} of OptunaHub holds several samplers: {', '.join(kinds)}",
            place=place,
            help=f"name one of them: hub:{package}:{next(iter(kinds))}",
        )
    return kinds[wanted or next(iter(kinds))]


def _samplers_of(module: ModuleType) -> dict[str, type[BaseSampler]]:
    """The samplers that a package offers, not those that it only builds upon."""
    public = {name: kind for name, kind in vars(module).items() if not name.startswith("_")}
    kinds = {name: kind for name, kind in public.items() if _is_sampler(kind)}
    if offered := getattr(module, "__all__", None):
        return {name: kind for name, kind in kinds.items() if name in offered}
    inside = f"{module.__name__}."
    own = {n: kind for n, kind in kinds.items() if f"{kind.__module__}.".startswith(inside)}
    return own or kinds


def _is_sampler(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseSampler) and kind is not BaseSampler


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
