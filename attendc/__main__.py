"""`python -m attendc`."""

from attendc.cli.main import run

if __name__ == "__main__":
    run()
