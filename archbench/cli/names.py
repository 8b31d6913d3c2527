"""Which network does a person mean: a published one, a file, or a trial of a study?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.cli import console
from archbench.command_line import command_line
from archbench.errors import MissingError, SpecError, StorageError, UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec

_SUFFIXES = (".yaml", ".yml", ".json")


def network(
    text: str, *, overrides: Sequence[str], results: Path, resolution: tuple[int, int] | None = None
) -> ArchSpec:
    """The network of a published name, of a YAML file, or of a text ``STUDY:TRIAL``.

    Overrides are texts ``PATH=VALUE``, applied in order; results are where studies lie.

    Raises:
        UsageError: There is no such network, or it is one of another library.
        SpecError: The network is illegal, or has no such field.
        SpaceError: The file or a value is not valid YAML, or an override is not ``PATH=VALUE``.
        MissingError: There is no such file.
        StorageError: There is no such study.
    """
    from archbench.models import ArchSpec
    from archbench.models.part import Grid
    from archbench.models.path import override, parse_path
    from archbench.yaml_document import read_setting

    spec = _written(text, results=results)
    if overrides:
        document: Mapping[str, Any] = spec.to_document()
        for entry in overrides:
            path, value = read_setting(entry)
            document = override(document, parse_path(path), value.plain())
        changed = ArchSpec.from_document(document, place="--set")
        spec = replace(changed, name=f"{spec.name} (changed)")
    return replace(spec, resolution=Grid(*resolution)) if resolution else spec


def opened(text: str, *, overrides: Sequence[str], results: Path) -> ArchSpec | str:
    """The network of a text, or the text itself where it names one of another library.

    Raises:
        ArchbenchError: See ``network``.
    """
    from archbench.evaluate.foreign import is_foreign

    is_theirs = is_foreign(text) and not overrides
    return text if is_theirs else network(text, overrides=overrides, results=results)


def weights(text: str, *, results: Path) -> Path:
    """The file of weights that a text names: its path, or ``STUDY:TRIAL`` whose weights were kept.

    Of a trial that was trained in full they are those of that training, which is said; of one that
    was trained with several seeds those of the highest validation accuracy.

    Raises:
        MissingError: There is no such file, or no weights of the trial are kept.
        StorageError: There is no such study.
    """
    trial = None if Path(text).exists() else _trial(text, results=results)
    if trial is None:
        if not Path(text).exists():
            raise MissingError(
                "there is no such file of weights, and it is no trial of a study",
                place=text,
                help="archbench train writes weights, and archbench weights fetch gets published "
                "ones",
            )
        return Path(text)
    from archbench.analysis.study import open_study
    from archbench.search.kept_weights import earlier_weights, kept_weights
    from archbench.study.atomic_file import require_own
    from archbench.study.trial import final_accuracies

    path, number = trial
    study = open_study(path)
    record, seeds = study.trial(number), int(study.header["proxy"]["seeds"])
    retraining = study.retraining
    full = retraining.result_of(number) if retraining else None
    if retraining and full and full.best_file.is_file():
        require_own(full.best_file)
        if not console.is_json():
            console.note(f"{text}: the weights of its training in full ({retraining.how})")
        return full.best_file
    files = kept_weights(path, record, num_seeds=seeds) or earlier_weights(
        record, header=study.header, num_seeds=seeds
    )
    if not files:
        raise MissingError(
            f"no weights of trial {number} are kept; a search keeps those that may be on the front",
            place=str(path),
            help=f"train it: {command_line('archbench', 'train', text)}",
        )
    accuracies = final_accuracies(record)
    return files[max(files, key=lambda seed: accuracies[seed])]


def precision(text: str, *, results: Path) -> tuple[str, str | None]:
    """In which precision a text means a network, and for int8 the data that calibrate it.

    It is fp32 but for a trial of a study, ``STUDY:TRIAL``, in int8.
    """
    place = trial_place(text, results=results)
    if place is None:
        return "fp32", None
    from archbench.analysis.study import open_study

    study = open_study(place[0])
    is_int8 = study.trial(place[1]).is_int8
    return ("int8", str(study.header["proxy"]["data"])) if is_int8 else ("fp32", None)


def is_network(text: str) -> bool:
    """Whether a text names a network by its form alone: published, a YAML file, STUDY:TRIAL."""
    from archbench.models import ablation_names, published_names

    known = text in (*published_names(), *ablation_names())
    return known or text.endswith(_SUFFIXES) or _trial(text, results=Path()) is not None


def study_path(text: str, *, results: Path) -> Path:
    """The folder that a person means by a study: a path, or a name among the results.

    A name may be that of a folder here, of photos for instance, that holds no study.
    """
    from archbench.study.study_folder import DATABASE  # sqlite3: not for the help of a command

    path, among = Path(text), results / text
    if len(path.parts) > 1 or path.suffix == ".db" or (path / DATABASE).is_file():
        return path
    return path if path.is_dir() and not among.is_dir() else among


def trial_place(text: str, *, results: Path) -> tuple[Path, int] | None:
    """Folder and number of the trial that a text ``STUDY:TRIAL`` names; None for other texts.

    A study that is a database without a folder of its own has no place for files beside it.
    """
    trial = None if _is_file(text) else _trial(text, results=results)
    return trial if trial and trial[0].is_dir() else None


def _written(text: str, *, results: Path) -> ArchSpec:
    from archbench.evaluate.foreign import is_foreign
    from archbench.models.catalogue import published
    from archbench.models.network import as_spec

    if is_foreign(text):
        raise UsageError(
            "it is not a network of the grammar, so it has no fields and is not trained here",
            place=text,
            help=f"{command_line('archbench', 'profile', text)} measures it as it is",
        )
    if _is_file(text):
        return _from_file(Path(text))
    if trial := _trial(text, results=results):
        from archbench.analysis.study import open_study  # pandas: only for who names a trial

        path, number = trial
        try:
            spec = as_spec(open_study(path).trial(number).spec)
        except SpecError as error:
            raise StorageError(
                f"the network of trial {number} cannot be built as it is stored: {error}",
                place=str(path),
                help="take another trial, or put back a copy of study.db",
            ) from error
        return replace(spec, name=f"{path.name}:{number}")
    return published(text)


def _is_file(text: str) -> bool:
    return text.endswith(_SUFFIXES) or Path(text).is_file()


def _trial(text: str, *, results: Path) -> tuple[Path, int] | None:
    study, _, trial = text.rpartition(":")
    is_trial = bool(study) and trial.isascii() and trial.isdigit()
    return (study_path(study, results=results), int(trial)) if is_trial else None


def _from_file(path: Path) -> ArchSpec:
    from archbench.models import ArchSpec
    from archbench.yaml_document import load_yaml, read_text

    node = load_yaml(read_text(path), source=str(path))
    document = node.plain()
    if not isinstance(document, Mapping):
        node.fail("is not a network", help="archbench models show levit_128s prints one")
    spec = ArchSpec.from_document(document, place=str(path))
    return spec if spec.name else replace(spec, name=path.stem)
