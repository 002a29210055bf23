"""`python -m attendc`."""

from attendc.cli.main import run

run()
