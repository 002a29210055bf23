"""`attendc run` as typed, on a recipe whose three stages were done before: what is printed, done again and written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from commands import Ran, cells, names, told
from nets import RUN_FILES

from attendc.cli.main import main
from attendc.files import cache_folder
from attendc.manifest import read_manifest
from attendc.runner.cache import StageCache

Run = Callable[..., int]
ROOT = Path(__file__).parent.parent.parent
IDS = ["01-quantize", "02-convert", "03-verify"]
OUTPUTS = {"model.float32.pt2", "model.int8.onnx", "model.int8.pt2"}

BOTH = """\
version: 1
extends: small.yaml
variants: {mse: {ranges: mse}, minmax: {ranges: minmax}}
"""

FAULTY = """\
version: 1
model: none.safetensors
stages:
  - quantise
  - verify: {imags: 3}
"""


@pytest.fixture
def run(ran: Ran, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `attendc run` of the small recipe with the cache that knows it, in a folder with nothing but `tmp`."""
    monkeypatch.setenv("ATTENDC_CACHE", str(ran.cache))
    monkeypatch.chdir(tmp_path)
    return lambda *given: main(["run", str(ran.recipe), *given])


def states(err: str) -> list[str]:
    """Return what the log says of each stage: `01-quantize: starts`, `02-convert: done before`."""
    return re.findall(r"^\d\d-\w+: (?:starts|done before)", err, re.MULTILINE)


# What is printed and written


