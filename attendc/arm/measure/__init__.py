"""What files cost: instructions of emulated cores, by network and layer, and milliseconds."""
