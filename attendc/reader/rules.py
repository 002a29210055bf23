"""What a recipe must keep to beyond the types of its values."""

from __future__ import annotations

import re

from attendc.reader.faults import Fault
from attendc.reader.nodes import Node, fault, mapping
from attendc.recipe import is_preset_file

__all__ = ["check_model", "check_name", "check_sha256", "names_a_model", "names_nothing_to_read"]

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_FOLDER = re.compile(r"\w[\w .+-]{0,99}")


def check_name(node: Node, path: str, faults: list[Fault]) -> None:
    """Check that a name can be that of a folder."""
    if isinstance(node.value, str) and not _is_folder_name(node.value):
        faults.append(fault(node, path, "must be letters, digits, spaces and . _ + - only, 100 at most"))


def _is_folder_name(name: str) -> bool:
    return _FOLDER.fullmatch(name) is not None and not name.endswith((" ", "."))


def check_sha256(section: Node | None, path: str, faults: list[Fault]) -> None:
    """Check that a hash is one."""
    node = mapping(section).get("sha256")
    if node is not None and isinstance(node.value, str) and node.value and not _HEX.fullmatch(node.value):
        faults.append(fault(node, f"{path}.sha256", f"must be 64 hexadecimal digits, not {len(node.value)} characters"))


def check_model(section: Node | None, faults: list[Fault]) -> None:
    """Check that the network is named once, and that only `factory` holds code to import."""
    held = mapping(section)
    name, factory = _text(held, "name"), _text(held, "factory")
    if name and factory:
        faults.append(fault(held["factory"], "model.factory", f'contradicts model.name "{name}"; give one of them'))
    if factory and not _FACTORY.fullmatch(factory):
        faults.append(fault(held["factory"], "model.factory", "must be package.module:function"))
    if name and not is_preset_file(name) and re.search(r"[.:/\\]", name):
        message = "must be a preset or the .yaml of one; package.module:function stands in model.factory"
        faults.append(fault(held["name"], "model.name", message))


def names_nothing_to_read(section: Node | None) -> bool:
    """Return whether there is no checkpoint. Where a fault was told already there may be one."""
    if section is not None and not isinstance(section.value, dict):
        return False
    node = mapping(section).get("checkpoint")
    return node is None or node.value == ""


def names_a_model(section: Node | None) -> bool:
    """Return whether a network is named that can be built without a checkpoint."""
    held = mapping(section)
    return bool(_text(held, "name") or _text(held, "factory"))


def _text(held: dict[str, Node], key: str) -> str:
    node = held.get(key)
    return node.value if node is not None and isinstance(node.value, str) else ""
