"""Running files on the emulated machine, in one process for many, and counting instructions."""
