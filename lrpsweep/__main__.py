"""`python -m lrpsweep` is `lrpsweep`."""

from lrpsweep.cli import main

main()
