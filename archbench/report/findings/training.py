"""What did a training reach, on images that it never saw, and where is its network wrong?"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archbench.report import number
from archbench.report.document import to_flow
from archbench.report.element import Cell, Code, Lines, Part, ReportTable, groups, plot
from archbench.report.figure import png_bytes, svg_text
from archbench.report.finding import Finding, page, write_files
from archbench.report.html import Markup, html, one_line
from archbench.report.spreadsheet import spreadsheet
from archbench.report.text import beside
from archbench.report.training_plot import confusion_figure, training_figure
from archbench.study.trial import CurvePoint

PAGE = "training.html"
_SHOWN = 8
_LONGEST_NAME = 18  # letters in a terminal
_ONCE = (
    "The {} test images were used once, at the end: neither the training nor the choice of the "
    "weights saw them. In parentheses: Wilson's 95 % interval."
)
_CURVE = (
    "Accuracy on the validation images after each epoch, and the mean loss of the training images "
    "since the epoch before, with augmentation and all that the recipe adds. Green: the best "
    "weights on the held-out test images, with the 95 % interval."
)
_MATRIX = (
    "Rows are classes, columns what their images are taken for; the darker, the larger the share "
    "of the class. Blue: right; orange: wrong."
)
_WORST = (
    "The test images with the largest loss, the worst first, as the network sees them. In "
    "percent: what it gives to their own class. Some may have a wrong label."
)


def trained(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """What the test images say of a training document, then its validation accuracy."""
    epochs = document["curve"][-1]["epoch"]
    told = (
        f"validation accuracy of {document['network']} on {document['data']}: "
        f"{number.percent(document['best_accuracy'])} after epoch {document['best_epoch']}"
    )
    if document["best_epoch"] != epochs:
        told += f", the best; {number.percent(document['accuracy'])} after all {epochs} epochs"
    if not (tested := document["test"]):
        return Finding(document, [told], next_step)
    parts = [_tested_text(tested), *_tables(tested), Lines([told, _once(tested)], rest="")]
    return Finding(document, parts, next_step)


def point_text(point: CurvePoint, *, epochs: int, pace: str = "") -> str:
    """One epoch, as it ends."""
    return (
        f"epoch {point.epoch}/{epochs}  validation accuracy {number.percent(point.accuracy)}  "
        f"training loss {point.loss:.3f}  {number.duration(point.seconds)}{pace}"
    )


def pace_text(
    point: CurvePoint, *, before: CurvePoint | None, epochs: int, batch: int, rate: float
) -> str:
    """How an epoch by a full recipe went: its learning rate, images a second, the time left."""
    num_steps = point.step - (before.step if before else 0)
    seconds = point.seconds - (before.seconds if before else 0)
    each = point.seconds / point.epoch
    left = f", about {number.duration(each * (epochs - point.epoch))} left"
    return (
        f", rate {rate:.3g}, {number.short(num_steps * batch / max(seconds, 1e-9))} images/s"
        f"{left if point.epoch < epochs else ''}"
    )


def recipe_text(name: str, recipe: Mapping[str, Any]) -> str:
    """Every field of a recipe with its value, by the names that ``--set`` takes."""
    facts = {f"recipe {name}": ", ".join(recipe_fields(recipe))}
    for key, inner in recipe.items():
        if isinstance(inner, Mapping):
            facts[key] = ", ".join(recipe_fields(inner))
    return beside(facts, left=2 + max(map(len, facts)))


def write(
    document: Mapping[str, Any],
    folder: Path,
    *,
    images: Sequence[Mapping[str, Any]],
    thumbnails: Mapping[int, bytes],
    commands: Mapping[str, str],
) -> list[Path]:
    """Writes the page of a training document, its tables and plot, each whole or not at all.

    ``images`` are the test images, one row each, ``thumbnails`` JPEG files of the worst by their
    number; the commands say what can be done next, by their purpose.

    Raises:
        StorageError: The folder cannot be written in.
    """
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    shown = _page(document, thumbnails=thumbnails, commands=commands)
    contents = {PAGE: shown.encode(), "result.json": text.encode()}
    contents["curve.csv"] = spreadsheet(document["curve"])
    if (figure := training_figure(document)) is not None:
        contents |= {"curve.png": png_bytes(figure), "curve.svg": svg_text(figure).encode()}
    if tested := document["test"]:
        contents["classes.csv"] = spreadsheet(tested["classes"])
        contents["confusion.csv"] = spreadsheet(list(_matrix(tested)))
        contents["predictions.csv"] = spreadsheet(images)
    return write_files(folder, contents)


def recipe_fields(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a recipe with their values, without those that have fields themselves."""
    for key, value in recipe.items():
        if not isinstance(value, Mapping):
            yield f"{key} {_value(value)}"


