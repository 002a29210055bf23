"""`attendc prune` as typed: what is printed where, the exit codes, and that failures leave nothing.

The small network is that of tests/jobs/test_prune.py: its layer `0` is guarded, and with 4, 3, 2, 1 of the channels
of `1.0` left it has 7528, 6222, 4916, 3610 MACs and 242, 194, 146, 98 parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import cells, names, nothing_left, told
from nets import NANO, small

from attendc.cli.main import main

Prune = Callable[..., int]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return where the checkpoint goes, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "x.safetensors"


def manifest_of(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(output.with_suffix(".manifest.json").read_text())
    return content


# What is printed


def test_stdout_has_the_table_and_stderr_the_log(prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prune("--macs=4.92k", "--epochs=1") == 0
    out, err = capfd.readouterr()
    assert out.startswith(f"{output}\n")
    rows = cells(out)
    assert [row[:5] for row in rows] == [
        ["as it was", "7,528", "1.000", "242", "1.000"],
        ["pruned", "4,916", "0.653", "146", "0.603"],
        ["batch norms measured again", "4,916", "0.653", "146", "0.603"],
        ["recovered", "4,916", "0.653", "146", "0.603"],
    ]
    assert [row[5] for row in rows] == [f"{row['accuracy']:.2%}" for row in manifest_of(output)["steps"]]
    for text in ("batch norms: 60/60 after", "train: 3/3 after", "epoch 1: loss"):
        assert text in err


def test_json_is_the_manifest_and_all_of_stdout(prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prune("--macs=4.92k", "--json") == 0
    assert json.loads(capfd.readouterr().out) == manifest_of(output)


def test_inspect_tells_the_numbers_of_the_table(prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prune("--macs=4.92k") == 0
    last = cells(capfd.readouterr().out)[-1]
    assert main(["inspect", str(output), "--model=nets:small", "--no-layers"]) == 0
    found = dict(cells(capfd.readouterr().out))
    assert (found["macs"], found["params"]) == (last[1], last[3]) == ("4,916", "146")


def test_help_shows_examples_and_every_kind_of_budget(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--help"]) == 0
    out = capfd.readouterr().out
    lines = [line.strip() for line in out.splitlines() if line.strip().startswith("attendc prune ")]
    assert len(lines) == 4
    assert all(str(NANO.relative_to(ROOT)) in line for line in lines)
    for text in (
        "--macs PART|N",
        "--params PART|N",
        "--bytes PART|N",
        "--budget CORE:PART|N",
        "--keep LAYER=PART",
        "--plan-only",
        "--json",
    ):
        assert text in out


def test_where_nothing_is_guarded_no_guard_is_to_blame(prune: Prune, capfd: pytest.CaptureFixture[str]) -> None:
    assert prune("--macs=600", "--no-guard") == 2
    assert told(capfd).endswith("600 were asked for. Ask for less")


def test_without_an_output_it_is_named_after_the_checkpoint(
    small_checkpoint: Path, small_npz: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["--model=nets:small", f"--data={small_npz}", "--macs=4.92k", "--epochs=0"]
    assert main(["prune", str(small_checkpoint), *given]) == 0
    made = {f"small-pruned.{suffix}" for suffix in ("safetensors", "plan.json", "manifest.json")}
    assert made < set(names(tmp_path))


# How to say what goes


@pytest.mark.parametrize(
    ("given", "macs", "params"),
    [
        (["--macs=0.7"], 4916, 146),  # 5269.6
        (["--macs=5k"], 4916, 146),
        (["--params=0.5"], 3610, 98),  # 121
        (["--params=150"], 4916, 146),
        (["--keep=1.0=0.75"], 6222, 194),
        (["--keep=0=0.25", "--keep=1.0=0.25"], 9 * 64 + 9 * 36 + 10, 10 + 9 + 2 + 20),
        (["--macs=0.51", "--guard=1"], 2 * 9 * 64 + 4 * 2 * 9 * 36 + 40, 20 + 72 + 8 + 50),  # 3784 of 3839
        (["--macs=1k", "--no-guard"], 9 * 64 + 9 * 36 + 10, 10 + 9 + 2 + 20),  # a channel of each
    ],
)
def test_by_budget_or_by_hand(prune: Prune, output: Path, given: list[str], macs: int, params: int) -> None:
    assert prune(*given) == 0
    row = manifest_of(output)["steps"][-1]
    assert (row["macs"], row["params"]) == (macs, params)


def test_a_plan_can_be_looked_at_kept_and_applied(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = output.with_name("plan.json")
    assert prune("--macs=4.92k", "--plan-only", f"-o{plan}") == 0
    out, _ = capfd.readouterr()
    assert out.startswith(f"{plan}\n")
    assert cells(out) == [["1.0", "2 of 4"]]
    assert "not pruned: 4: its outputs are the network's" in out
    assert "4,916 macs are left, 0.653 of the whole" in out
    assert names(output.parent) == ["plan.json"]
    assert prune(f"--plan={plan}") == 0
    assert manifest_of(output)["steps"][-1]["macs"] == 4916
    assert json.loads(output.with_suffix(".plan.json").read_text()) == json.loads(plan.read_text())


def test_a_core_s_budget_is_told_in_its_instructions(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert prune("--budget=cortex-a72:0.9") == 0
    out, _ = capfd.readouterr()
    manifest = manifest_of(output)
    budget, steps = manifest["rounds"][0]["budget"], manifest["steps"]
    assert budget["unit"] == "instructions on cortex-a72"
    assert budget["limit"] == pytest.approx(0.9 * budget["whole"])
    assert steps[0]["instructions"] == round(budget["whole"])
    assert steps[-1]["instructions"] == round(manifest["rounds"][0]["cost"]) <= budget["limit"]
    assert "instructions, estimated" in " ".join(out.split())
    assert cells(out)[0][1:3] == [f"{steps[0]['instructions']:,}", "1.000"]


def test_a_plan_tells_what_is_left_for_the_core(prune: Prune, capfd: pytest.CaptureFixture[str], output: Path) -> None:
    assert prune("--budget=cortex-a72:0.9", "--plan-only", f"-o{output.with_name('plan.json')}") == 0
    last = capfd.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"[\d,]+ instructions on cortex-a72 are left, 0\.[678]\d\d of the whole, as estimated", last)


def test_a_plan_without_an_output_is_only_shown(
    small_checkpoint: Path, small_npz: Path, tmp_path: Path, temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = names(tmp_path)
    given = ["--model=nets:small", f"--data={small_npz}", "--macs=4.92k", "--plan-only"]
    assert main(["prune", str(small_checkpoint), *given]) == 0
    assert capfd.readouterr().out.startswith("the plan (add -o plan.json to keep it)\n")
    assert main(["prune", str(small_checkpoint), *given, "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert (printed["cost"], printed["written"], printed["plan"]["layers"]["1.0"]["of"]) == (4916, None, 4)
    assert names(tmp_path) == before


def test_how_far_a_plan_ends_below_its_budget_is_said_once(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert prune("--macs=6k", "--plan-only", f"-o{output.with_name('plan.json')}") == 0
    out, err = capfd.readouterr()
    assert (out + err).count("the smallest last step went 18.1% below the budget") == 1  # 1 - 4916 / 6000


def test_a_hand_that_changes_a_plan_is_followed(prune: Prune, output: Path) -> None:
    plan = output.with_name("plan.json")
    assert prune("--macs=4.92k", "--plan-only", f"-o{plan}") == 0
    content = json.loads(plan.read_text())
    del content["layers"]["1.0"]["keep"][0]
    plan.write_text(json.dumps(content))
    assert prune(f"--plan={plan}") == 0
    assert manifest_of(output)["steps"][-1]["macs"] == 3610


@pytest.mark.parametrize(("given", "kind"), [(["--two-four"], "2:4"), (["--unstructured=0.5"], "unstructured")])
def test_masks_leave_the_costs_and_say_that_nothing_runs_faster(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], kind: str
) -> None:
    assert prune(*given) == 0
    out, err = capfd.readouterr()
    assert [row[:2] for row in cells(out)] == [
        ["as it was", "7,528"],
        ["masked", "7,528"],
        ["batch norms measured again", "7,528"],
    ]
    assert "files and times stay as they are" in err
    assert names(output.parent) == ["x.manifest.json", "x.safetensors"]
    assert manifest_of(output)["options"]["kind"] == kind


# What is refused, in one line and without a trace


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "error: nothing says how much to prune. Add --macs 0.5, --params, --bytes, --budget or --keep LAYER=0.5"),
        (["--macs=abc"], "error: macs=abc is no budget. Give a part such as macs=0.5 or an amount: macs=40k"),
        (["--macs=1.5"], "error: macs=1.5 is no budget. Give a part such as macs=0.5"),
        (["--macs=1.0"], "error: macs=1.0 is no budget. Give a part such as macs=0.5"),
        (["--params=-0.5"], "error: params=-0.5 is no budget"),
        (["--bytes="], "error: bytes= is no budget"),
        (["--macs=8k"], "error: macs=8k is not below the 7,528 of this network. For example macs=0.5"),
        (["--macs=0"], "error: macs=0 is not below"),
        (["--macs=3k"], "error: the budget macs=3k cannot be met: nothing more can go: 3,610 macs are left"),
        (["--budget=cortex-a76"], "error: budget=cortex-a76 is no budget. Give a core and a part of its instructions"),
        (["--budget=cortex-a76:half"], "error: budget=cortex-a76:half is no budget"),
        (["--budget=cortex-67:0.6"], "error: no core 'cortex-67'. Did you mean cortex-a76?"),
        (["--budget=0.6"], "error: budget=0.6 names no core. For example budget=cortex-a76:0.6"),
        (["--budget=cortex-a76:90G"], "error: budget=cortex-a76:90G is not below the "),
        (["--macs=0.5", "--budget=cortex-a76:0.6"], "error: --macs and --budget are two budgets. Give one of them"),
        (["--budget=cortex-a76:0.6", "--two-four"], "error: masks do not go with --budget"),
        (["--unstructured=nan"], "Invalid value for '--unstructured': nan is not a finite number"),
        (["--macs=0.7", "--seed=-1"], "-1 is not in the range 0<=x<=4294967295"),
        (["--macs=0.7", "--seed=18446744073709551616"], "is not in the range 0<=x<=4294967295"),
        (["--macs=0.5", "--params=0.5"], "error: --macs and --params are two budgets. Give one of them"),
        (["--macs=0.5", "--plan=p.json"], "error: --plan says what goes already. Leave out --macs, or --plan"),
        (["--keep=0=0.5", "--steps=2", "--plan=p.json"], "Leave out --keep, --steps, or --plan"),
        (["--guard=0", "--sensitivity", "--plan=p.json"], "Leave out --sensitivity, --guard, or --plan"),
        (["--plan-only", "--plan=p.json"], "error: --plan-only makes a plan, and --plan gives one"),
        (["--plan-only", "--macs=0.7"], "x.safetensors is no name of a plan. Give one that ends in .json"),
        (["--macs=0.5", "--two-four"], "error: masks do not go with --macs. Prune channels first"),
        (["--keep=0=0.5", "--unstructured=0.5"], "error: masks do not go with --keep"),
        (["--plan-only", "--two-four"], "error: masks do not go with --plan-only"),
        (["--guard=0", "--two-four"], "error: masks do not go with --guard"),
        (["--importance=l2", "--two-four"], "error: masks do not go with --importance"),
        (["--two-four", "--unstructured=0.5"], "error: --unstructured and --two-four are two kinds of masks"),
        (["--unstructured=1"], "Invalid value for '--unstructured': 1.0 is not in the range 0<x<1"),
        (["--macs=0.7", "--guard=0", "--no-guard"], "error: --guard and --no-guard contradict each other"),
        (["--macs=0.7", "--guard=stem"], "error: --guard stem: the network has no such layer"),
        (["--keep=0"], "Invalid value for --keep: '0' is not LAYER=PART"),
        (["--keep=0=half"], "'0=half' is not LAYER=PART"),
        (["--keep==0.5"], "'=0.5' is not LAYER=PART"),
        (["--keep=0=1.5"], "error: --keep 0=1.5: a part is between 0 and 1. 0 only removes a block"),
        (["--keep=4=0.5"], "error: 4 cannot be pruned: its outputs are the network's"),
        (["--macs=0.7", "--importance=l3"], "'l3' is not one of 'l1', 'l2', 'taylor', 'bn', 'activation'"),
        (["--macs=0.7", "--steps=0"], "0 is not in the range x>=1"),
        (["--macs=0.7", "--epochs=-1"], "-1 is not in the range x>=0"),
        (["--macs=0.7", "--epochs=1", "--lr=nan"], "error: lr is nan. It must be a number from 0 on"),
        (["--mac=0.5"], "No such option '--mac'. (Did you mean one of: '--macs'"),
        (["--macs=0.7", "--input-shape=8x8"], "'8x8' is not CxHxW"),
        (["--macs=0.7", "-ox.pt"], "error: x.pt does not end in .safetensors"),
    ],
)
def test_what_cannot_be_meant_exits_with_2(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], text: str
) -> None:
    assert prune(*given) == 2
    assert text in told(capfd)
    assert nothing_left(output)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_exits_with_2(prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert prune("--macs=0.7", "--epochs=1", "--device=cuda") == 2
    assert told(capfd) == "error: no CUDA device is available. Use --device cpu; in a recipe, device: cpu"
    assert nothing_left(output)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (["--data=nowhere"], 4, "no data at 'nowhere'. Give a folder, an .npz, shards, or one of: fashion-mnist-mini"),
        (["--epochs=1", "--batch-size=61"], 4, "57 training images make no batch of 61"),
        (["--plan=none.json"], 2, "the plan none.json cannot be read: [Errno 2] No such file or directory"),
        (["--input-shape=3x8x8", "--mean=0.5", "--std=0.5"], 3, "does not take an input of shape (2, 3, 8, 8)"),
        (["--model=nets:smal"], 3, "--model nets:smal failed: AttributeError"),
    ],
)
def test_other_failures_exit_with_their_codes(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str], given: list[str], code: int, text: str
) -> None:
    budget = [] if "--plan=none.json" in given else ["--macs=0.7"]
    assert prune(*budget, *given) == code
    line = told(capfd)
    assert line.startswith("error: ")
    assert text in line
    assert nothing_left(output)


def test_a_foreign_factory_in_a_spec_is_not_imported_unasked(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert prune("--macs=0.7", model="") == 3
    assert "asks to import nets:small, which is code. If you trust it, repeat the command with --model" in told(capfd)
    assert nothing_left(output)


def test_a_checkpoint_without_data_is_asked_for_some_or_pruned_without(
    prune: Prune, output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.save(small("conv_bn_relu").state_dict(), tmp_path / "plain.pt")
    given = ["--model-arg=middle=conv_bn_relu", "--mean=0.5", "--std=0.5", "--input-shape=1x8x8", "--data="]
    assert prune("--macs=0.7", *given, checkpoint=tmp_path / "plain.pt") == 4
    hint = "Add --data, or --importance l2 --epochs 0 to do without"
    assert told(capfd) == f"error: the importance taylor needs images. {hint}"
    assert nothing_left(output)
    assert prune("--macs=0.7", *given, "--importance=l2", checkpoint=tmp_path / "plain.pt") == 0
    assert [row[-1] for row in cells(capfd.readouterr().out)] == ["-", "-"]  # no accuracy


@pytest.mark.parametrize("given", [["--macs=abc"], ["--two-four", "--macs=0.5"], ["--two-four", "--unstructured=0.5"]])
def test_an_error_under_json_is_an_object_on_stdout_and_a_line_on_stderr(
    prune: Prune, capfd: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert prune("--json", *given) == 2
    out, err = capfd.readouterr()
    error = json.loads(out)["error"]
    assert (error["kind"], error["exit_code"]) == ("UsageError", 2)
    assert err.splitlines()[-1].startswith(f"error: {error['message']}")


def test_an_output_that_exists_is_kept_without_force(
    prune: Prune, output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output.with_suffix(".plan.json").write_text("precious")
    assert prune("--macs=0.7") == 2
    assert "x.plan.json exists already. Add --force to replace it" in told(capfd)
    assert names(output.parent) == ["x.plan.json"]
    assert prune("--macs=0.7", "--force") == 0
    assert names(output.parent) == ["x.manifest.json", "x.plan.json", "x.safetensors"]


# The shipped network


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_the_shipped_network_is_pruned_to_its_budget_and_still_knows_its_classes(
    output: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A tenth of the MACs less costs next to nothing once batch norms are measured again; see the benchmarks."""
    assert main(["prune", str(NANO), "--macs=0.9", "--epochs=0", f"-o{output}"]) == 0
    rows = cells(capfd.readouterr().out)
    assert (rows[0][1], rows[0][3]) == ("11,782,656", "185,722")
    assert 0.9 * 0.98 <= float(rows[-1][2]) <= 0.9
    steps = manifest_of(output)["steps"]
    assert steps[0]["accuracy"] > 0.9
    assert steps[-1]["accuracy"] > steps[0]["accuracy"] - 0.05
    assert main(["inspect", str(output), "--no-layers"]) == 0
    found = dict(cells(capfd.readouterr().out))
    assert (found["macs"], found["params"]) == (rows[-1][1], rows[-1][3])
