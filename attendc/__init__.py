"""attendc: from a trained AttendNeXt to proven int8 artefacts for ARM CPUs.

The public names are loaded when they are first used, so that importing the package, and `attendc --help`, cost nothing.
"""

from importlib import import_module as _import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "AnalyzeRequest": "attendc.jobs.analyze",
    "CheckpointRequest": "attendc.opening",
    "Context": "attendc.context",
    "ConvertRequest": "attendc.jobs.convert",
    "Gates": "attendc.parity",
    "PruneOptions": "attendc.compress.pruning.prune",
    "PruneRequest": "attendc.jobs.prune",
    "QAT_OPTIONS": "attendc.jobs.quantize",
    "QuantizeRequest": "attendc.jobs.quantize",
    "RECOVER_OPTIONS": "attendc.compress.pruning.recover",
    "TrainOptions": "attendc.train",
    "TrainRequest": "attendc.jobs.train",
    "VerifyRequest": "attendc.jobs.verify",
    "analyze": "attendc.jobs.analyze",
    "convert": "attendc.jobs.convert",
    "inspect_file": "attendc.jobs.inspect",
    "open_checkpoint": "attendc.opening",
    "prune_checkpoint": "attendc.jobs.prune",
    "quantize": "attendc.jobs.quantize",
    "train_checkpoint": "attendc.jobs.train",
    "verify_folder": "attendc.jobs.verify",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    """Load a public name.

    `attendc.train`, `attendc.parity` and `attendc.checkpoint` are modules; the jobs above are what a script calls.
    """
    if name not in _PUBLIC:
        raise AttributeError(f"attendc has no {name!r}; it has {', '.join(_PUBLIC)}")
    return getattr(_import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names too."""
    return sorted([*globals(), *_PUBLIC])
