"""What does a file of ours say about its weights, beside them, and is it true?"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from archbench.errors import ArchbenchError, UsageError
from archbench.models.spec import ArchSpec
from archbench.models.weights.weight_file import WeightFile
from archbench.registry import OUTSIDE

FORMAT = "archbench.weights/1"


def header(spec: ArchSpec) -> dict[str, str]:
    """What stands in a file of ours beside the tensors, before their sha256 joins it."""
    text = json.dumps(spec.to_document(), sort_keys=True)
    return {"format": FORMAT, "spec": text, "digest": spec.digest}


def own_spec(file: WeightFile) -> ArchSpec | None:
    """The spec in the header, with the sha256 beside it checked; None where there is none."""
    text = file.metadata.get("spec")
    if file.metadata.get("format") != FORMAT or text is None:
        return None
    sha256 = file.metadata.get("sha256")
    if sha256 is not None and sha256 != file.content_sha256:
        raise file.refused(
            "damaged or changed: the weights and spec are not those of its sha256",
            help="fetch, copy or convert it again",
        )
    try:
        document = json.loads(text)
        _refuse_code(document)
        return ArchSpec.from_document(document, place="spec")
    except (ArchbenchError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise file.refused(f"the spec in its header cannot be read: {error}") from error


def source_of(file: WeightFile) -> dict[str, Any]:
    """Where a file of ours says that it came from; empty if it says nothing."""
    try:
        source = json.loads(file.metadata.get("source", "{}"))
    except (ValueError, RecursionError):
        return {}
    return source if isinstance(source, dict) else {}


def texts_for(file: WeightFile, spec: ArchSpec, *, new_head: bool) -> dict[str, str]:
    """What a file of ours says of its training and its images, as it holds for this spec.

    Images come to its resolution. Under a new head their classes have no names, and the accuracy
    is of the very network alone.
    """
    own, told = own_spec(file), file.metadata
    if own is None:
        return {}
    is_same = own.resolution == spec.resolution and not new_head
    known = ("data", "epoch", "recipe", *(("accuracy", "images") if is_same else ()))
    kept = {key: told[key] for key in known if key in told}
    if is_same or "images" not in told:
        return kept
    try:
        images = json.loads(told["images"])
        side = spec.resolution.height
        images["resize"] = round(images["resize"] * side / images["resolution"])
        images |= {"resolution": side, **({"class_names": []} if new_head else {})}
    except (LookupError, TypeError, ValueError, RecursionError, ArithmeticError) as error:
        raise file.refused(f"what it says of its images cannot be read: {error}") from error
    return {**kept, "images": json.dumps(images)}


def _refuse_code(document: object) -> None:
    """Refuse parts of modules that nobody imported yet: reading a file runs no code."""
    if isinstance(document, str) and document.startswith(OUTSIDE):
        path = document.removeprefix(OUTSIDE).partition(":")[0]
        if path not in sys.modules:
            raise UsageError(
                f"it has parts of the module {path}, which is not imported",
                help=f"if you trust that module, import it first: import {path}",
            )
    elif isinstance(document, Mapping | list):
        for value in document.values() if isinstance(document, Mapping) else document:
            _refuse_code(value)
