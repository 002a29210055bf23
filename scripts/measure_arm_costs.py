"""Measure what operators cost on the emulated cores, and fit attendc/arm/cost/table.json to it.

    python scripts/measure_arm_costs.py                        # measures what is not measured yet, and fits
    python scripts/measure_arm_costs.py --core cortex-a72      # measures one core only, fits nothing
    python scripts/measure_arm_costs.py --validate FOLDER      # predicted against counted, of every .tflite file there
    python scripts/measure_arm_costs.py --errors               # of the rows of the table, as in docs/arm.md

Counts are kept in the cache folder (--counts), so that a run that was broken off goes on. Needs `attendc arm setup`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from arm_costs.build import Net
from arm_costs.fit import Measured, best_tile, fit_kinds
from arm_costs.grid import Case, cases
from arm_costs.validate import validate

from attendc.arm.cores import CORES
from attendc.arm.cost.cost import row_of
from attendc.arm.cost.features import Tile
from attendc.arm.emulation.emulator import Answer, Task, emulate
from attendc.arm.machine.lock import read_lock
from attendc.arm.ops import Op, ops_of_model
from attendc.files import cache_folder

TABLE = Path(__file__).parent.parent / "attendc" / "arm" / "cost" / "table.json"
DTYPES = ("int8", "float32")
_AT_A_TIME = 150
"""Files in one process of the emulator; what was counted is kept after each."""
_IDLE = 10
"""Files that are counted first for nothing: only then has the guest's Python settled (PEP 659), which costs a thousand
instructions."""
_BASE = " without"
_RUNTIME = ("ai-edge-litert", "numpy")


def main() -> None:
    """Measure and fit, or validate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", choices=CORES, help="measure this core only")
    parser.add_argument("--counts", type=Path, default=cache_folder() / "arm-counts", help="where counts are kept")
    parser.add_argument("--validate", type=Path, nargs="+", metavar="PATH", help="files, or folders of them")
    parser.add_argument("--errors", action="store_true", help="print how well the rows of the table fit")
    parser.add_argument("--table", type=Path, default=TABLE)
    said = parser.parse_args()
    if said.validate:
        validate(said.validate)
        return
    if said.errors:
        sys.stdout.write(_errors_by_row(json.loads(said.table.read_text(encoding="utf-8"))))
        return
    grid = _grid()
    for core in [said.core] if said.core else CORES:
        _measure(core, grid, said.counts / f"{core}.json")
    if not said.core:
        counts = {core: _read(said.counts / f"{core}.json", grid) for core in CORES}
        said.table.write_text(_as_text(_fit(grid, counts)), encoding="utf-8")


def _grid() -> dict[str, Case]:
    """Return name -> case, with the bases as cases of their own, and with the nets that tell what a call costs."""
    made = [*_calls()]
    for case in (case for dtype in DTYPES for case in cases(dtype)):
        made.append(case)
        if case.base is not None:
            made.append(Case(case.name + _BASE, case.base))
    return {case.name: case for case in made}


def _calls() -> list[Case]:
    """Return nets of operators that LiteRT runs (e) and that XNNPACK runs (c), in no, one and three partitions."""
    return [Case(f"call {order}", partial(_net_of, order)) for order in ("e", "ee", "eeeccc", "ececec")]


def _net_of(order: str) -> Net:
    net = Net("int8", (1, 1, 1, 4))
    for letter in order:
        if letter == "c":
            net.conv(4)
        else:
            net.op("EXP", [net.last], net.tensor(net.shape(net.last)), schema.ExpOptionsT())
    return net


def _measure(core: str, grid: Mapping[str, Case], path: Path) -> None:
    """Count what the file does not have yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _read(path, grid)
    left = [case for name, case in grid.items() if name not in found]
    for start in range(0, len(left), _AT_A_TIME):
        some = left[start : start + _AT_A_TIME]
        for case, answer in zip(some, _counted(core, some), strict=True):
            found[case.name] = [answer.instructions, answer.partitions] if not answer.error else answer.error
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(found, indent=0), encoding="utf-8")
        beside.rename(path)
        _say(f"{core}: {start + len(some)} of {len(left)}")


def _read(path: Path, grid: Mapping[str, Case]) -> dict[str, Any]:
    """Return case -> its instructions and partitions, or what the runtime said, of the cases that the grid has now."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: kept[name] for name in grid if name in kept}


def _counted(core: str, some: Sequence[Case]) -> list[Answer]:
    with tempfile.TemporaryDirectory(prefix="attendc-costs-") as folder:
        files = [case.build().write(Path(folder) / f"{i}.tflite") for i, case in enumerate(some)]
        idle = [_calls()[0].build().write(Path(folder) / "idle.tflite")] * _IDLE
        return emulate(CORES[core], [Task("count", file) for file in [*idle, *files]])[_IDLE:]


