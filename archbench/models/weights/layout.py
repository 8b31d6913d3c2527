"""Under which names do others keep a network's weights, and how do those become ours and back?

A layout is one file in ``layouts/``. It says which module of ours is which of theirs; the names
of the tensors follow from that, so any spec that the layout can hold has a bijection, published
or not.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from archbench.errors import UsageError, WeightsError, unknown_name
from archbench.models.attention import AttentionBias
from archbench.models.spec import ArchSpec, ResolvedSpec

HEAD = "head.classifiers."
COUNTER = "num_batches_tracked"
BIASES = "attention_biases"
OFFSETS = "attention_bias_idxs"
STATISTICS = ("running_mean", "running_var", COUNTER, OFFSETS)
OURS = "archbench"
_LAYOUTS = Path(__file__).with_name("layouts")


@dataclass(frozen=True, kw_only=True)
class WeightLayout:
    """What a file of ``layouts/`` says.

    ``title`` is for messages, as in "timm's LeViT"; ``dialects`` are what a person may call it for
    a network that it can hold. A file in which each regular expression of ``marks`` matches some
    name, from its start or from behind a prefix, is of this layout.

    ``modules`` says which modules or tensors of ours are which of theirs: ``names``, with what
    stands before them in ours and in theirs, or in several places ``at`` which both stand. What
    begins with a name moves along; several of theirs are joined to make ours. Names hold what
    ``_numbers`` fills in. Where a module ``has`` or ``lacks`` some fields, it is of embeds or
    blocks that do. ``leaves`` is what our ``conv``, ``linear`` and ``norm`` within a module are
    called; linear layers whose names end as one of ``pointwise`` are 1x1 convolutions in theirs.

    ``embeds`` are the kinds of the first stage and of later ones, ``blocks`` those of blocks; None
    is for any. ``fields`` is what some fields of a block may be, if they are used, where others
    would have other layers. Its own code looks for the weights in a .pth file under ``wrapper``, if
    there is one, and with ``keeps_offsets`` stores the number of each offset beside the bias.

    The ``base`` is what stands before all names but the head's, in one of several ways, and is
    missing in a file of the base network, which has no head; the marks are of names behind it.
    What begins with ``unread`` belongs to no classifier and is passed over.
    """

    title: str
    dialects: Sequence[str]
    marks: Sequence[str]
    modules: Sequence[Mapping[str, Any]]
    embeds: Sequence[Sequence[str]] | None = None
    blocks: Sequence[str] | None = None
    fields: Mapping[str, Sequence[object]] = field(default_factory=dict)
    leaves: Mapping[str, str] = field(default_factory=dict)
    pointwise: Sequence[str] = ()
    wrapper: str = ""
    keeps_offsets: bool = False
    base: Sequence[str] = ()
    unread: Sequence[str] = ()

    def places(self, spec: ResolvedSpec) -> dict[str, tuple[str, ...]]:
        """The names of a network's modules: ours, and of each one or several of theirs."""
        found = {}
        for module in self.modules:
            both = (module.get("ours", ""), module.get("theirs", ""))
            for (mine, yours), (inner, theirs) in product(
                module.get("at", [both]), module["names"].items()
            ):
                several = (theirs,) if isinstance(theirs, str) else tuple(theirs)
                if inner == "class_token":
                    several = several[: max(1, spec.stages[0].class_tokens)]
                for numbers in _numbers(mine + inner, spec):
                    if _is_of(module, mine, numbers, spec):
                        names = (yours + name for name in several)
                        ours = (mine + inner).format(**numbers)
                        found[ours] = tuple(name.format(**numbers) for name in names)
        return found

    def base_of(self, spec: ResolvedSpec) -> str:
        """What stands before the names of a network's base; empty where nothing does."""
        names = [name for several in self.places(spec).values() for name in several]
        held = (base for base in self.base if any(name.startswith(base) for name in names))
        return next(held, "")


def _is_of(
    module: Mapping[str, Any], ours: str, numbers: Mapping[str, Any], spec: ResolvedSpec
) -> bool:
    """Whether an embed or a block has the fields that a module says it has, and lacks others."""
    if "has" not in module and "lacks" not in module:
        return True
    stage = spec.stages[numbers["s"]]
    part = stage.blocks[numbers["b"]] if "{b}" in ours else stage.embed
    has, lacks = module.get("has", ()), module.get("lacks", ())
    return all(getattr(part, name, None) for name in has) and not any(
        getattr(part, name, None) for name in lacks
    )


