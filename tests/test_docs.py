"""The pages of docs/: what they show runs."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import attendc

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_the_blocks_of_the_python_page_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "attendnext_pico.safetensors", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    blocks = BLOCK.findall((ROOT / "docs" / "python.md").read_text())
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), known)
    assert len(blocks) == 9
    assert known["smaller"].steps[1]["macs"] <= 0.7 * known["smaller"].steps[0]["macs"]
    assert (tmp_path / "out" / "model.int8.tflite").is_file()
    assert (tmp_path / "runs" / "smoke" / "report.html").is_file()
    assert capsys.readouterr().out.splitlines()[-1].endswith("| 3")


@pytest.mark.parametrize("name", sorted(set(attendc.__all__) - {"__version__"}))
def test_every_public_name_can_be_had_and_is_explained(name: str) -> None:
    found = getattr(attendc, name)
    if inspect.isfunction(found) or inspect.isclass(found):  # the others are data and names of types
        assert found.__doc__
