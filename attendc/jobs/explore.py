"""The job of `attendc explore`: from a space of designs to the best of them, as presets that can be trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from attendc.context import Context
from attendc.errors import OutputError, UsageError
from attendc.explore.candidate import candidate_from
from attendc.explore.phases import explore, winner_of
from attendc.explore.process import Workers, workers, writes_log
from attendc.explore.request import STUDY_FILE, ExploreRequest, Prepared, prepare
from attendc.explore.result import result_of
from attendc.explore.storage import check_storage
from attendc.explore.trial import Trial
from attendc.explore.winner import plainly, preset_yaml
from attendc.files import check_writable
from attendc.jobs.outputs import write_together
from attendc.report.explore import render_exploration

__all__ = ["RESULT", "explore_space"]

RESULT, PAGE, WINNER, ABLATIONS, FRONT, LOG = (
    "explore.json",
    "report.html",
    "winner.yaml",
    "ablations.json",
    "front",
    "run.log",
)


def explore_space(request: ExploreRequest, context: Context) -> dict[str, Any]:
    """Search until `request.trials` are done in all, write the results into the folder, and return them.

    The same request goes on where a killed or finished one stopped; on other computers, with the same storage, it
    works on the same study.

    Raises:
        OutputError: if something else stands in the folder.
        UsageError: if the study was begun with other settings, or nothing that is drawn holds the constraints.
        AttendcError: of the kind that fits space, data or training.
    """
    _check_request(request)
    prepared = prepare(request, context)
    if request.storage:
        check_storage(request.storage)
    _make_folder(request)
    write = writes_log(request.output / LOG)

    def say(text: str) -> None:
        write(text)
        context.say(text)

    say(f"study {request.study_name!r}: {request.trials} trials of {request.epochs} epochs")
    with (
        workers(request, context.seed, request.jobs - 1, request.output / LOG) as others,
        context.progress("explore", request.trials) as advance,
    ):
        explore(prepared, replace(context, say=say), _watching(prepared, others, advance, context))
        others.wait(lambda: others.look(context.warn, request.output / LOG))
    result = result_of(prepared)
    _write(request.output, result, prepared)
    return result


def _check_request(request: ExploreRequest) -> None:
    if request.force and request.storage:
        raise UsageError(
            "--force would remove a study that other computers may work on",
            hint="Give a new --study instead of --force",
        )
    for name in ("trials", "epochs", "jobs", "candidates"):
        if getattr(request, name) < 1:
            raise UsageError(f"{name} is {getattr(request, name)}, but must be 1 or more")
    if not 0 < request.hold_out < 1:
        raise UsageError(f"hold_out is {request.hold_out}, but must be between 0 and 1")


def _make_folder(request: ExploreRequest) -> None:
    """Make the folder, or look whether an exploration lies in it that can be gone on with.

    Raises:
        OutputError: if something else does, or it cannot be written.
    """
    folder = request.output
    check_writable(folder / LOG)
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / LOG).is_file() or (folder / "manifest.json").exists():
            raise OutputError(
                f"{folder} holds something else than an exploration",
                hint="Remove it yourself, or choose another place with -o",
            )
        if request.force:
            _clear(folder)
    folder.mkdir(parents=True, exist_ok=True)


def _clear(folder: Path) -> None:
    """Remove what an exploration has written, and nothing else."""
    for path in (*(folder / n for n in (RESULT, PAGE, WINNER, ABLATIONS, LOG, STUDY_FILE)), *_front_files(folder)):
        with suppress(FileNotFoundError):
            path.unlink()


def _front_files(folder: Path) -> list[Path]:
    return sorted((folder / FRONT).glob("trial-*.yaml"))


def _watching(
    prepared: Prepared, others: Workers, advance: Callable[[int, str], None], context: Context
) -> Callable[[Sequence[Trial]], None]:
    """Return what moves the progress bar on, and tells of processes that died."""
    request, search, shown = prepared.request, prepared.search, 0

    def look(trials: Sequence[Trial]) -> None:
        nonlocal shown
        others.look(context.warn, request.output / LOG)
        done = min(request.trials, sum(t.done for t in trials))
        if done > shown:
            best = winner_of(trials, search)
            told = "" if best is None else f"best: {best.accuracy:.1%}, U {best.performance:.1f}"
            advance(done - shown, told)
            shown = done

    return look


def _write(folder: Path, result: Mapping[str, Any], prepared: Prepared) -> None:
    """Write the results, all or none, and remove the designs of an earlier front."""
    by_number = {t["number"]: t for t in result["trials"]}
    contents = {
        folder / RESULT: json.dumps(result, indent=2) + "\n",
        folder / PAGE: render_exploration(result),
        folder / ABLATIONS: json.dumps(result["ablations"], indent=2) + "\n",
    }
    for number in result["front"]:
        contents[folder / FRONT / f"trial-{number}.yaml"] = _preset(result, by_number[number])
    if result["winner"] is not None:
        contents[folder / WINNER] = _preset(result, by_number[result["winner"]])
    write_together({path: text.encode() for path, text in contents.items()})
    for path in (*_front_files(folder), folder / WINNER):
        if path not in contents:
            path.unlink(missing_ok=True)


def _preset(result: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """Return the design as YAML, with where it was found and what it costs above it."""
    cost = f"{trial['instructions'][result['core']]:,.0f} int8 instructions on {result['core']} by the table"
    told = (
        f"Found by attendc explore, study {result['study']!r}, trial {trial['number']}.",
        f"{trial['params']:,} parameters, {trial['macs']:,} MACs, {cost},",
        f"accuracy {trial['accuracy']:.2%} on held-out images of {result['data']} after {result['epochs']} epochs.",
    )
    return preset_yaml(plainly(candidate_from(trial["config"])), told)