def _value(value: object) -> str:
    """A value as ``--set`` takes it, numbers to four digits."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else to_flow(value)


def _share(entry: Mapping[str, Any]) -> str:
    return f"{number.percent(entry['accuracy'])} {_interval(entry)}"


def _interval(entry: Mapping[str, Any]) -> str:
    return f"({100 * entry['low']:.1f}–{100 * entry['high']:.1f})"


def _tested_text(tested: Mapping[str, Any]) -> str:
    mean, whole = (number.percent(tested[key]) for key in ("class_mean", "accuracy"))
    over_classes = "" if mean == whole else f"; the mean over the classes is {mean}"
    return (
        f"test accuracy {_share(tested)}: {tested['right']:,} of {tested['images']:,} held-out "
        f"images, with the best weights, those of epoch {tested['epoch']}{over_classes}"
    )


def _once(tested: Mapping[str, Any]) -> str:
    return _ONCE.format(f"{tested['images']:,}")


def _tables(tested: Mapping[str, Any]) -> Iterator[Part]:
    """The classes of the lowest accuracy, and the pairs that are confused most often."""
    classes = _by_accuracy(tested)
    few, num_pairs = len(classes) <= _SHOWN, len(tested["confused"])
    yield "accuracy by class" if few else "the classes of the lowest accuracy"
    shown = _class_table(classes[:_SHOWN], tested)
    rest = len(classes) - _SHOWN
    yield ReportTable(
        shown.rows, align=shown.align, notes=[] if few else [f"and {rest:,} more: classes.csv"]
    )
    if not num_pairs:
        yield "no image was taken for another class"
        return
    yield "most often confused"
    yield _pair_table(tested, most=_SHOWN)


def _by_accuracy(tested: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The classes that have images, the lowest accuracy first, of equals the most images."""
    present = [one for one in tested["classes"] if one["images"]]
    return sorted(present, key=lambda one: (one["accuracy"], -one["images"]))


def _class_table(classes: Sequence[Mapping[str, Any]], tested: Mapping[str, Any]) -> ReportTable:
    taken: dict[str, Mapping[str, Any]] = {}
    for pair in tested["confused"]:
        taken.setdefault(pair["class"], pair)
    rows = [
        {
            "class": _name(one["class"]),
            "images": Cell(f"{one['images']:,}", value=one["images"]),
            "right": Cell(f"{one['right']:,}", value=one["right"]),
            "accuracy": Cell(
                number.percent(one["accuracy"]), small=_interval(one), value=one["accuracy"]
            ),
            "most often taken for": _taken_for(taken.get(one["class"])),
        }
        for one in classes
    ]
    return ReportTable(rows, align="nrrrn", is_sortable=True)


def _taken_for(pair: Mapping[str, Any] | None) -> Cell:
    if pair is None:
        return Cell("", value="")
    name = _name(pair["predicted"])
    return Cell(name.text, small=f"{pair['images']:,}", full=name.full)


def _pair_table(tested: Mapping[str, Any], *, most: int) -> ReportTable:
    rows = [
        {
            "class": _name(pair["class"]),
            "taken for": _name(pair["predicted"]),
            "images": Cell(f"{pair['images']:,}", value=pair["images"]),
            "of the class": Cell(number.percent(pair["share"]), value=pair["share"]),
        }
        for pair in tested["confused"][:most]
    ]
    rest = len(tested["confused"]) - most
    notes = [f"and {number.plural(rest, 'pair')} more: confusion.csv"] if rest > 0 else []
    return ReportTable(rows, align="nnrr", notes=notes, is_sortable=True)


def _name(text: str) -> Cell:
    return Cell(one_line(text, length=_LONGEST_NAME), full=text)


