"""How does a trained network go where it is used: as a file of a runtime, or in a library's terms?

Every format is written into a folder of its own, run there on images, compared with the network
as PyTorch computes it, and timed. What was found stands in a card beside them.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from archbench.data import Data
from archbench.errors import (
    NETWORK_FAULTS,
    ArchbenchError,
    UsageError,
    fault_text,
    unknown_name,
)
from archbench.evaluate.artifact import LIBRARIES, RUNTIMES, pass_of
from archbench.evaluate.card import CARD, begun, inscription
from archbench.evaluate.classifier import TrainedNetwork
from archbench.evaluate.expected import Expected, RealImages, tested
from archbench.evaluate.library import InLibrary, write_module, write_timm, write_transformers
from archbench.evaluate.quantised import no_calibration
from archbench.evaluate.target import calibrated
from archbench.measure.agreement import prepared
from archbench.measure.backend import BACKENDS, Runnable, write_artifact
from archbench.measure.latency.latency import measure_latency
from archbench.measure.machine import torch_threads
from archbench.models import fold
from archbench.progress import Progress, no_progress
from archbench.study.atomic_file import write_atomically
from archbench.study.measurement import Conditions, Measurement

BUDGET_S = 10.0
_OPERATORS = ("operators", "operators_outside", "outside", "delegate_calls", "layers_run_in")
_WRITERS = {"hf": write_transformers, "python": write_module, "timm": write_timm}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be written, and under which conditions it is timed, if it is.

    Without a batch any number of images may come.
    """

    precision: str = "fp32"
    batch: int | None = 1
    threads: int = 1
    latency: bool = True

    def conditions(self, backend: str, *, side: int) -> Conditions:
        """Those of a backend, at one image where any number may come."""
        return Conditions(
            backend=backend,
            precision=self.precision,
            batch=self.batch or 1,
            resolution=(side, side),
            threads=self.threads,
        )


