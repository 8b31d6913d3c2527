"""ResNets of bottlenecks as torchvision has them, and timm under the same names."""

from archbench.models.weights.layout import WeightLayout

LAYOUT = WeightLayout(
    title="torchvision's and timm's ResNet's",
    dialects=("torchvision", "timm"),
    marks=(r"^conv1\.weight$", r"^layer1\.0\.conv3\.weight$", r"^fc\.weight$"),
    embeds=(("resnet_stem",), ("bottleneck",)),
    blocks=("bottleneck",),
    names={
        "stages.0.embed.0.conv": "conv1",
        "stages.0.embed.0.norm": "bn1",
        # The first bottleneck of a layer, which may widen, is our embed.
        "stages.{e}.embed.branch.0.conv": "layer{e}.0.conv1",
        "stages.{e}.embed.branch.0.norm": "layer{e}.0.bn1",
        "stages.{e}.embed.branch.2.conv": "layer{e}.0.conv2",
        "stages.{e}.embed.branch.2.norm": "layer{e}.0.bn2",
        "stages.{e}.embed.branch.4.conv": "layer{e}.0.conv3",
        "stages.{e}.embed.branch.4.norm": "layer{e}.0.bn3",
        "stages.{e}.embed.shortcut.conv": "layer{e}.0.downsample.0",
        "stages.{e}.embed.shortcut.norm": "layer{e}.0.downsample.1",
        "stages.{s}.blocks.{b}.bottleneck.branch.0.conv": "layer{s}.{next}.conv1",
        "stages.{s}.blocks.{b}.bottleneck.branch.0.norm": "layer{s}.{next}.bn1",
        "stages.{s}.blocks.{b}.bottleneck.branch.2.conv": "layer{s}.{next}.conv2",
        "stages.{s}.blocks.{b}.bottleneck.branch.2.norm": "layer{s}.{next}.bn2",
        "stages.{s}.blocks.{b}.bottleneck.branch.4.conv": "layer{s}.{next}.conv3",
        "stages.{s}.blocks.{b}.bottleneck.branch.4.norm": "layer{s}.{next}.bn3",
        "head.classifiers.0": "fc",
    },
)
