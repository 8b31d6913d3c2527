"""``python -m archbench``: the command line, as ``torchrun -m archbench`` starts it, too."""

from archbench.cli.main import main

main()
