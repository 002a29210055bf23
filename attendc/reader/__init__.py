"""From the YAML of a recipe to checked data, with every fault at its place."""
