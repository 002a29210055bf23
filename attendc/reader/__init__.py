"""From the YAML of a recipe to checked data, with every fault at its place; and back to YAML.

`load` reads a recipe, `sources` knows the shipped ones; `write`, `schema` and `template` make text from the same
configs.
"""
