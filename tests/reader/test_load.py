"""A whole recipe: its sections, the rules among them, variants, and all faults at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_stages import Cut, Grow, faults_of, read

from attendc.reader.faults import Fault, RecipeError
from attendc.reader.head import Head
from attendc.reader.load import CONFIGS, load_recipe, recipe_from_text
from attendc.reader.sources import shipped_recipes
from attendc.recipe import DataSection, ModelSection, Recipe, StageEntry, TargetSection
from attendc.stages.registry import STAGES

HEX = "0123456789abcdef" * 4
NO_CHECKPOINT = (
    "is missing; a recipe that begins with train needs none, nor one that only quantizes or converts a model"
)
GOOD = "version: 1\nmodel: a.pt\nstages: [grow]\n"


def test_a_recipe_with_everything() -> None:
    recipe = read(
        """version: 1
name: all of it
vars: {checkpoint: a.pt, epochs: 2}
model: {checkpoint: "${checkpoint}", name: nano, args: {classes: 10}, input_shape: [1, 8, 8], mean: [0.5], fit: pad}
data: {source: mini, sha256: 'SUM'}
target: {core: cortex-a53}
seed: 3
device: cuda
threads: 2
output: out
stages:
  - cut: {by: 0.5}
  - grow: {epochs: "${epochs}"}
  - grow
""".replace("SUM", HEX.upper())
    )
    assert recipe == Recipe(
        name="all of it",
        stages=(StageEntry("cut", Cut(0.5)), StageEntry("grow", Grow(epochs=2)), StageEntry("grow", Grow())),
        model=ModelSection("a.pt", name="nano", args={"classes": 10}, input_shape=(1, 8, 8), mean=(0.5,), fit="pad"),
        data=DataSection("mini", HEX),
        target=TargetSection("cortex-a53"),
        seed=3,
        device="cuda",
        threads=2,
        output="out",
    )


def test_plain_strings_are_short_for_mappings() -> None:
    recipe = read("version: 1\nmodel: a.pt\ndata: mini\ntarget: neoverse-n1\nstages: [grow]\n")
    assert recipe.model == ModelSection("a.pt")
    assert recipe.data == DataSection("mini")
    assert recipe.target == TargetSection("neoverse-n1")


def test_the_name_is_that_of_the_file_unless_it_is_given() -> None:
    assert read(GOOD, file="some/where/my run.yaml").name == "my run"
    assert read(GOOD, file="<text>").name == "recipe"
    assert read(GOOD + "vars: {n: b}\nname: 'a-${n}'\n").name == "a-b"


def test_variants_are_the_same_recipe_with_other_vars() -> None:
    text = """version: 1
