"""SHViT: single-head vision transformer with memory efficient macro design (Yun & Ro 2024).

arXiv:2401.16456, table 6: an SHViT-S3 without attention, or with another share of channels in it.
"""

from archbench.search.ablation.request import AblationSettings, PaperTables

# At 64 px the stem of four convolutions becomes one of two, the grid 16x16 for the paper's 14x14.
PAPER = PaperTables(
    base="shvit_s3",
    rows="shvit_s3/",
    settings=AblationSettings(stem="keep_grid", scale=0.25),
    note="The paper trains for 300 epochs on ImageNet-1k, each row once.",
)
