"""`--print-recipe`: every verb is a recipe, which it prints, which loads, and which does the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import names, told

from attendc import Recipe, load_recipe, recipe_to_data
from attendc.cli.main import main
from attendc.files import cache_folder

PLAIN = ["quantize", "my.safetensors", "--int8"]

VERBS: dict[str, tuple[list[str], list[str]]] = {
    "quantize": (PLAIN, ["quantize", "convert", "verify"]),
    "quantize without data": (
        [*PLAIN, "--calib=random", "--allow-float", "--no-gate"],
        ["quantize", "convert", "verify"],
    ),
    "quantize, QAT": (
        [*PLAIN, "--qat", "--epochs=3", "--lr=1e-3", "--device=cuda", "--to=onnx", "--io=uint8", "--images=7"],
        ["quantize", "convert", "verify"],
    ),
    "quantize, pruned, QAT": (
        [*PLAIN, "--prune=macs=0.5,epochs=1,importance=l2", "--prune=sensitivity=true", "--qat", "--seed=7"],
        ["prune", "quantize", "convert", "verify"],
    ),
    "quantize what says nothing of itself": (
        [
            *PLAIN,
            "--model=package.module:factory",
            '--model-arg=widths=[1, 2, {"a": null}]',
            "--model-arg=name=${home}: #1",
            "--weights-key=ema",
            "--trust-checkpoint",
            "--input-shape=3x8x16",
            "--mean=0.5,0.25,1e-3",
            "--std=0.5",
            "--fit=crop",
            "--data=images: mine",
            "--threads=2",
        ],
        ["quantize", "convert", "verify"],
    ),
    "prune": (["prune", "my.safetensors", "--macs=0.5"], ["prune"]),
    "prune by hand": (
        ["prune", "my.safetensors", "--keep=1.0=0.5", "--keep=2=0", "--guard=stem", "--guard=0", "--bytes=100k"],
        ["prune"],
    ),
    "prune everything": (["prune", "my.safetensors", "--params=0.25", "--no-guard", "--steps=3"], ["prune"]),
    "prune, only the plan": (["prune", "my.safetensors", "--macs=6M", "--plan-only", "-op.json"], ["prune"]),
    "prune by a plan": (["prune", "my.safetensors", "--plan=p.json", "--epochs=0"], ["prune"]),
    "prune, 2:4": (["prune", "my.safetensors", "--two-four", "--lr=0.001", "--precision=bfloat16"], ["mask"]),
    "prune, unstructured": (["prune", "my.safetensors", "--unstructured=0.7"], ["mask"]),
    "train": (["train", "-omy.safetensors"], ["train"]),
    "train, all said": (
        [
            "train",
            "-omy.safetensors",
            "--model=package.module:factory",
            "--model-arg=classes=3",
            "--data=a.npz",
            "--spec-data=b.npz",
            "--input-size=16x8",
            "--init=first.safetensors",
            "--epochs=0",
            "--weight-decay=0",
            "--label-smoothing=1",
            "--precision=bfloat16",
            "--no-flip",
            "--shift=0",
            "--hold-out=0.5",
            "--device=cuda",
        ],
        ["train"],
    ),
    "convert": (["convert", "my.safetensors", "-oout"], ["convert", "verify"]),
    "convert a folder": (
        ["convert", "runs/q", "-oout", "--dtype=int8,float32", "--to=tflite", "--io=float32", "--min-agreement=0.5"],
        ["convert", "verify"],
    ),
    "simplify": (["simplify", "my.safetensors", "-ox.pt2"], ["simplify"]),
    "simplify, all said": (
        ["simplify", "my.safetensors", "-ox.pt2", "--skip=fold_bn,give_biases", "--images=0", "--data=a.npz"],
        ["simplify"],
    ),
    "verify": (["verify", "runs/q"], ["verify"]),
    "verify here": (["verify", "."], ["verify"]),
    "verify, all said": (["verify", "runs/q", "--data=a.npz", "--images=9", "--max-drop=-0.5"], ["verify"]),
    "analyze": (["analyze", "my.safetensors", "--sensitivity"], ["analyze"]),
    "analyze, all said": (
        ["analyze", "my.safetensors", "--sensitivity", "--keep=0.75,0.5", "--importance=bn", "-os.png", "--no-cache"],
        ["analyze"],
    ),
}


def printed(capfd: pytest.CaptureFixture[str], *given: str) -> str:
    """Return what a command prints with --print-recipe; it says nothing else."""
    capfd.readouterr()
    assert main([*given, "--print-recipe"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(("given", "steps"), VERBS.values(), ids=VERBS)
def test_what_a_verb_prints_loads_to_the_recipe_that_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    steps: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("typed.yaml").write_text(printed(capfd, *given))
    meant = json.loads(printed(capfd, *given, "--json"))
    assert main(["recipe", "validate", "typed.yaml"]) == 0
    loaded = load_recipe("typed.yaml")
    assert json.loads(json.dumps(recipe_to_data(loaded))) == meant
    assert [entry.step for entry in loaded.stages] == steps
    assert names(tmp_path) == ["tmp", "typed.yaml"]
    assert names(cache_folder()) == []


def loaded(tmp_path: Path, text: str) -> Recipe:
    (tmp_path / "typed.yaml").write_text(text)
    return load_recipe(tmp_path / "typed.yaml")


@pytest.mark.usefixtures("temporary")
def test_what_is_typed_stands_in_the_recipe(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given = [*VERBS["quantize what says nothing of itself"][0], "--qat", "--epochs=3", "--max-drop=2", "--seed=7"]
    recipe = loaded(tmp_path, printed(capfd, *given))
    model = recipe.model
    assert (recipe.name, recipe.seed, recipe.threads, recipe.data.source) == ("my-int8", 7, 2, "images: mine")
    assert (model.factory, model.name, model.trust, model.weights_key) == ("package.module:factory", "", True, "ema")
    assert (model.input_shape, model.mean, model.std, model.fit) == ((3, 8, 16), (0.5, 0.25, 1e-3), (0.5,), "crop")
    assert model.args == {"widths": [1, 2, {"a": None}], "name": "${home}: #1"}
    quantize, _, verify = (entry.config for entry in recipe.stages)
    assert (quantize.mode, quantize.epochs, verify.max_drop) == ("qat", 3, 2.0)


def test_a_command_that_cannot_be_meant_prints_no_recipe(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "my.safetensors", "--macs=0.5", "--params=0.5", "--print-recipe"]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            ["prune", "my.safetensors", "--keep=0=1.5"],
            "error: the recipe of this command:9: stages[0].prune.keep.0: 1.5",
        ),
        ([*PLAIN, "--qat", "--lr=nan"], 'stages[0].quantize.lr: ".nan": must be a finite number'),
        (["analyze", "my.safetensors", "--sensitivity", "-os.pdf"], 'stages[0].analyze.picture: "pdf": must be one of'),
    ],
)
def test_what_no_recipe_may_say_is_not_printed(capfd: pytest.CaptureFixture[str], given: list[str], text: str) -> None:
    assert main([*given, "--print-recipe"]) == 2
    assert text in told(capfd)


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    "more",
    [
        ["--to=tflite,onnx"],
        ["--to=onnx", "--prune=macs=0.7,epochs=1,batch_size=16", "--qat", "--epochs=1", "--batch-size=16"],
    ],
)
def test_the_recipe_of_quantize_makes_the_same_bytes(
    small_checkpoint: Path, small_npz: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: list[str]
) -> None:
    source = ["quantize", str(small_checkpoint), "--int8", "--model=nets:small", f"--data={small_npz}", *more]
    given = [*source, "--calib=8", "--dtype=int8", "--max-drop=100", "--seed=3"]
    (tmp_path / "typed.yaml").write_text(printed(capfd, *given))
    assert main([*given, f"-o{tmp_path / 'verb'}"]) == 0
    assert main(["run", str(tmp_path / "typed.yaml"), f"-o{tmp_path / 'recipe'}", "--no-cache"]) == 0
    artefacts = [name for name in names(tmp_path / "verb") if name.startswith("model.")]
    assert {"model.int8.onnx", "model.int8.pt2"} <= set(artefacts)
    for name in (*artefacts, "recipe.resolved.yaml"):
        assert (tmp_path / "recipe" / name).read_bytes() == (tmp_path / "verb" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_the_recipe_finds_what_the_verb_did(
    small_checkpoint: Path, small_npz: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["prune", str(small_checkpoint), "--model=nets:small", f"--data={small_npz}", "--macs=0.7", "--epochs=0"]
    (tmp_path / "typed.yaml").write_text(printed(capfd, *given))
    assert main([*given, f"-o{tmp_path / 'pruned.safetensors'}"]) == 0
    capfd.readouterr()
    assert main(["run", str(tmp_path / "typed.yaml"), f"-o{tmp_path / 'run'}"]) == 0
    assert "01-prune: done before" in capfd.readouterr().err
    made = tmp_path / "run" / "model.pruned.safetensors"
    assert made.read_bytes() == (tmp_path / "pruned.safetensors").read_bytes()
