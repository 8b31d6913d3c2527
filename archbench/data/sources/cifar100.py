"""CIFAR-100: 60,000 photographs of 100 classes, 32 px (Krizhevsky 2009)."""

from __future__ import annotations

from archbench.data.cifar import cifar_source
from archbench.data.source import DataRequest, ImageSource


def source(request: DataRequest) -> ImageSource:
    """CIFAR-100 with its fine labels in the folder behind the colon; see ``cifar_source``.

    Raises:
        UsageError: No path is given.
        MissingError: It is not there.
    """
    return cifar_source(
        request, kind="CIFAR100", folder="cifar-100-python", archive="cifar-100-python.tar.gz"
    )
