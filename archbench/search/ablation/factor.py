"""Which forms does a person mean by ``position=bias,none`` or ``stages[each].dim=64,96``?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from archbench.digest import sha256_of
from archbench.errors import SpecError, UsageError, unknown_name
from archbench.evaluate.proxy import Proxy
from archbench.models import ArchSpec, as_spec
from archbench.models.catalogue import Paper
from archbench.models.network import Written
from archbench.models.part import part_fields
from archbench.models.path import (
    HEAD_FIELDS,
    STAGE_FIELDS,
    Path,
    Segment,
    expand,
    override,
    parse_path,
)
from archbench.space.reading import read_axis
from archbench.train.recipe import Recipe
from archbench.yaml_document import Node, load_yaml, write_flow

# fields of the recipe that may differ between forms
_TRAINING = ("teacher", "peak_rate", "weight_decay", "warmup", "label_smoothing", "clip", "shift")
_PLACE = "--axes"
_EXAMPLE = "write it like position=bias,none or 'stages[all].block.kv_stride=1,2'"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of a network, named by factor and value, ``position=none``; ``base`` is the base."""

    name: str
    knob: str = ""
    value: str = ""
    spec: ArchSpec | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # fields unlike the proxy's recipe
    reason: str = ""  # why it is illegal, in place of a spec
    printed: Paper | None = None  # what a paper prints of it

    @property
    def key(self) -> str:
        """What its trainings are known by: the same network trained alike has the same."""
        digest = self.spec.digest if self.spec else ""
        return f"{digest}-{sha256_of(dict(self.training))[:8]}" if self.training else digest


def built(form: Form, network: Written, *, proxy: Proxy) -> Form:
    """The form with its network, or with the reason why it or its proxy is illegal."""
    try:
        spec = as_spec(network)
        spec.resolved()
        proxy.spec(spec)
    except SpecError as error:
        return replace(form, reason=str(error))
    return replace(form, spec=spec)


def forms_of(base: ArchSpec, axes: Sequence[str], *, proxy: Proxy) -> tuple[Form, ...]:
    """Every form that differs from a base in one factor; illegal ones with the reason.

    Axes are texts ``FACTOR=VALUE,VALUE``. A factor is a path of a network (``[all]`` changes every
    part that has the field at once, ``[each]`` one after another), the last name of one where only
    one kind of place has it (``position``, ``block.norm``), or one of the training.

    Raises:
        UsageError: A text is no axis, or a name is unknown or means several places.
        SpecError: The base has no such place.
        SpaceError: A value cannot stand there whatever the network.
    """
    document = base.to_document()
    forms: dict[str, Form] = {}
    for text in axes:
        factor, values = _parsed(text)
        found = (
            _training_forms(base, factor, values, recipe=proxy.recipe)
            if factor in _TRAINING
            else _network_forms(document, factor, values, proxy=proxy)
        )
        for form in found:
            if form.name in forms:
                raise UsageError(f"{form.name} is asked for twice", place=_PLACE)
            forms[form.name] = form
    return tuple(forms.values())


def full_path(document: Mapping[str, Any], text: str) -> Path:
    """The path that a text names, which may leave out ``stages[all]``, block, embed or head.

    Raises:
        SpecError: The text is no path, or the document has no such place.
        UsageError: Nothing is called so, or it could mean several places.
    """
    first, _, rest = text.partition(".")
    if "[" in first or first == "head" or (not rest and first in ("resolution", "num_classes")):
        return parse_path(text)
    if first in ("block", "embed", "layers"):
        return parse_path(f"stages[all].{text}")
    if rest:
        return parse_path(text)
    found = [path for path in _places(text) if _is_there(document, path)]
    if len(found) > 1:
        raise UsageError(
            f"{text} could mean {' or '.join(map(str, found))}",
            place=_PLACE,
            help=f"write one of them, for example '{found[0]}=...'",
        )
    if not found:
        raise unknown_name("factor", text, _known(document), place=_PLACE)
    return found[0]


def _parsed(text: str) -> tuple[str, Node]:
    factor, sign, values = text.partition("=")
    factor = factor.strip()
    if not sign or not factor or not values.strip():
        raise UsageError(f"{text[:80]!r} is not a factor with values", place=_PLACE, help=_EXAMPLE)
    return factor, load_yaml(f"[{values}]", source=f"{_PLACE} {factor}")


def _training_forms(base: ArchSpec, factor: str, node: Node, *, recipe: Recipe) -> list[Form]:
    forms = []
    for value in node.plain():
        form = _form(factor, value)
        try:
            replace(recipe, **{factor: value})
        except (UsageError, TypeError) as error:
            forms.append(replace(form, reason=str(error)))
            continue
        changed = {} if value == getattr(recipe, factor) else {factor: value}
        forms.append(replace(form, training=changed, spec=base))
    return forms


def _network_forms(
    document: Mapping[str, Any], factor: str, node: Node, *, proxy: Proxy
) -> list[Form]:
    path = full_path(document, factor)
    if str(path) == "resolution":
        raise UsageError(
            "resolution cannot be a factor, since all forms are trained on the same images",
            place=_PLACE,
            help="run one ablation for each resolution; in a space it can be an axis",
        )
    axis = read_axis(str(path), Node(node.value, node.place, node.place))
    places = _turned_together(document, path)
    changes = [(place, node.plain()) for place in places for node in axis.values]
    return [
        built(
            _form(factor if len(places) == 1 else str(place), value),
            override(document, place, value),
            proxy=proxy,
        )
        for place, value in changes
    ]


def _form(factor: str, value: Any) -> Form:
    return Form(name=f"{factor}={_label(value)}", knob=factor, value=_label(value))


def _turned_together(document: Mapping[str, Any], path: Path) -> list[Path]:
    """The paths that change: one, or one for each part where ``[each]`` stands."""
    places = expand(document, path)
    if not any(segment.index == "each" for segment in path.segments):
        return [path]
    found = [
        Path(
            tuple(
                Segment(written.name, written.index if written.index == "all" else there.index)
                for written, there in zip(path.segments, place.segments, strict=True)
            )
        )
        for place in places
    ]
    return list(dict.fromkeys(found))


def _places(name: str) -> list[Path]:
    texts = []
    if name in STAGE_FIELDS:
        texts.append(f"stages[all].{name}")
    texts += [f"stages[all].block.{name}", f"stages[all].embed.{name}"]
    if name in HEAD_FIELDS:
        texts.append(f"head.{name}")
    return [parse_path(text) for text in texts]


def _is_there(document: Mapping[str, Any], path: Path) -> bool:
    try:
        expand(document, path)
    except SpecError:
        return False
    return True


def _known(document: Mapping[str, Any]) -> list[str]:
    """Every short name, also those that mean several places."""
    found = {*_TRAINING, *HEAD_FIELDS, *STAGE_FIELDS}
    for stage in document["stages"]:
        for role in ("embed", "block"):
            kind = (stage.get(role) or {}).get("kind")
            if kind:
                found |= part_fields("embed" if role == "embed" else "block", kind)
    return sorted(found)


def _label(value: Any) -> str:
    if isinstance(value, Mapping) and "kind" in value:
        fields = ", ".join(f"{key}={write_flow(v)}" for key, v in value.items() if key != "kind")
        return f"{value['kind']}({fields})" if fields else str(value["kind"])
    return str(write_flow(value))
