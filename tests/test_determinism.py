"""The same command makes the same bytes: two processes, two working folders, two outputs, two copies of the package.

Python's hash seed differs too. Not covered, and not promised: another machine or kind of CPU, another number of
threads, other versions of the libraries or another place of theirs, training on a GPU. The manifest is no artefact: it
names the paths that were typed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from nets import SMALL_SPEC, SPEC, STAMP, Built, tiny

from attendc.checkpoint import save_checkpoint
from attendc.converters.program import save_program
from attendc.converters.to_onnx import write_onnx
from attendc.converters.to_tflite import write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.files import sha256
from attendc.qdq import quant_table

ROOT = Path(__file__).parent.parent
FILES = [
    "model.float32.onnx",
    "model.float32.pt2",
    "model.float32.tflite",
    "model.float32.ts.pt",
    "model.int8.onnx",
    "model.int8.pt2",
    "model.int8.tflite",
    "model.int8.ts.pt",
]
WAYS = {
    "ptq": ([], FILES),
    "pruned by sensitivity, qat": (
        [
            "--prune=macs=0.7,sensitivity=true,steps=2,epochs=1,batch_size=16",
            *("--qat", "--epochs=2", "--batch-size=16", "--to=onnx"),
        ],
        [*(n for n in FILES if n.endswith((".onnx", ".pt2"))), "model.pruned.safetensors"],
    ),
}


def started(folder: Path, output: str, options: list[str], *, hash_seed: int) -> subprocess.Popen[str]:
    """Start `attendc quantize`, from a copy of the package of its own and with a cache of its own."""
    package = folder / "package"
    shutil.copytree(ROOT / "attendc", package / "attendc", ignore=shutil.ignore_patterns("__pycache__"))
    work = folder / "work"
    work.mkdir()
    env = {
        **os.environ,
        "PYTHONPATH": str(package),
        "PYTHONHASHSEED": str(hash_seed),
        "ATTENDC_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "attendc", "quantize", *options, "-o", output]
    return subprocess.Popen(command, cwd=work, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.name.startswith("model.")}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_write_the_same_bytes(tmp_path: Path, small_npz: Path, way: str) -> None:
    save_checkpoint(tmp_path / "tiny.safetensors", tiny(), SPEC)
    given, expected = WAYS[way]
    data = [f"--data={small_npz}", "--calib=8", "--images=20", "--no-gate", "--threads=1", "--seed=5"]
    options = [str(tmp_path / "tiny.safetensors"), "--int8", *data, *given]
    places = {tmp_path / "one": "out", tmp_path / "another" / "place": "deeper/there"}
    for place in places:
        place.mkdir(parents=True)
    runs = [started(place, output, options, hash_seed=i) for i, (place, output) in enumerate(places.items(), start=1)]
    for run in runs:
        _, error = run.communicate(timeout=600)
        assert run.returncode == 0, error
    first, second = (hashes(place / "work" / output) for place, output in places.items())
    assert list(first) == expected
    assert first == second


def test_a_saved_graph_names_no_place_and_no_address(built: Built, tmp_path: Path) -> None:
    """What torch.export keeps for debugging would name the folders of whoever made the file."""
    for name, graph in (("float", built.floating), ("int8", built.quantized)):
        save_program(tmp_path / name, graph, SMALL_SPEC, STAMP)
        with zipfile.ZipFile(tmp_path / name) as archive:
            model = next(archive.read(n) for n in archive.namelist() if n.endswith("models/model.json"))
        for trace in (b"stack_trace", b"from_node", b"graph_id", str(ROOT).encode(), sys.prefix.encode()):
            assert trace not in model


@pytest.mark.slow
def test_what_the_process_did_before_does_not_matter(built: Built, files: dict[str, Path], tmp_path: Path) -> None:
    """The files of the fixture were written some time before, after more or fewer others."""
    as_float = dataclasses.replace(STAMP, dtype="float32", calibration="")
    save_program(tmp_path / "pt2", built.quantized, SMALL_SPEC, STAMP)
    again = {name: tmp_path / name for name in files}
    write_tflite(again["tflite"], built.quantized, STAMP)
    write_onnx(again["onnx"], built.quantized, STAMP, layers=quant_table(built.quantized).layers)
    write_tflite(again["tflite_float32"], built.floating, as_float)
    write_onnx(again["onnx_float32"], built.floating, as_float)
    write_torchscript(again["torchscript_float32"], built.floating, as_float)
    save_program(tmp_path / "again.pt2", built.quantized, SMALL_SPEC, STAMP)
    assert {n: sha256(p) for n, p in again.items()} == {n: sha256(p) for n, p in files.items()}
    assert sha256(tmp_path / "pt2") == sha256(tmp_path / "again.pt2")


def test_a_torchscript_names_no_place(files: dict[str, Path]) -> None:
    with zipfile.ZipFile(files["torchscript_float32"]) as archive:
        assert [n for n in archive.namelist() if n.endswith(".py")] == [
            "archive/code/__torch__/torch/fx/graph_module/___torch_mangle_0.py"
        ]
        content = b"".join(archive.read(n) for n in archive.namelist())
    for trace in (b"debug_pkl", str(ROOT).encode(), sys.prefix.encode(), b"to_torchscript"):
        assert trace not in content
