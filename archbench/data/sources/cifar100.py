"""CIFAR-100 with its fine labels: 60,000 photographs of 100 classes, 32 px (Krizhevsky 2009)."""

from functools import partial

from archbench.data.published import cifar_source

source = partial(cifar_source, kind="CIFAR100")
