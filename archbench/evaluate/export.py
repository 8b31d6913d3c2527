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

import torch
from torch import Tensor

from archbench.analysis.statistics import wilson
from archbench.data import Data, Split, name_of
from archbench.errors import (
    NETWORK_FAULTS,
    ArchbenchError,
    StorageError,
    UsageError,
    fault_text,
    unknown_name,
)
from archbench.evaluate.artifact import CARD, LIBRARIES, RUNTIMES, SCHEMA, pass_of, read_card
from archbench.evaluate.classifier import Classifier, TrainedNetwork
from archbench.evaluate.library import InLibrary, write_module, write_timm, write_transformers
from archbench.evaluate.proxy import open_data
from archbench.evaluate.target import calibrated
from archbench.measure.backend import BACKENDS, Runnable, prepared, write_artifact
from archbench.measure.latency.latency import measure_latency
from archbench.measure.machine import capture_environment, torch_threads
from archbench.models import count, fold
from archbench.progress import Progress, no_progress
from archbench.study.atomic_file import write_atomically
from archbench.study.measurement import Conditions, Measurement

COMPARED = 256
"""Held-out images on which the answers of an artifact are compared with the network's."""
CALIBRATED = 256
"""Training images on which int8 is calibrated."""
BUDGET_S = 10.0
_TESTED = 10_000
_EAGER_BATCH = 32
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


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """Images of a data set as a network takes them: for calibration, and held-out ones."""

    name: str
    calibration: Tensor  # (N, 3, R, R), normalised
    test: Split  # bytes, in the middle square of which the network looks
    digest: str


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
    card = _begun(folder, model)
    pictures = _pictures(data, model, on_progress=tell) if data is not None else None
    known = _Expected.of(model, pictures, tell=tell)
    card["accuracy"] = known.accuracy
    card["environment"] = capture_environment().document()
    for wanted in formats:
        tell(f"exporting to {wanted}", 0, 0)
        card["failed"] = [one for one in card["failed"] if one["format"] != wanted]
        try:
            # Threads of torch's that still spin would be taken for the runtime's own.
            with torch_threads(asked.threads):
                entry = _exported(model, wanted, folder=folder, asked=asked, known=known, tell=tell)
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
        raise UsageError(
            "int8 is calibrated on images of the training, and no data are named",
            place="--precision int8",
            help="add --data NAME",
        )


def _begun(folder: Path, model: TrainedNetwork) -> dict[str, Any]:
    """The card of the folder, which is made; with the artifacts of these weights that lie there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder: {error.strerror}"
        raise StorageError(message, place=str(folder)) from error
    kept, content = read_card(folder), model.content()
    if kept is not None and kept["weights"]["content"] != content:
        raise UsageError(
            f"the folder holds the network {kept['name']} with other weights",
            place=str(folder),
            help="name another folder with --out",
        )
    spec, work = model.spec, count(model.spec)
    return {
        "schema": SCHEMA,
        "name": model.name,
        "digest": spec.digest,
        "spec": spec.to_document(),
        "num_classes": spec.num_classes,
        "params": work.params,
        "macs": work.macs,
        "stages": [
            f"{stage.embed.kind} to {stage.grid} x {stage.dim} channels"
            + (f", {len(stage.blocks)} {stage.blocks[0].kind} blocks" if stage.blocks else "")
            for stage in spec.resolved().stages
        ],
        "weights": {"content": content, **model.origin},
        "preparation": model.preparation.document(),
        "accuracy": None,
        "artifacts": kept["artifacts"] if kept else [],
        "failed": kept["failed"] if kept else [],
    }


def _pictures(data: Data, model: TrainedNetwork, *, on_progress: Progress) -> _Pictures:
    prepared_as, spec = model.preparation, model.spec
    name = name_of(data, resolution=prepared_as.resize)
    dataset = open_data(name, resolution=prepared_as.resize, progress=on_progress)
    names = prepared_as.class_names
    if dataset.num_classes != spec.num_classes or (names and names != dataset.class_names):
        raise UsageError(
            f"the data have the classes {', '.join(dataset.class_names[:5])}"
            f"{', ...' if dataset.num_classes > 5 else ''}, and the network was trained on others",
            place="--data",
            help="name the data of its training",
        )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(dataset.train), generator=generator)[:CALIBRATED]
    images = dataset.train.images[order]
    return _Pictures(
        name=dataset.name,
        digest=dataset.digest,
        calibration=prepared_as.normalised(prepared_as.middle(images)),
        test=dataset.test,
    )


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """What the network itself answers, in PyTorch's eager mode, on the images to compare on."""

    images: Tensor  # (N, 3, R, R), normalised
    logits: Tensor  # (N, K)
    on: str
    pictures: _Pictures | None
    accuracy: dict[str, Any] | None

    @classmethod
    def of(
        cls, model: TrainedNetwork, pictures: _Pictures | None, *, tell: Progress
    ) -> "_Expected":
        eager = model.classifier()
        if pictures is None:
            side = model.preparation.resolution
            images = torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0))
            return cls(
                images=images, logits=eager.logits(images), on="noise", pictures=None, accuracy=None
            )
        found = model.preparation
        images = found.normalised(found.middle(pictures.test.images[:COMPARED]))
        return cls(
            images=images,
            logits=eager.logits(images),
            on=f"held-out images of {pictures.name}",
            pictures=pictures,
            accuracy=_accuracy(eager, pictures, tell=tell),
        )


