"""What does a space file say: question, base, axes, requirements and conditions, and where?"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.errors import ArchbenchError, SpaceError
from archbench.models import ArchSpec, as_spec
from archbench.models.part import KINDS, part_fields
from archbench.models.path import NETWORK_FIELDS, Path, override, parse_path
from archbench.space.expression import Expression, parse_expression
from archbench.space.sections import SECTIONS
from archbench.yaml_document import Node, Place, load_yaml, read_setting, write_flow

MAX_VALUES = 1000
RANGE_KEYS = ("from", "to", "step", "when")
VALUES_KEYS = ("values", "when")
KEYS = ("base", "set", "axes", "require", *SECTIONS, "overrides")
_HEADER = "\n# Set from outside the file:\noverrides:\n"
_SETTING = re.compile(r"  [^\s#].*: .*")


@dataclass(frozen=True)
class WrittenAxis:
    """An axis as the file has it, before its path is expanded."""

    path: Path
    values: tuple[Node, ...]
    when: Node | None
    place: Place


def read_root(
    text: str, *, source: str, overrides: Sequence[str]
) -> tuple[Node, dict[str, Node], str, frozenset[str]]:
    """The mapping of a space file, what is set from outside, and the text that says both.

    What is set of a section is in the mapping already; what is left are paths. Last come the keys
    of all that is set.

    Raises:
        SpaceError: It is no mapping, a key is unknown, or a setting cannot be written.
    """
    root = load_yaml(text, source=source)
    if not isinstance(root.value, Mapping):
        root.fail(f"a space file is a mapping, got {root.kind}", help="begin with  base: NAME")
    members: dict[Any, Node] = root.entries(noun="key", allowed=(*KEYS, *NETWORK_FIELDS))
    settings = _entries(members.get("overrides"), noun="path")
    given = dict(map(read_setting, overrides))
    settings |= given
    if given:
        text = _with_settings(text, given, members, settings, source=source)
    paths = {}
    for key, node in settings.items():
        head = key.split(".")[0]
        if head in SECTIONS:
            members[head] = _with_setting(members.get(head), key, node)
        else:
            paths[key] = node
    return Node(members, root.place), paths, text, frozenset(settings)


def sets_more(longer: str, text: str) -> bool:
    """Whether a text is that of a space file with more set from outside, as a plan sets it."""
    begin = text.rstrip("\n") + "\n"
    more = longer.removeprefix(begin)
    is_section = _HEADER in begin or more.startswith(_HEADER)
    lines = more.removeprefix(_HEADER).splitlines()
    return longer.startswith(begin) and is_section and all(map(_SETTING.fullmatch, lines))


def document_text(document: Mapping[str, Any]) -> str:
    """A space that is a plain document as the text of its file, a key a line.

    Raises:
        SpaceError: It holds what YAML has no form for.
    """
    try:
        return "".join(f"{write_flow(k)}: {write_flow(v)}\n" for k, v in document.items())
    except (TypeError, ValueError, RecursionError) as error:
        raise SpaceError(
            f"the document cannot be written as YAML: {error}",
            place="space",
            help="it may hold dicts, lists, text, numbers, True, False and None",
        ) from None


def first_comment(text: str) -> str:
    """The question of a space: the first paragraph of comment at the top, as one line."""
    lines = []
    for line in text.removeprefix("\ufeff").splitlines():
        stripped = line.strip()
        if stripped.startswith("#") and stripped.strip("# "):
            lines.append(stripped.lstrip("#").strip())
        elif lines or stripped.strip("# "):
            break
    return " ".join(lines)


def read_axes(
    members: Mapping[str, Node], settings: Mapping[str, Node]
) -> tuple[list[WrittenAxis], list[tuple[Path, Node]]]:
    """The axes as written, and the places that are set from outside to one value.

    Raises:
        SpaceError: An axis is malformed or a path is none, with line and column.
    """
    axes = _entries(members.get("axes"), noun="axis")
    written = {str(_read_path(key, place=node.start)): (key, node) for key, node in axes.items()}
    if len(written) < len(axes):
        members["axes"].fail("two axes have the same path")
    fixed = []
    for key, node in settings.items():
        path = _read_path(key, place=node.place)
        if str(path) in written and _is_choice(node):
            written[str(path)] = (key, node)
        else:
            fixed.append((path, node))
    return [read_axis(key, node) for key, node in written.values()], fixed


def read_axis(key: str, node: Node) -> WrittenAxis:
    """The axis that stands under a path.

    Raises:
        SpaceError: The path, the values or the condition are malformed, with line and column.
    """
    path = _read_path(key, place=node.start)
    _check_target(path, node)
    values, when = _read_values(node)
    if not values:
        node.fail(f"{path}: no values to choose from")
    _check_values(path, values)
    if when is not None:
        when.text()
    return WrittenAxis(path, values, when, node.start)


def read_base(root: Node) -> Mapping[str, Any]:
    """The document of the network from which a space starts, with what the file sets of it.

    Raises:
        SpaceError: There is none, or it is illegal; with line and column.
    """
    members = root.entries(noun="key")
    network = {key: members[key] for key in NETWORK_FIELDS if key in members and key != "name"}
    start = members.get("base")
    if start is None and "stages" not in network:
        root.fail(
            "there is no network to start from",
            help="write  base: NAME  of a published network, or stages as `archbench models show` "
            "prints them",
        )
    if start is not None and network:
        key, node = next(iter(network.items()))
        has_members = isinstance(node.value, tuple | Mapping)
        help_ = f"write  set: {{{key}: {write_flow(node.plain())}}}"
        node.fail(
            f"{key} stands beside base",
            help="write either base or stages and head" if has_members else help_,
            at_key=True,
        )
    if start is not None and isinstance(start.value, Mapping):
        network = start.entries(noun="key", allowed=NETWORK_FIELDS)
        start = None
    try:
        if start is not None:
            document = as_spec(start.text()).to_document()
        else:
            document = ArchSpec.from_document(_plain(network)).to_document()
    except SpaceError:
        raise
    except ArchbenchError as error:
        place = start.place if start else _nearest(network, error.place or "", root)
        raise place.moved(error) from None
    for key, value in _entries(members.get("set"), noun="path").items():
        path = _read_path(key, place=value.start)
        try:
            document = override(document, path, value.plain())
            ArchSpec.from_document(document)
        except ArchbenchError as error:
            raise value.start.moved(error) from None
    return document


def read_requirements(node: Node | None) -> list[Expression]:
    """The conditions that a file requires.

    Raises:
        SpaceError: One is malformed, with line and column.
    """
    if node is None or node.value is None:
        return []
    if isinstance(node.value, str):
        help_ = f"write it behind a dash, on a line of its own:  - {node.value}"
        node.fail("expected a list of requirements, got text", help=help_)
    items = node.items(noun="requirements")
    return [parse_expression(item.text(), place=item.place) for item in items]


def _with_setting(section: Node | None, key: str, node: Node) -> Node:
    """A section with one key set from outside, or all of it."""
    _, _, name = key.partition(".")
    if not name:
        return Node(node.value, node.place, node.place)
    entries = dict(section.value) if section and isinstance(section.value, Mapping) else {}
    entries[name] = Node(node.value, node.place, node.place)
    return Node(entries, section.place if section else node.place)


def _with_settings(
    text: str,
    given: Mapping[str, Node],
    members: Mapping[str, Node],
    settings: Mapping[str, Node],
    *,
    source: str,
) -> str:
    """The text with what is given at its end, so that it says what was really searched."""
    lines = [f"  {key}: {write_flow(node.plain())}" for key, node in given.items()]
    header = "" if "overrides" in members else _HEADER
    longer = "\n".join([text.rstrip("\n"), header + lines[0], *lines[1:]]) + "\n"
    try:
        again = load_yaml(longer, source=source).entries(noun="key")
        read = _plain(again["overrides"].entries(noun="path"))
    except (SpaceError, KeyError):
        read = {}
    if read != _plain(settings):
        raise SpaceError(
            "what is set cannot be written at the end of this file",
            place=source,
            help="write its keys in block style, one a line, and overrides last",
        )
    return longer


def _entries(node: Node | None, *, noun: str) -> dict[str, Node]:
    return node.entries(noun=noun) if node is not None else {}


def _plain(members: Mapping[str, Node]) -> dict[str, Any]:
    return {key: node.plain() for key, node in members.items()}


def _nearest(network: Mapping[str, Node], place: str, root: Node) -> Place:
    """Where the innermost part of a path is written that the file has."""
    found: Any = network
    node = root
    for name in place.replace("[", ".").replace("]", "").split("."):
        members = dict(enumerate(found)) if isinstance(found, tuple) else found
        key: Any = int(name) if name.isdigit() else name
        if not isinstance(members, Mapping) or key not in members:
            break
        node = members[key]
        found = node.value
    return node.place


def _is_choice(node: Node) -> bool:
    """Whether a value lists several, rather than being one."""
    if isinstance(node.value, Mapping):
        return "kind" not in node.value
    return isinstance(node.value, tuple)


def _read_path(text: str, *, place: Place) -> Path:
    """The path that a text names; a fault is told at the place of the text."""
    try:
        return parse_path(text)
    except ArchbenchError as error:
        raise place.moved(error) from None


def _check_target(path: Path, node: Node) -> None:
    match path.segments[-1].name:
        case "kind":
            fault = "a kind is chosen with its fields"
            part = Path(path.segments[:-1])
            help_ = (
                f"write whole parts as values of {part}, for example {{kind: cvt, head_dim: 64}}"
            )
        case "num_classes":
            fault = "cannot be an axis, since a study compares networks for the same classes"
            help_ = "write it under set, and search one space for each"
        case "name" | "stages" | "layers" | "head":
            fault, help_ = "cannot be an axis", "choose a field, an embed or a block"
        case _:
            return
    node.fail(f"{path}: {fault}", help=help_, at_key=True)


def _read_values(node: Node) -> tuple[tuple[Node, ...], Node | None]:
    if isinstance(node.value, tuple):
        return node.value, None
    if not isinstance(node.value, Mapping) or not {"values", "from", "to"} & set(node.value):
        node.fail(
            f"expected values to choose from, got {node.kind}",
            help="write [1, 2], {from: 1, to: 4} or {values: [...], when: ...}; to fix a field, "
            "write it under set",
        )
    if "values" not in node.value:
        members = node.entries(noun="key of an axis", allowed=RANGE_KEYS)
        return _range(node, members), members.get("when")
    members = node.entries(noun="key of an axis", allowed=VALUES_KEYS)
    values, when = _read_values(members["values"])
    if when is not None:
        when.fail("when stands beside values, not within them", at_key=True)
    return values, members.get("when")


def _range(node: Node, members: Mapping[str, Node]) -> tuple[Node, ...]:
    bounds = []
    for key, default in (("from", None), ("to", None), ("step", 1)):
        value = members[key].value if key in members else default
        if isinstance(value, bool) or not isinstance(value, int | float):
            node.fail(f"{key} is not a number", help="write {from: 1, to: 4} or add step: 2")
        bounds.append(value)
    first, last, step = bounds
    if step <= 0 or last < first:
        node.fail(f"no values from {first} to {last} in steps of {step}")
    count = int((last - first) / step + 1e-9) + 1
    if count > MAX_VALUES:
        node.fail(f"{count:,} values from {first} to {last}; at most {MAX_VALUES:,}")
    numbers = (first + number * step for number in range(count))
    return tuple(Node(n if isinstance(n, int) else round(n, 12), node.place) for n in numbers)


def _check_values(path: Path, values: tuple[Node, ...]) -> None:
    if len(values) > MAX_VALUES:
        values[MAX_VALUES].fail(f"{path}: {len(values):,} values; at most {MAX_VALUES:,}")
    seen: list[tuple[bool, Any]] = []
    for node in values:
        if path.is_part:
            _check_part(path, node)
        elif isinstance(node.value, Mapping):
            node.fail(f"{path}: expected a single value, got a mapping")
        elif isinstance(node.value, tuple) and any(
            isinstance(item.value, tuple | Mapping) for item in node.value
        ):
            node.fail(f"{path}: expected a single value or a list of numbers")
        # In Python True equals 1; here they are two values.
        value = (isinstance(node.value, bool), node.plain())
        if value in seen:
            node.fail(f"{path}: the value {write_flow(node.plain())} stands here twice")
        seen.append(value)


def _check_part(path: Path, node: Node) -> None:
    if not isinstance(node.value, Mapping) or "kind" not in node.value:
        names = KINDS[path.role].names
        node.fail(
            f"{path}: expected a part with a kind, got {node.kind}",
            help=f"write {{kind: {names[0]}, ...}}; kinds: {', '.join(names)}",
        )
    kind = node.value["kind"]
    try:
        fields = part_fields(path.role, str(kind.value))
    except ArchbenchError as error:
        kind.fail(f"{path}: {error.message}", help=error.help)
    node.entries(noun=f"field of {kind.value}", allowed=("kind", *sorted(fields)))
