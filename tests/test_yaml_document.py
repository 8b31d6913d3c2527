"""The loader: YAML 1.2 scalars with their places, and hostile files refused fast."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.errors import MissingError, SpaceError
from archbench.yaml_document import load_yaml, read_text, write_flow

GOOD = """\
# Which one is best?
base: levit_128s
axes:
  stages[0].dim: [96, 128]
  stages[2].block:
    - {kind: levit, key_dim: 16}
    - {kind: cvt, head_dim: 64}
require:
  - macs <= 400e6
"""


def load(text):
    return load_yaml(text, source="edge.yaml")


def plain(text):
    return load(text).plain()


def test_a_document_becomes_plain_values():
    assert plain(GOOD) == {
        "base": "levit_128s",
        "axes": {
            "stages[0].dim": [96, 128],
            "stages[2].block": [{"kind": "levit", "key_dim": 16}, {"kind": "cvt", "head_dim": 64}],
        },
        "require": ["macs <= 400e6"],
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("400e6", 400e6),
        ("1e-3", 1e-3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("017", 17),
        ("0x1f", 31),
        ("0o17", 15),
        ("-3", -3),
        ("on", "on"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("'12'", "12"),
        ('"true"', "true"),
    ],
)
def test_scalars_resolve_as_yaml_1_2_says(written, value):
    found = plain(f"key: {written}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_values_and_keys_know_their_places():
    node = load(GOOD).value["axes"].value["stages[0].dim"]
    assert str(node.key_place) == "edge.yaml:4:3"
    assert str(node.value[1].place) == "edge.yaml:4:23"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {x: 1, x: 2}", r"edge.yaml:1:11: the key 'x' is written twice"),
        ("1: a\n'1': b", "written twice"),
        ("a: &x 1\nb: *x", r"edge.yaml:1:4: anchors are not allowed"),
        ("a: *x", r"edge.yaml:1:4: aliases are not allowed"),
        ("<<: {a: 1}", r"edge.yaml:1:1: merge keys are not allowed"),
        ("a: !!python/object:os.system x", r"edge.yaml:1:4: tags are not allowed"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "tags are not allowed"),
        ("a: .nan", "not finite"),
        ("a: 1e999", "too large"),
        ("a: " + "9" * 200, "too large"),
        ("a: " + "9" * 5000, "a value of 5,000 characters; at most 256"),
        ("a: [" * 40, "nested deeper than 32 levels"),
        ("? {a: 1}\n: 2", "a key must be a word or a whole number"),
        ("true: 1", "a key must be a word or a whole number"),
        ("a: 1\n---\nb: 2", r"edge.yaml:2:1: holds more than one document"),
        ("# only a comment", "is empty"),
        ("a: [1, 2", "is not valid YAML"),
        ("a: b: c", r"edge.yaml:1:5: is not valid YAML: mapping values are not allowed"),
        ("a: 1\nb: \x00", r"edge.yaml:2:4: the control character U\+0000 is not allowed"),
        ('a: "\\0"', "control character in a value"),
        ("a: \ud800", r"U\+D800"),
        ("- x\n" * 20_001, "holds more than 20,000 values"),
        ("#" * (1 << 20) + "\n", "is larger than"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_place(text, message):
    with pytest.raises(SpaceError, match=message):
        load(text)


def test_a_long_comment_is_free():
    assert plain("# " + "x" * 5000 + "\na: 1 # " + "y" * 5000) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 500_000,
        "- " * 400_000,
        "a: &a [" + "*a, " * 100_000,
        "- a\n" * 250_000,
        "a: " + "x" * 1_000_000,
        "a: |\n" + "  x\n" * 200_000,
        "\n".join(f"k{number}: 1" for number in range(80_000)),
        "a: '" + "''" * 500_000,
        "#" * 1_000_000,
        "%YAML 1." + "9" * 5000 + "\n---\na: 1",
        "x\n" * 400_000,
    ],
)
def test_bombs_are_refused_in_well_under_a_second(text):
    start = time.process_time()
    with pytest.raises(SpaceError, match=r"edge\.yaml"):
        load(text)
    # Far above what it takes (0.1 s), far below what a bomb takes.
    assert time.process_time() - start < 2


def test_bytes_that_are_not_utf_8_are_refused_with_line_and_column(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SpaceError, match=r"edge.yaml:2:4: is not UTF-8 text"):
        read_text(path)


def test_a_missing_file_a_folder_and_one_that_is_too_large_are_told_apart(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(SpaceError, match="is larger than 1,048,576 bytes"):
        read_text(path)
    with pytest.raises(MissingError, match="no such file"):
        read_text(tmp_path / "none.yaml")
    with pytest.raises(SpaceError, match="cannot be read: Is a directory"):
        read_text(tmp_path)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=20)
    | st.sampled_from(["no", "1e-3", "null", "cvt", "stages[0].dim", "<<", "-", "a: b", "#x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.integers(0, 20) | st.from_regex(r"[a-z]{1,8}", fullmatch=True), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(values)
def test_what_write_flow_writes_load_yaml_reads_back(value):
    assert plain(f"key: {write_flow(value)}")["key"] == value


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(SpaceError):
        load(text)
