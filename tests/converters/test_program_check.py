"""A .pt2 that would run code is refused before torch sees it; each attack is first shown to work on torch itself."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from nets import SMALL_SPEC, STAMP, Built

from attendc.converters.program import load_program, save_program
from attendc.converters.program_check import checked_archive
from attendc.errors import CheckpointError

Held = dict[str, bytes]


class Touch:
    """Unpickling one makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def held(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """Return what is in the archive of a float graph, by name. Copy it before changing it."""
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    save_program(path, built.floating, SMALL_SPEC, STAMP)
    with zipfile.ZipFile(path) as archive:
        return {n: archive.read(n) for n in archive.namelist()}


def write(path: Path, held: Held) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return path


def pickled(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def pickled_example(held: Held, mark: Path) -> None:
    held["archive/data/sample_inputs/model.pt"] = pickled(((Touch(mark),), {}))


def pickled_weight(held: Held, mark: Path) -> None:
    name = "archive/data/weights/model_weights_config.json"
    config = json.loads(held[name])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    held[name] = json.dumps(config).encode()
    held["archive/data/weights/" + entry["path_name"]] = pickled(Touch(mark))


def opaque_constant(held: Held, mark: Path) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    held["archive/data/constants/model_constants_config.json"] = json.dumps({"config": {"x": entry}}).encode()
    held["archive/data/constants/opaque_obj_0"] = pickle.dumps(Touch(mark))


def evaluated_size(held: Held, mark: Path) -> None:
    graph = held["archive/models/model.json"].decode()
    size = "Symbol('s77', positive=True, integer=True)"
    assert size in graph
    made = f"__import__('pathlib').Path('{mark}').touch() or {size}"
    held["archive/models/model.json"] = graph.replace(size, made, 1).encode()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", [pickled_example, pickled_weight, opaque_constant, evaluated_size])
def test_code_in_a_file_is_not_run(attack: Callable[[Held, Path], None], held: Held, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    changed = dict(held)
    attack(changed, mark)
    path = write(tmp_path / "x.pt2", changed)
    with pytest.raises(CheckpointError, match=r"x\.pt2 is not read, since it could run code: "):
        load_program(path)
    assert not mark.exists()
    with path.open("rb") as file, contextlib.suppress(Exception):  # after it has run the code
        torch.export.load(file)
    assert mark.exists()


def rewritten(key: str, value: str, held: Held) -> Held:
    """Return the archive with the first text under a key of its graph replaced."""
    graph = json.loads(held["archive/models/model.json"])

    def replace_in(one: object) -> bool:
        if isinstance(one, list):
            return any(replace_in(o) for o in one)
        if not isinstance(one, dict):
            return False
        if isinstance(one.get(key), str):
            one[key] = value
            return True
        return any(replace_in(o) for o in one.values())

    assert replace_in(graph["graph_module"]["graph"])
    return {**held, "archive/models/model.json": json.dumps(graph).encode()}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("target", "torch.os.system", r"its graph calls 'torch\.os\.system'"),
        ("target", "_operator.attrgetter", r"its graph calls '_operator\.attrgetter'"),
        ("name", "x=print(1)", r"it has the name 'x=print\(1\)'"),
        ("expr_str", "Symbol('s77').func", r"a size in it is"),
        ("expr_str", "Integer('print(1)')", r"a size in it is"),
        ("expr_str", "Symbol('s77', key='print(1)')", r"a size in it is"),
        ("expr_str", "[x for x in (1,)]", r"a size in it is"),
        ("expr_str", "exec(1)", r"a size in it is"),
        ("expr_str", "1 +", r"a size in it is"),
    ],
)
def test_what_a_graph_may_not_say(key: str, value: str, said: str, held: Held, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt2", rewritten(key, value, held))
    with pytest.raises(CheckpointError, match=said):
        load_program(path)


@pytest.mark.parametrize(
    "size", ["Integer(4)", "2*Symbol('s77', positive=True, integer=True)", "FloorDiv(s77, 2) + oo"]
)
def test_sizes_may_be_computed(size: str, held: Held, tmp_path: Path) -> None:
    changed = rewritten("expr_str", size, held)
    read = checked_archive(write(tmp_path / "x.pt2", changed))
    with zipfile.ZipFile(read) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == changed


@pytest.mark.parametrize("name", ["data/aotinductor/model/x.so", "data/weights/model.pt", "../x", "models/x.json"])
def test_what_an_archive_may_not_hold(name: str, held: Held, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt2", {**held, f"archive/{name}": b""})
    with pytest.raises(CheckpointError, match=f"it could run code: it holds {name}"):
        load_program(path)


def test_the_older_format_is_refused(tmp_path: Path) -> None:
    held = {"version": b"8.2", "serialized_state_dict.pt": pickled(Touch(tmp_path / "mark"))}
    with pytest.raises(CheckpointError, match=r"no quantized graph of attendc's: it holds no models/model\.json"):
        load_program(write(tmp_path / "x.pt2", held))
    assert not (tmp_path / "mark").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_held_twice_is_refused(held: Held, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt2", held)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/models/model.json", held["archive/models/model.json"])
    with pytest.raises(CheckpointError, match="it holds a file twice"):
        load_program(path)
