"""Who may import whom inside attendc, that nothing goes in circles, and that `--help` stays light.

All but the last test read the source; nothing is imported.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import from its own layer or a lower one. The key is the part of the name after `attendc.`;
# "" is attendc/__init__.py.
LAYERS = {
    "": 0,
    "errors": 0,
    "tested": 0,
    "recipes": 0,
    "recipe": 2,
    "types": 1,
    "context": 2,
    "engines": 2,
    "exported": 1,
    "files": 2,
    "qdq": 2,
    "derived": 3,
    "pictures": 3,
    "reason": 1,
    "models": 3,
    "data": 3,
    "distributed": 1,
    "checkpoint": 4,
    "opening": 5,
    "request": 2,
    "runtimes": 4,
    "tflite_check": 3,
    "metrics": 4,
    "train": 4,
    "train_state": 4,
    "train_step": 4,
    "amounts": 1,
    "arm": 5,
    "compress": 5,
    "converters": 5,
    "witness": 5,
    "second_converter": 5,
    "layer_diff": 6,
    "targets": 1,
    "gates": 3,
    "same_layer": 2,
    "read_back": 6,
    "runners": 6,
    "on_cores": 6,
    "artefacts": 7,
    "parity": 6,
    "report": 6,
    "network": 7,
    "manifest": 6,
    "locations": 3,
    "evidence": 7,
    "layer_spread": 6,
    "stages": 8,
    "reader": 9,
    "runner": 10,
    "explore": 10,
    "jobs": 11,
    "cli": 12,
    "__main__": 12,
}
STRANGERS = {("compress", "converters"), ("converters", "compress")}
LINKS = {"compress", "converters", "recipes"}
HEAVY = {"torch", "tensorflow", "nncf", "numpy", "onnx", "pydantic", "yaml", "fsspec", "rich"}
FOR_THE_CLI = {"attendc.errors", "attendc.context", "attendc.files", "attendc.targets"}
"""What the CLI may import of attendc beside itself and the public names."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted((ROOT / "attendc").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def layer_key(module: str) -> str:
    return [*module.split("."), ""][1]


def may_import(importer: str, other: str) -> bool:
    """A key without a layer is refused by a test of its own."""
    return LAYERS.get(other, 0) <= LAYERS.get(importer, 0) and (importer, other) not in STRANGERS


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def import_nodes(node: ast.AST, *, with_types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports at any depth; those under `if TYPE_CHECKING` only `with_types`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif is_type_checking(child) and not with_types:
            for statement in child.orelse:
                yield from import_nodes(ast.Module([statement], []), with_types=with_types)
        else:
            yield from import_nodes(child, with_types=with_types)


def imported(tree: ast.AST, module: str = "", *, with_types: bool = True) -> set[str]:
    """Return the modules that `tree` imports; `from a import b` means a.b where that is a module of ours."""
    found = set()
    for node in import_nodes(tree, with_types=with_types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{module}:{node.lineno} imports relatively; write the whole name"
            full = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {f if f in SOURCES else str(node.module) for f in full.values()}
    return found


def own(modules: set[str]) -> set[str]:
    return {m for m in modules if m.split(".")[0] == "attendc"}


def test_every_module_has_a_layer() -> None:
    unknown = sorted({layer_key(m) for m in SOURCES} - LAYERS.keys())
    assert not unknown, f"add {', '.join(unknown)} to LAYERS in tests/test_imports.py, where it belongs"


@pytest.mark.parametrize("module", [m for m in SOURCES if m != "attendc"])  # which offers names of all layers, lazily
def test_imports_go_down(module: str) -> None:
    others = own(imported(TREES[module], module))
    wrong = sorted(other for other in others if not may_import(layer_key(module), layer_key(other)))
    assert not wrong, f"{module} may not import {', '.join(wrong)}: see LAYERS in tests/test_imports.py"


def test_no_import_cycles() -> None:
    graph = {m: own(imported(tree, m, with_types=False)) for m, tree in TREES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        pytest.fail(f"import cycle (each is imported by the next): {' -> '.join(e.args[1])}")


@pytest.mark.parametrize("module", [m for m in SOURCES if layer_key(m) != "cli"])
def test_only_the_cli_knows_click(module: str) -> None:
    assert not {m for m in imported(TREES[module], module) if m.split(".")[0] == "click"}


@pytest.mark.parametrize("module", [m for m in SOURCES if layer_key(m) == "cli"])
def test_the_cli_uses_what_scripts_may_use_too(module: str) -> None:
    others = {m for m in own(imported(TREES[module], module)) if not m.startswith("attendc.cli")}
    assert others <= FOR_THE_CLI | {"attendc"}, "write `from attendc import NAME`, and add the name to _PUBLIC"
    nodes = [n for n in import_nodes(TREES[module], with_types=True) if isinstance(n, ast.ImportFrom)]
    names = {alias.name for node in nodes if node.module == "attendc" for alias in node.names}
    assert names <= {"__version__", *public_names()}


def public_names() -> dict[str, str]:
    """Return name -> module, as the package finds it."""
    table = next(
        n for n in TREES["attendc"].body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "_PUBLIC"
    )
    names: dict[str, str] = ast.literal_eval(table.value)
    return names


def test_editors_and_mypy_find_the_public_names_where_python_does() -> None:
    block = next(n for n in TREES["attendc"].body if is_type_checking(n))
    nodes = [n for n in ast.walk(block) if isinstance(n, ast.ImportFrom)]
    assert {alias.asname: node.module for node in nodes for alias in node.names} == public_names()
    assert list(public_names()) == sorted(public_names())


@pytest.mark.parametrize("folder", ["attendc", "scripts", "tests"])
def test_nobody_imports_through_the_links(folder: str) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    assert paths
    for path in paths:
        tops = {m.split(".")[0] for m in imported(ast.parse(path.read_text()), str(path))}
        assert not tops & LINKS, f"{path} imports {tops & LINKS}; write attendc.compress, ..."


@pytest.mark.parametrize(
    ("source", "with_types", "expected"),
    [
        ("import attendc.qdq", False, {"attendc.qdq"}),
        ("from attendc.data import sources, nothing", False, {"attendc.data.sources", "attendc.data"}),
        ("def f():\n    from attendc.files import sha256", False, {"attendc.files"}),
        ("if TYPE_CHECKING:\n    import click\nelse:\n    import rich", False, {"rich"}),
        ("if TYPE_CHECKING:\n    import click\nelse:\n    import rich", True, {"click", "rich"}),
    ],
)
def test_the_reader_finds_imports(source: str, with_types: bool, expected: set[str]) -> None:
    assert imported(ast.parse(source), with_types=with_types) == expected


HELP_OF_ALL = """
import sys, click
from attendc.cli.main import cli, main

asked = 0

def ask(words, command):
    global asked
    asked += 1
    main([*words, "--help"])
    for name, inner in getattr(command, "commands", {}).items():
        ask([*words, name], inner)

main(["--version"])
ask([], cli)
print(asked, *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def test_help_and_version_load_no_heavy_library() -> None:
    command = [sys.executable, "-c", HELP_OF_ALL]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    asked, *loaded = done.stderr.split()
    assert done.stdout.count("Usage: ") == int(asked) > 20  # attendc itself, its commands, and those of its groups
    assert "attendc" in loaded
    assert sorted({*loaded} & HEAVY) == []