vars: {epochs: 5}
model: a.pt
stages: [{grow: {mode: "${mode}", epochs: "${epochs}"}}]
variants: {s: {mode: slow}, f: {mode: fast, epochs: 7}}
"""
    recipe = read(text)
    assert list(recipe.variants) == ["s", "f"]
    assert recipe.variants["s"].stages[0].config == Grow(mode="slow", epochs=5)
    assert recipe.variants["f"].stages[0].config == Grow(mode="fast", epochs=7)
    assert recipe.stages[0].config == Grow(mode="slow", epochs=5)  # its own vars, and `mode` of the first
    assert recipe.variants["f"].variants == {}
    assert recipe.variants["f"].name == recipe.name == "r"


def test_a_fault_of_several_variants_is_told_once_and_one_of_a_single_variant_at_that() -> None:
    text = GOOD.replace("[grow]", "[{grow: {mode: '${mode}', epochs: 0}}]")
    faults = faults_of(text + "variants:\n  a: {mode: slow}\n  b: {mode: fsat}\n  c: {mode: '${no}'}\n")
    assert [(fault.line, fault.path, fault.value) for fault in faults] == [
        (3, "stages[0].grow.epochs", "0"),
        (6, "stages[0].grow.mode", '"fsat"'),
        (7, "variants.c.mode", '"${no}"'),
    ]


def test_a_variable_that_only_another_variant_has_is_missing() -> None:
    faults = faults_of(GOOD + "output: '${x}'\nvariants: {a: {x: y}, b: {}}\n")
    assert faults == (Fault("r.yaml", 4, "output", '"${x}"', "no such variable x; in vars are none"),)


def test_faults_of_the_recipe_itself_and_of_its_variants_are_told_together() -> None:
    faults = faults_of(GOOD + "seed: '${x}'\nthreads: '${y}'\nvars: {x: q, y: 0}\nvariants: {a: {x: 1}}\n")
    assert [(fault.path, fault.value) for fault in faults] == [("threads", "0"), ("seed", '"q"')]


def test_a_fault_of_the_recipe_itself_is_told_though_no_variant_has_it() -> None:
    faults = faults_of(GOOD + "seed: '${x}'\nvars: {x: q}\nvariants: {a: {x: 1}}\n")
    assert [(fault.line, fault.path) for fault in faults] == [(5, "seed")]


PRESET = "must be a preset or the .yaml of one; package.module:function stands in model.factory"
FOLDER = "must be letters, digits, spaces and . _ + - only, 100 at most"


@pytest.mark.parametrize(
    ("text", "line", "path", "value", "message", "suggestion"),
    [
        ("model: a.pt\nstages: [grow]", 1, "version", "", "is missing; it must be 1", ""),
        ("version: 2\nmodel: a.pt\nstages: [grow]", 1, "version", "2", "must be 1", ""),
        ("version: true\nmodel: a.pt\nstages: [grow]", 1, "version", "true", "must be 1", ""),
        ("version: '1'\nmodel: a.pt\nstages: [grow]", 1, "version", '"1"', "must be 1", "1"),
        ("version: 1\nmodel: a.pt", 1, "stages", "", "is missing; it must list stages: grow, cut, twice", ""),
        (
            "version: 1\nmodel: a.pt\nstages: []",
            3,
            "stages",
            "[]",
            "must hold at least one stage: grow, cut, twice",
            "",
        ),
        ("version: 1\nmodel: a.pt\nstages:", 3, "stages", "null", "must be a list of stages: grow, cut, twice", ""),
        (
            "version: 1\nmodel: a.pt\nstages: {grow: }",
            3,
            "stages",
            '{"grow": null}',
            "must be a list of stages: grow, cut, twice",
            "",
        ),
        (
            "version: 1\nmodel: a.pt\nstages: [gorw]",
            3,
            "stages[0]",
            '"gorw"',
            "no such stage; known are grow, cut, twice",
            "grow",
        ),
        (
            "version: 1\nmodel: a.pt\nstages:\n- grow\n- os.system: {}",
            5,
            "stages[1]",
            '"os.system"',
            "no such stage; known are grow, cut, twice",
            "",
        ),
        (
            "version: 1\nmodel: a.pt\nstages: [3]",
            3,
            "stages[0]",
            "3",
            "must be one stage, its name alone or with options",
            "",
        ),
        (
            "version: 1\nmodel: a.pt\nstages: [{}]",
            3,
            "stages[0]",
            "{}",
            "must be one stage, its name alone or with options",
            "",
        ),
        (
            "version: 1\nmodel: a.pt\nstages:\n- grow:\n  epochs: 3",
            4,
            "stages[0]",
            '{"grow": null, "epochs": 3}',
            "must be one stage, its name alone or with options; indent its options below it",
            "",
        ),
        ("version: 1\nmodel: a.pt\nstages: [{grow: [1]}]", 3, "stages[0].grow", "[1]", "must be a mapping", ""),
        ("version: 1\nmodel: [a]\nstages: [grow]", 2, "model", '["a"]', "must be a mapping", ""),
        (
            "version: 1\nstages: [grow]",
            1,
            "model.checkpoint",
            "",
            NO_CHECKPOINT,
            "",
        ),
        (
            "version: 1\nmodel: {name: nano}\nstages: [grow]",
            2,
            "model.checkpoint",
            "",
            NO_CHECKPOINT,
            "",
        ),
        (
            "version: 1\nmodel: ''\nstages: [grow]",
            2,
            "model.checkpoint",
            "",
            NO_CHECKPOINT,
            "",
        ),
        (
            GOOD + "data: {sha256: abc}",
            4,
            "data.sha256",
            '"abc"',
            "must be 64 hexadecimal digits, not 3 characters",
            "",
        ),
        (
            GOOD.replace("a.pt", f"{{checkpoint: a, sha256: {HEX[1:]}g}}"),
            2,
            "model.sha256",
            f'"{HEX[1:]}'[:57] + "...",
            "must be 64 hexadecimal digits, not 64 characters",
            "",
        ),
        (
            GOOD.replace("a.pt", "{checkpoint: a, factory: net.build}"),
            2,
            "model.factory",
            '"net.build"',
            "must be package.module:function",
            "",
        ),
        (
            GOOD.replace("a.pt", "{checkpoint: a, factory: 'a b:c'}"),
            2,
            "model.factory",
            '"a b:c"',
            "must be package.module:function",
            "",
        ),
        (
            GOOD.replace("a.pt", "{checkpoint: a, name: n, factory: 'a:b'}"),
            2,
            "model.factory",
            '"a:b"',
            'contradicts model.name "n"; give one of them',
            "",
        ),
        (
            GOOD.replace("a.pt", "{checkpoint: a, name: 'pkg.net:build'}"),
            2,
            "model.name",
            '"pkg.net:build"',
            PRESET,
            "",
        ),
        (GOOD + "name: ../up", 4, "name", '"../up"', FOLDER, ""),
        (GOOD + "name: ''", 4, "name", '""', FOLDER, ""),
        (GOOD + "name: dots..", 4, "name", '"dots.."', FOLDER, ""),
        (GOOD + "name: .hidden", 4, "name", '".hidden"', FOLDER, ""),
        (GOOD + "name: " + "x" * 101, 4, "name", '"' + "x" * 56 + "...", FOLDER, ""),
        (GOOD + "output: ''", 4, "output", '""', "must be the path of a folder", ""),
        (GOOD + "threads: 0", 4, "threads", "0", "must be an integer from 1 on or null", ""),
        (GOOD + "seed: 4294967296", 4, "seed", "4294967296", "must be an integer from 0 to 4294967295", ""),
        (GOOD + "device: gpu", 4, "device", '"gpu"', "must be one of cpu, cuda", "cpu"),
        (
            GOOD + "target: cortex-a67",
            4,
            "target.core",
            '"cortex-a67"',
            "must be one of cortex-a35, cortex-a53, cortex-a55, cortex-a72, cortex-a76, neoverse-n1 or null",
            "cortex-a76",
        ),
        (GOOD + "variants: [a]", 4, "variants", '["a"]', "must be a mapping: the name of each variant -> its vars", ""),
        (GOOD + "variants: {a: 3}", 4, "variants.a", "3", "must be a mapping of vars", ""),
        (GOOD + "variants: {a/b: {}}", 4, "variants.a/b", '"a/b"', FOLDER, ""),
    ],
)
def test_each_rule(text: str, line: int, path: str, value: str, message: str, suggestion: str) -> None:
    assert faults_of(text) == (Fault("r.yaml", line, path, value, message, suggestion),)


def test_there_are_at_most_64_variants() -> None:
    variants = "variants: {" + ", ".join(f"v{i}: {{}}" for i in range(65)) + "}"
    assert faults_of(GOOD + variants) == (Fault("r.yaml", 4, "variants", "", "must be at most 64, not 65"),)


NINE = """version: 1
name: nine
modle: {checkpoint: a.pt}
model: {checkpoint: a.pt, sha256: 12}
seed: -1
seed: 3
stages:
  - gorw: {epochs: 3}
  - grow: {mode: fsat, epochs: 0.5}
  - grow: {epochs: "${epocs}"}
  - cut: !cut {by: 1}
