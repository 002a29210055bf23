"""The stages that a recipe may name: one dict. A new stage is a config, a function, and a line here.

Nothing heavy is imported until a stage runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.stages.analyze_config import AnalyzeConfig
from attendc.stages.bench_config import BenchConfig
from attendc.stages.convert_config import ConvertConfig
from attendc.stages.mask_config import MaskConfig
from attendc.stages.prune_config import PruneConfig
from attendc.stages.quantize_config import QuantizeConfig
from attendc.stages.simplify_config import SimplifyConfig
from attendc.stages.train_config import TrainConfig
from attendc.stages.verify_config import VerifyConfig
from attendc.stages.work import Made, Work

__all__ = ["STAGES", "StageType"]


@dataclass(frozen=True)
class StageType:
    """One kind of stage.

    Attributes:
        config: its frozen config; the docstrings of the fields are their help.
        module: where its function `run` is: (config, work, folder to write to, context) -> Made.
        reads: fields of the config that name files which it reads.
        reads_core: whether the recipe's target decides what it does.
        stamps: whether its files tell if a stage of the recipe proves them.
    """

    config: type
    module: str
    reads: tuple[str, ...] = ()
    reads_core: bool = False
    stamps: bool = False

    @property
    def help(self) -> str:
        """Return one sentence on what it does."""
        return str(self.config.__doc__)

    def run(self, config: Any, work: Work, folder: Path, context: Context) -> Made:
        """Do it: write files into `folder` and return what there is to say."""
        run: Callable[[Any, Work, Path, Context], Made] = import_module(self.module).run
        return run(config, work, folder, context)


STAGES: dict[str, StageType] = {
    "train": StageType(TrainConfig, "attendc.stages.train"),
    "prune": StageType(PruneConfig, "attendc.stages.prune", reads=("plan",), reads_core=True),
    "mask": StageType(MaskConfig, "attendc.stages.mask"),
    "simplify": StageType(SimplifyConfig, "attendc.stages.simplify"),
    "quantize": StageType(QuantizeConfig, "attendc.stages.quantize", stamps=True),
    "convert": StageType(ConvertConfig, "attendc.stages.convert", stamps=True),
    "verify": StageType(VerifyConfig, "attendc.stages.verify"),
    "bench": StageType(BenchConfig, "attendc.stages.bench", reads_core=True),
    "analyze": StageType(AnalyzeConfig, "attendc.stages.analyze"),
}
