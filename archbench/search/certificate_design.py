"""How many candidates, seeds and epochs does a certificate take, and what does it cost?"""

import random
from dataclasses import dataclass, replace

from archbench.analysis.judgement import FEWEST
from archbench.command_line import command_line
from archbench.errors import SpaceError, UsageError
from archbench.models import ArchSpec, count
from archbench.search.affordable import in_minutes
from archbench.search.settings import Settings, some_feasible
from archbench.search.trainings import too_little_time
from archbench.space import Choices, SearchSpace

_CANDIDATES = 32  # with two seeds the 95 % interval of a tau at equal cost is about +-0.2
_SEEDS = 2
_LONGER = 2  # times the epochs of the proxy
_FEW, _FEWEST = 24, 12
_POOL = 16  # random candidates for each that is taken
_WHOLE = 2_000  # candidates up to which a space is listed rather than drawn from


@dataclass(frozen=True, kw_only=True)
class CertificateDesign:
    """What is trained for a certificate: each candidate with so many seeds, and as often longer."""

    candidates: int
    seeds: int
    epochs: int  # of the proxy's schedule
    longer: int  # epochs of the longer trainings
    epoch_seconds: float  # of a worker, on average
    workers: int
    proxy_seeds: int = 1  # trainings of a candidate that the proxy counts together in a search

    @property
    def num_trainings(self) -> int:
        """Of both lengths."""
        return 2 * self.candidates * self.seeds

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        epochs = self.candidates * self.seeds * (self.epochs + self.longer)
        return epochs * self.epoch_seconds / min(self.workers, self.num_trainings)


def designed(
    settings: Settings,
    *,
    candidates: int | None = None,
    seeds: int | None = None,
    longer: int | None = None,
) -> CertificateDesign:
    """What would be trained where nothing limits it, not priced yet.

    Raises:
        UsageError: What was asked for shows nothing.
    """
    section = settings.space.proxy
    epochs = section.rungs[-1]
    longer = _LONGER * epochs if longer is None else longer
    if longer <= epochs:
        raise UsageError(
            f"{longer} epochs are not longer than the proxy's {epochs}",
            place="--longer",
            help=f"use {_LONGER * epochs} or so",
        )
    seeds = max(_SEEDS, section.seeds) if seeds is None else seeds
    if seeds < section.seeds:
        raise UsageError(
            f"the proxy averages {section.seeds} seeds, and only {seeds} are trained",
            place="--seeds",
            help=f"use {section.seeds} or more",
        )
    return CertificateDesign(
        candidates=min(candidates or _CANDIDATES, settings.space.size()),
        seeds=seeds,
        epochs=epochs,
        longer=longer,
        epoch_seconds=0.0,
        workers=1,
        proxy_seeds=section.seeds,
    )


def fitted(design: CertificateDesign, *, max_seconds: float | None) -> CertificateDesign:
    """The design with as many candidates, then seeds, as fit; as it is without a limit.

    Candidates go first, down to 24, then seeds, down to two or as many as the proxy counts
    together, then candidates down to 12.

    Raises:
        UsageError: Not even those fit.
    """
    if max_seconds is None:
        return design
    few, fewest = min(design.candidates, _FEW), min(design.candidates, _FEWEST)
    seeds = min(design.seeds, max(_SEEDS, design.proxy_seeds))
    tries = [replace(design, candidates=num) for num in range(design.candidates, few - 1, -1)]
    tries += [
        replace(design, candidates=few, seeds=num) for num in range(design.seeds, seeds - 1, -1)
    ]
    tries += [replace(design, candidates=num, seeds=seeds) for num in range(few, fewest - 1, -1)]
    for tried in tries:
        if tried.seconds <= max_seconds:
            return tried
    raise too_little_time(
        max_seconds,
        least=f"{fewest} candidates of {seeds} seeds",
        takes=tries[-1].seconds,
        help="give more time, or make the proxy shorter: --set 'proxy.rungs=[2, 4]'",
    )


def in_words(chosen: CertificateDesign, *, asked: CertificateDesign | None = None) -> str:
    """What will be trained, how long that takes, and what was left out to fit."""
    workers = f"{chosen.workers} worker{'s' if chosen.workers > 1 else ''}"
    text = (
        f"{chosen.candidates} candidates x {chosen.seeds} seeds x ({chosen.epochs} + "
        f"{chosen.longer}) epochs on {workers}: about {in_minutes(chosen.seconds)}"
    )
    if asked is None or chosen == asked:
        return text
    return (
        f"{text}; {asked.candidates} candidates of {asked.seeds} seeds would take about "
        f"{in_minutes(asked.seconds)}"
    )


def epochs_told(rungs: tuple[int, ...]) -> tuple[int, ...]:
    """After which epochs of the proxy's schedule accuracies are taken: its rungs and powers of 2.

    >>> epochs_told((6, 12))
    (1, 2, 4, 6, 8, 12)
    """
    powers = {2**power for power in range(rungs[-1].bit_length())}
    return tuple(sorted({*rungs, *powers}))


def sample(space: SearchSpace, number: int, *, seed: int) -> list[tuple[Choices, ArchSpec]]:
    """Different feasible candidates, one at random from each of so many strata of the MACs.

    The strata hold equally many; fewer come where the space has no more. Cheapest first. A space of
    at most 2,000 candidates is listed, of others a pool is drawn.
    """
    rng = random.Random(seed)
    found = some_feasible(space, rng, whole=_WHOLE, draws=_POOL * number, tries=2_000)
    specs = {(spec := space.decode(choices)).digest: (choices, spec) for choices in found}
    ordered = sorted(specs.values(), key=lambda pair: (count(pair[1]).macs, pair[1].digest))
    if len(ordered) <= number:
        return ordered
    ends = [round(index * len(ordered) / number) for index in range(number + 1)]
    return [ordered[rng.randrange(ends[i], ends[i + 1])] for i in range(number)]


def sampled(settings: Settings, *, number: int) -> list[tuple[Choices, ArchSpec]]:
    """The candidates that are trained.

    Raises:
        SpaceError: The space has none, or too few to compare.
    """
    space = settings.space
    found = sample(space, number, seed=settings.search.seed)
    if not found:
        raise space.infeasible(space.feasible())
    if len(found) < FEWEST:
        raise SpaceError(
            f"only {len(found)} feasible candidates, and a tau needs {FEWEST}",
            place=space.name,
            help="train all of them with several seeds instead: "
            + command_line("archbench", "search", space.name, "--set", "proxy.seeds=3"),
        )
    return found


def most_candidates(space: SearchSpace) -> int:
    """How many a sample can have: exact where the space is listed, else no more than this."""
    size = space.size()
    return sum(map(space.is_feasible, space.enumerate())) if size <= _WHOLE else size
