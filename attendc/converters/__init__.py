"""From the quantized graph (or the float graph) to files for runtimes, and back from the files to their numbers."""
