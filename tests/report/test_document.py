"""A spec that is shown as YAML loads back as the same document."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archbench.report.document import to_flow, to_yaml

from .hostile import PAYLOADS

_TRICKY = (
    *("true", "yes", "No", "ON", "off", "null", "~", "y", "n", "NaN", ".nan", ".inf", "-.inf"),
    *("1e3", "1e-3", "017", "0x1F", "12:30:45", "1_000", "2001-01-01", "=", "<<", "&", "*", "!"),
    *("|", ">", "%", "@", "`", "-", "?", ":", "#", "a:b", "a#b", "-a", "---", "...", "\u2028"),
)
_texts = st.one_of(st.text(max_size=30), st.sampled_from(_TRICKY))
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _texts)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4)
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.one_of(_texts, st.integers()), _values, max_size=5))
def test_what_is_written_loads_back_the_same(document: dict[Any, Any]) -> None:
    assert yaml.safe_load(to_yaml(document)) == document


@given(_values)
def test_flow_stands_on_one_line_and_loads_back_the_same(value: Any) -> None:
    assert "\n" not in to_flow(value)
    assert yaml.safe_load(to_flow(value)) == value


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_keys_and_texts_load_back_the_same(payload: str) -> None:
    document = {payload: payload, "stages": [{payload: [payload]}, payload]}
    assert yaml.safe_load(to_yaml(document)) == document


def test_a_spec_reads_as_a_person_would_write_it() -> None:
    document = {
        "name": "levit_128s",
        "stages": [
            {
                "embed": {"kind": "conv_stem", "num_convs": 4},
                "drop_path": [0, 0.1],
                "position": None,
            },
            {"depth": 0},
        ],
        "head": {"pool": "mean", "epsilon": 1e-5},
    }
    assert to_yaml(document) == (
        "name: levit_128s\n"
        "stages:\n"
        "  - embed: {kind: conv_stem, num_convs: 4}\n"
        "    drop_path: [0, 0.1]\n"
        "    position: null\n"
        "  - depth: 0\n"
        "head: {pool: mean, epsilon: 1.0e-05}\n"
    )


def test_long_parts_are_broken_over_lines() -> None:
    document = {"block": {f"a_rather_long_field_{index}": index for index in range(8)}}
    assert max(map(len, to_yaml(document).splitlines())) < 40


def test_no_reader_takes_a_scalar_for_something_else() -> None:
    assert to_yaml({"a": "no", "b": "1e-3", "no": 1}) == 'a: "no"\nb: "1e-3"\n"no": 1\n'
    assert to_flow([float("inf"), -float("inf"), float("nan")]) == "[.inf, -.inf, .nan]"
    assert to_yaml({}) == "{}\n"