def _matrix(tested: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    """The whole confusion matrix, one row a class."""
    names = [one["class"] for one in tested["classes"]]
    counts = {(pair["class"], pair["predicted"]): pair["images"] for pair in tested["confused"]}
    counts |= {(one["class"], one["class"]): one["right"] for one in tested["classes"]}
    for name in names:
        taken = {f"taken for {other}": counts.get((name, other), 0) for other in names}
        yield {"class": name, **taken}


def _page(
    document: Mapping[str, Any], *, thumbnails: Mapping[int, bytes], commands: Mapping[str, str]
) -> Markup:
    tested, facts = document["test"], document["training"]
    best = number.percent(document["best_accuracy"])
    told = f"best validation accuracy {best}, after epoch {document['best_epoch']}"
    verdict = _tested_text(tested) if tested else f"{told}; nothing was tested"
    return page(
        "training",
        name=document["network"],
        badge="",
        question=f"What does it reach on {facts['data']['data_description']}?",
        verdict=f"{verdict[:1].upper()}{verdict[1:]}.",
        key_figures=_key_figures(document),
        sections=_sections(document, thumbnails=thumbnails, commands=commands),
        begun=facts["created"],
    )


def _sections(
    document: Mapping[str, Any], *, thumbnails: Mapping[int, bytes], commands: Mapping[str, str]
) -> dict[str, tuple[str, Sequence[Part]]]:
    tested = document["test"]
    curve = plot(
        lambda width: training_figure(document, width_inches=width),
        title="Accuracy and loss over epochs",
        caption=_CURVE,
        prefix="curve-",
    )
    matrix = plot(
        lambda width: confusion_figure(document, width_inches=width),
        title="Confusion matrix",
        caption=_MATRIX,
        prefix="confusion-",
    )
    found: dict[str, tuple[str, Sequence[Part]]] = {"curve": ("The training", [curve])}
    if tested:
        pairs = _pair_table(tested, most=2 * _SHOWN)
        found |= {
            "classes": ("Class by class", [_class_table(_by_accuracy(tested), tested)]),
            "confused": ("What is confused", [matrix, pairs]),
            "worst": ("The worst predictions", [_WORST, _thumbnails(tested["worst"], thumbnails)]),
        }
    return {
        **found,
        "conditions": ("Recipe and conditions", list(_conditions(document["training"]))),
        "next": ("What to do next", list(_next(commands))),
        "meaning": ("What the numbers mean", [_once(tested)] if tested else []),
    }


def _key_figures(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    tested, data = document["test"], document["training"]["data"]
    last = document["curve"][-1]
    entries = []
    if tested:
        images = f"{_interval(tested)[1:-1]}; {tested['images']:,} images"
        entries = [("test accuracy", number.percent(tested["accuracy"]), images)]
    best = f"epoch {document['best_epoch']} of {last['epoch']}"
    return [
        *entries,
        ("validation accuracy", number.percent(document["best_accuracy"]), best),
        ("chance", number.percent(data["chance"]), f"{data['num_classes']:,} classes"),
        ("training images", f"{data['num_train']:,}", f"{last['step']:,} steps"),
        ("training time", number.duration(last["seconds"]), "validation included"),
    ]


def _thumbnails(worst: Sequence[Mapping[str, Any]], thumbnails: Mapping[int, bytes]) -> Markup:
    shown = []
    for one in worst:
        file = Path(one["file"]).name if one["file"] else f"test image {one['image']:,}"
        is_right = one["class"] == one["predicted"]
        shown.append(
            html(
                '<div><img src="data:image/jpeg;base64,{}" alt="{}"><p><b>{}</b>{}'
                '<small title="{}">{}, {}</small></p></div>\n',
                base64.b64encode(thumbnails[one["image"]]).decode(),
                f"{one['class']}, taken for {one['predicted']}",
                one["class"],
                "" if is_right else html(" taken for <b>{}</b>", one["predicted"]),
                one["file"] or "",
                number.percent(one["probability"]),
                file,
            )
        )
    return html('<div class="thumbnails">{}</div>\n', shown)


def _conditions(facts: Mapping[str, Any]) -> Iterator[Part]:
    recipe = {key: value for key, value in facts["recipe"].items() if not _is_part(value)}
    if rungs := recipe.pop("rungs", None):  # one at each epoch
        recipe = {"epochs": rungs[-1], **recipe}
    parts = {key.capitalize(): part for key, part in facts["recipe"].items() if _is_part(part)}
    data = {
        key.removeprefix("data_"): value
        for key, value in facts["data"].items()
        if key not in ("data_notes", "data_description")
    }
    yield groups(
        {
            "Recipe": recipe,
            **parts,
            "Data": data,
            "Begun with": facts.get("weights"),
            "Teacher": facts.get("teacher"),
            "How its steps are computed": facts.get("plan"),
            "Machine and software": facts["environment"],
        }
    )
    yield Lines(facts["data"]["data_notes"])


def _is_part(value: object) -> bool:
    return isinstance(value, Mapping)


def _next(commands: Mapping[str, str]) -> Iterator[Part]:
    for purpose, typed in commands.items():
        yield html("<h3>{}</h3>\n", purpose)
        yield Code(typed)
