"""Networks: the layers of the family, AttendNeXt and its presets, and the user's own by name."""
