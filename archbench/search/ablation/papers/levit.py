"""LeViT: a vision transformer in ConvNet's clothing (Graham et al. 2021, arXiv:2104.01136).

Table 5: a LeViT-128S with one classifier, distilled, and without one of its parts in each row.
"""

from archbench.search.ablation.request import AblationSettings, PaperTables

# At 64 px the stem of four convolutions becomes one of two, the grid 16x16 for the paper's 14x14.
# At a quarter of the widths an epoch of 2,048 images took 10 s on one core, validation included.
PAPER = PaperTables(
    base="levit_128s/base",
    rows="levit_128s/",
    settings=AblationSettings(stem="keep_grid", scale=0.25, teacher="convolutional"),
    note="The paper's base has one classifier, which here learns the label and the teacher's "
    "answer alike. The paper trains for 100 epochs on ImageNet-1k, each row once. A1 has as many "
    "MACs as the base in the paper and at full width, twice as many at a quarter of the widths.",
)
