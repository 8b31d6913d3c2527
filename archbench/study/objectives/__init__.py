"""What a search can optimise or limit, one file each; see ``archbench.study.objective``."""
