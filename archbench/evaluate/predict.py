"""Which class is on each picture, as a trained network sees it?"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.data.image_preparation import pictures
from archbench.data.tree import images_below, shown
from archbench.errors import MissingError
from archbench.evaluate.classifier import Classifier
from archbench.progress import Progress, no_progress

SCHEMA = "archbench.predictions/1"
_BATCH = 32


def predict(
    classifier: Classifier,
    paths: Sequence[Path],
    *,
    top: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """The most probable classes of pictures, a JSON document of ``archbench.predictions/1``.

    Paths are files and folders, of which all pictures in and below them are taken. A picture that
    cannot be read is listed with the reason, and the others are classified all the same.

    Raises:
        MissingError: A path is not there, or there is no picture in a folder.
    """
    files, tell = _files_of(paths), on_progress or no_progress
    found: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    read = pictures(files, preparation=classifier.preparation)
    while block := list(itertools.islice(read, _BATCH)):
        tell("classifying pictures, pictures", len(found) + len(unreadable), len(files))
        sound = [(path, pixels) for path, pixels in block if isinstance(pixels, Tensor)]
        unreadable += [
            {"file": shown(str(path)), "reason": reason}
            for path, reason in block
            if isinstance(reason, str)
        ]
        if sound:
            pixels = torch.stack([pixels for _, pixels in sound])
            logits = classifier.logits(classifier.preparation.normalised(pixels))
            found += [
                {"file": shown(str(path)), "classes": _classes(row, classifier, top=top)}
                for (path, _), row in zip(sound, logits.softmax(dim=1), strict=True)
            ]
    return {
        "schema": SCHEMA,
        "network": classifier.name,
        "model": str(classifier.file),
        "form": classifier.form,
        "preparation": classifier.preparation.document(),
        "images": found,
        "unreadable": unreadable,
    }


def _files_of(paths: Sequence[Path]) -> list[Path]:
    """The picture files that paths name, those of a folder in the order of their names."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise MissingError("there is no such picture or folder", place=str(path))
        found = images_below(path) if path.is_dir() else [path]
        if not found:
            raise MissingError("there is no picture in the folder", place=str(path))
        files += found
    return files


def _classes(probabilities: Tensor, classifier: Classifier, *, top: int) -> list[dict[str, Any]]:
    """The most probable classes of one picture, of probabilities (K,)."""
    names = classifier.preparation.class_names
    highest = probabilities.topk(min(top, len(probabilities)))
    return [
        {
            "class": names[index] if index < len(names) else f"class {index}",
            "index": index,
            "probability": value,
        }
        for value, index in zip(highest.values.tolist(), highest.indices.tolist(), strict=True)
    ]
