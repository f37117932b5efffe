"""`python -m collectors` is `collectors`."""

from collectors.cli import main

main()
