"""MobileOne's first block of a stage: a depthwise and a 1x1 convolution, each of several branches.

Vasu et al. 2022 (arXiv:2206.04040), sec. 3.2 and fig. 3: the branches of a convolution are one when
the network ships. The stem is one convolution over all channels. Squeeze and excitation, where a
stage has it, stands before both activations. Convolutions keep PyTorch's own initialisation.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from torch import nn

from archbench.models.arithmetic import Work, total
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution
from archbench.models.layer import activation
from archbench.models.part import (
    Activation,
    Embed,
    Kernel,
    Site,
    Stride,
    number,
    whole,
)
from archbench.models.reparameterised import Branches, Reparameterised
from archbench.models.squeeze_excite import SqueezeExcite, squeeze_excite_work, squeezed_width


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set; the depthwise convolution takes the step.

    ``num_branches`` is the number of equal branches of a convolution (the paper's k), beside which
    stand a 1x1 convolution and the identity where they fit. One that is not ``separable`` is a
    single convolution over all channels. ``squeeze`` is the width that the channels of each are
    squeezed to, as a share, in multiples of 8; at 0 nothing is squeezed.
    """

    kind = "mobileone"
    kernel: Kernel = 3
    stride: Stride = 2
    num_branches: Annotated[int, whole(high=16)] = 1
    separable: bool = True
    squeeze: Annotated[float, number(0, 1)] = 0.0
    activation: Activation = "relu"

    def carries_on(self, site: Site) -> bool:
        return [*self.layers(site).values()][-1].has_identity

    def count(self, site: Site) -> Work:
        """M*((k*k*b + 1)*C + b*C*C') MACs: b branches, M tokens that leave, 2*S*(C + C')."""
        tokens = self.outgoing(site.grid).tokens
        branches = (spec.work(tokens) for spec in self.layers(site).values())
        return total(*branches, self._squeeze_work(site))

    def deployed_count(self, site: Site) -> Work:
        """M*(k*k*C + C*C') MACs of the two convolutions, and 2*S*(C + C')."""
        tokens = self.outgoing(site.grid).tokens
        fused = (spec.deployed_work(tokens) for spec in self.layers(site).values())
        return total(*fused, self._squeeze_work(site))

    def named_channels(self, site: Site) -> Channels:
        layers = {"depthwise": ("before", ""), "pointwise": ("width", "before")}
        layers["dense"] = ("width", "before")
        for name, width in (("depthwise", "before"), ("pointwise", "width"), ("dense", "width")):
            layers[f"{name}_squeeze.squeeze"] = (f"{name}_squeezed", width)
            layers[f"{name}_squeeze.excite"] = (width, f"{name}_squeezed")
        return Channels(
            {f"{name}_squeezed": self._squeezed(spec) for name, spec in self.layers(site).items()},
            layers,
        )

    def module(self, site: Site) -> nn.Module:
        def layers() -> Iterator[tuple[str, nn.Module]]:
            for name, spec in self.layers(site).items():
                yield name, Branches(spec, drop_path=site.drop_path)
                if squeezed := self._squeezed(spec):
                    dim = spec.convolution.outputs
                    yield f"{name}_squeeze", SqueezeExcite(dim, squeezed, gate=nn.Sigmoid)
                yield f"{name}_activation", activation(self.activation)

        return nn.Sequential(OrderedDict(layers()))

    def layers(self, site: Site) -> dict[str, Reparameterised]:
        """Its convolutions by their names."""
        before, dim = site.incoming_dim, site.dim
        first = Convolution(before, dim, kernel=self.kernel, stride=self.stride)
        found = {"dense": first}
        if self.separable:
            depthwise = first._replace(outputs=before, groups=before)
            found = {"depthwise": depthwise, "pointwise": Convolution(before, dim)}
        return {name: Reparameterised(spec, self.num_branches) for name, spec in found.items()}

    def _squeezed(self, spec: Reparameterised) -> int:
        """The width that its channels are squeezed to; 0 where they are not."""
        return squeezed_width(spec.convolution.outputs, self.squeeze)

    def _squeeze_work(self, site: Site) -> Work:
        if not self.squeeze:
            return Work()
        specs = self.layers(site).values()
        return total(
            *(squeeze_excite_work(spec.convolution.outputs, self._squeezed(spec)) for spec in specs)
        )
