"""attendc: from a trained AttendNeXt to proven int8 artefacts for ARM CPUs.

The steps, on networks in memory:

    import attendc

    opened = attendc.load_checkpoint("examples/attendnext_pico.safetensors")
    smaller = attendc.prune(opened, attendc.PruneConfig(macs=0.5))
    quantized = attendc.quantize(smaller.opened, attendc.QuantizeConfig(mode="qat"))
    files = attendc.convert(quantized, "out")
    attendc.check_gates(attendc.verify(files))

or the whole way, cached and resumable, with a report:

    run = attendc.run_recipe("int8-qat")

The public names are loaded when they are first used, so that importing the package, and `attendc --help`, cost nothing.
"""

import os as _os
from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Else onnxruntime, since 1.29, tells its maker of the files that it opens.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_PUBLIC = {
    "AnalyzeConfig": "attendc.stages.analyze_config",
    "AnalyzeRequest": "attendc.jobs.analyze",
    "BenchRequest": "attendc.jobs.bench",
    "CORES": "attendc.arm.cores",
    "CheckRequest": "attendc.jobs.check",
    "CheckpointRequest": "attendc.request",
    "Context": "attendc.context",
    "ConvertConfig": "attendc.stages.convert_config",
    "ConvertRequest": "attendc.jobs.convert",
    "DataSection": "attendc.recipe",
    "ExploreRequest": "attendc.explore.request",
    "Gates": "attendc.parity",
    "Heartbeat": "attendc.explore.storage",
    "IndexRequest": "attendc.jobs.data",
    "MaskConfig": "attendc.stages.mask_config",
    "MaskRequest": "attendc.jobs.mask",
    "ModelSection": "attendc.recipe",
    "PruneConfig": "attendc.stages.prune_config",
    "PruneOptions": "attendc.compress.pruning.prune",
    "PruneRequest": "attendc.jobs.prune",
    "QAT_OPTIONS": "attendc.jobs.quantize",
    "QuantizeConfig": "attendc.stages.quantize_config",
    "QuantizeRequest": "attendc.jobs.quantize",
    "RECOVER_OPTIONS": "attendc.compress.pruning.recover",
    "Recipe": "attendc.recipe",
    "RecipeError": "attendc.reader.faults",
    "Run": "attendc.runner.run",
    "RunOptions": "attendc.runner.run",
    "STAGES": "attendc.stages.registry",
    "SetupRequest": "attendc.arm.machine.setup",
    "ShardRequest": "attendc.jobs.data",
    "SimplifyConfig": "attendc.stages.simplify_config",
    "SimplifyRequest": "attendc.jobs.simplify",
    "SshOptions": "attendc.arm.board.host",
    "StageCache": "attendc.runner.cache",
    "StageEntry": "attendc.recipe",
    "TargetSection": "attendc.recipe",
    "TimeOptions": "attendc.arm.measure.timing",
    "TrainConfig": "attendc.stages.train_config",
    "TrainOptions": "attendc.train",
    "TrainRequest": "attendc.jobs.train",
    "VerifyConfig": "attendc.stages.verify_config",
    "VerifyRequest": "attendc.jobs.verify",
    "analyze": "attendc.stages.analyze",
    "analyze_checkpoint": "attendc.jobs.analyze",
    "analyze_recipe": "attendc.jobs.analyze",
    "bench_files": "attendc.jobs.bench",
    "check_conditions": "attendc.jobs.check",
    "check_files": "attendc.jobs.check",
    "check_gates": "attendc.parity",
    "check_verification": "attendc.gates",
    "compare_runs": "attendc.report.compare",
    "comparison_json": "attendc.report.compare",
    "convert": "attendc.stages.convert",
    "convert_recipe": "attendc.jobs.convert",
    "convert_source": "attendc.jobs.convert",
    "examine": "attendc.jobs.doctor",
    "explore_space": "attendc.jobs.explore",
    "index_shards": "attendc.jobs.data",
    "inspect_file": "attendc.jobs.inspect",
    "load_checkpoint": "attendc.opening",
    "load_recipe": "attendc.reader.load",
    "mask": "attendc.stages.mask",
    "mask_checkpoint": "attendc.jobs.mask",
    "mask_recipe": "attendc.jobs.mask",
    "merged_yaml": "attendc.reader.write",
    "plan_run": "attendc.runner.dry_run",
    "prove_folder": "attendc.jobs.verify",
    "prune": "attendc.stages.prune",
    "prune_checkpoint": "attendc.jobs.prune",
    "prune_recipe": "attendc.jobs.prune",
    "quantize": "attendc.stages.quantize",
    "quantize_checkpoint": "attendc.jobs.quantize",
    "quantize_recipe": "attendc.jobs.quantize",
    "read_manifest": "attendc.manifest",
    "recipe_from_text": "attendc.reader.load",
    "recipe_schema": "attendc.reader.schema",
    "recipe_template": "attendc.reader.template",
    "recipe_to_data": "attendc.reader.write",
    "recipe_to_yaml": "attendc.reader.write",
    "render_comparison": "attendc.report.compare_page",
    "run_recipe": "attendc.runner.run",
    "run_together": "attendc.distributed.team",
    "setup_arm": "attendc.arm.machine.setup",
    "shard_data": "attendc.jobs.data",
    "shipped_recipes": "attendc.reader.sources",
    "simplify": "attendc.stages.simplify",
    "simplify_recipe": "attendc.jobs.simplify",
    "simplify_source": "attendc.jobs.simplify",
    "train_checkpoint": "attendc.jobs.train",
    "train_network": "attendc.stages.train",
    "train_recipe": "attendc.jobs.train",
    "verify": "attendc.stages.verify",
    "verify_folder": "attendc.stages.verify",
    "verify_recipe": "attendc.jobs.verify",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:  # so that editors and mypy know them; the table above is what runs
    from attendc.arm.board.host import SshOptions as SshOptions
    from attendc.arm.cores import CORES as CORES
    from attendc.arm.machine.setup import SetupRequest as SetupRequest, setup_arm as setup_arm
    from attendc.arm.measure.timing import TimeOptions as TimeOptions
    from attendc.compress.pruning.prune import PruneOptions as PruneOptions
    from attendc.compress.pruning.recover import RECOVER_OPTIONS as RECOVER_OPTIONS
    from attendc.context import Context as Context
    from attendc.distributed.team import run_together as run_together
    from attendc.explore.request import ExploreRequest as ExploreRequest
    from attendc.explore.storage import Heartbeat as Heartbeat
    from attendc.gates import check_verification as check_verification
    from attendc.jobs.analyze import (
        AnalyzeRequest as AnalyzeRequest,
        analyze_checkpoint as analyze_checkpoint,
        analyze_recipe as analyze_recipe,
    )
    from attendc.jobs.bench import BenchRequest as BenchRequest, bench_files as bench_files
    from attendc.jobs.check import (
        CheckRequest as CheckRequest,
        check_conditions as check_conditions,
        check_files as check_files,
    )
    from attendc.jobs.convert import (
        ConvertRequest as ConvertRequest,
        convert_recipe as convert_recipe,
        convert_source as convert_source,
    )
    from attendc.jobs.data import (
        IndexRequest as IndexRequest,
        ShardRequest as ShardRequest,
        index_shards as index_shards,
        shard_data as shard_data,
    )
    from attendc.jobs.doctor import examine as examine
    from attendc.jobs.explore import explore_space as explore_space
    from attendc.jobs.inspect import inspect_file as inspect_file
    from attendc.jobs.mask import (
        MaskRequest as MaskRequest,
        mask_checkpoint as mask_checkpoint,
        mask_recipe as mask_recipe,
    )
    from attendc.jobs.prune import (
        PruneRequest as PruneRequest,
        prune_checkpoint as prune_checkpoint,
        prune_recipe as prune_recipe,
    )
    from attendc.jobs.quantize import (
        QAT_OPTIONS as QAT_OPTIONS,
        QuantizeRequest as QuantizeRequest,
        quantize_checkpoint as quantize_checkpoint,
        quantize_recipe as quantize_recipe,
    )
    from attendc.jobs.simplify import (
        SimplifyRequest as SimplifyRequest,
        simplify_recipe as simplify_recipe,
        simplify_source as simplify_source,
    )
    from attendc.jobs.train import (
        TrainRequest as TrainRequest,
        train_checkpoint as train_checkpoint,
        train_recipe as train_recipe,
    )
    from attendc.jobs.verify import (
        VerifyRequest as VerifyRequest,
        prove_folder as prove_folder,
        verify_recipe as verify_recipe,
    )
    from attendc.manifest import read_manifest as read_manifest
    from attendc.opening import load_checkpoint as load_checkpoint
    from attendc.parity import Gates as Gates, check_gates as check_gates
    from attendc.reader.faults import RecipeError as RecipeError
    from attendc.reader.load import load_recipe as load_recipe, recipe_from_text as recipe_from_text
    from attendc.reader.schema import recipe_schema as recipe_schema
    from attendc.reader.sources import shipped_recipes as shipped_recipes
    from attendc.reader.template import recipe_template as recipe_template
    from attendc.reader.write import (
        merged_yaml as merged_yaml,
        recipe_to_data as recipe_to_data,
        recipe_to_yaml as recipe_to_yaml,
    )
    from attendc.recipe import (
        DataSection as DataSection,
        ModelSection as ModelSection,
        Recipe as Recipe,
        StageEntry as StageEntry,
        TargetSection as TargetSection,
    )
    from attendc.report.compare import (
        compare_runs as compare_runs,
        comparison_json as comparison_json,
    )
    from attendc.report.compare_page import render_comparison as render_comparison
    from attendc.request import CheckpointRequest as CheckpointRequest
    from attendc.runner.cache import StageCache as StageCache
    from attendc.runner.dry_run import plan_run as plan_run
    from attendc.runner.run import Run as Run, RunOptions as RunOptions, run_recipe as run_recipe
    from attendc.stages.analyze import analyze as analyze
    from attendc.stages.analyze_config import AnalyzeConfig as AnalyzeConfig
    from attendc.stages.convert import convert as convert
    from attendc.stages.convert_config import ConvertConfig as ConvertConfig
    from attendc.stages.mask import mask as mask
    from attendc.stages.mask_config import MaskConfig as MaskConfig
    from attendc.stages.prune import prune as prune
    from attendc.stages.prune_config import PruneConfig as PruneConfig
    from attendc.stages.quantize import quantize as quantize
    from attendc.stages.quantize_config import QuantizeConfig as QuantizeConfig
    from attendc.stages.registry import STAGES as STAGES
    from attendc.stages.simplify import simplify as simplify
    from attendc.stages.simplify_config import SimplifyConfig as SimplifyConfig
    from attendc.stages.train import train_network as train_network
    from attendc.stages.train_config import TrainConfig as TrainConfig
    from attendc.stages.verify import verify as verify, verify_folder as verify_folder
    from attendc.stages.verify_config import VerifyConfig as VerifyConfig
    from attendc.train import TrainOptions as TrainOptions


def __getattr__(name: str) -> Any:
    """Load a public name. `attendc.train` and `attendc.checkpoint` are modules."""
    if name not in _PUBLIC:
        raise AttributeError(f"attendc has no {name!r}; it has {', '.join(_PUBLIC)}")
    return getattr(_import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names too."""
    return sorted([*globals(), *_PUBLIC])
