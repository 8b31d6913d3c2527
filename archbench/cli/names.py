"""Which network does a person mean: a published one, a file, or a trial of a study?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.command_line import command_line
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec

_SUFFIXES = (".yaml", ".yml", ".json")


def network(text: str, *, overrides: Sequence[str], results: Path) -> ArchSpec:
    """The network of a published name, of a YAML file, or of a text ``STUDY:TRIAL``.

    Args:
        text: What the person typed.
        overrides: Texts ``PATH=VALUE``, applied in order.
        results: Where studies lie that are named.

    Raises:
        UsageError: There is no such network, or it is one of another library.
        SpecError: The network is illegal, or has no such field.
        SpaceError: The file or a value is no YAML, or an override is not ``PATH=VALUE``.
        MissingError: There is no such file.
        StorageError: There is no such study.
    """
    from archbench.models import ArchSpec
    from archbench.models.path import override, parse_path
    from archbench.space.reading import read_setting

    spec = _written(text, results=results)
    if not overrides:
        return spec
    document: Mapping[str, Any] = spec.to_document()
    for entry in overrides:
        path, value = read_setting(entry)
        document = override(document, parse_path(path), value.plain())
    changed = ArchSpec.from_document(document, place="--set")
    return replace(changed, name=f"{spec.name} (changed)")


def opened(text: str, *, overrides: Sequence[str], results: Path) -> ArchSpec | str:
    """The network of a text, or the text itself where it names one of another library.

    Raises:
        ArchbenchError: See ``network``.
    """
    from archbench.evaluate.foreign import is_foreign

    is_theirs = is_foreign(text) and not overrides
    return text if is_theirs else network(text, overrides=overrides, results=results)


def study_path(text: str, *, results: Path) -> Path:
    """The folder that a person means by a study: a path, or a name among the results."""
    path = Path(text)
    is_name = len(path.parts) == 1 and not path.is_dir() and path.suffix != ".db"
    return results / path if is_name else path


def trial_of(text: str) -> tuple[str, int] | None:
    """Study and number of a text ``STUDY:TRIAL``; None where it is something else."""
    study, separator, trial = text.rpartition(":")
    if not separator or not study or not (trial.isascii() and trial.isdigit()):
        return None
    return study, int(trial)


def trial_place(text: str, *, results: Path) -> tuple[Path, int] | None:
    """Folder and number of the trial that a text ``STUDY:TRIAL`` names; None for other texts.

    A study that is a database without a folder of its own has no place for files beside it.
    """
    trial = None if text.endswith(_SUFFIXES) or Path(text).is_file() else trial_of(text)
    if trial is None:
        return None
    path = study_path(trial[0], results=results)
    return (path, trial[1]) if path.is_dir() else None


def _written(text: str, *, results: Path) -> ArchSpec:
    from archbench.evaluate.foreign import is_foreign
    from archbench.models.catalogue import published

    if is_foreign(text):
        raise UsageError(
            "it is no network of the grammar, so it has no fields and is not trained here",
            place=text,
            help=f"{command_line('archbench', 'profile', text)} measures it as it is",
        )
    if text.endswith(_SUFFIXES) or Path(text).is_file():
        return _from_file(Path(text))
    trial = trial_of(text)
    if trial is not None:
        return _from_study(*trial, results=results)
    return published(text)


def _from_file(path: Path) -> ArchSpec:
    from archbench.models import ArchSpec
    from archbench.space.yaml_document import load_yaml, read_text

    node = load_yaml(read_text(path), source=str(path))
    document = node.plain()
    if not isinstance(document, Mapping):
        node.fail("is no network", help="archbench models show levit_128s prints one")
    spec = ArchSpec.from_document(document, place=str(path))
    return spec if spec.name else replace(spec, name=path.stem)


def _from_study(study: str, number: int, *, results: Path) -> ArchSpec:
    from archbench.evaluate.training import trial_spec

    path = study_path(study, results=results)
    return replace(trial_spec(path, number), name=f"{path.name}:{number}")
