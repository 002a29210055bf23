"""Machine-driven design exploration: a space of designs, an indicator of constraints, a performance function.

Source: generative synthesis, arXiv 1809.05989, as 2208.06980 uses it to find AttendNeXt.
"""
