"""Where a recipe is found, and what is said of one that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_stages import read_file

from attendc.reader.faults import Fault, RecipeError
from attendc.reader.parse import LARGEST
from attendc.reader.sources import find_recipe, shipped_recipes

GOOD = "version: 1\nmodel: a.pt\nstages: [grow]\n"


def fault_of(source: str | Path) -> Fault:
    with pytest.raises(RecipeError) as caught:
        read_file(source)
    (fault,) = caught.value.faults
    return fault


def test_a_file_is_read_and_its_stem_is_the_name(tmp_path: Path) -> None:
    (tmp_path / "my-run.yaml").write_text(GOOD)
    assert read_file(tmp_path / "my-run.yaml").name == "my-run"
    assert read_file(str(tmp_path / "my-run.yaml")).name == "my-run"


def test_a_byte_order_mark_and_the_ends_of_lines_of_windows_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_file(tmp_path / "w.yaml").model.checkpoint == "a.pt"


def test_a_file_that_is_not_there_names_the_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(GOOD)
    fault = fault_of(tmp_path / "recipy.yaml")
    assert (fault.file, fault.line, fault.path) == (str(tmp_path / "recipy.yaml"), 0, "")
    assert fault.message.startswith("no such file and no shipped recipe of that name; shipped are ")
    assert fault.suggestion == str(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("name", ["x\0y", "x" * 5000, "/", "", "~", "no/such/folder/r.yaml"])
def test_odd_names_are_told_as_any_other(name: str) -> None:
    assert fault_of(name).message.startswith(("no such file", "is a folder"))


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert fault_of(tmp_path) == Fault(str(tmp_path), 0, "", "", "is a folder; give the name of a file in it")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 0, "is empty; a recipe begins with version: 1 and has stages"),
        (b"# nothing but this\n", 0, "is empty; a recipe begins with version: 1 and has stages"),
        (b"null\n", 0, "is empty; a recipe begins with version: 1 and has stages"),
        (b"- grow\n", 1, "must be a mapping: version, model, stages, ..."),
        (b"\nrecipe\n", 2, "must be a mapping: version, model, stages, ..."),
        (b"version: 1\nname: \xff\n", 2, "must be UTF-8; byte 0xFF in this line is not"),
        (b"x" * (4 * LARGEST + 1), 0, "must be at most 131072 characters long"),
    ],
)
def test_a_file_that_holds_no_recipe(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    fault = fault_of(path)
    assert (fault.file, fault.line, fault.path, fault.message) == (str(path), line, "", message)


def test_every_shipped_recipe_has_a_description_and_is_found_by_name() -> None:
    for name, description in shipped_recipes().items():
        assert description, f"{name} begins with no comment"
        assert "\n" not in description
        source = find_recipe(name)
        assert (source.label, source.stem) == (f"attendc/recipes/{name}.yaml", name)


def test_a_misspelled_shipped_name_is_told() -> None:
    for name in shipped_recipes():
        fault = fault_of(name + "x")
        assert fault.suggestion == name
        assert name in fault.message


def test_a_path_object_is_never_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in shipped_recipes():
        assert fault_of(Path(name)).message.startswith("no such file")
