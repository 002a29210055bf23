"""ARM without a board: the real aarch64 runtimes under emulation, their instructions, and real boards over ssh."""
