"""What a run costs whose every stage is in the cache: the runner's own time.

    OMP_NUM_THREADS=1 python benchmarks/runner.py [REPEATS]

`attendc run smoke` fills a cache of its own, and is then run REPEATS times (10) from it, each time as a new process
into a new folder. One line each, in milliseconds: the median of all repeats, and the fastest and the slowest.

- `whole process`: from the start of Python to its end, as whoever types the command waits.
- `Python alone`: the same of a process that does nothing.
- `importing`: inside the process, in the outermost `import` of each module that was not there yet.
- `runner`: inside the process, everything else: reading the recipe, hashing what goes in and what is cached, copying
  the artefacts, and writing manifest, report and model card. The command's own output is among it.

The files that this machine has read lately come from memory, not from the disk.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "examples" / "attendnext_nano.safetensors"
INSIDE = "--inside"


def command(folder: Path) -> list[str]:
    """Return the arguments of the command that is measured."""
    return ["run", "smoke", "--set", f"model.checkpoint={CHECKPOINT}", "-o", str(folder), "--quiet"]


def inside(arguments: list[str]) -> dict[str, float]:
    """Run a command of attendc in this process and return its seconds: of importing, and of the rest."""
    started = time.perf_counter()
    with importing_timed() as imports, suppress(SystemExit):
        sys.argv = ["attendc", *arguments]
        from attendc.cli.main import run

        run()
    whole = time.perf_counter() - started
    return {"importing": sum(imports), "runner": whole - sum(imports)}


@contextmanager
def importing_timed() -> Iterator[list[float]]:
    """Give a list that gets the seconds of every outermost import."""
    seconds: list[float] = []
    originals = builtins.__import__, importlib.import_module
    depth = 0

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*given: Any, **named: Any) -> Any:
            nonlocal depth
            depth += 1
            started = time.perf_counter()
            try:
                return original(*given, **named)
            finally:
                depth -= 1
                if depth == 0:
                    seconds.append(time.perf_counter() - started)

        return wrapper

    builtins.__import__, importlib.import_module = (timed(original) for original in originals)
    try:
        yield seconds
    finally:
        builtins.__import__, importlib.import_module = originals


def measured(arguments: Sequence[str], environment: dict[str, str]) -> float:
    """Return the seconds of a Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
    return time.perf_counter() - started


def table(repeats: int) -> dict[str, list[float]]:
    """Return the seconds of every line, one a repeat."""
    rows: dict[str, list[float]] = {"whole process": [], "Python alone": [], "importing": [], "runner": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "ATTENDC_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        measured(["-m", "attendc", *command(folder / "first")], environment)
        for n in range(repeats):
            rows["whole process"].append(measured(["-m", "attendc", *command(folder / f"whole-{n}")], environment))
            check_cached(folder / f"whole-{n}")
            rows["Python alone"].append(measured(["-c", "pass"], environment))
            told = folder / f"{n}.json"
            measured([__file__, INSIDE, str(told), *command(folder / f"inside-{n}")], environment)
            check_cached(folder / f"inside-{n}")
            for key, seconds in json.loads(told.read_text(encoding="utf-8")).items():
                rows[key].append(seconds)
    return rows


def check_cached(folder: Path) -> None:
    """Refuse to measure a run that did any stage."""
    stages = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["stages"]
    if not all(stage["cached"] for stage in stages):
        sys.exit(f"{folder} was not made from the cache alone")


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == [INSIDE]:
        Path(sys.argv[2]).write_text(json.dumps(inside(sys.argv[3:])), encoding="utf-8")
        return
    rows = table(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    lines = ["| attendc run smoke, all cached | median | fastest | slowest |", "|---|---|---|---|"]
    for name, seconds in rows.items():
        cells = (f"{1000 * value:.0f} ms" for value in (statistics.median(seconds), min(seconds), max(seconds)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
