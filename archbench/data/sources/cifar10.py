"""CIFAR-10: 60,000 photographs of 10 classes, 32 px (Krizhevsky 2009)."""

from __future__ import annotations

from archbench.data.cifar import cifar_source
from archbench.data.source import DataRequest, ImageSource


def source(request: DataRequest) -> ImageSource:
    """CIFAR-10 in the folder behind the colon; see ``cifar_source``.

    Raises:
        UsageError: No path is given.
        MissingError: It is not there.
    """
    return cifar_source(
        request, kind="CIFAR10", folder="cifar-10-batches-py", archive="cifar-10-python.tar.gz"
    )
