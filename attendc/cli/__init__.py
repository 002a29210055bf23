"""The command line: each module parses, builds options, calls a step and prints; none has logic of its own."""
