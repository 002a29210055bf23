"""A small registry of stages that write words, so that running recipes can be tested in milliseconds.

`word` writes a word into `<name>.txt`, after what the stage before wrote. `judge` has gates as `verify` has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from attendc.context import Context
from attendc.errors import ConversionError
from attendc.manifest import file_entry
from attendc.reader.load import CONFIGS
from attendc.recipe import CHECKED, Recipe, StageEntry
from attendc.stages.registry import STAGES, StageType
from attendc.stages.work import Made, Work

__all__ = ["DONE", "Judge", "Word", "judge", "recipe", "register", "run", "word"]

DONE: list[str] = []
"""The words of the stages that were done, not taken from the cache; `register` empties it."""


@dataclass(frozen=True)
class Word:
    """Write a word."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    word: str = "a"
    """What to write."""
    name: str = "text"
    """Where to."""
    add: str = ""
    """A file whose text follows."""
    warning: str = ""
    """What to warn of."""
    needs: str = ""
    """A file without which the stage ends in an error, after it has saved a state and warned."""


@dataclass(frozen=True)
class Judge:
    """Look whether enough agree."""

    __pydantic_config__: ClassVar[Any] = CHECKED

    agreement: float = 1.0
    """Part that agrees; 0.99 is due."""
    gate: bool = True
    """Fail the run where it is less."""


def register(patch: pytest.MonkeyPatch) -> None:
    """Let recipes name the two stages."""
    DONE.clear()
    patch.setitem(STAGES, "word", StageType(Word, __name__, reads=("add",)))
    patch.setitem(STAGES, "judge", StageType(Judge, __name__))
    patch.setitem(CONFIGS, "word", Word)
    patch.setitem(CONFIGS, "judge", Judge)


def word(text: str = "a", **config: str) -> StageEntry:
    return StageEntry("word", Word(text, **config))


def judge(agreement: float = 1.0, *, gate: bool = True) -> StageEntry:
    return StageEntry("judge", Judge(agreement, gate))


def recipe(*stages: StageEntry, name: str = "words", **more: Any) -> Recipe:
    return Recipe(name, stages, **more)


def run(config: Word | Judge, work: Work, folder: Path, context: Context) -> Made:
    """Do the stage; both configs come here."""
    return _write(config, work, folder, context) if isinstance(config, Word) else _judge(config)


def _write(config: Word, work: Work, folder: Path, context: Context) -> Made:
    DONE.append(config.word)
    if config.warning:
        context.warn(config.warning)
    if config.needs and not Path(config.needs).exists():
        state = context.state_file(config.name)
        assert state is not None
        state.write_text("half")
        raise ConversionError(f"there is no {config.needs}", hint="Make it")
    name = f"{config.name}.txt"
    before = work.files[name].read_text() if name in work.files else ""
    added = Path(config.add).read_text() if config.add else ""
    (folder / name).write_text(f"{before}{config.word}{added}")
    entry = {"format": "txt", "dtype": "float32", **file_entry(folder / name)}
    return Made({"outputs": {name: entry}, "history": [{"step": config.word}]}, {"words": config.word})


def _judge(config: Judge) -> Made:
    DONE.append("judge")
    value = config.agreement
    text = "" if value >= 0.99 else f"graph and onnx agree on {value:.2%} of 100 images, 99.00% are due"
    pair = {"a": "graph", "b": "onnx", "images": 100, "top1_agreement": value, "gated": True}
    distances = {"max_lsb": 0.0, "mean_lsb": 0.0, "sqnr_db": 99.0}
    row = {"stage": "judge", "name": "agreement of graph with onnx", "kind": "parity", "value": value, "limit": 0.99}
    verification = {
        "images": 100,
        "accuracy": {"float": 0.9, "graph": 0.9, "onnx": 0.9},
        "pairs": [{**pair, **distances}],
        "scales_equal": True,
        "weights_equal": True,
        "failures": [text] if text else [],
        "accuracy_failures": [],
        "notes": [],
        "passed": not text,
    }
    told = {"verification": verification, "gates": [{**row, "passed": not text, "message": text}]}
    return Made(json.loads(json.dumps(told)), {"gate": config.gate})
