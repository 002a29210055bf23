"""The emulated machine: what it is made of, fetching and checking it, and whether it is ready."""
