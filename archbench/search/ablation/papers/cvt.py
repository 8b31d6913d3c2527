"""CvT: introducing convolutions to vision transformers (Wu et al. 2021, arXiv:2103.15808).

Tables 5 to 8 from CvT-13: positions, the convolutional embedding, the stride of keys and values,
the convolutional projection. The rows of table 5 on DeiT-S have another base:
``archbench ablate deit_small --axes position=absolute,none``.
"""

from archbench.search.ablation.request import AblationSettings, PaperTables

# The stem stays as it is: at 64 px the grids are 16, 8 and 4 for the paper's 56, 28 and 14. To keep
# them would take the first stage to 64x64 tokens, which no CPU trains in minutes.
PAPER = PaperTables(
    base="cvt_13",
    rows="cvt_13/t",
    settings=AblationSettings(stem="as_is", scale=0.25),
    note="The paper trains for 300 epochs on ImageNet-1k, each row once.",
)
