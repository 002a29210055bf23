"""Fixtures of all tests: the built-in data, a small .npz of it, and one thread."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from arm.machines import required
from nets import SMALL, SMALL_SPEC, STAMP, Built, build, mixed, small, some, write_npz
from torch import Tensor

from attendc.arm.machine.setup import SetupRequest, setup_arm
from attendc.arm.machine.sysroot import arm_folder
from attendc.checkpoint import save_checkpoint
from attendc.context import Context
from attendc.converters.to_onnx import write_onnx
from attendc.converters.to_savedmodel import write_savedmodel
from attendc.converters.to_tflite import write_tflite
from attendc.converters.to_torchscript import write_torchscript
from attendc.data.images import Dataset, evenly
from attendc.data.preprocess import batches
from attendc.data.sources import load_dataset
from attendc.jobs.quantize import QuantizeRequest, quantize_checkpoint
from attendc.opening import CheckpointRequest
from attendc.parity import Gates
from attendc.qdq import quant_table
from attendc.train import Task, TrainOptions, train
from attendc.types import Architecture

TESTS = Path(__file__).parent

torch.set_num_threads(1)

# Else Python looks for garbage in all that torch and TensorFlow consist of, a quarter of the time of a conversion.
gc.set_threshold(100_000, 50, 100)


LONG = (
    "converters/test_operators",
    "zoo/test_zoo_attention",
    "test_examples",
    "recipes/test_shipped",
    "test_determinism",
    "zoo/test_zoo_convnets",
    "zoo/test_zoo_mixers",
    "jobs/test_quantize",
    "compress/pruning/test_property",
    "test_kill",
    "compress/pruning/test_core_budget",
    "jobs/test_convert",
    "arm/test_partitions",
    "test_resume",
)
"""The files that take longest, by `make test` with --durations=700, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files: a worker that comes late upon one leaves the others idle in the end."""
    rank = {TESTS / f"{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(LONG)))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Collect what a test left, and never look again at what is still there."""
    gc.collect()
    gc.freeze()


# matplotlib keeps its list of fonts in the home folder, unless told otherwise before it is imported.
_FONTS = tempfile.TemporaryDirectory(prefix="attendc-fonts-")
os.environ["MPLCONFIGDIR"] = _FONTS.name

# A shell starts a job in the background with SIGINT ignored, and so would be the tests of Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The emulated machine is the user's, made once and kept; whatever cache a test has, it is found there.
os.environ["ATTENDC_ARM"] = str(arm_folder())


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is cached, by this process and by those it starts, out of the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTENDC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty cache, so that none passes by what another one made."""
    monkeypatch.setenv("ATTENDC_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def mini() -> Dataset:
    """Return the built-in data set."""
    return load_dataset("fashion-mnist-mini")


@pytest.fixture(scope="session")
def small_npz(mini: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an .npz of 60 training and 20 test images."""
    return write_npz(tmp_path_factory.mktemp("data") / "small.npz", mini)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the log files of failed commands out of the system's temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def arm_machine() -> Path:
    """Set up the emulated machine, once for all processes; where that cannot be, skip, or fail if it is required."""
    with required():
        return Path(setup_arm(SetupRequest(), Context())["folder"])


# What is expensive, built once: a trained network of 1x8x8, its graphs and its files


@pytest.fixture(scope="session")
def samples(mini: Dataset) -> list[Tensor]:
    """Return 40 calibration inputs (1, 1, 8, 8)."""
    return [x for x, _ in batches(evenly(mini.train, 40), SMALL, batch_size=1)]


@pytest.fixture(scope="session")
def seen(mini: Dataset) -> Tensor:
    """Return 60 test images as inputs (60, 1, 8, 8)."""
    x = next(batches(evenly(mini.test, 60), SMALL, batch_size=60))[0]
    return x.clone(memory_format=torch.contiguous_format)  # with one channel its strides may look like channels-last


@pytest.fixture(scope="session")
def built(mini: Dataset, samples: list[Tensor], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return the mixed net, trained until it knows most classes, with all its graphs."""
    net = mixed()
    options = TrainOptions(epochs=6, batch_size=32, lr=2e-2, flip=False, shift=0)
    train(net, Task(some(mini.train, 80), some(mini.test, 2), SMALL), options, Context())
    return build(net.eval(), samples, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def files(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of the mixed net by the names that verification gives them. Copy one before changing it."""
    folder = tmp_path_factory.mktemp("files")
    paths = {n: folder / n for n in ("tflite", "onnx", "tflite_float32", "onnx_float32", "torchscript_float32")}
    as_float = dataclasses.replace(STAMP, dtype="float32", calibration="")
    write_tflite(paths["tflite"], built.quantized, STAMP)
    write_onnx(paths["onnx"], built.quantized, STAMP, layers=quant_table(built.quantized).layers)
    write_tflite(paths["tflite_float32"], built.floating, as_float)
    write_onnx(paths["onnx_float32"], built.floating, as_float)
    write_torchscript(paths["torchscript_float32"], built.floating, as_float)
    return paths


@pytest.fixture(scope="session")
def torchscript_int8(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the mixed net in torch's quantized kernels. Copy it before changing it."""
    path = tmp_path_factory.mktemp("torchscript") / "model.int8.ts.pt"
    write_torchscript(path, built.quantized, STAMP)
    return path


@pytest.fixture(scope="session")
def savedmodels(built: Built, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the SavedModels of the mixed net by the names that verification gives them. Copy one to change it."""
    folder = tmp_path_factory.mktemp("savedmodels")
    paths = {n: folder / n for n in ("savedmodel", "savedmodel_float32")}
    write_savedmodel(paths["savedmodel"], built.quantized, STAMP)
    as_float = dataclasses.replace(STAMP, dtype="float32", calibration="")
    write_savedmodel(paths["savedmodel_float32"], built.floating, as_float)
    return paths


# What commands work on


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of a convolution of 1x8x8 with a Spec; its factory is this project's tests' own."""
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    spec = dataclasses.replace(SMALL_SPEC, architecture=Architecture("nets:small", {"middle": "conv_bn_relu"}))
    save_checkpoint(path, small("conv_bn_relu"), spec)
    return path


@pytest.fixture(scope="session")
def small_folder(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what `attendc quantize` makes of it as TFLite and ONNX. Copy it before changing it."""
    folder = tmp_path_factory.mktemp("quantized") / "small-int8"
    source = CheckpointRequest(small_checkpoint, model="nets:small")
    loose = Gates(max_drop_points=100)
    quantize_checkpoint(
        QuantizeRequest(source, folder, calib=8, images=40, formats=("tflite", "onnx"), gates=loose),
        Context(),
    )
    return folder
