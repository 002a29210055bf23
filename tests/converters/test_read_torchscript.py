"""TorchScript files that are none, were cut, come from elsewhere, or hold other integers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hand_made import INPUT, AfterLayer, Exported, Layer, exported
from nets import SMALL
from torch import Tensor, nn

from attendc.converters.read_torchscript import inspect_torchscript, torchscript_quant_table
from attendc.converters.to_torchscript import LAYERS_FILE, write_torchscript
from attendc.errors import CheckpointError
from attendc.qdq import quant_table
from attendc.types import METADATA_FILE

READERS = (inspect_torchscript, torchscript_quant_table)
Read = Callable[[Path], object]


@pytest.fixture(scope="module")
def one() -> Exported:
    """Return one convolution with weights 1, 2, 3, ..."""
    weight = torch.arange(1, 33).reshape(4, 8, 1, 1)
    layer = Layer(weight, torch.tensor([7, -7, 70, 0]), torch.tensor([0.01, 0.02, 0.03, 0.04]))
    return exported(AfterLayer(layer, (1 / 8, -20), lambda x: x), 8, 3, 3)


@pytest.fixture(scope="module")
def file(one: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchscript") / "one"
    write_torchscript(path, one.graph, one.stamp)
    return path


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Copy an archive of torch's, each of its files changed by its name and content."""
    reader, writer = torch._C.PyTorchFileReader(str(source)), torch._C.PyTorchFileWriter(str(target))
    for name in reader.get_all_records():
        if name not in ("version", ".data/serialization_id"):
            content = change(name, reader.get_record(name))
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return target


def test_scales_and_integers_read_back(file: Path) -> None:
    table = torchscript_quant_table(file)
    assert sorted(table.activations.values()) == [INPUT, (1 / 8, -20)]
    layer = table.layers["conv2d"]
    assert (list(layer.weight), layer.shape) == ([*range(1, 33)], (4, 8, 1, 1))
    assert layer.scale == pytest.approx((0.01, 0.02, 0.03, 0.04))
    assert layer.bias == (7, -7, 70, 0)


def test_what_a_file_holds_is_told(file: Path, one: Exported) -> None:
    facts = inspect_torchscript(file)
    assert (facts["format"], facts["bytes"], facts["float_ops"]) == ("torchscript", file.stat().st_size, 0)
    assert facts["ops"] == {"aten::dequantize": 1, "aten::quantize_per_tensor": 1, "quantized::conv2d": 1}
    assert facts["inputs"] == [{"name": "image", "shape": ["batch", 8, 3, 3], "dtype": "float32"}]
    assert facts["outputs"] == [{"name": "logits", "shape": ["batch", 10], "dtype": "float32"}]
    assert facts["metadata"]["checkpoint_sha256"] == one.stamp.checkpoint_sha256


def test_one_changed_weight_is_seen(file: Path, one: Exported, tmp_path: Path) -> None:
    weight = bytes(range(1, 33))

    def change(name: str, content: bytes) -> bytes:
        return bytes([1, 3, *range(3, 33)]) if content == weight else content

    changed = torchscript_quant_table(rewritten(file, tmp_path / "x", change)).layers["conv2d"]
    assert list(changed.weight) == [1, 3, *range(3, 33)]
    assert changed != quant_table(one.graph).layers["conv2d"]
    same = torchscript_quant_table(rewritten(file, tmp_path / "y", lambda _, content: content))
    assert same.layers == quant_table(one.graph).layers


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("content", [b"", b"once upon a time", b"PK\x03\x04" + b"\0" * 60])
def test_what_is_no_torchscript_is_named_in_a_line(read: Read, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x is no readable TorchScript file: .*\. Convert it again") as caught:
        read(tmp_path / "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_named(read: Read, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="gone is no readable TorchScript file"):
        read(tmp_path / "gone")


@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_cut_file_is_named(part: float, file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    (tmp_path / "x").write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CheckpointError, match="x is no readable TorchScript file"):
        torchscript_quant_table(tmp_path / "x")


def test_a_pickled_module_is_not_unpickled(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x")
    with pytest.raises(CheckpointError, match="x is no readable TorchScript file"):
        inspect_torchscript(tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (METADATA_FILE, "{", "holds metadata that is no JSON"),
        (LAYERS_FILE, "[]", "has 1 int8 layers and tells of 0"),
        (LAYERS_FILE, '[{"name": "conv2d"}]', "tells of a layer that is none"),
    ],
)
def test_metadata_that_is_wrong_is_named(name: str, text: str, told: str, file: Path, tmp_path: Path) -> None:
    rewritten(file, tmp_path / "x", lambda n, content: text.encode() if n == f"extra/{name}" else content)
    read = inspect_torchscript if name == METADATA_FILE else torchscript_quant_table
    with pytest.raises(CheckpointError, match=told):
        read(tmp_path / "x")


class Foreign(nn.Module):
    """A module as others write them: not frozen, a branch, a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(self.layer(x))
        return x if bool(x.sum() > 0) else -x


def test_a_file_of_others_is_told_of(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Foreign()), str(tmp_path / "x"))
    facts = inspect_torchscript(tmp_path / "x")
    assert facts["ops"]["aten::linear"] == 1
    assert (facts["inputs"], facts["metadata"]) == ([], {})
    assert "relu" in [name.split(" %")[0] for name in facts["float_op_names"]]
    assert torchscript_quant_table(tmp_path / "x").layers == {}


def test_a_float_file_counts_its_float_operators(files: dict[str, Path]) -> None:
    facts = inspect_torchscript(files["torchscript_float32"])
    assert facts["float_ops"] == sum(facts["ops"].values()) > 10
    assert torchscript_quant_table(files["torchscript_float32"]).activations == {}
    assert facts["metadata"]["preprocess"] == {**json.loads(json.dumps(vars(SMALL))), "layout": "NCHW"}
