"""What people look at: the page of a run, its JSON, its model card, and runs side by side."""
