"""Which images does a network learn from: a name becomes byte tensors, decoded once and cached.

Nothing heavy is imported before a name is used, so that ``--help`` can list the sources.
"""

from typing import TYPE_CHECKING

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.data.cache import load as load
    from archbench.data.dataset import DataSet as DataSet
    from archbench.data.dataset import Split as Split
    from archbench.data.dataset import augment as augment
    from archbench.data.dataset import normalise as normalise
    from archbench.data.given import Data as Data
    from archbench.data.given import name_of as name_of

__all__, __getattr__, __dir__ = exports(__name__)
