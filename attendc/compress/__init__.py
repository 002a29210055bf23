"""From a float network to the quantized graph: capture, passes, annotation, post-training and trained ranges."""
