"""docs/torchscript.md: its lines load both files, and both compute the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from nets import SMALL_SPEC, STAMP, Built
from torch import Tensor

from attendc.converters.program import save_program
from attendc.converters.to_torchscript import write_torchscript
from attendc.engines import default_engine
from attendc.qdq import output_params

PAGE = Path(__file__).parent.parent / "docs" / "torchscript.md"


@pytest.mark.filterwarnings(r"ignore:torch\.quantize_per_tensor, .* are deprecated:UserWarning")
def test_its_lines_run(built: Built, seen: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_torchscript(tmp_path / "model.int8.ts.pt", built.quantized, STAMP)
    save_program(tmp_path / "model.int8.pt2", built.quantized, SMALL_SPEC, STAMP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.backends.quantized, "engine", torch.backends.quantized.engine)  # put back at the end
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = []
    for block in blocks:
        known: dict[str, Any] = {"image": seen}
        exec(compile(block.replace('"onednn"', repr(default_engine())), PAGE.name, "exec"), known)
        found.append(known["logits"])
    script, program = found
    assert torch.equal(program, built.quantized(seen))
    assert (script - program).abs().max() <= 2.01 * output_params(built.quantized.graph)[0]
