"""Doing stages in order: each once, what was done before from the cache, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import word_stages
from word_stages import DONE, judge, recipe, word

from attendc.context import Context
from attendc.errors import ConversionError, UsageError
from attendc.recipe import Recipe
from attendc.runner.cache import StageCache, no_cache
from attendc.runner.execute import Executed, executing, stage_ids, stage_range
from attendc.stages.registry import StageType

THREE = recipe(word("a"), word("b"), word("c"))

pytestmark = pytest.mark.usefixtures("here")


def do(
    what: Recipe, cache: StageCache, context: Context | None = None, *, start: str = "", until: str = ""
) -> tuple[Executed, list[str]]:
    """Return what came out, and the words that were written for it."""
    DONE.clear()
    with executing(what, context or Context(), cache, start=start, until=until) as executed:
        return executed, list(DONE)


def test_each_stage_finds_the_files_of_those_before(cache: StageCache) -> None:
    executed, done = do(THREE, cache)
    assert done == ["a", "b", "c"]
    assert executed.work.files["text.txt"].read_text() == "abc"
    assert [s.id for s in executed.stages] == ["01-word", "02-word", "03-word"]
    assert not any(s.cached for s in executed.stages)


def test_finished_stages_are_not_done_again(cache: StageCache) -> None:
    first, _ = do(THREE, cache)
    again, done = do(THREE, cache)
    assert done == []
    assert all(s.cached for s in again.stages)
    assert again.work == first.work


def test_a_changed_stage_is_done_again_with_those_after_it(cache: StageCache) -> None:
    do(THREE, cache)
    changed, done = do(recipe(word("a"), word("B"), word("c")), cache)
    assert done == ["B", "c"]
    assert changed.work.files["text.txt"].read_text() == "aBc"


def test_a_stage_whose_inputs_stay_the_same_is_not_done_again(cache: StageCache) -> None:
    do(recipe(word("a", warning="old"), word("b")), cache)
    # The first stage is another one now, but writes and tells the same.
    _, done = do(recipe(word("a", warning="new"), word("b")), cache)
    assert done == ["a"]


def test_stages_may_be_added_at_the_end(cache: StageCache) -> None:
    do(THREE, cache)
    assert do(replace(THREE, stages=(*THREE.stages, word("d"))), cache)[1] == ["d"]


@pytest.mark.parametrize("start", ["02-word", "judge"])
def test_from_does_a_stage_and_those_after_it_anew(cache: StageCache, start: str) -> None:
    one = recipe(word("a"), judge() if start == "judge" else word("b"), word("c"))
    do(one, cache)
    executed, done = do(one, cache, start=start)
    assert done == [("judge" if start == "judge" else "b"), "c"]
    assert [s.cached for s in executed.stages] == [True, False, False]


def test_what_is_done_anew_takes_the_place_of_the_old(cache: StageCache) -> None:
    do(THREE, cache)
    do(THREE, cache, start="01-word")
    assert len(cache.entries()) == 3
    assert do(THREE, cache)[1] == []


def test_until_leaves_out_what_follows(cache: StageCache) -> None:
    executed, done = do(THREE, cache, until="02-word")
    assert done == ["a", "b"]
    assert executed.work.files["text.txt"].read_text() == "ab"
    assert len(executed.stages) == 2


def test_without_a_cache_all_is_done_and_nothing_stays(cache: StageCache) -> None:
    do(THREE, cache)
    with no_cache() as empty:
        assert do(THREE, empty)[1] == ["a", "b", "c"]
    assert not empty.root.exists()


def test_the_same_stage_twice_is_done_twice_where_it_finds_other_files(cache: StageCache) -> None:
    assert do(recipe(word("a"), word("a")), cache)[0].work.files["text.txt"].read_text() == "aa"


@pytest.mark.parametrize("start", ["", "01-judge"])
def test_the_same_stage_on_the_same_files_is_done_once(cache: StageCache, start: str) -> None:
    # The second finds a fact of the first, the third finds what the second found.
    one = recipe(judge(), judge(), judge())
    executed, done = do(one, cache, start=start)
    assert done == ["judge", "judge"]
    assert [s.cached for s in executed.stages] == [False, False, True]


def test_warnings_of_a_cached_stage_are_said_again(cache: StageCache) -> None:
    said: list[str] = []
    one = recipe(word("a", warning="mind the step"), word("b"))
    do(one, cache, Context(say=said.append))
    context = Context(say=said.append)
    do(one, cache, context)
    assert context.warnings == ["mind the step"]
    assert said.count("warning: mind the step") == 2


def test_it_is_said_what_is_done_and_what_was(cache: StageCache) -> None:
    said: list[str] = []
    do(recipe(word("a")), cache, Context(say=said.append))
    assert said == ["01-word: starts", "01-word: done in 0.0 s"]
    said.clear()
    do(recipe(word("a")), cache, Context(say=said.append))
    assert said == ["01-word: done before, 0.0 s saved"]


def test_a_stage_that_fails_leaves_its_state_and_what_was_finished(cache: StageCache, here: Path) -> None:
    one = recipe(word("a"), word("b", needs="key", warning="odd"), word("c"))
    with pytest.raises(ConversionError, match="there is no key"):
        do(one, cache)
    assert [(e.step, e.state) for e in cache.entries() if e.state == "whole"] == [("word", "whole")]
    (state,) = (cache.root / "work").rglob("*.resume")
    assert state.read_text() == "half"
    assert not list((cache.root / "tmp").iterdir())
    (here / "key").touch()
    assert do(one, cache)[1] == ["b", "c"]
    assert not list((cache.root / "work").iterdir())


def test_an_interrupted_stage_leaves_no_entry(cache: StageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("word_stages._write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            do(THREE, cache)
    assert cache.entries() == []
    assert do(THREE, cache)[1] == ["a", "b", "c"]


def test_a_damaged_file_is_noticed_said_and_made_again(cache: StageCache) -> None:
    first, _ = do(THREE, cache)
    path = first.stages[1].entry.folder / "text.txt"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    said: list[str] = []
    again, done = do(THREE, StageCache(cache.root, say=said.append))
    assert done == ["b"]
    (text,) = said
    assert text.endswith("is damaged and will be made again: text.txt was changed")
    assert [s.entry.files for s in again.stages] == [s.entry.files for s in first.stages]


def test_a_stage_may_be_refused_after_it_is_done_and_stays_in_the_cache(cache: StageCache) -> None:
    def refuse(stage: Any) -> None:
        raise UsageError(f"{stage.id} is not wanted")

    with (
        pytest.raises(UsageError, match="01-word is not wanted"),
        executing(THREE, Context(), cache, after_stage=refuse),
    ):
        pass
    assert do(THREE, cache)[1] == ["b", "c"]


def test_a_run_may_be_refused_before_any_stage(cache: StageCache) -> None:
    def refuse(source: Any) -> None:
        raise UsageError(f"no {source.data_name or 'data'}")

    with (
        pytest.raises(UsageError, match="no data"),
        executing(THREE, Context(), cache, before_stages=refuse),
    ):
        pass
    assert DONE == []


def test_the_files_of_a_run_are_not_removed_meanwhile(cache: StageCache) -> None:
    with executing(THREE, Context(), cache) as executed:
        other = StageCache(cache.root)
        assert other.prune(older_than_s=None, keep_bytes=None, everything=True).busy == 3
        assert executed.work.files["text.txt"].read_text() == "abc"
    assert other.prune(older_than_s=None, keep_bytes=None, everything=True).entries == 3


# What a stage is given


def drawing(patch: pytest.MonkeyPatch, draw: Callable[[], float]) -> list[float]:
    """Let the stage `judge` draw a number, and return where they are noted."""
    drawn: list[float] = []
    real = word_stages._judge
    patch.setattr(word_stages, "_judge", lambda config: (drawn.append(draw()), real(config))[1])
    return drawn


def test_every_stage_has_the_same_start_of_chance(cache: StageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = drawing(monkeypatch, lambda: float(torch.rand(())))
    do(recipe(judge(), judge(), seed=5), cache)
    assert drawn == [float(torch.rand((), generator=torch.Generator().manual_seed(5)))] * 2


def test_threads_are_the_recipes_as_long_as_a_stage_runs(cache: StageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    seen = drawing(monkeypatch, torch.get_num_threads)
    do(recipe(judge(), threads=before + 2), cache)
    do(recipe(judge()), cache)
    assert seen == [before + 2, before]
    assert torch.get_num_threads() == before


def test_seed_and_device_are_the_recipes(cache: StageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Context] = []
    real = StageType.run
    monkeypatch.setattr(StageType, "run", lambda self, *a: (seen.append(a[-1]), real(self, *a))[1])
    do(recipe(word(), seed=9), cache, Context(seed=1, device="cuda"))
    assert (seen[0].seed, seen[0].device) == (9, "cpu")


# Names of stages


def test_ids_count_from_one() -> None:
    assert stage_ids(recipe(word(), judge())) == ["01-word", "02-judge"]


@pytest.mark.parametrize(
    ("start", "until", "expected"),
    [("", "", (3, 2)), ("02-word", "", (1, 2)), ("", "02-word", (3, 1)), ("02-word", "02-word", (1, 1))],
)
def test_ranges(start: str, until: str, expected: tuple[int, int]) -> None:
    assert stage_range(THREE, start, until) == expected


@pytest.mark.parametrize(
    ("start", "until", "text"),
    [
        ("tell", "", "--from tell is no stage of this recipe. Choose from 01-word, 02-word, 03-word"),
        ("", "04-word", "--until 04-word is no stage"),
        ("word", "", "--from word is several stages"),
        ("03-word", "01-word", "--from 03-word comes after --until 01-word"),
    ],
)
def test_a_name_must_be_of_one_stage(start: str, until: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        stage_range(THREE, start, until)
    assert text in str(caught.value)
