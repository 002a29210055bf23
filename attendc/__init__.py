"""attendc: from a trained AttendNeXt to proven int8 artefacts for ARM CPUs."""

__version__ = "0.1.0"
