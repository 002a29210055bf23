"""What a recipe takes from those that it extends."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_stages import Grow, read_file

from attendc.reader.faults import Fault, RecipeError
from attendc.reader.load import load_recipe
from attendc.reader.sources import shipped_recipes

BASE = """version: 1
name: base
model: {checkpoint: a.pt, args: {width: 1, deep: {x: 1, y: 2}}}
vars: {epochs: 5}
seed: 4
stages:
  - grow: {epochs: "${epochs}"}
  - cut: {by: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def faults(path: Path) -> list[tuple[str, int, str, str, str]]:
    with pytest.raises(RecipeError) as caught:
        read_file(path)
    return [(Path(f.file).name, f.line, f.path, f.message, f.suggestion) for f in caught.value.faults]


def test_mappings_merge_lists_are_replaced_and_the_name_is_the_files_own(folder: Path) -> None:
    path = write(folder, "mine.yaml", "extends: base.yaml\nmodel: {args: {deep: {y: 3}}}\nstages: [grow]\n")
    recipe = read_file(path)
    assert recipe.name == "mine"
    assert recipe.model.checkpoint == "a.pt"
    assert recipe.model.args == {"width": 1, "deep": {"x": 1, "y": 3}}
    assert recipe.seed == 4
    assert [entry.step for entry in recipe.stages] == ["grow"]


def test_a_short_form_merges_as_what_it_stands_for(folder: Path) -> None:
    recipe = read_file(write(folder, "mine.yaml", "extends: base.yaml\nmodel: b.pt\n"))
    assert (recipe.model.checkpoint, recipe.model.args["width"]) == ("b.pt", 1)


def test_variables_of_the_base_are_filled_in_after_merging(folder: Path) -> None:
    recipe = read_file(write(folder, "mine.yaml", "extends: base.yaml\nvars: {epochs: 9}\n"))
    assert recipe.stages[0].config == Grow(epochs=9)


def test_of_several_bases_the_later_wins_and_the_file_over_all(folder: Path) -> None:
    write(folder, "one.yaml", "seed: 1\nthreads: 1\noutput: one\n")
    write(folder, "two.yaml", "seed: 2\nthreads: 2\n")
    recipe = read_file(write(folder, "mine.yaml", "extends: [base.yaml, one.yaml, two.yaml]\nseed: 3\n"))
    assert (recipe.seed, recipe.threads, recipe.output) == (3, 2, "one")


def test_a_base_is_looked_for_beside_the_file_that_names_it(folder: Path) -> None:
    write(folder, "sub/middle.yaml", "extends: ../base.yaml\nseed: 8\n")
    assert read_file(write(folder, "mine.yaml", "extends: sub/middle.yaml\n")).seed == 8


def test_an_empty_section_changes_nothing(folder: Path) -> None:
    path = write(folder, "mine.yaml", "extends: base.yaml\nmodel:\ndata:\nvars:\nvariants:\n")
    assert read_file(path).model.checkpoint == "a.pt"


def test_a_fault_in_a_base_is_told_with_the_bases_file_and_line(folder: Path) -> None:
    write(folder, "odd.yaml", "extends: base.yaml\ntheads: 2\n")
    message = "no such key; known are version, name, extends, vars, model, data, target, seed, device, threads, "
    ((file, line, path, told, meant),) = faults(write(folder, "mine.yaml", "\n\n\nextends: odd.yaml\nthreads: 3\n"))
    assert (file, line, path, meant) == ("odd.yaml", 2, "theads", "threads")
    assert told.startswith(message)


def test_a_base_that_is_not_there_is_told_where_it_is_named_and_hides_nothing_else(folder: Path) -> None:
    path = write(folder, "mine.yaml", "extends: [bass.yaml]\nseed: x\nmodel: '${from_the_base}'\n")
    first, second = faults(path)
    assert first[:3] == ("mine.yaml", 1, "extends")
    assert first[3].startswith("no such file and no shipped recipe of that name")
    assert first[4] == "base.yaml"
    assert second[:3] == ("mine.yaml", 2, "seed")  # but stages and the variable may stand in the base


def test_an_override_of_what_may_stand_in_a_base_that_is_not_there_is_no_second_fault(folder: Path) -> None:
    path = write(folder, "mine.yaml", "extends: nothing.yaml\n")
    with pytest.raises(RecipeError) as caught:
        read_file(path, "stages.grow.epochs=3", "stages[1].cut.by=2", "seed=x")
    assert [fault.path for fault in caught.value.faults] == ["seed", "extends"]


def test_a_ring_is_a_fault(folder: Path) -> None:
    write(folder, "a.yaml", "extends: b.yaml\n")
    message = "must not extend itself, nor a recipe that extends it"
    assert faults(write(folder, "b.yaml", "extends: ./a.yaml\n")) == [("a.yaml", 1, "extends", message, "")]
    assert faults(write(folder, "c.yaml", "extends: c.yaml\n")) == [("c.yaml", 1, "extends", message, "")]


def test_a_file_of_the_name_of_a_shipped_recipe_may_extend_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_recipes():
        Path(f"{name}.yaml").write_text(f"extends: {name}\nmodel: other.pt\nseed: 77\n")
        recipe = load_recipe(f"{name}.yaml")
        assert (recipe.name, recipe.seed, recipe.model.checkpoint) == (name, 77, "other.pt")
        assert recipe.stages == load_recipe(name).stages


def test_a_base_of_another_version_is_a_fault_also_where_it_is_written_over(folder: Path) -> None:
    write(folder, "new.yaml", "version: 2\n")
    path = write(folder, "mine.yaml", "extends: [base.yaml, new.yaml]\nversion: 1\n")
    assert faults(path) == [("new.yaml", 1, "version", "must be 1", "")]


@pytest.mark.parametrize(
    ("extends", "path"),
    [("3", "extends"), ("{a: b}", "extends"), ("[base.yaml, 3]", "extends[1]"), ("'${x}'", "extends")],
)
def test_extends_holds_names(folder: Path, extends: str, path: str) -> None:
    found = faults(write(folder, "mine.yaml", f"extends: {extends}\nversion: 1\nmodel: a.pt\nstages: [grow]\n"))
    assert found == [("mine.yaml", 1, path, "must be a recipe's name or file, without ${...}", "")]


def test_many_bases_of_many_bases_are_each_read_once(folder: Path) -> None:
    write(folder, "0.yaml", BASE)
    for i in range(1, 12):  # sixteen to the power of eleven, were each read where it is named
        write(folder, f"{i}.yaml", f"extends: [{', '.join([f'{i - 1}.yaml'] * 16)}]\n")
    assert read_file(folder / "11.yaml").seed == 4


def test_there_are_limits_to_bases(folder: Path) -> None:
    many = write(folder, "many.yaml", f"extends: [{', '.join(['base.yaml'] * 17)}]\n")
    with pytest.raises(RecipeError, match="must be at most 16 recipes"):
        read_file(many)
    write(folder, "0.yaml", BASE)
    for i in range(1, 20):
        write(folder, f"{i}.yaml", f"extends: {i - 1}.yaml\n")
    with pytest.raises(RecipeError, match="must not be more than 16 recipes deep"):
        read_file(folder / "19.yaml")


def test_a_fault_is_one_object_with_its_file(folder: Path) -> None:
    path = write(folder, "mine.yaml", "extends: base.yaml\nseed: -1\n")
    with pytest.raises(RecipeError) as caught:
        read_file(path)
    assert caught.value.faults == (Fault(str(path), 2, "seed", "-1", "must be an integer from 0 to 4294967295"),)
