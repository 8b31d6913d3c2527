import json
import math
from typing import Any

import pytest

from archbench.errors import UsageError
from archbench.train.recipe import Recipe


def test_rate_falls_with_the_width_from_the_peak_rate_at_the_reference_width() -> None:
    recipe = Recipe()
    rates = [recipe.learning_rate(width) for width in (16, 32, 64, 128, 256)]
    assert rates == sorted(rates, reverse=True)
    assert rates[1] == 3e-3
    assert math.isclose(rates[3], 3e-3 * (32 / 128) ** recipe.rate_power)


def test_document_is_json_and_holds_every_choice() -> None:
    document = Recipe(rungs=(1, 3), seed=5).document()
    assert Recipe(**{**document, "rungs": tuple(document["rungs"])}) == Recipe(rungs=(1, 3), seed=5)
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"rungs": ()}, r"recipe\.rungs: \(\) cannot be; use ascending epochs"),
        ({"rungs": (4, 4)}, r"recipe\.rungs: \(4, 4\) cannot be"),
        ({"rungs": (0, 4)}, r"recipe\.rungs: \(0, 4\) cannot be"),
        ({"batch": 1}, r"recipe\.batch: 1 cannot be; use 2 to 65,536"),
        ({"peak_rate": math.nan}, r"recipe\.peak_rate: nan cannot be"),
        ({"clip": 0.0}, r"recipe\.clip: 0\.0 cannot be"),
        ({"weight_decay": -0.1}, r"recipe\.weight_decay: -0\.1 cannot be"),
        ({"warmup": 1.0}, r"recipe\.warmup: 1\.0 cannot be"),
        ({"shift": math.inf}, r"recipe\.shift: inf cannot be"),
        ({"teacher": "regnet"}, r"recipe\.teacher: 'regnet' cannot be; use one of none"),
        ({"teacher_share": 1.5}, r"recipe\.teacher_share"),
    ],
)
def test_value_out_of_range_is_refused_with_its_place(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe(**choice)


def test_width_must_be_positive() -> None:
    with pytest.raises(UsageError, match=r"recipe\.width: 0 cannot be"):
        Recipe().learning_rate(0)


def test_what_is_as_it_always_was_leaves_documents_as_they_were() -> None:
    assert not {"images", "balance", "teacher"} & Recipe().document().keys()
    asked = Recipe(images=500, balance=True)
    assert Recipe.from_document(asked.document()) == asked
