"""The preset that an exploration leaves: it says the whole design, and reads back as it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from attendc.explore.candidate import Candidate
from attendc.explore.winner import plainly, preset_yaml
from attendc.models.attendnext import PRESETS, AttendNeXtConfig
from attendc.models.preset_file import read_preset

NANO = Candidate(PRESETS["attendnext_nano"], 28, 32)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_back_as_the_design(name: str, tmp_path: Path) -> None:
    candidate, path = Candidate(PRESETS[name], 224, 192), tmp_path / "found.yaml"
    path.write_text(preset_yaml(candidate, ["found"]), encoding="utf-8")
    read = read_preset(path)
    assert Candidate(read.config, read.height, read.width) == candidate


def test_every_field_is_said_so_that_no_default_can_change_it() -> None:
    told = yaml.safe_load(preset_yaml(NANO))
    assert list(told) == ["family", "input_size", "config"]
    assert {*told["config"]} == {field.name for field in dataclasses.fields(AttendNeXtConfig)}


def test_lists_stand_in_a_line() -> None:
    assert "input_size: [28, 32]\n" in preset_yaml(NANO)
    assert "  widths: [16, 32, 64, 128]\n" in preset_yaml(NANO)


def test_what_is_said_of_it_stands_above_as_a_comment() -> None:
    text = preset_yaml(NANO, ["Found by attendc explore", "", "two\nlines: 1"])
    assert text.startswith("# Found by attendc explore\n#\n# two\n# lines: 1\nfamily: attendnext\n")
    assert yaml.safe_load(text) == yaml.safe_load(preset_yaml(NANO))


def test_attention_in_every_block_of_one_is_attention_at_stage_entry() -> None:
    def nano(attention: str, *depths: int) -> Candidate:
        return Candidate(dataclasses.replace(NANO.config, attention=attention, depths=depths), 32, 32)

    assert plainly(nano("every", 1, 1, 1, 1)) == nano("entry", 1, 1, 1, 1)
    assert plainly(nano("every", 1, 2, 1, 1)) == nano("every", 1, 2, 1, 1)
