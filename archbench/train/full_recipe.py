"""How is a network trained in full: the recipe of a paper from a file, each value changeable?"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Self

from archbench.bounds import BOUNDS
from archbench.data.augmentation import Augmentation
from archbench.errors import SpaceError, SpecError, UsageError, unknown_name
from archbench.models import ArchSpec
from archbench.models.part import Checked, choice, field_names, number, whole
from archbench.train.decay import NO_DECAY
from archbench.yaml_document import Node, load_yaml, read_setting, read_text

PRECISIONS = ("fp32", "bf16", "fp16")
CLIP_MODES = ("none", "norm", "adaptive")
EVALUATED = ("raw", "ema")
_FOLDER = Path(__file__).with_name("recipes")
_INNER = "augmentation"
_LARGEST_RATE = 100.0
_Share = Annotated[float, number(0.0, 1.0)]
_BelowOne = Annotated[float, number(0.0, 0.999999)]
_Rate = Annotated[float, number(0.0, _LARGEST_RATE)]
_Count = Annotated[int, whole(0, 1000)]


@dataclass(frozen=True, kw_only=True)
class FullRecipe(Checked):
    """All that a full training depends on, besides the network, the images and the seed.

    AdamW; a linear warm-up and half a cosine, both a rate an epoch; mixup and cutmix of whole
    batches; a moving average of the weights; hard distillation. The files in ``recipes/`` say where
    each value comes from.

    A batch is that of one step of the optimiser, over all processes and all ``accumulate`` parts
    that are added up. ``rate`` is the peak learning rate for ``rate_batch`` images and grows with
    the batch; ``min_rate`` and ``warmup_rate``, where the cosine ends and the warm-up begins, do
    not. With ``lag_epochs`` of 1 each epoch trains at the rate of the one before.

    ``no_decay`` names kinds of parameters, see ``archbench.train.decay``. ``clip`` is the largest
    norm of the whole gradient (``clip_mode`` ``norm``) or the largest ratio of a unit's gradient to
    its weights (``adaptive``: Brock et al. 2021, arXiv:2102.06171, sec. 4). ``ema`` is the decay of
    the moving average per step, 0 for none; ``evaluate`` says whose accuracy is taken and kept, the
    ``raw`` weights' or the average's (``ema``).

    ``mixup`` and ``cutmix`` are the parameters of their beta distributions, 0 for none; a batch is
    mixed with the probability ``mix_prob``, by cutmix with ``mix_switch`` where both are on. The
    ``teacher`` is a name or ``none``, ``teacher_share`` its share of the loss. ``drop_path`` of
    None leaves the network's own; else it rises from 0 to this over the layers of the stages in
    ``drop_path_stages``, from 0, all of them where none is named. A training ends when the accuracy
    has not risen for ``patience`` epochs; 0 for never.

    Raises:
        UsageError: A value is outside its range, or two do not go together.
    """

    epochs: Annotated[int, whole(*BOUNDS["epochs"])]
    batch: Annotated[int, whole(2, BOUNDS["batch"][1])]
    rate: _Rate
    rate_batch: Annotated[int, whole(*BOUNDS["batch"])]
    min_rate: _Rate = 0.0
    warmup_epochs: _Count = 0
    warmup_rate: _Rate = 0.0
    lag_epochs: _Count = 0
    beta1: _BelowOne = 0.9
    beta2: _BelowOne = 0.999
    eps: Annotated[float, number(1e-16, 1.0)] = 1e-8
    weight_decay: Annotated[float, number(0.0, 10.0)] = 0.0
    no_decay: tuple[str, ...] = ("1d",)
    clip_mode: Annotated[str, choice(*CLIP_MODES)] = "none"
    clip: Annotated[float, number(0.0, 1e6)] = 0.0
    ema: _BelowOne = 0.0
    evaluate: Annotated[str, choice(*EVALUATED)] = "raw"
    patience: Annotated[int, whole(0, BOUNDS["epochs"][1])] = 0
    precision: Annotated[str, choice(*PRECISIONS)] = "fp32"
    channels_last: bool = False
    compile: bool = False
    accumulate: Annotated[int, whole(1, 4096)] = 1
    label_smoothing: _BelowOne = 0.0
    mixup: Annotated[float, number(0.0, 100.0)] = 0.0
    cutmix: Annotated[float, number(0.0, 100.0)] = 0.0
    mix_prob: _Share = 1.0
    mix_switch: _Share = 0.5
    teacher: str = "none"
    teacher_share: _Share = 0.5
    drop_path: Annotated[float, number(0.0, 0.95)] | None = None
    drop_path_stages: tuple[int, ...] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except SpecError as error:
            place = f"recipe.{error.place}"
            raise UsageError(error.message, place=place, help=error.help) from None
        for name, kind in (("no_decay", str), ("drop_path_stages", int)):
            values = getattr(self, name)
            if not isinstance(values, list | tuple) or any(type(one) is not kind for one in values):
                words = "names" if kind is str else "whole numbers"
                raise UsageError(f"{values!r} is not a list of {words}", place=f"recipe.{name}")
            object.__setattr__(self, name, tuple(values))  # YAML and JSON have lists
        for kind_of_parameter in self.no_decay:
            if kind_of_parameter not in NO_DECAY:
                noun = "kind of parameter"
                raise unknown_name(noun, kind_of_parameter, NO_DECAY, place="recipe.no_decay")
        for name, is_allowed, what in self._agreements():
            if not is_allowed:
                message = f"{getattr(self, name)!r} cannot be"
                raise UsageError(message, place=f"recipe.{name}", help=f"use {what}")

    def _agreements(self) -> tuple[tuple[str, bool, str], ...]:
        """Of the fields that must agree with others: whether they do, and how they would."""
        return (
            ("rate", self.rate > 0, "a number above 0"),
            ("warmup_epochs", self.warmup_epochs <= self.epochs, f"at most {self.epochs}"),
            (
                "clip",
                self.clip > 0 or self.clip_mode == "none",
                "a number above 0, or clip_mode none",
            ),
            (
                "mixup",
                not self.mixes or self.augmentation.drop_last,
                "augmentation.drop_last: true",
            ),
            ("evaluate", self.evaluate == "raw" or self.ema > 0, "raw, or an ema above 0"),
            ("batch", self.batch % self.accumulate == 0, "a multiple of accumulate"),
            ("teacher", isinstance(self.teacher, str) and bool(self.teacher), "a name, or none"),
            ("drop_path_stages", all(0 <= s < 64 for s in self.drop_path_stages), "stages from 0"),
        )

    @property
    def mixes(self) -> bool:
        """Whether images are mixed with one another."""
        return self.mix_prob > 0 and (self.mixup > 0 or self.cutmix > 0)

    @property
    def peak_rate(self) -> float:
        """The learning rate at the end of the warm-up."""
        return self.rate * self.batch / self.rate_batch

    def learning_rate(self, epoch: int) -> float:
        """The learning rate of all steps of an epoch, counted from 0.

        The warm-up is cut out of the cosine, not set before it, as ``CosineLRScheduler`` of timm
        does, which the code of all three papers uses. LeViT's and DeiT's code sets the rate of an
        epoch after it, so it holds for the next: a lag of 1.
        """
        epoch = max(epoch - self.lag_epochs, 0)
        if epoch < self.warmup_epochs:
            rise = (self.peak_rate - self.warmup_rate) / self.warmup_epochs
            return self.warmup_rate + epoch * rise
        cosine = 1 + math.cos(math.pi * epoch / self.epochs)
        return self.min_rate + 0.5 * (self.peak_rate - self.min_rate) * cosine

    def step_batch(self, world: int = 1) -> int:
        """Images that one of so many processes sees in one forward pass.

        Raises:
            UsageError: The batch cannot be shared out, or its parts not be mixed.
        """
        parts = world * self.accumulate
        each, left = divmod(self.batch, parts)
        if left or each < 2:
            raise UsageError(
                f"{self.batch:,} images cannot be shared out over {world} processes with "
                f"{self.accumulate} parts each",
                place="recipe.batch",
                help=f"use a multiple of {parts}, {2 * parts} or more",
            )
        if self.mixes and each % 2:
            raise UsageError(
                f"parts of {each} images cannot be mixed in pairs",
                place="recipe.batch",
                help=f"use a multiple of {2 * parts}, or neither mixup nor cutmix",
            )
        return each

    def with_drop_path(self, spec: ArchSpec) -> ArchSpec:
        """The network with the recipe's drop path, or as it is where the recipe leaves its own.

        Raises:
            UsageError: The network lacks a stage that is named.
        """
        if self.drop_path is None:
            return spec
        chosen = self.drop_path_stages or tuple(range(len(spec.stages)))
        if missing := [stage for stage in chosen if stage >= len(spec.stages)]:
            raise UsageError(
                f"the network has no stage {missing[0]}",
                place="recipe.drop_path_stages",
                help=f"stages are counted from 0; it has {len(spec.stages)}",
            )
        stages, before = list(spec.stages), 0
        last = sum(stages[stage].depth for stage in chosen) - 1
        for index, stage in enumerate(stages):
            first = end = 0.0
            if index in chosen and stage.depth:
                first = self.drop_path * before / max(last, 1)
                before += stage.depth
                end = self.drop_path * (before - 1) / max(last, 1)
            stages[index] = replace(stage, drop_path=(first, end))
        return replace(spec, stages=tuple(stages))

    @classmethod
    def load(cls, name_or_file: str | Path, overrides: Sequence[str] = ()) -> Self:
        """The recipe of a name or of a YAML file, which may name the ``base`` that it changes.

        Overrides are texts ``recipe.FIELD=VALUE`` and ``recipe.augmentation.FIELD=VALUE``.

        Raises:
            UsageError: There is no such recipe or field, or a value cannot be; in a file with line
                and column.
            MissingError: There is no such file.
        """
        try:
            nodes = _written(name_or_file)
            for text in overrides:
                key, node = read_setting(text)
                _take(nodes, {key.removeprefix("recipe."): node})
        except SpaceError as error:
            raise UsageError(error.message, place=error.place, help=error.help) from None
        _require_all(nodes, place=str(name_or_file))
        try:
            return cls.from_document(_document(nodes))
        except UsageError as error:
            written = nodes.get((error.place or "").removeprefix("recipe."))
            raise (error.at(str(written.place)) if written else error) from None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The recipe that ``document`` wrote."""
        return cls(**{**document, "augmentation": Augmentation(**document["augmentation"])})

    def document(self) -> dict[str, Any]:
        """The recipe as JSON has it, every field of it."""
        return json.loads(json.dumps(asdict(self)))


