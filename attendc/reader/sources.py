"""Where recipes come from: the shipped ones by name, all others by path. Other files of attendc's are found alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from attendc.reader.faults import Fault, Place, RecipeError, closest
from attendc.reader.parse import LARGEST

__all__ = ["RECIPES", "Shelf", "Source", "find_recipe", "find_source", "read_source", "shipped_recipes"]

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Source:
    """A file that has not been read yet.

    Attributes:
        label: what faults call the file.
        stem: its name if it gives none.
        folder: what it extends is looked for here.
        file: what to read.
        identity: the same for every way to name it.
    """

    label: str
    stem: str
    folder: Path
    file: Traversable
    identity: str


@dataclass(frozen=True)
class Shelf:
    """Where files of one kind are shipped.

    Attributes:
        package: that they lie in.
        folder: inside it; empty: in the package itself.
        kind: what such a file is called.
    """

    package: str
    folder: str
    kind: str

    def files(self) -> dict[str, Traversable]:
        """Return name -> file."""
        folder = resources.files(self.package).joinpath(self.folder)
        files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
        return {file.name.removesuffix(".yaml"): file for file in files}

    def label(self, name: str) -> str:
        """Return what faults call a shipped file."""
        return "/".join(part for part in (*self.package.split("."), self.folder, f"{name}.yaml") if part)


RECIPES = Shelf("attendc.recipes", "", "recipe")


def shipped_recipes() -> dict[str, str]:
    """Return name -> what it is for: the last paragraph of the comment at its top, in one line."""
    return {name: _comment(file.read_text(encoding="utf-8")) for name, file in RECIPES.files().items()}


def _comment(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines).strip().rpartition("\n\n")[2].replace("\n", " ")


def find_recipe(name_or_path: str | Path, *, folder: Path | None = None, told: Place | None = None) -> Source:
    """Return the shipped recipe of that name, else the file; see `find_source`."""
    return find_source(RECIPES, name_or_path, folder=folder, told=told)


def find_source(
    shelf: Shelf, name_or_path: str | Path, *, folder: Path | None = None, told: Place | None = None
) -> Source:
    """Return the shipped file of that name, else the file at that path.

    Args:
        shelf: where such files are shipped.
        name_or_path: as the user gave it.
        folder: what a relative path starts from; None is the working directory.
        told: where it was asked for, which is then where the fault is.

    Raises:
        RecipeError: if there is neither, or it is a folder.
    """
    text = str(name_or_path)
    shipped = shelf.files()
    if isinstance(name_or_path, str) and text in shipped:
        return Source(shelf.label(text), text, Path(), shipped[text], f"shipped {text}")
    path = folder / text if folder is not None else Path(text)
    if _is(Path.is_file, path):
        return Source(str(path), path.stem, path.parent, path, str(path.resolve()))
    raise RecipeError([_not_found(text, path, shelf, told)])


def _not_found(text: str, path: Path, shelf: Shelf, told: Place | None) -> Fault:
    at = told or Place(text)
    where = (at.file, at.line, "extends" if told else "", text if told else "")
    if _is(Path.is_dir, path):
        return Fault(*where, "is a folder; give the name of a file in it")
    shipped = shelf.files()
    near = closest(path.name, _beside(path))
    suggestion = str(Path(text).with_name(near)) if near else closest(text.removesuffix(".yaml"), shipped)
    names = ", ".join(shipped) or "none"
    return Fault(*where, f"no such file and no shipped {shelf.kind} of that name; shipped are {names}", suggestion)


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # a name that is too long, a zero byte in it, a folder that may not be read
        return False


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir() if entry.suffix in _SUFFIXES]
    except (OSError, ValueError):
        return []


def read_source(source: Source) -> str:
    """Return the text.

    Raises:
        RecipeError: if it cannot be read, is far too large or not UTF-8.
    """
    try:
        with source.file.open("rb") as file:
            data = file.read(4 * LARGEST + 1)  # one character has four bytes at most
    except OSError as e:
        raise RecipeError([Fault(source.label, 0, "", "", f"cannot be read: {e.strerror or e}")]) from e
    if len(data) > 4 * LARGEST:
        raise RecipeError([Fault(source.label, 0, "", "", f"must be at most {LARGEST} characters long")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        message = f"must be UTF-8; byte 0x{data[e.start]:02X} in this line is not"
        raise RecipeError([Fault(source.label, line, "", "", message)]) from e