@pytest.mark.slow
def test_stdout_has_the_table_and_where_the_report_is(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-oout") == 0
    out, err = capfd.readouterr()
    entry = read_manifest(Path("out"))["outputs"]["model.int8.onnx"]
    accuracy = read_manifest(Path("out"))["verification"]["accuracy"]["onnx"]
    assert out.startswith("out: verified on 40 images\n")
    assert cells(out) == [["model.int8.onnx", "int8", f"{entry['bytes']:,}", f"{accuracy:.2%}", "100.00%", "0"]]
    assert out.endswith("scales: equal; integer weights: equal; passed\nreport: out/report.html\n")
    assert states(err) == [f"{name}: done before" for name in IDS]


@pytest.mark.slow
def test_the_folder_has_the_artefacts_and_all_that_tells_of_them(run: Run) -> None:
    assert run("-oout") == 0
    assert {p.name for p in Path("out").iterdir()} == OUTPUTS | RUN_FILES
    assert main(["recipe", "validate", "out/recipe.resolved.yaml"]) == 0


@pytest.mark.slow
def test_json_is_the_folder_with_its_manifest_and_all_of_stdout(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-oout", "--json") == 0
    assert json.loads(capfd.readouterr().out) == {"folder": "out", **read_manifest(Path("out"))}


@pytest.mark.slow
def test_quiet_leaves_only_the_result(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-oout", "-q") == 0
    out, err = capfd.readouterr()
    assert "model.int8.onnx" in out
    assert states(err) == []


# Which stages are done


@pytest.mark.slow
def test_set_changes_the_recipe_and_only_the_stages_that_it_changes(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("-oout", "--set=stages.verify.images=20", "--set", "name=other") == 0
    out, err = capfd.readouterr()
    manifest = read_manifest(Path("out"))
    assert out.startswith("out: verified on 20 images")
    assert (manifest["name"], manifest["recipe"]["stages"][2]["verify"]["images"]) == ("other", 20)
    assert states(err) == ["01-quantize: done before", "02-convert: done before", "03-verify: starts"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["convert", "02-convert"])
def test_from_a_stage_on_all_is_done_anew(run: Run, capfd: pytest.CaptureFixture[str], stage: str) -> None:
    assert run("-oout", f"--from={stage}") == 0
    assert states(capfd.readouterr().err) == ["01-quantize: done before", "02-convert: starts", "03-verify: starts"]


@pytest.mark.slow
def test_until_a_stage_makes_what_there_is_then(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-oout", "--until=quantize") == 0
    out, err = capfd.readouterr()
    outputs = read_manifest(Path("out"))["outputs"]
    assert set(outputs) == {"model.float32.pt2", "model.int8.pt2"}
    assert out.startswith("out: not verified\n")
    assert cells(out) == [[name, f"{entry['bytes']:,}"] for name, entry in outputs.items()]
    assert states(err) == ["01-quantize: done before"]


@pytest.mark.slow
def test_without_the_cache_nothing_is_taken_and_nothing_kept(
    run: Run, ran: Ran, capfd: pytest.CaptureFixture[str]
) -> None:
    before = StageCache(ran.cache / "stages").entries()
    assert run("-oout", "--no-cache", "--until=quantize") == 0
    assert states(capfd.readouterr().err) == ["01-quantize: starts"]
    assert StageCache(ran.cache / "stages").entries() == before


# Where it goes


@pytest.mark.slow
def test_without_an_output_the_folder_is_named_by_the_recipe_and_a_hash(run: Run) -> None:
    assert run("--until=quantize") == 0
    (first,) = names(Path("runs"))
    assert re.fullmatch("small-[0-9a-f]{8}", first)
    assert run("--until=quantize") == 0  # the same recipe and inputs: the same folder, made anew
    assert names(Path("runs")) == [first]
    assert run("--until=quantize", "--set=stages.verify.images=20") == 0
    assert len(names(Path("runs"))) == 2


@pytest.mark.slow
def test_a_folder_that_exists_is_kept_without_force(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-oout", "--until=quantize") == 0
    Path("out", "notes.txt").touch()
    capfd.readouterr()
    assert run("-oout", "--until=quantize") == 2
    assert told(capfd) == "error: out exists already. Add --force to replace it, or choose -o"
    assert "notes.txt" in names(Path("out"))
    assert run("-oout", "--until=quantize", "--force") == 0
    assert "notes.txt" not in names(Path("out"))


@pytest.mark.slow
def test_a_folder_of_the_user_is_not_replaced_even_with_force(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    Path("precious").mkdir()
    assert run("-oprecious", "--force") == 2
    assert "precious was not made by attendc (it holds no manifest.json)" in told(capfd)


# Gates


@pytest.mark.slow
def test_junit_has_a_test_for_each_gate(run: Run) -> None:
    assert run("-oout", "--junit=gates.xml") == 0
    root = ET.parse("gates.xml").getroot()
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": str(len(read_manifest(Path("out"))["gates"])),
        "failures": "0",
        "errors": "0",
    }
    assert "accuracy lost by onnx" in [case.get("name") for case in root.iter("testcase")]


@pytest.mark.slow
def test_lost_accuracy_exits_with_7_is_in_the_junit_file_and_leaves_no_folder(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("-oout", "--set=stages.verify.max_drop=-101", "--junit=gates.xml") == 7
    line = told(capfd)
    assert "points lost, -101.0 allowed" in line
    assert line.endswith("or allow more with --set stages.verify.max_drop=POINTS")
    failed = [case.get("name") for case in ET.parse("gates.xml").iter("testcase") if case.find("failure") is not None]
    assert failed == ["accuracy lost by graph", "accuracy lost by onnx"]
    assert names(Path()) == ["gates.xml", "tmp"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["tmp", "small.yaml/gates.xml"])
def test_a_junit_file_that_cannot_be_written_is_told_before_any_stage(
    run: Run, capfd: pytest.CaptureFixture[str], place: str
) -> None:
    Path("small.yaml").touch()
    assert run("-oout", f"--junit={place}") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert place in err
    assert names(Path()) == ["small.yaml", "tmp"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ("model.checkpoint=none.safetensors", 3, "no file none.safetensors. Check the path"),
        (
            "data.source=nowhere",
            4,
            "no data at 'nowhere'. Give a folder, an .npz, shards, or one of: fashion-mnist-mini",
        ),
    ],
)
def test_what_is_missing_exits_with_its_code_and_leaves_no_folder(
    small_recipe: Path,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    given: str,
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(small_recipe), f"--set={given}", "--junit=gates.xml"]) == code
    assert text in told(capfd)
    (error,) = ET.parse("gates.xml").iter("error")
    assert text in str(error.text)
    assert names(tmp_path) == ["gates.xml", "tmp"]


# Variants


@pytest.mark.slow
def test_variants_are_runs_side_by_side(run: Run, ran: Ran, capfd: pytest.CaptureFixture[str]) -> None:
    both = ran.recipe.with_name("both.yaml")
    both.write_text(BOTH)
    assert main(["run", str(both), "-oout", "--junit=gates.xml"]) == 0
    out, err = capfd.readouterr()
    assert names(Path("out")) == ["compare.html", "compare.json", "manifest.json", "minmax", "mse"]
    assert {p.name for p in Path("out/minmax").iterdir()} == OUTPUTS | RUN_FILES
    assert names(Path()) == ["gates.minmax.xml", "gates.mse.xml", "out", "tmp"]
    titles = ["out/mse: verified on 40 images", "out/minmax: verified on 40 images", "against mse"]
    assert [line for line in out.splitlines() if line in titles] == titles
    assert out.endswith("side by side: out/compare.html\n")
    assert states(err)[:4] == [*(f"{name}: done before" for name in IDS), "01-quantize: starts"]
    assert main(["compare", "out/mse", "out/minmax", "--max-drop=100"]) == 0
    assert "against out/mse" in capfd.readouterr().out


# Nothing is done


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(
    small_recipe: Path,
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(small_recipe), "--dry-run", "--until=convert"]) == 0
    out, _ = capfd.readouterr()
    assert out.startswith("small: nothing was done\n")
    assert cells(out) == [
        ["01-quantize", "runs", "not done before"],
        ["02-convert", "runs", "what comes in is not known yet"],
        ["03-verify", "left out", "comes after --until convert"],
    ]
    assert "missing" not in out
    assert names(tmp_path) == ["tmp"]
    assert not (cache_folder() / "stages").exists()


@pytest.mark.slow
def test_a_dry_run_knows_the_cache(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--dry-run", "--json", "--set=stages.verify.images=21") == 0
    told_ = json.loads(capfd.readouterr().out)
    assert [(row["id"], row["state"]) for row in told_["stages"]] == [
        ("01-quantize", "cached"),
        ("02-convert", "cached"),
        ("03-verify", "runs"),
    ]
    assert told_["missing"] == []
    assert run("--dry-run", "--from=convert") == 0
    assert [row[1] for row in cells(capfd.readouterr().out)] == ["cached", "runs", "runs"]
    assert run("--dry-run", "--no-cache") == 0
    assert [row[1:] for row in cells(capfd.readouterr().out)] == [["runs", "--no-cache"]] * 3
    assert names(Path()) == ["tmp"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("model.checkpoint=none.safetensors", "the checkpoint none.safetensors: give another with --set model.checkp"),
        ("data.source=nowhere", "the data nowhere: give other data with --set data.source=NAME_OR_PATH"),
    ],
)
def test_a_dry_run_tells_what_is_missing(
    small_recipe: Path, capfd: pytest.CaptureFixture[str], given: str, text: str
) -> None:
    assert main(["run", str(small_recipe), "--dry-run", f"--set={given}"]) == 0
    assert f"missing: {text}" in capfd.readouterr().out
    assert main(["run", str(small_recipe), "--dry-run", f"--set={given}", "--json"]) == 0
    assert text in json.loads(capfd.readouterr().out)["missing"][0]


def test_a_dry_run_of_variants_names_them(small_recipe: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (small_recipe.parent / "both.yaml").write_text(BOTH)
    assert main(["run", str(small_recipe.parent / "both.yaml"), "--dry-run"]) == 0
    rows = [row[:2] for row in cells(capfd.readouterr().out)]
    assert rows == [[variant, name] for variant in ("mse", "minmax") for name in IDS]


def test_a_shipped_recipe_goes_by_its_name(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)  # where the shipped checkpoint is
    assert main(["run", "smoke", "--dry-run"]) == 0
    out, _ = capfd.readouterr()
    assert [row[0] for row in cells(out)] == IDS
    assert "missing" not in out


# What is refused


@pytest.mark.usefixtures("temporary")
def test_all_faults_of_a_recipe_are_told_with_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(FAULTY)
    assert main(["run", "f.yaml", "--set=seed=x"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    set_, stage, key = err.splitlines()
    assert set_.startswith('error: --set seed=x: seed: "x": must be an integer')
    assert stage.startswith('f.yaml:4: stages[0]: "quantise": no such stage; known are train, prune')
    assert stage.endswith("(did you mean quantize?)")
    assert key.startswith("f.yaml:5: stages[1].verify.imags: 3: no such key; known are images")
    assert names(tmp_path) == ["f.yaml", "tmp"]


@pytest.mark.usefixtures("temporary")
def test_under_json_each_fault_is_an_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.yaml").write_text(FAULTY)
    assert main(["run", "f.yaml", "--json"]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"]) == ("RecipeError", 2)
    first, second = error["faults"]
    assert (first["file"], first["line"], first["path"], first["value"]) == ("f.yaml", 4, "stages[0]", '"quantise"')
    assert (first["suggestion"], second["suggestion"]) == ("quantize", "images")
    assert error["message"].splitlines()[1].startswith("f.yaml:5: stages[1].verify.imags: 3: no such key")


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("recipe", "given", "text"),
    [
        ("smok", [], "smok: no such file and no shipped recipe of that name"),
        ("smok", [], "(did you mean smoke?)"),
        (".", [], "error: .: is a folder; give the name of a file in it"),
        ("empty.yaml", [], "error: empty.yaml: is empty; a recipe begins with version: 1 and has stages"),
        ("noise.yaml", [], "error: noise.yaml:1: must be UTF-8; byte 0xFF in this line is not"),
        ("smoke", ["--set=seed"], "error: --set seed: must be PATH=VALUE, such as seed=3"),
        ("smoke", ["--set=seeed=1"], "(did you mean seed?)"),
        ("smoke", ["--from=conv"], "error: --from conv is no stage of this recipe. Choose from 01-quantize, 02-"),
        ("smoke", ["--until=4"], "error: --until 4 is no stage of this recipe"),
        ("smoke", ["--from=verify", "--until=convert"], "error: --from verify comes after --until convert"),
        ("smoke", ["--from=verify", "--until=convert", "--dry-run"], "error: --from verify comes after --until conv"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    recipe: str,
    given: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.yaml").touch()
    Path("noise.yaml").write_bytes(b"\xff\xfe")
    assert main(["run", recipe, *given]) == 2
    assert text in told(capfd)
    assert names(tmp_path) == ["empty.yaml", "noise.yaml", "tmp"]
