"""What must hold of a .pt2 before torch may read it, since torch runs code that such a file asks for.

torch.export.load (torch 2.13, export/pt2_archive/_package.py and _export/serde/serialize.py) of any archive

1. unpickles in full what is marked `use_pickle`, custom and opaque objects, files of the older format, and example
   inputs that cannot be unpickled safely; and it loads compiled libraries under data/aotinductor;
2. gives each `expr_str`, the size of a tensor, to sympy.sympify, which evaluates it;
3. takes as a node's target whatever an attribute of torch leads to (torch.os.system);
4. builds Python from the names of inputs and weights.

Here nothing is accepted but what torch.export.save writes of a graph of plain operators and tensors.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from attendc.errors import CheckpointError
from attendc.types import METADATA_FILE

__all__ = ["checked_archive"]

_MODEL, _EXAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_FILES = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)"
    r"|data/weights/weight_\d+|data/constants/tensor_\d+"
    f"|{re.escape(_MODEL)}|{re.escape(_EXAMPLES)}|{'|'.join(map(re.escape, _CONFIGS))}|extra/{re.escape(METADATA_FILE)}"
)
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.\w+\.\w+|torch\.sym_\w+|math\.(ceil|floor|trunc)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|getitem|eq|ne|lt|le|gt|ge|and_|or_|not_)"
)
_NAME = re.compile(r"[\w.]*")
_NAME_KEYS = frozenset({"name", "parameter_name", "buffer_name", "tensor_constant_name", "class_fqn", "fqn"})
_NOTES = frozenset({"metadata", "nn_module_stack"})
_EXPRESSION = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator),
    *(ast.unaryop, ast.Compare, ast.cmpop),
)
_FUNCTION = re.compile(r"[A-Z]\w*|s\d+|u\d+|oo|int_oo")
"""sympy's classes and torch's symbols: all begin with a capital, but for the symbols themselves and infinity."""

_DAMAGE = (
    *(AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What reading makes of an archive whose entries do not fit, or are encrypted or packed."""


def checked_archive(path: Path) -> io.BytesIO:
    """Return the archive, written anew from what was checked, so that torch reads nothing else.

    Raises:
        CheckpointError: if it is damaged, or holds what could run code.
    """
    try:
        held = _read(path)
        _check_pickles(path, held)
        _check_graph(path, json.loads(held[_MODEL]))
    except _DAMAGE as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"{path} is no quantized graph of attendc's: {reason}", hint="Make it again with attendc quantize"
        ) from e
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in held.items():
            archive.writestr(f"archive/{name}", data)
    content.seek(0)
    return content


def _read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        held = {name.partition("/")[2]: archive.read(name) for name in names}  # this checks the sums too
    if missing := [n for n in (_MODEL, _EXAMPLES, *_CONFIGS) if n not in held]:
        raise ValueError(f"it holds no {missing[0]}")
    foreign = [n for n in held if not _FILES.fullmatch(n)]
    if foreign or len(held) != len(names):
        raise _refusal(path, f"it holds {foreign[0] if foreign else 'a file twice'}")
    return held


def _check_pickles(path: Path, held: dict[str, bytes]) -> None:
    for name in _CONFIGS:
        for tensor, entry in json.loads(held[name])["config"].items():
            if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                raise _refusal(path, f"its {tensor[:100]} is pickled")
            if not _NAME.fullmatch(tensor):
                raise _refusal(path, f"it has the name {tensor[:100]!r}")
    try:
        torch.load(io.BytesIO(held[_EXAMPLES]), weights_only=True)
    except Exception as e:
        raise _refusal(path, "its example inputs are more than tensors") from e


def _check_graph(path: Path, model: dict[str, Any]) -> None:
    for key, value in _strings(model):
        if key == "target" and not _TARGET.fullmatch(value):
            raise _refusal(path, f"its graph calls {value[:100]!r}")
        if key in _NAME_KEYS and not _NAME.fullmatch(value):
            raise _refusal(path, f"it has the name {value[:100]!r}")
        if key == "expr_str" and not _is_plain(value):
            raise _refusal(path, f"a size in it is {value[:100]!r}")


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with the key it stands under; keys of inner objects count as names; notes are left out."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, key)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name not in _NOTES:
                yield "name", name
                yield from _strings(one, name)


def _is_plain(expression: str) -> bool:
    """Return whether sympy has nothing to evaluate but its own classes over numbers and symbols."""
    try:
        tree = ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _EXPRESSION):
            return False
        if isinstance(node, ast.Name) and not _FUNCTION.fullmatch(node.id):
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            return False
    symbols = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Symbol"]
    named = [argument for symbol in symbols for argument in symbol.args]
    texts = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and not isinstance(n.value, int | float)]
    return all(t in named and isinstance(t.value, str) and re.fullmatch(r"\w+", t.value) for t in texts)


def _refusal(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not read, since it could run code: {what}",
        hint="attendc reads .pt2 files of attendc quantize; of others it takes the checkpoint",
    )
