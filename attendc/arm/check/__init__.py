"""What a file will cost and where it breaks, before any device; and what to do about it."""