vars: {epochs: 3}
"""


def test_nine_different_faults_are_shown_all_at_once() -> None:
    known = "version, name, extends, vars, model, data, target, seed, device, threads, output, variants, stages"
    meant = "in vars are epochs (did you mean ${epochs}?)"
    with pytest.raises(RecipeError) as caught:
        read(NINE)
    assert str(caught.value).splitlines() == [
        f'r.yaml:3: modle: {{"checkpoint": "a.pt"}}: no such key; known are {known} (did you mean model?)',
        'r.yaml:4: model.sha256: 12: must be text (did you mean "12"?)',
        "r.yaml:5: seed: -1: must be an integer from 0 to 4294967295",
        "r.yaml:6: seed: stands here a second time, first in line 5; write it once",
        'r.yaml:8: stages[0]: "gorw": no such stage; known are grow, cut, twice (did you mean grow?)',
        'r.yaml:9: stages[1].grow.mode: "fsat": must be one of slow, fast (did you mean fast?)',
        "r.yaml:9: stages[1].grow.epochs: 0.5: must be an integer from 1 on",
        f'r.yaml:10: stages[2].grow.epochs: "${{epocs}}": no such variable epocs; {meant}',
        "r.yaml:11: stages[3].cut: must not have a tag (!cut); write the value alone",
    ]


# With the stages and recipes that there are


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_has_no_fault(name: str) -> None:
    assert load_recipe(name).name == name


def test_the_registry_is_what_recipes_are_checked_against(tmp_path: Path) -> None:
    assert list(CONFIGS) == list(STAGES)
    path = tmp_path / "r.yaml"
    path.write_text("version: 1\nmodel: '${env:WHERE}'\nstages: [quantize, {convert: {to: [onnx]}}, verify]\n")
    recipe = load_recipe(path, ["seed=5"], environment={"WHERE": "a.pt"})
    assert (recipe.name, recipe.seed, recipe.model.checkpoint) == ("r", 5, "a.pt")
    assert [entry.config for entry in recipe.stages] == [
        STAGES["quantize"].config(),
        STAGES["convert"].config(to=("onnx",)),
        STAGES["verify"].config(),
    ]


def test_the_environment_is_the_processs_own_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTENDC_TEST_SEED", "7")
    text = "version: 1\nmodel: a.pt\nseed: '${env:ATTENDC_TEST_SEED}'\nstages: [verify]\n"
    assert recipe_from_text(text).seed == 7
    with pytest.raises(RecipeError, match="the environment has no ATTENDC_TEST_SEED"):
        recipe_from_text(text, environment={})


def test_a_text_has_the_name_that_is_given() -> None:
    with pytest.raises(RecipeError, match=r"^cell\.yaml:2: stages: "):
        recipe_from_text("version: 1\nstages: []\n", file="cell.yaml")


def test_a_model_is_named_by_the_file_of_a_preset_too() -> None:
    recipe = recipe_from_text("version: 1\nmodel: {name: found/winner.yaml}\nstages: [train]\n")
    assert (recipe.model.name, recipe.model.factory) == ("found/winner.yaml", "")


def test_training_from_scratch_needs_no_checkpoint() -> None:
    recipe = recipe_from_text("version: 1\nmodel: {name: attendnext_nano}\nstages: [train, verify]\n")
    assert recipe.model.checkpoint == ""
    with pytest.raises(RecipeError, match=r"model\.checkpoint: is missing"):
        recipe_from_text("version: 1\nmodel: {name: attendnext_nano}\nstages: [verify, train]\n")


def test_the_head_has_the_fields_of_the_recipe() -> None:
    """Their types are written twice, so that their help stands beside them."""
    ours = {name: kind for name, kind in Head.__annotations__.items() if name != "version"}
    ours.pop("__pydantic_config__")
    assert ours == {name: Recipe.__annotations__[name] for name in ours}
    sections = {"name", "stages", "model", "data", "target", "variants", "version"}
    assert Recipe.__annotations__.keys() - sections <= ours.keys()


def test_reading_a_recipe_imports_neither_torch_nor_tensorflow() -> None:
    code = (
        "import sys, attendc.reader.write, attendc.reader.schema, attendc.reader.template\n"
        "from attendc.reader.load import recipe_from_text\n"
        "recipe_from_text('version: 1\\nmodel: a.pt\\nstages: [verify]\\n')\n"
        "print(sorted({'torch', 'tensorflow', 'nncf', 'onnx', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
