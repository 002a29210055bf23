r"""The paper's four claims against what is measured here: one table and one picture.

    attendc arm setup
    OMP_NUM_THREADS=1 python benchmarks/paper_table.py -o docs/paper-table --keep /tmp/paper-table

writes docs/paper-table.md, .svg and .json. Every network goes the same way to TFLite, in float32 and int8, and is
counted on both emulated cores, at 1000 classes and, as it was trained, at ten; about two minutes a network. `--keep` is
a folder for the files and the counts: what lies there is not made again. Accuracies come from the file that
`paper_accuracy.py` writes; runs that it lacks are named.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from arm_files import CORES, counted, network_files
from arm_networks import PEERS, Network, member, of_timm
from paper_accuracy import CHANNELS, FACTORIES
from paper_claims import CLAIMS, DTYPES, Row, verdict
from paper_page import EQUAL, Found, results, written
from paper_picture import draw_claims
from torch import nn

from attendc.errors import DataError
from attendc.jobs.outputs import write_text
from attendc.metrics import count_macs

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from foreign import joined
from nets import settle

DESIGNS = ("attendnext", "attendnext_arm", "attendnext_arm_m", "attendnext_arm_xs")
"""Members with at most 3.94 M parameters at 1000 classes; each at its own resolution."""
MIXED = ("MobileViT-XS",)
"""Networks of which attendc's int8 files keep operators in float32."""
OWN_SIZE = {"MobileViT-XS": 256}
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/paper_table.py -o docs/paper-table"
TRAINING = "python benchmarks/paper_accuracy.py --data FASHION_MNIST_FOLDER -o benchmarks/paper_accuracy.json"


def networks() -> list[Network]:
    """Return the designs, and the others at the resolution of each design, and at their own."""
    designs = [member(name) for name in DESIGNS]
    sizes = sorted({network.size for network in designs} | {EQUAL}, reverse=True)
    peers = [_peer(name, size) for size in sizes for name in PEERS]
    return [*designs, *peers, *(_peer(name, size) for name, size in OWN_SIZE.items())]


def _peer(name: str, size: int) -> Network:
    return of_timm(name, *PEERS[name], size=size, allow_float=name in MIXED)


def as_trained(size: int) -> list[Network]:
    """Return the networks of `paper_accuracy.py` as they are deployed: branches joined, drawn weights."""

    def make(name: str) -> nn.Module:
        torch.manual_seed(0)
        return joined(settle(FACTORIES[name]()))

    return [
        Network(name, lambda name=name: make(name), size, "", name in MIXED, CHANNELS)  # type: ignore[misc]
        for name in FACTORIES
    ]


def measured(wanted: Iterable[Network], keep: Path) -> list[Row]:
    """Return a row for each network: those of the paper's resolution first, then the largest input."""
    rows = []
    for network in wanted:
        model = network.make()
        small, whole = network_files(network, keep)
        counts = counted((small, whole), keep)
        instructions = {
            dtype: {core: counts[core][file].instructions or 0 for core in reversed(CORES)}
            for dtype, file in zip(DTYPES, (whole, small), strict=True)
        }
        rows.append(
            Row(
                network.name,
                network.name in DESIGNS,
                network.size,
                sum(p.numel() for p in model.parameters()),
                count_macs(model, (network.channels, network.size, network.size)),
                instructions,
                network.allow_float,
                counts[CORES[0]][small].partitions,
            )
        )
        sys.stderr.write(f"measured: {network.name} at {network.size}\n")
    return sorted(rows, key=lambda row: (row.size != EQUAL, -row.size))


def read_accuracies(path: Path) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the recipe of the trainings and the accuracies of each network, in the order of the seeds.

    Raises:
        DataError: if the file is not there, or not one of `paper_accuracy.py`.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found: dict[str, list[float]] = {}
        for run in sorted(told["runs"], key=lambda run: run["seed"]):
            found.setdefault(run["network"], []).append(run["accuracy"])
        recipe: dict[str, Any] = told["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DataError(f"cannot read {path}: {type(e).__name__}: {e}", hint=TRAINING) from e
    return recipe, found


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as data."""
    sizes = sorted({row.size for row in found.rows if row.ours}, reverse=True)
    claims = [
        {"peer": claim.peer, "says": claim.says, "design": name, "size": size, "verdict": verdict(parts)}
        | {"parts": [asdict(part) for part in parts]}
        for size in sizes
        for claim in CLAIMS
        for name, parts in results(found, claim, size).items()
    ]
    rows = {"rows": [asdict(row) for row in found.rows], "trained": [asdict(row) for row in found.trained]}
    told = {"command": found.command, "training": found.training, "recipe": found.recipe}
    return {**told, **rows, "accuracies": found.accuracies, "claims": claims}


def main() -> None:
    """Measure what is missing, and write the page, the picture and the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("paper-table"), help="without suffix")
    parser.add_argument("--accuracy", type=Path, default=Path(__file__).parent / "paper_accuracy.json")
    parser.add_argument("--keep", type=Path, help="folder for the files that were made and the counts")
    given = parser.parse_args()
    recipe, accuracies = read_accuracies(given.accuracy)
    with tempfile.TemporaryDirectory() as name:
        keep = given.keep or Path(name)
        keep.mkdir(parents=True, exist_ok=True)
        rows = measured(networks(), keep)
        trained = measured(as_trained(recipe["size"]), keep)
    found = Found(rows, trained, accuracies, recipe, COMMAND, TRAINING)
    page = written(found, given.output.name)
    equal = [row for row in rows if row.size == EQUAL]
    write_text(given.output.with_suffix(".svg"), draw_claims(equal, trained, accuracies))
    write_text(given.output.with_suffix(".json"), json.dumps(as_json(found), indent=1) + "\n")
    write_text(given.output.with_suffix(".md"), page)
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
