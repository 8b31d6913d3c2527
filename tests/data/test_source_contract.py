"""What every source promises, and how a name is taken; a new file is held to it at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from archbench.data import load
from archbench.data.look import look_at
from archbench.data.source import SOURCES
from archbench.errors import MissingError, UsageError
from tests.data.conftest import MAKERS, bytes_of

BUILT_IN = ("cluttered_digits",)
ON_DISK = tuple(name for name in SOURCES.names if name not in BUILT_IN)


def test_every_source_has_a_maker() -> None:
    assert set(MAKERS) == set(SOURCES.names)


@pytest.fixture(params=SOURCES.names)
def name(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return MAKERS[request.param](tmp_path, monkeypatch)


def test_gives_three_disjoint_labelled_shares(name: str, tmp_path: Path, cache: Path) -> None:
    dataset = load(name, resolution=24, cache=cache)
    images = bytes_of(dataset)
    for share in ("train", "validation"):
        labels = getattr(dataset, share).labels
        assert set(labels.tolist()) == set(range(dataset.num_classes)), share
    assert not set(images["train"]) & set(images["validation"])
    assert not set(images["test"]) & set(images["train"] + images["validation"])
    assert dataset.name == name
    assert dataset.description
    counts = dataset.validation.labels.bincount()
    assert dataset.majority_share == pytest.approx(int(counts.max()) / int(counts.sum()))
    for share in ("train", "validation", "test"):
        count = len(getattr(dataset, share))
        assert any(note.startswith(f"{share}: {count:,} images") for note in dataset.notes)


def test_the_same_seed_gives_the_same_bytes_from_the_cache_and_progress_ends_at_its_total(
    name: str, tmp_path: Path, cache: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    first = load(name, resolution=16, cache=cache)
    again = load(name, resolution=16, cache=cache, progress=lambda *now: told.append(now))
    assert {what for what, _, _ in told} == {"checking the cached images, MB"}
    afresh = load(
        name, resolution=16, cache=tmp_path / "other", progress=lambda *now: told.append(now)
    )
    made = [(done, total) for what, done, total in told if not what.startswith("checking")]
    assert made == sorted(made)
    assert (made[0][0], made[-1][0]) == (0, made[-1][1])
    assert first.digest == again.digest == afresh.digest
    assert first.digest != load(name, resolution=16, seed=1, cache=cache).digest
    assert bytes_of(first) == bytes_of(again) == bytes_of(afresh)


def test_a_name_that_says_so_mirrors_no_image(name: str, cache: Path) -> None:
    dataset = load(name, resolution=16, cache=cache)
    other = load(f"{name},flip=no", resolution=16, cache=cache)
    assert not other.flip
    assert (other.digest == dataset.digest) is not dataset.flip
    assert bytes_of(other) == bytes_of(dataset)
    assert len(list((cache / "data").glob("*.images"))) == 1, "they are prepared once"


def test_a_look_counts_what_is_loaded(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(cache))
    seen = look_at(name, resolution=16)
    dataset = load(name, resolution=16)
    assert list(seen.class_sizes) == dataset.train.labels.bincount().tolist()
    assert (seen.num_train, seen.num_validation) == (len(dataset.train), len(dataset.validation))
    sides = {"cifar10": 32, "cifar100": 32, "cluttered_digits": None}
    assert seen.side == sides.get(name.partition(":")[0], 16)


@pytest.mark.parametrize("source", ON_DISK)
def test_missing_data_says_what_where_and_what_instead(source: str, tmp_path: Path) -> None:
    place = tmp_path / "nowhere"
    with pytest.raises(MissingError, match=r"not there|no such folder") as caught:
        load(f"{source}:{place}", resolution=16, cache=tmp_path / "cache")
    assert caught.value.exit_code == 3
    assert str(place) in str(caught.value.place)
    assert "cluttered_digits, which is built in" in str(caught.value.help)
    assert not place.exists()


@pytest.mark.parametrize("source", ON_DISK)
@pytest.mark.parametrize("colon", ["", ":"])
def test_a_path_is_needed(source: str, colon: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"is not said; say {source}:PATH"):
        load(source + colon, resolution=16, cache=tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {}, "unknown data set") for name in ("../evil", "", ":", "cluttered_digits/../x")),
        *(("folder:x", {"resolution": px}, "8 to 1024 px can be") for px in (7, 1025, 0, -32)),
        ("folder:x", {"seed": -1}, "the seed -1; 0 or more can be taken"),
        ("folder:x,flip=off", {}, "flip=off is neither yes nor no; say flip=no where left and"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_anything_is_written(
    name: str, options: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load(name, **{"resolution": 32, **options}, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_user_may_say_where_the_cache_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path / "here"))
    load("cluttered_digits", resolution=16)
    assert list((tmp_path / "here" / "data").glob("cluttered_digits-16px-*.images"))


def test_listing_the_sources_imports_nothing_heavy() -> None:
    program = (
        "import sys, archbench.data.source as data\n"
        "print(*data.SOURCES.names)\n"
        "assert not {'torch', 'torchvision', 'sklearn', 'numpy', 'PIL'} & set(sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == sorted(MAKERS)
