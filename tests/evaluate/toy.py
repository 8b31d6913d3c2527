"""A network that trains in milliseconds."""

from typing import Any

import yaml

from tests.golden.measured import NETWORK

SPEC: dict[str, Any] = {**yaml.safe_load(NETWORK), "num_classes": 3}