def _accuracy(classifier: Classifier, pictures: _Pictures, *, tell: Progress) -> dict[str, Any]:
    """The share of the held-out images that are classified rightly, with its interval."""
    test, rights = pictures.test, 0
    number = min(len(test), _TESTED)
    for start in range(0, number, _EAGER_BATCH):
        tell("testing on held-out images", start, number)
        part = slice(start, min(start + _EAGER_BATCH, number))
        images = classifier.preparation.middle(test.images[part])
        logits = classifier.logits(classifier.preparation.normalised(images))
        rights += int((logits.argmax(dim=1) == test.labels[part]).sum())
    share = wilson(rights, number)
    return {
        "value": share.value,
        "low": share.low,
        "high": share.high,
        "num_images": number,
        "data": pictures.name,
        "data_digest": pictures.digest,
    }


def _exported(
    model: TrainedNetwork,
    wanted: str,
    *,
    folder: Path,
    asked: Asked,
    known: _Expected,
    tell: Progress,
) -> dict[str, Any]:
    """One format, written beside its place, run, and put there when it is sound."""
    is_plain = asked.precision == "fp32"
    home = folder / (wanted if is_plain else f"{wanted}-{asked.precision}")
    made = Path(tempfile.mkdtemp(dir=folder, prefix=f".{home.name}-"))
    try:
        write = _in_library if wanted in LIBRARIES else _in_runtime
        entry, opened, run = write(model, wanted, made, asked=asked, known=known)
        batch = None if wanted in LIBRARIES else asked.batch or 1
        classifier = replace(model.classifier(), form=wanted, run=run, batch=batch)
        entry |= {"compared": _compared(classifier, known)}
        accuracy = None
        if asked.precision == "int8" and known.pictures is not None:
            accuracy = _accuracy(classifier, known.pictures, tell=tell)
        latency = None
        if asked.latency:
            tell(f"timing {wanted}", 0, 0)
            latency = _latency(opened, entry["conditions"], on_progress=tell)
        made.chmod(0o755)
        _put(made, home)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    files = sorted(path for path in home.rglob("*") if path.is_file())
    first = home / entry["first"] if entry["first"] else None
    files.sort(key=lambda path: path != first)
    return {
        "format": wanted,
        "folder": home.name,
        "files": [str(path.relative_to(home)) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "precision": asked.precision,
        "batch": asked.batch if wanted in RUNTIMES else None,
        **{key: value for key, value in entry.items() if key != "first"},
        "accuracy": accuracy,
        "latency": latency.to_document() if latency else None,
    }


_Written = tuple[dict[str, Any], Runnable, Callable[[Tensor], Tensor]]


def _in_runtime(
    model: TrainedNetwork, wanted: str, made: Path, *, asked: Asked, known: _Expected
) -> _Written:
    """A file of a runtime, opened there and compared with eager on the first image."""
    conditions = asked.conditions(RUNTIMES[wanted], side=model.preparation.resolution)
    backend = BACKENDS.load(conditions.backend)
    path = made / f"model{backend.SUFFIX}"
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
    kept = ("operators_delegated", "operators_outside", "delegate_calls", "layers_run_in")
    return (
        {
            "first": path.name,
            "library": "",
            "conditions": asdict(conditions),
            "ran_in": opened.precision,
            "operators": {key: opened.details[key] for key in kept if key in opened.details},
            "notes": [],
        },
        opened,
        pass_of(opened, path, conditions=conditions),
    )


def _in_library(
    model: TrainedNetwork, wanted: str, made: Path, *, asked: Asked, known: _Expected
) -> _Written:
    """Files of a library of PyTorch, as loaded by it, run in its eager mode."""
    if asked.precision != "fp32":
        raise UsageError(
            f"its files hold fp32, not {asked.precision}", help="leave --precision out"
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


def _compared(classifier: Classifier, known: _Expected) -> dict[str, Any]:
    """How far the answers are from the network's: the largest difference, over the largest one."""
    logits = classifier.logits(known.images)
    if not bool(logits.isfinite().all()):
        raise RuntimeError("its answers are not finite")
    difference = (logits - known.logits).abs().max() / known.logits.abs().max().clamp(min=1e-30)
    same = (logits.argmax(dim=1) == known.logits.argmax(dim=1)).float().mean()
    return {
        "on": known.on,
        "num_images": len(known.images),
        "largest_difference": float(difference),
        "agreement": float(same) if known.pictures is not None else None,
    }


def _latency(
    opened: Runnable, conditions: Mapping[str, Any], *, on_progress: Progress
) -> Measurement:
    target = calibrated(Conditions(**conditions), on_progress=on_progress)
    with target.bench(precision=opened.precision, on_progress=on_progress) as bench:
        measured = measure_latency({"network": opened}, bench=bench, budget_s=BUDGET_S)
    return measured["network"]


def _put(made: Path, home: Path) -> None:
    """The folder in its place, what was there before taken away once the new one is there."""
    if not home.exists():
        made.rename(home)
        return
    before = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}-"))
    home.rename(before / home.name)
    made.rename(home)
    shutil.rmtree(before, ignore_errors=True)
