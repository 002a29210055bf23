"""What a request means: the baseline, and what processes of one study must have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from explore.small_study import request

from attendc.context import Context
from attendc.errors import UsageError
from attendc.explore.candidate import candidate_from
from attendc.explore.request import prepare
from attendc.models.attendnext import PRESETS

FILE = """
family: attendnext
input_size: [16, 16]
config: {stem: patch, stem_width: 32, stem_stride: 4, columns: 2, widths: [32, 32, 64, 64], depths: [1, 1, 1, 1],
         stage_strides: [1, 1, 2, 1]}
"""


def test_a_baseline_may_be_a_preset_or_a_file_with_one_and_sees_the_data(tmp_path: Path, small_npz: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    file, preset = (
        prepare(request(tmp_path, small_npz, baseline=name), Context()) for name in (str(path), "attendnext_nano")
    )
    found = [candidate_from(prepared.first[0].facts["config"]) for prepared in (file, preset)]
    assert (found[0].config.depths, found[0].height) == ((1, 1, 1, 1), 16)
    assert (found[1].config, found[1].height) == (replace(PRESETS["attendnext_nano"], classes=10, in_channels=1), 32)
    assert file.settings["baseline"] == found[0].as_dict()


def test_who_has_another_file_for_a_baseline_does_not_work_on_the_same_study(tmp_path: Path, small_npz: Path) -> None:
    path = tmp_path / "mine.yaml"
    told = []
    for text in (FILE, FILE.replace("64, 64", "64, 96")):
        path.write_text(text)
        told.append(prepare(request(tmp_path, small_npz, baseline=str(path)), Context()).settings)
    assert {k for k in told[0] if told[0][k] != told[1][k]} == {"baseline"}


def test_a_baseline_that_is_none_is_told(tmp_path: Path, small_npz: Path) -> None:
    with pytest.raises(UsageError, match=r"no model 'attendnext_nan'\. Did you mean attendnext_nano"):
        prepare(request(tmp_path, small_npz, baseline="attendnext_nan"), Context())
