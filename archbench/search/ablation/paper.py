"""Which ablations does a paper print, and at which scale can a CPU repeat them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from archbench.errors import UsageError
from archbench.models.catalogue import ablation_names, entry, published
from archbench.registry import Registry
from archbench.search.ablation.knob import Check, Form, built

if TYPE_CHECKING:
    from archbench.train.recipe import Recipe

PAPERS = Registry("archbench.search.ablation.papers", "paper")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """On what the accuracies are taken where nothing else is said.

    Attributes:
        resolution: Side of the proxy's images in pixels.
        stem: What becomes of the first embed, see ``archbench.models.proxy``.
        scale: Of all widths.
        epochs: Of each training.
        seeds: Trainings of each form.
    """

    resolution: int = 64
    stem: str = "keep_grid"
    scale: float = 1.0
    epochs: int = 8
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class PaperTables:
    """The ablation tables of one paper.

    Attributes:
        title: The paper's tables, for people.
        base: Name of the network from which the rows differ.
        rows: Beginning of the names of the rows in the catalogue.
        training: Of the base, where it differs from the default.
        scale: At which the rows are trained by default.
        note: What a person should know about the comparison.
    """

    title: str
    base: str
    rows: str
    scale: Scale
    training: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def rows_of(tables: PaperTables, *, recipe: Recipe, check: Check) -> tuple[Form, ...]:
    """A form for each row with an accuracy in print, in the order of the catalogue.

    Args:
        tables: The paper's.
        recipe: Of the base.
        check: Raises SpecError where a legal network cannot be trained as a proxy.

    Raises:
        UsageError: A row names a setting of the training that there is not.
    """
    forms = []
    for name in ablation_names():
        row = entry(name)
        is_printed = row.paper.top1 is not None and row.paper.base_top1 is not None
        if not name.startswith(tables.rows) or name == tables.base or not is_printed:
            continue
        try:
            replace(recipe, **cast(dict[str, Any], row.training))
        except TypeError as error:
            raise UsageError(f"unknown setting of a training: {error}", place=name) from error
        changed = {k: v for k, v in row.training.items() if getattr(recipe, k) != v}
        short = name.rpartition("/")[2]
        form = Form(name=short, knob=name, training=changed, printed=row.paper)
        forms.append(built(form, partial(published, name), check=check))
    return tuple(forms)
