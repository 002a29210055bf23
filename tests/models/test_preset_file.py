"""Presets of the user's own: what a file may say, and what is told of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from attendc.errors import UsageError
from attendc.models.attendnext import PRESETS, AttendNeXtConfig
from attendc.models.preset_file import read_preset
from attendc.models.registry import input_of, resolve

SMALL = """\
# found somewhere
family: attendnext
input_size: [28, 32]
config:
  widths: [16, 32, 32, 64]
  depths: [1, 1, 1, 1]
  stem: patch
  stem_width: 16
  stem_pool: false
  gate: sigmoid
  classes: 10
  in_channels: 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_says_config_and_size_and_the_rest_has_defaults(tmp_path: Path) -> None:
    read = read_preset(written(tmp_path, SMALL))
    assert (read.height, read.width) == (28, 32)
    assert read.config == AttendNeXtConfig(
        widths=(16, 32, 32, 64),
        depths=(1, 1, 1, 1),
        stem="patch",
        stem_width=16,
        stem_pool=False,
        gate="sigmoid",
        classes=10,
        in_channels=1,
    )


def test_a_file_stands_wherever_the_name_of_a_preset_does(tmp_path: Path) -> None:
    path = str(written(tmp_path, SMALL))
    args = resolve(path, {"gate": "softmax"}, classes=3).args
    assert (args["gate"], args["classes"], args["stem"], args["mix"]) == ("softmax", 3, "patch", "border")
    assert input_of(path) == (1, 28, 32)
    with pytest.raises(UsageError, match=r"mine\.yaml has no gates\. It takes widths"):
        resolve(path, {"gates": "softmax"})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sigmoid", "sigmod", r"mine\.yaml:10: config\.gate: sigmod: must be one of softmax.*did you mean sigmoid\?\)"),
        ("  gate:", "  gates:", r"mine\.yaml:10: config\.gates: no such key; known are .*\(did you mean gate\?\)"),
        ("family: attendnext", "family: resnet", r"mine\.yaml:2: family: resnet: must be one of attendnext"),
        (
            "family:",
            "famly:",
            r"yaml: family is missing; .*yaml:2: famly: no such key.*did you mean family",
        ),
        ("[28, 32]", "28", r"mine\.yaml:3: input_size: 28: must be a list of 2 integers from 1 on"),
        ("[16, 32, 32, 64]", "[16, 32, 64]", r":5: config\.widths: \[16, 32, 64\]: must be a list of 4 integers"),
        ("stem_width: 16", "stem_width: 0", r":8: config\.stem_width: 0: must be an integer from 1 on"),
        ("stem_width: 16", "stem_width: true", r":8: config\.stem_width: True: must be an integer from 1 on"),
        ("stem_pool: false", "stem_pool: 0", r":9: config\.stem_pool: 0: must be true or false"),
        ("classes: 10", "classes: !!python/name:os.system 10", r":11: config\.classes: must be an integer from 1 on"),
        ("classes: 10", "classes: 2001-99-99", r":11: config\.classes: must be an integer from 1 on"),
        ("classes: 10", "gate: softmax", r":11: config\.gate: stands here a second time"),
        ("[28, 32]", "[28, 32", r"mine\.yaml:4: is not YAML: expected ',' or '\]'"),
        ("[28, 32]", "[4, 4]", r"mine\.yaml: no network can be built: nothing is left of 1x1 pixels behind stride 2"),
        (
            "stem_width: 16",
            "stem_width: 18",
            r"can be built: 18 channels of stem_width do not divide into 4 columns",
        ),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_is_allowed(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in SMALL
    with pytest.raises(UsageError, match=told):
        read_preset(written(tmp_path, SMALL.replace(old, new)))


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    wrong = SMALL.replace("sigmoid", "tanh").replace("[28, 32]", "[28]").replace("depths", "depth")
    with pytest.raises(UsageError) as told:
        read_preset(written(tmp_path, wrong))
    assert [part.split(": ")[1] for part in str(told.value).split("; ") if "mine.yaml:" in part] == [
        *("input_size", "config.depth", "config.gate")
    ]


@pytest.mark.parametrize("text", ["", "a word", "- a list", "[" * 5000])
def test_what_is_no_preset_at_all_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"mine\.yaml.*(must be a mapping with family|is not YAML)"):
        read_preset(written(tmp_path, text))


def test_a_file_that_is_not_there_is_told_with_the_one_beside_it(tmp_path: Path) -> None:
    written(tmp_path, SMALL)
    with pytest.raises(UsageError, match=r"no file .*mine2\.yaml\. Did you mean .*mine\.yaml\?"):
        read_preset(tmp_path / "mine2.yaml")
    (tmp_path / "mine3.yaml").mkdir()
    with pytest.raises(UsageError, match=r"mine3\.yaml cannot be read: Is a directory"):
        read_preset(tmp_path / "mine3.yaml")
    (tmp_path / "mine4.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"mine4\.yaml cannot be read: it is not UTF-8"):
        read_preset(tmp_path / "mine4.yaml")


def test_the_size_of_a_shipped_preset_and_of_a_factory() -> None:
    assert input_of("attendnext_nano") == (1, 32, 32)
    assert input_of(next(iter(PRESETS))) == input_of("package.module:make") == (3, 224, 224)