def _numbers(ours: str, spec: ResolvedSpec) -> Iterator[Mapping[str, Any]]:
    """What stands for the placeholders of a name, once for each module that it names.

    ``s`` is every stage, ``e`` every stage behind the first, ``b`` every block of a stage, and
    ``c`` every convolution of our stem, between which are activations; ``before``, ``next`` and
    ``conv`` are the stage before, the block behind, and the convolution counted from 1. ``stage``
    and ``block`` are theirs where a stage of ours without an embed is the end of the one before.
    Some layouts keep a stage, or the whole network, as one list in which an attention and its MLP
    are entries of their own: ``entry`` and ``entry_mlp`` count within a stage, where the embed ends
    the stage before it, ``second`` and ``second_mlp`` where two entries of the embed begin it, and
    ``flat`` and ``flat_mlp`` within the network. ``vit`` and ``cls`` differ in transformers'
    networks with a second class token or classifier.
    """
    words: dict[str, Any] = {
        "vit": "deit" if spec.stages[0].class_tokens == 2 else "vit",
        "cls": "" if spec.head.num_classifiers == 1 else "cls_",
    }
    if "{c}" in ours:
        yield from ({"c": 2 * i, "conv": i + 1} for i in range(8))
        return
    depths = [len(stage.blocks) for stage in spec.stages]
    is_block = "{b}" in ours
    starts = [stage.embed.kind != "none" for stage in spec.stages]
    for s in range("{e}" in ours, len(depths) if "{" in ours else 1):
        for b in range(depths[s]) if is_block else (0,):
            flat = 2 * (sum(depths[:s]) + s + b - (not is_block))
            entry = 2 * b if is_block else 2 * depths[s - 1]
            numbers = {"s": s, "e": s, "b": b, "before": s - 1, "next": b + 1}
            first = max(i for i in range(s + 1) if starts[i])
            numbers |= {"stage": sum(starts[: s + 1]) - 1, "block": sum(depths[first:s]) + b}
            lists = {"flat": flat, "flat_mlp": flat + 1, "entry": entry, "entry_mlp": entry + 1}
            lists |= {"second": 2 * b + 2, "second_mlp": 2 * b + 3}
            yield words | numbers | lists


@dataclass(frozen=True)
class FileForm:
    """What may differ between two files of one layout with the same weights.

    A .pth file keeps them under the ``wrapper``, keys with dots between them, if there is one;
    ``prefix`` stands in front of every name, as ``module.`` of a network trained in parallel; with
    ``is_base`` they are those of a base network without a head. ``pointwise`` linear layers are
    written as 1x1 convolutions; ``offsets`` stand beside each bias; ``counters`` count a norm's
    batches.
    """

    wrapper: str = ""
    prefix: str = ""
    pointwise: bool = False
    offsets: bool = False
    counters: bool = True
    is_base: bool = False


def form_of(document: object) -> FileForm:
    """The form that a file of ours says it came in.

    Raises:
        WeightsError: It says something else.
    """
    known = {field.name: type(field.default) for field in fields(FileForm)}
    # A file of before archbench read base networks does not say that it was one.
    held = {"is_base": False, **document} if isinstance(document, Mapping) else {}
    if any(type(held.get(name)) is not kind for name, kind in known.items()):
        raise WeightsError("the form of the file that these weights came from cannot be read")
    return FileForm(**{name: held[name] for name in known})


class TensorPlace(NamedTuple):
    """One tensor of ours, and the tensors of theirs that are joined along a side to make it.

    ``pointwise`` weights are those of 1x1 convolutions in theirs.
    """

    ours: str
    theirs: tuple[str, ...]
    dim: int
    pointwise: bool


@cache
def layouts() -> Mapping[str, WeightLayout]:
    """All layouts by the names of their files, sorted."""
    files = sorted(_LAYOUTS.glob("*.toml"))
    return {file.stem: WeightLayout(**tomllib.loads(file.read_text("utf-8"))) for file in files}


