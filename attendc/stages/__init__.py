"""One file a stage of a recipe: its config, and the function that does it."""
