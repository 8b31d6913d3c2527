"""Requirements: what they mean, and where a text stops being one."""

import contextlib
import random
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.errors import SpaceError
from archbench.space.expression import parse_expression
from archbench.yaml_document import Place

PLACE = Place("small.yaml", 3, 5)


class Candidate:
    """Values by the text of their path, and quantities."""

    fields: ClassVar = {
        "stages[0].dim": [64],
        "stages[1].dim": [128],
        "stages[all].depth": [2, 3],
        "stages[0].block.kind": ["cvt"],
        "stages[0].block.bias": [True],
        "stages[0].depth": [0],
        "resolution": [32],
    }

    def values(self, path):
        return self.fields.get(str(path), [])

    def quantity(self, name):
        return {"macs": 400_000_000, "params": 12_000_000, "activations": 5}[name]


def holds(text):
    return parse_expression(text, place=PLACE).holds(Candidate())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("stages[0].dim <= stages[1].dim <= 128", True),
        ("stages[0].dim < stages[1].dim < 128", False),
        ("macs <= 400e6 and params <= 12e6", True),
        ("not macs < 400e6", True),
        ("stages[0].block.kind == cvt", True),
        ("stages[0].block.kind != 'cvt'", False),
        ('stages[0].block.kind == "levit" or stages[0].dim == 64', True),
        ("stages[0].block.bias", True),
        ("stages[0].block.bias == true", True),
        ("stages[0].block.bias == 1", False),
        ("stages[0].dim % 16 == 0", True),
        ("stages[1].dim / stages[0].dim == 2", True),
        ("stages[1].dim // 48 == 2", True),
        ("2 + 3 * 4 == 14", True),
        ("(2 + 3) * 4 == 20", True),
        ("8 - 4 - 2 == 2", True),
        ("-stages[0].dim == 0 - 64", True),
        ("1 - -1 == 2", True),
        ("sum(stages[all].depth) == 5", True),
        ("max(stages[all].depth, 7) == 7", True),
        ("min(stages[all].depth) * 2 == 4", True),
        ("sum(stages[all].layers[all].kv_stride) == 0", True),
        ("resolution == 32", True),
        ("true or false and false", True),
        ("(true or false) and false", False),
    ],
)
def test_a_condition_means_what_it_says(text, value):
    assert holds(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("stages[0].block.window == 7", False),
        ("stages[0].block.window != 7", True),
        ("stages[0].block.window < 7", False),
        ("not stages[0].block.window < 7", True),
        ("stages[0].block.window + 1 == 1", False),
        ("stages[0].block.window", False),
        ("max(stages[all].block.window) <= 7", False),
        ("params / stages[0].depth < 5", False),
    ],
)
def test_a_field_that_is_not_there_equals_nothing(text, value):
    assert holds(text) is value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected a value, got the end"),
        ("macs <=", "column 8: expected a value, got the end"),
        ("macs <= <= 3", "column 9: expected a value, got '<='"),
        ("mac <= 4e6", r"column 1: mac is not a number; did you mean macs\?"),
        ("macs = 4", "column 6: '=' means nothing here; compare with =="),
        ("macs < 4 && params < 3", "column 10: '&' means nothing here; write and"),
        ("macs", "column 1: macs is not a condition; compare it"),
        ("macs < 3 4", "column 10: expected a comparison, and, or, or the end, got '4'"),
        ("(macs < 3", r"column 10: expected '\)', got the end"),
        ("(macs < 3) < 4", "a comparison cannot be compared"),
        ("stages[all].dim <= 4", "column 1: stages.all..dim is more than one value; take its sum"),
        ("stage[0].dim <= 4", "column 1: unknown field of a network 'stage'; did you mean stages"),
        ("stages[0]dim <= 4", "column 10: expected a comparison"),
        ("2x < 4", "column 1: '2' means nothing here"),
        ("__import__('os')", "column 11: expected a comparison"),
        ("macs.bit_length() < 3", "unknown field of a network 'macs'"),
        ("sum(macs) < 3 and not", "column 22: expected a value, got the end"),
        ("(" * 100 + "1" + ")" * 100 + " < 2", "is nested deeper than 16 levels"),
        ("sum(" * 60 + "1", "is nested deeper than 16 levels"),
    ],
)
def test_a_text_that_is_no_condition_says_where(text, message):
    with pytest.raises(SpaceError, match=message):
        parse_expression(text, place=PLACE)


def test_values_that_cannot_be_compared_are_named():
    with pytest.raises(SpaceError, match="'cvt' is not a number, as < needs"):
        holds("stages[0].block.kind < 3")
    with pytest.raises(SpaceError, match=r"stages\[0\].dim is 64, not true or false"):
        holds("stages[0].dim and macs < 3")


def test_what_it_reads_is_known_before_it_is_evaluated():
    expression = parse_expression(
        "stages[0].dim < 3 or macs < max(2, stages[all].depth)", place=PLACE
    )
    assert [str(path) for path in expression.paths] == ["stages[0].dim", "stages[all].depth"]
    assert expression.quantities == ("macs",)


numbers = st.recursive(
    st.integers(1, 50).map(str),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=6,
)


@given(numbers, st.sampled_from(["<=", "<", "==", "!=", ">=", ">"]), numbers)
def test_arithmetic_agrees_with_python(left, sign, right):
    text = f"{left} {sign} {right}"
    # The text is made of numbers and signs alone.
    assert holds(text) is eval(text)


@given(st.text(alphabet="stage[0].dim<>=!+-*/%() andornt'\"19e,", max_size=60))
def test_any_text_is_a_condition_or_a_space_error(text):
    with contextlib.suppress(SpaceError):
        parse_expression(text, place=PLACE).holds(Candidate())


def test_long_chains_cost_no_recursion():
    draw = random.Random(1)
    for sign in ("-", "not ", "+ ", "1 + ", "true and "):
        with contextlib.suppress(SpaceError):
            parse_expression(sign * 60 + draw.choice(["1", "true"]), place=PLACE)
    assert holds("not " * 60 + "true")
    assert holds(" + ".join(["1"] * 60) + " == 60")
