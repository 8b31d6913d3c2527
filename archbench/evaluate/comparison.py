"""Which of some networks is faster here, timed in turn with one another in one process?"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from archbench.data import Data
from archbench.errors import IncomparableError, MissingError, StorageError, UsageError
from archbench.evaluate.foreign import Foreign, opened, several
from archbench.evaluate.target import calibrated, images_of
from archbench.measure.latency.estimate import Comparison, compare_processes, compare_rounds
from archbench.measure.machine import environment_of
from archbench.measure.machine_cache import UNREADABLE
from archbench.models import ArchSpec
from archbench.models.network import Written
from archbench.progress import Progress
from archbench.study.atomic_file import write_atomically
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement
from archbench.study.study_folder import path_of

SCHEMA = "archbench.comparison/1"
WANTED_HALF_WIDTH = 0.005
BUDGET_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """How fast some networks are beside one another, of which the first is the reference."""

    environment: Environment
    forms: Mapping[str, ArchSpec | Foreign]  # by name, as asked for; equal names are numbered
    latencies: Mapping[str, Measurement]  # by the same names; the samples pair up round by round
    pairs: tuple[Comparison, ...]  # each network against each one named before it
    stored: tuple[Comparison, ...] = ()  # each against that of its name in a stored result

    def document(self) -> dict[str, Any]:
        """A JSON document of the schema ``archbench.comparison/1``, which `read_stored` reads."""
        return {
            "schema": SCHEMA,
            "environment": self.environment.document(),
            "networks": [
                {
                    "name": name,
                    "digest": "" if isinstance(form, Foreign) else form.digest,
                    "form": form.form if isinstance(form, Foreign) else "deployed",
                    "latency": self.latencies[name].to_document(),
                }
                for name, form in self.forms.items()
            ],
            "pairs": [_pair_document(pair) for pair in self.pairs],
            "stored": [_pair_document(pair) for pair in self.stored],
        }


def compare(
    models: Sequence[Written | Foreign],
    *,
    batch: int = 1,
    resolution: tuple[int, int] | int | None = None,
    threads: int = 1,
    device: str = "cpu",
    precision: str = "fp32",
    backend: str = "eager",
    budget_s: float = BUDGET_S,
    against: Mapping[str, Measurement] | str | Path | None = None,
    data: Data | None = None,
    on_progress: Progress | None = None,
) -> Compared:
    """The ratio of the times of each pair of networks, all timed in shared rounds of one process.

    Networks are given and conditions asked for as in `archbench.profile`, so that each sees images
    of its own resolution where none is asked for; the first one is the reference, and one may come
    twice. Each takes ``budget_s`` seconds, where the intervals are not
    narrow before; ``against`` are stored measurements by name, or the file of a result that
    ``archbench compare --save`` kept. For int8 networks are calibrated on images of ``data``.

    Raises:
        UsageError: There is nothing to compare, a name is unknown, or int8 is asked for without
            data.
        IncomparableError: What is stored was taken elsewhere or under other conditions.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    if against is not None and not isinstance(against, Mapping):
        against = read_stored(against)
    stored = against or {}
    wanted = several(models)
    if len(wanted) < (1 if stored else 2):
        raise UsageError("nothing to compare with", help="name two networks, or a stored result")
    networks = [opened(written, resolution=resolution) for written in wanted]
    height, width = networks[0].resolution
    conditions = Conditions(
        device=device,
        backend=backend,
        precision=precision,
        batch=batch,
        resolution=(height, width),
        threads=threads,
    )
    environment, named = environment_of(device), dict(zip(_names(networks), networks, strict=True))
    matched = _matched(named, stored, conditions=conditions, environment=environment)
    target = calibrated(
        conditions, environment=environment, images=images_of(data), on_progress=on_progress
    )
    forms = {name: target.form(entry) for name, entry in named.items()}
    measured = target.measure_together(
        forms, budget_s=budget_s, together=WANTED_HALF_WIDTH, on_progress=on_progress
    )
    return Compared(
        environment=environment,
        forms=forms,
        latencies=measured,
        pairs=tuple(
            compare_rounds((first, second), measured[first], measured[second])
            for first, second in itertools.combinations(forms, 2)
        ),
        stored=tuple(
            compare_processes((f"stored {name}", name), latency, measured[name])
            for name, latency in matched.items()
        ),
    )


def save(compared: Compared, path: str | Path) -> None:
    """Keeps a result to compare with later.

    Raises:
        StorageError: It cannot be written.
    """
    path = path_of(path, place="path")
    text = json.dumps(compared.document(), indent=2, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise StorageError(
            f"it cannot be written: {error.strerror}", place=str(path), help="name another file"
        ) from error


def read_stored(path: str | Path) -> dict[str, Measurement]:
    """The measurements of a kept result, by the names of the networks.

    Raises:
        MissingError: There is no such file.
        StorageError: It is no such result.
    """
    path, help_ = path_of(path, place="path"), "archbench compare A B --save FILE writes one"
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA!r}")
        return {
            entry["name"]: Measurement.from_document(entry["latency"])
            for entry in document["networks"]
        }
    except FileNotFoundError as error:
        raise MissingError("there is no such file", place=str(path), help=help_) from error
    except UNREADABLE as error:
        message = f"it is not a stored comparison: {error}"
        raise StorageError(message, place=str(path), help=help_) from error


def _names(networks: Sequence[ArchSpec | Foreign]) -> list[str]:
    """One for each, as ``levit_128s`` and ``levit_128s (2)``."""
    names: list[str] = []
    for entry in networks:
        name = entry.name or "network"
        labels = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        names.append(next(label for label in labels if label not in names))
    return names


def _matched(
    networks: Mapping[str, ArchSpec | Foreign],
    stored: Mapping[str, Measurement],
    *,
    conditions: Conditions,
    environment: Environment,
) -> dict[str, Measurement]:
    """The stored latency of each network that has one, refused where it is another quantity."""
    found = {name: stored[name] for name in networks if name in stored}
    if stored and not found:
        raise UsageError(
            f"the stored result holds none of {', '.join(networks)}",
            place="--against",
            help=f"it holds {', '.join(stored)}",
        )
    for name, latency in found.items():
        # Which precision it really is shows when it runs; it is compared then.
        precision, (height, width) = latency.conditions.precision, networks[name].resolution
        own = replace(conditions, precision=precision, resolution=(height, width))
        for what, mine, theirs in (
            ("conditions", str(own), str(latency.conditions)),
            ("environment", environment.id, latency.environment_id),
        ):
            if mine != theirs:
                raise IncomparableError(
                    f"{name} was stored under other {what}: {theirs}, not {mine}",
                    place="--against",
                    help="keep a result of this machine and these conditions with --save",
                )
    return found


def _pair_document(pair: Comparison) -> dict[str, Any]:
    ratio = asdict(pair.ratio) if pair.ratio else dict.fromkeys(("value", "low", "high"))
    named = {"first": pair.first, "second": pair.second, "outcome": pair.outcome}
    return {**named, **asdict(pair), "ratio": ratio}
