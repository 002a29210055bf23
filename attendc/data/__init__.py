"""Images and labels: where they come from (`sources`), how they become a network's input (`preprocess`)."""
