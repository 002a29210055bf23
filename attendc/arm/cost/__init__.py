"""What operators cost on a core, by a table measured on the emulated cores."""