_PATHS = (
    *(name for name in field_names(FullRecipe) if name != _INNER),
    *(f"{_INNER}.{name}" for name in field_names(Augmentation)),
)


def recipe_names() -> tuple[str, ...]:
    """The names of the full recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def _file_of(name_or_file: str | Path) -> Path:
    path = Path(name_or_file)
    if path.suffix in {".yaml", ".yml"} or path.name != str(name_or_file):
        return path
    if str(name_or_file) not in recipe_names():
        raise unknown_name("recipe", str(name_or_file), recipe_names(), place="recipe")
    return _FOLDER / f"{name_or_file}.yaml"


def _written(name_or_file: str | Path) -> dict[str, Node]:
    """What a file and its base write, by the path of the field."""
    path = _file_of(name_or_file)
    members = load_yaml(read_text(path), source=str(path)).entries(noun="field of a recipe")
    base = members.pop("base", None)
    if base is not None and base.value not in recipe_names():
        raise unknown_name("recipe", base.text(), recipe_names(), place=str(base.place))
    nodes = _written(base.text()) if base else {}
    _take(nodes, members)
    return nodes


def _take(nodes: dict[str, Node], members: Mapping[str, Node]) -> None:
    """Puts members of a mapping beside what is written already, or in place of it."""
    for path, node in members.items():
        if path == _INNER:
            inner = node.entries(noun="field of an augmentation", allowed=field_names(Augmentation))
            nodes |= {f"{_INNER}.{name}": one for name, one in inner.items()}
        elif path in _PATHS:
            nodes[path] = node
        else:
            raise unknown_name("field of a recipe", path, _PATHS, place=str(node.start))


def _require_all(nodes: Mapping[str, Node], *, place: str) -> None:
    for one in fields(FullRecipe):
        is_needed = one.default is MISSING and one.default_factory is MISSING
        if is_needed and one.name not in nodes:
            help_ = f"write it, or begin with  base: {recipe_names()[0]}"
            raise UsageError(f"{one.name} is missing", place=place, help=help_)


def _document(nodes: Mapping[str, Node]) -> dict[str, Any]:
    """The plain document that nodes make up, of which a recipe is made."""
    document: dict[str, Any] = {_INNER: {}}
    for path, node in nodes.items():
        _, _, inner = path.partition(f"{_INNER}.")
        (document[_INNER] if inner else document)[inner or path] = node.plain()
    return document
