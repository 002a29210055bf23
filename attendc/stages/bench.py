"""The step `bench`: what every artefact costs on emulated ARM cores, and whether that is within its budgets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attendc.amounts import amount
from attendc.arm.cores import core_of
from attendc.arm.measure.bench import bench
from attendc.arm.measure.timing import TimeOptions
from attendc.context import Context
from attendc.errors import UsageError
from attendc.gates import GateRow, budget_row
from attendc.network.onnx_macs import with_onnx_macs
from attendc.stages.bench_config import BenchConfig
from attendc.stages.work import Made, Work

__all__ = ["BUDGETED", "run"]

BUDGETED = "model.int8.tflite"
"""The file that the budgets hold for: what is deployed on ARM."""
_RUN_THERE = ("tflite", "onnx")


def run(config: BenchConfig, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage: no file, a row for each artefact and core, and a gate for each budget."""
    cores = _cores(config, work)
    files = [work.path_of(name) for kind, _, name in work.facts.get("artefacts", ()) if kind in _RUN_THERE]
    if not files:
        raise UsageError("there is nothing to bench", hint="Add the stage convert before bench, with tflite or onnx")
    budgets = _budgets(config)
    if budgets and BUDGETED not in [file.name for file in files]:
        raise UsageError(
            f"{' and '.join(budgets)} hold for {BUDGETED}, which no stage before makes",
            hint="Let convert write tflite in int8",
        )
    found = [with_onnx_macs(row) for row in bench(files, cores, TimeOptions(), context)]
    rows = [{**row.as_json(), "file": row.file.name} for row in found]
    gates = [gate for name, limit in budgets.items() for gate in _gates(name, limit, rows, work.path_of(BUDGETED))]
    told = {"bench": rows, "gates": [dataclasses.asdict(gate) for gate in gates]}
    return Made(told, {"gate": config.gate})


def _cores(config: BenchConfig, work: Work) -> tuple[str, ...]:
    cores = config.cores(work.core)
    if not cores:
        raise UsageError("bench names no core", hint="Add on: [cortex-a76] to the stage, or target: to the recipe")
    return tuple(core_of(name).name for name in cores)


def _budgets(config: BenchConfig) -> dict[str, float]:
    """Return name of a budget -> its limit, of those that were set."""
    limits = {
        "max_instructions": config.max_instructions,
        "max_partitions": config.max_partitions,
        "max_bytes": config.max_bytes,
    }
    return {name: amount(limit, name) for name, limit in limits.items() if limit is not None}


def _gates(name: str, limit: float, rows: Sequence[dict[str, Any]], file: Path) -> list[GateRow]:
    if name == "max_bytes":
        return [budget_row(f"bytes of {file.name}", file.stat().st_size, limit)]
    key = name.removeprefix("max_")
    return [
        budget_row(f"{key} of {file.name} on {row['core']}", row[key], limit)
        for row in rows
        if row["file"] == file.name
    ]