def _fit(grid: Mapping[str, Case], counts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    ops = {name: _op_of(case) for name, case in grid.items() if not name.startswith("call ") and _BASE not in name}
    table: dict[str, Any] = {"tiles": {}, "fixed": {}, "border": {}, "fallback": {}}
    kinds: dict[str, Any] = {}
    for core, found in counts.items():
        fixed, border = _call_costs(found)
        table["fixed"][core], table["border"][core] = fixed, border
        measured = {dtype: _measured(ops, found, dtype, fixed, border) for dtype in DTYPES}
        table["tiles"][core] = {dtype: _tile(best_tile(of)) for dtype, of in measured.items()}
        for dtype, of in measured.items():
            for row, (coefficients, errors) in fit_kinds(of, Tile(*table["tiles"][core][dtype])).items():
                kind = kinds.setdefault(row, {"cores": {}, "errors": {}})
                kind["cores"][core] = coefficients
                kind["errors"][core] = [round(100 * e, 2) for e in _median_and_p90(errors)]
        table["fallback"][core] = round(_fallback(measured["int8"], found), 1)
    table["undelegated"] = _undelegated(ops, counts["cortex-a76"], table)
    return {"about": _about(counts), **table, "kinds": dict(sorted(kinds.items()))}


def _op_of(case: Case) -> Op:
    """Return the operator that a case measures: of two layers around one it is the middle one."""
    ops = ops_of_model(case.build().finished())
    return ops[len(ops) // 2]


def _call_costs(found: Mapping[str, Any]) -> tuple[int, int]:
    """Return instructions of an inference that does nothing, and of each part that the delegate runs."""
    one, two, together, apart = (found[f"call {order}"][0] for order in ("e", "ee", "eeeccc", "ececec"))
    return 2 * one - two, (apart - together) // 2


def _measured(ops: Mapping[str, Op], found: Mapping[str, Any], dtype: str, fixed: int, border: int) -> list[Measured]:
    made = []
    for name, op in ops.items():
        if not name.startswith(dtype + " ") or isinstance(found[name], str):
            continue
        count, parts = found[name]
        around = found[name + _BASE][0] if name + _BASE in found else fixed + border * parts
        made.append(Measured(op, count - around))
    return made


def _tile(tile: Tile) -> list[int]:
    return [tile.rows, tile.columns, tile.depth, tile.step]


def _median_and_p90(errors: Sequence[float]) -> tuple[float, float]:
    if not errors:
        return (0.0, 0.0)
    ranked = sorted(map(abs, errors))
    return statistics.median(ranked), ranked[int(0.9 * (len(ranked) - 1))]


def _fallback(measured: Sequence[Measured], found: Mapping[str, Any]) -> float:
    """Return the median cost an element of int8 operators that LiteRT computes itself."""
    own = [name for name, count in found.items() if not isinstance(count, str) and count[1] == 0]
    kinds = {name.split()[1] for name in own if name.startswith("int8 ")}
    costs = [m.instructions / m.op.elements for m in measured if m.op.kind in kinds and m.op.elements > 1000]
    return statistics.median(costs)


def _undelegated(ops: Mapping[str, Op], found: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    """Return the rows whose operators XNNPACK left to LiteRT."""
    rows = set()
    for name, op in ops.items():
        if not isinstance(found[name], str) and found[name][1] == 0:
            rows.add(row_of(op, Tile(*table["tiles"]["cortex-a76"][op.dtype])))
    return sorted(rows)


def _errors_by_row(table: Mapping[str, Any]) -> str:
    """Return a line for each row: median error of held-out cases on each core, in percent."""
    lines = ["| row | " + " | ".join(CORES) + " |", "|---|" + "--:|" * len(CORES)]
    for row, of in table["kinds"].items():
        lines.append(f"| {row} | " + " | ".join(f"{of['errors'][core][0]:.1f}" for core in CORES) + " |")
    return "\n".join(lines) + "\n"


def _about(counts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a reader of the table must know."""
    return {
        "made_by": "scripts/measure_arm_costs.py",
        "what": "instructions of one inference with one thread; coefficients of the features of arm/cost/features.py",
        "runtime": {p.name: p.version for p in read_lock().packages if p.name in _RUNTIME},
        "cases": {core: sum(not isinstance(count, str) for count in found.values()) for core, found in counts.items()},
        "errors": "percent, median and 90th percentile, of every fourth case by a fit of the others",
        "tiles": "rows, columns, depth, step",
    }


def _as_text(table: Mapping[str, Any]) -> str:
    """Return JSON with each list on one line."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), json.dumps(table, indent=1)) + "\n"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
