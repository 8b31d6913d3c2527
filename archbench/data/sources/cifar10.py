"""CIFAR-10: 60,000 photographs of 10 classes, 32 px (Krizhevsky 2009)."""

from functools import partial

from archbench.data.published import cifar_source

source = partial(cifar_source, kind="CIFAR10")
