"""`python -m catalogd`."""

from catalogd.cli import main

main(prog_name="catalogd")
