"""TorchScript files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from nets import STAMP, Built, raw
from torch import Tensor, nn

from attendc.converters.to_torchscript import write_torchscript
from attendc.errors import ConversionError, OutputError
from attendc.runtimes import torchscript_runner
from attendc.types import METADATA_FILE


@pytest.mark.parametrize("count", [1, 7])  # traced with 2
def test_it_runs_at_other_batch_sizes(count: int, files: dict[str, Path], built: Built, seen: Tensor) -> None:
    y = torchscript_runner(files["torchscript_float32"])(seen[:count])
    assert torch.allclose(y, built.floating(seen[:count]), atol=1e-5)


class ClassToken(nn.Module):
    """A token before the pixels, zeros of the batch's size and a repeated row: (N, 1, 8, 8) -> (N, 65)."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.row = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1, 64))

    def forward(self, x: Tensor) -> Tensor:
        pixels = torch.cat([x.flatten(1), torch.zeros(x.shape[0], 1)], 1)[:, :64] + self.row.repeat(x.shape[0], 1)
        return torch.cat([self.token.expand(x.shape[0], -1), pixels], 1)


@pytest.mark.parametrize("count", [1, 7])
def test_a_constant_spread_over_the_batch_follows_it(count: int, seen: Tensor, tmp_path: Path) -> None:
    net = ClassToken()
    write_torchscript(tmp_path / "x", raw(net), dataclasses.replace(STAMP, dtype="float32"))
    assert torch.equal(torchscript_runner(tmp_path / "x")(seen[:count]), net(seen[:count]))


def test_the_stamp_reads_back(files: dict[str, Path]) -> None:
    extra = {METADATA_FILE: ""}
    torch.jit.load(str(files["torchscript_float32"]), _extra_files=extra)
    stamp = json.loads(extra[METADATA_FILE])
    assert (stamp["checkpoint_sha256"], stamp["dtype"]) == ("5eed" * 16, "float32")
    assert stamp["labels"] == list("abcdefghij")


@pytest.mark.parametrize(("dtype", "how"), [("float32", "trace"), ("int8", "compile")])
def test_what_cannot_be_written_leaves_no_file(dtype: str, how: str, tmp_path: Path) -> None:
    graph = torch.fx.symbolic_trace(torch.nn.Conv2d(7, 1, 1))
    with pytest.raises(ConversionError, match=rf"torch.jit cannot {how} the graph: .* to have 7 channels"):
        write_torchscript(tmp_path / "x", graph, dataclasses.replace(STAMP, dtype=dtype))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_torchscript(tmp_path, built.floating, STAMP)
