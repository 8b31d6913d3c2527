"""From whose weights do a study's trainings begin, and which candidate is that network?"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from archbench.errors import SpecError
from archbench.evaluate.ancestor import NONE, Ancestor
from archbench.evaluate.proxy import Proxy
from archbench.models import ArchSpec, as_spec
from archbench.search.context import Context, StudyContext
from archbench.search.preparation_jobs import check_ancestor, prepare_ancestor
from archbench.search.settings import Settings
from archbench.space import SearchSpace, choices_for


def with_ancestor(context: Context, proxy: Proxy, *, settings: Settings) -> Proxy:
    """The proxy with the ancestor that the space wants, whose weights are on this machine then.

    Raises:
        ArchbenchError: See ``archbench.evaluate.ancestor.find_ancestor``.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    weights = settings.space.proxy.weights
    if weights == NONE:
        return proxy
    base = {**settings.space.base, "name": ""}
    find = partial(prepare_ancestor, weights=weights, base=base, download=settings.download)
    ancestor: Ancestor = context.call(find, place="owner")
    context.say(f"trainings begin from the weights of {ancestor.name} ({ancestor.file})")
    return replace(proxy, weights=ancestor)


def require_ancestor(context: Context, proxy: Proxy) -> None:
    """Nothing, where the weights that trainings begin with are there as they were, or none are.

    Raises:
        ArchbenchError: They are gone, or are others.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    if proxy.weights is not None:
        context.call(partial(check_ancestor, ancestor=proxy.weights), place="owner")


def ancestor_entries(context: StudyContext, start: Mapping[str, Any]) -> dict[str, Any]:
    """What the header of a new study keeps of its ancestor, which is tried first where it can be.

    ``start`` are the entries that say what is tried first else. Nothing without an ancestor.
    """
    if context.proxy.weights is None:
        return {}
    spec = context.proxy.weights.read().spec
    found = _candidate(spec, space=context.settings.space, proxy=context.proxy)
    digest = found.digest if found else None
    about = {"spec": (found or spec).to_document(), "digest": digest, "accuracy": None}
    first = [{"choices": {}, "spec": about["spec"]}] if found else []
    return {"ancestor": about, "start": [*first, *start.get("start", ())]}


def _candidate(ancestor: ArchSpec, *, space: SearchSpace, proxy: Proxy) -> ArchSpec | None:
    """The candidate that the proxy trains as the very network that the ancestor is, if any.

    The first embed of an ancestor that was trained on a proxy may be adapted to small images, and
    that of the base is not. It is trained at the resolution of the proxy, as the base is.
    """
    proxy = replace(proxy, sides=None)
    base, document = space.base, ancestor.to_document()
    document |= {key: base[key] for key in ("resolution", "num_classes")}
    first, *later = document["stages"]
    for embed in (first["embed"], base["stages"][0]["embed"]):
        with suppress(SpecError):
            stages = [{**first, "embed": embed}, *later]
            spec = as_spec({**document, "stages": stages})
            is_same = proxy.spec(spec).digest == proxy.spec(ancestor).digest
            if is_same and choices_for(space, spec) is not None:
                return spec
    return None