def export(
    model: TrainedNetwork,
    *,
    formats: Sequence[str],
    folder: Path,
    asked: Asked,
    data: Data | None = None,
    on_card: Callable[[Mapping[str, Any]], None] | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """The card of a network and of what was written, a JSON document of ``archbench.card/1``.

    Each format gets a folder of its own in ``folder``, which appears when all of it is written and
    has been run. A format that fails is told under ``failed``, and the others are written all the
    same. The card is kept, and ``on_card`` told it, after each. Artifacts of the same weights that
    lie there already stay, or are written anew where format and precision are the same.

    Raises:
        UsageError: A format is unknown, int8 is wanted without data, the data are of other classes,
            or the folder holds another network.
        ArchbenchError: The data cannot be had, or a file not be written.
    """
    _check(formats, asked, data=data)
    tell = on_progress or no_progress
    card = begun(folder, model)
    pictures = RealImages.of(data, model, on_progress=tell) if data is not None else None
    known = Expected.of(model, pictures, tell=tell)
    card["accuracy"] = known.accuracy
    for wanted in formats:
        tell(f"exporting to {wanted}", 0, 0)
        card["failed"] = [one for one in card["failed"] if one["format"] != wanted]
        try:
            # Threads of torch's that still spin would be taken for the runtime's own.
            with torch_threads(asked.threads):
                entry = _exported(
                    model, wanted, folder=folder, asked=asked, known=known, card=card, tell=tell
                )
        except ArchbenchError as error:
            failure = {"reason": error.message, "help": error.help or ""}
        except NETWORK_FAULTS as error:
            failure = {"reason": fault_text(error), "help": ""}
        else:
            failure = {}
            others = [one for one in card["artifacts"] if one["folder"] != entry["folder"]]
            card["artifacts"] = sorted([*others, entry], key=lambda one: str(one["folder"]))
        if failure:
            card["failed"].append({"format": wanted, "precision": asked.precision, **failure})
        text = json.dumps(card, indent=2, allow_nan=False) + "\n"
        write_atomically(folder / CARD, text.encode())
        if on_card:
            on_card(card)
    return card


def _check(formats: Sequence[str], asked: Asked, *, data: Data | None) -> None:
    for wanted in formats:
        if wanted not in (*RUNTIMES, *LIBRARIES):
            raise unknown_name("format", wanted, (*RUNTIMES, *LIBRARIES), place="--to")
    if asked.precision == "int8" and data is None:
        raise no_calibration()


def _exported(
    model: TrainedNetwork,
    wanted: str,
    *,
    folder: Path,
    asked: Asked,
    known: Expected,
    card: Mapping[str, Any],
    tell: Progress,
) -> dict[str, Any]:
    """One format, written beside its place, run, and put there when it is sound."""
    is_plain = asked.precision == "fp32"
    home = folder / (wanted if is_plain else f"{wanted}-{asked.precision}")
    made = Path(tempfile.mkdtemp(dir=folder, prefix=f".{home.name}-"))
    try:
        write = _in_library if wanted in LIBRARIES else _in_runtime
        entry, opened, run = write(model, wanted, made, asked=asked, known=known)
        entry |= {
            "format": wanted,
            "precision": asked.precision,
            "batch": asked.batch if wanted in RUNTIMES else None,
        }
        batch = None if wanted in LIBRARIES else asked.batch or 1
        classifier = replace(model.classifier(), form=wanted, run=run, batch=batch)
        entry |= {"compared": known.compared(classifier.logits), "accuracy": None, "latency": None}
        if not is_plain and known.pictures is not None:
            entry["accuracy"] = tested(classifier, known.pictures, tell=tell)
        if asked.latency:
            tell(f"timing {wanted}", 0, 0)
            latency = _latency(opened, entry["conditions"], on_progress=tell)
            entry["latency"] = latency.to_document()
        first = made / entry.pop("first")
        if write_metadata := getattr(_backend(wanted), "write_metadata", None):
            write_metadata(first, inscription(card, entry))
        entry |= {"folder": home.name, **_files(made, first=first)}
        _put(made, home)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return entry


def _files(folder: Path, *, first: Path) -> dict[str, Any]:
    """The files of a folder, the first one first, and their size."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path != first)
    return {
        "files": [str(path.relative_to(folder)) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
    }


def _backend(wanted: str) -> Any:
    """The backend that runs the files of a format; None of those that a library loads."""
    return BACKENDS.load(RUNTIMES[wanted]) if wanted in RUNTIMES else None


_Written = tuple[dict[str, Any], Runnable, Callable[[Tensor], Tensor]]


def _in_runtime(
    model: TrainedNetwork, wanted: str, made: Path, *, asked: Asked, known: Expected
) -> _Written:
    """A file of a runtime, opened there and compared with eager on the first image."""
    conditions = asked.conditions(RUNTIMES[wanted], side=model.preparation.resolution)
    path = made / f"model{_backend(wanted).SUFFIX}"
    network, number = fold(model.network), conditions.batch
    example = known.images[:1].repeat(number, 1, 1, 1)  # its own memory, which is written into
    images = None
    if known.pictures is not None:
        batches = known.pictures.calibration.split(number)
        images = [batch for batch in batches if len(batch) == number] or None
    write_artifact(
        network,
        example,
        path=path,
        conditions=conditions,
        images=images,
        dynamic_batch=asked.batch is None,
    )
    opened = prepared(network, example, conditions=conditions, artifact=path)
    return (
        {
            "first": path.name,
            "library": "",
            "conditions": asdict(conditions),
            "ran_in": opened.precision,
            "operators": {key: opened.details[key] for key in _OPERATORS if key in opened.details},
            "notes": []
            if hasattr(_backend(wanted), "write_metadata")
            else [f"its files have no place for classes and preparation: keep {CARD} with them"],
        },
        opened,
        pass_of(opened, path, conditions=conditions),
    )


def _in_library(
    model: TrainedNetwork, wanted: str, made: Path, *, asked: Asked, known: Expected
) -> _Written:
    """Files of a library of PyTorch, as loaded by it, run in its eager mode."""
    if asked.precision != "fp32":
        able = [one for one in RUNTIMES if asked.precision in _backend(one).PRECISIONS["cpu"]]
        raise UsageError(
            f"its files hold fp32, not {asked.precision}",
            help=f"{asked.precision}: {', '.join(able)}",
        )
    write = _WRITERS[wanted]
    found: InLibrary = write(model.network, made, preparation=model.preparation)
    conditions = asked.conditions("eager", side=model.preparation.resolution)
    example = known.images[:1].repeat(conditions.batch, 1, 1, 1)
    entry = {
        "first": "",
        "library": found.library,
        "kind": found.kind,
        "settings": dict(found.settings),
        "conditions": asdict(conditions),
        "ran_in": "fp32",
        "operators": {},
        "notes": [note for note in (found.reason, found.note) if note],
    }
    opened = Runnable(run=lambda: found.run(example), precision="fp32")
    return entry, opened, found.run


def _latency(
    opened: Runnable, conditions: Mapping[str, Any], *, on_progress: Progress
) -> Measurement:
    target = calibrated(Conditions(**conditions), on_progress=on_progress)
    with target.bench(precision=opened.precision, on_progress=on_progress) as bench:
        measured = measure_latency({"network": opened}, bench=bench, budget_s=BUDGET_S)
    return measured["network"]


def _put(made: Path, home: Path) -> None:
    """The folder in its place, what was there before taken away once the new one is there."""
    made.chmod(0o755)
    if not home.exists():
        made.rename(home)
        return
    before = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}-"))
    home.rename(before / home.name)
    made.rename(home)
    shutil.rmtree(before, ignore_errors=True)
