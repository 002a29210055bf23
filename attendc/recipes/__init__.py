"""The recipes that ship with attendc."""
