"""Running a recipe: the cache of stages, going on after a kill, and the folder of a run."""
