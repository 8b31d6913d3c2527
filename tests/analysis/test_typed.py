"""A space is named as it was typed, so that the next command finds it."""

from __future__ import annotations

import pytest

from archbench.analysis.verdict import space_typed


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        ("archbench search quickstart --trials 9", "quickstart"),
        ("archbench certify 'my spaces/narrow.yaml'", "my spaces/narrow.yaml"),
        ("archbench certify --name x --resume", "narrow"),
        ("archbench.search('narrow')", "narrow"),
        ("it's", "narrow"),
        (None, "narrow"),
    ],
)
def test_the_space_is_named_as_it_was_typed(command: str | None, typed: str) -> None:
    assert space_typed({"command": command, "space_name": "narrow"}) == typed