def layout(name: str) -> WeightLayout:
    """The layout of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in layouts():
        raise unknown_name("layout", name, layouts())
    return layouts()[name]


def layout_for(dialect: str, spec: ArchSpec) -> str:
    """The name of the layout that a dialect, such as ``timm``, has for a network; or itself.

    Raises:
        UsageError: The dialect is unknown or cannot hold the network.
    """
    if dialect in layouts():
        return dialect
    speaking = {name: held for name, held in layouts().items() if dialect in held.dialects}
    if not speaking:
        known = sorted({word for held in layouts().values() for word in held.dialects})
        raise UsageError(f"unknown layout {dialect!r}", help=f"known: {', '.join(known)}")
    reasons = []
    for name, held in speaking.items():
        misfit = _misfit(held, spec.resolved())
        if misfit is None:
            return name
        reasons.append(f"{held.title}: {misfit}")
    raise UsageError(
        f"{dialect} has no layout for {spec.name or 'this network'}; {'; '.join(reasons)}",
        help="keep it as archbench",
    )


def has_layout(dialect: str, spec: ArchSpec) -> bool:
    """Whether a known dialect, such as ``timm``, can hold a network."""
    known = [held for held in layouts().values() if dialect in held.dialects]
    return any(_misfit(held, spec.resolved()) is None for held in known)


def table(name: str, spec: ResolvedSpec, keys: Iterable[str]) -> tuple[TensorPlace, ...]:
    """Where each tensor of a network stands in a layout, in the order of ``keys``, their names.

    Raises:
        UsageError: The layout cannot hold such a network.
    """
    held = layout(name)
    if misfit := _misfit(held, spec):
        raise UsageError(f"as {held.title} they would need another: {misfit}")
    places = held.places(spec)
    found, homeless = [], []
    for key in keys:
        prefix = key
        while prefix and prefix not in places:
            prefix = prefix.rpartition(".")[0]
        if prefix not in places:
            homeless.append(key)
            continue
        rest = key.removeprefix(prefix).split(".")
        leaf = ".".join(held.leaves.get(part, part) for part in rest)
        theirs = tuple(one + leaf for one in places[prefix])
        is_pointwise = key.endswith(tuple(f"{name}.weight" for name in held.pointwise))
        side = 1 if prefix.endswith("class_token") else 0
        found.append(TensorPlace(key, theirs, side, is_pointwise))
    if homeless:
        raise UsageError(f"{held.title} has no place for {listed(homeless)}")
    return tuple(found)


def offsets(name: str, spec: ResolvedSpec) -> dict[str, Tensor]:
    """The numbers of the offsets that stand beside each bias, by their names in a layout.

    Their integers (queries, keys) are ours, since LeViT's code numbers offsets in the order of
    first use and the first query meets all of them row by row.
    """
    places = layout(name).places(spec)
    biases = [ours for ours, theirs in places.items() if theirs[0].endswith(BIASES)]
    found = {}
    for ours in sorted(biases, key=lambda ours: (int(ours.split(".")[1]), ".embed." not in ours)):
        stage = spec.stages[int(ours.split(".")[1])]
        keys, stride = stage.grid, 1
        if ".embed." in ours:
            keys, stride = stage.embed_site.grid, int(getattr(stage.embed, "stride", 1))
        queries = keys.strided(kernel=1, stride=stride, padding=0)
        bias = AttentionBias(1, queries=(queries, stride), keys=(keys, 1))
        found[places[ours][0].removesuffix(BIASES) + OFFSETS] = bias.index
    return found


def listed(names: Sequence[str]) -> str:
    """Some names with their number, the first few written out."""
    count = f"{len(names)} tensor{'s' if len(names) != 1 else ''}"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{count} ({', '.join(shown(name) for name in names[:5])}{more})"


def shown(name: str) -> str:
    """A name from a file, which may be anything, on one line."""
    plain = name if name.isprintable() else ascii(name)
    return plain if len(plain) <= 120 else f"{plain[:117]}..."


def _misfit(held: WeightLayout, spec: ResolvedSpec) -> str | None:
    for number, stage in enumerate(spec.stages):
        if held.embeds is not None:
            kinds = held.embeds[min(number, 1)]
            if not kinds:
                return f"it has {len(spec.stages)} stages, not 1"
            if stage.embed.kind not in kinds:
                return f"stages[{number}].embed is {stage.embed.kind}, not {' or '.join(kinds)}"
        for block in stage.blocks:
            if held.blocks is not None and block.kind not in held.blocks:
                return f"stages[{number}].block is {block.kind}, not {' or '.join(held.blocks)}"
            for name, allowed in held.fields.items():
                if (value := getattr(block, name, None)) not in (*allowed, None):
                    return f"stages[{number}].block.{name} is {value}, not {allowed[0]}"
    return None
