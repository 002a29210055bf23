"""What runs on the other side: on the emulated core, on a board, or beside this process. It knows nothing of attendc.

`python work.py JOB RESULTS` reads a JSON list of tasks and appends a line of JSON for each. Lines with `at` come before
the answer and tell how far a task is, so that it is seen which one brought the process down. Python 3.9, numpy, and
ai_edge_litert or onnxruntime for the files of theirs.

A task has `kind`, `file`, `format` (`tflite`, `onnx`) and:
  count: marks stand around one inference and around three, for the plugin that counts instructions; where `brief` is
    true, around one alone.
  run: `inputs` and `outputs`, .npy files of images one after the other, as the file takes and gives them.
  time: `warmup` and `runs`, `threads`; answers the milliseconds of each run, and the state of the computer. Tasks of
    this kind that follow each other take turns, so that a drift of the clock hits all of them alike.
"""

from __future__ import annotations

import ctypes
import gc
import glob
import itertools
import json
import os
import platform
import signal
import statistics
import sys
import time
from typing import Any, Callable  # noqa: UP035 - Python 3.9

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""Else onnxruntime, since 1.29, tells its maker of the files that it opens, by a thread that would be counted too."""

MARK = 4242
"""As in count.c."""
SETTLING, SETTLING_S = 16, 0.5
"""Inferences before the first that a process counts, and seconds they may take: Python gets quicker at what it repeats,
by some hundred instructions."""
TURN = 5
"""Inferences of one file that are timed before the next file has its turn."""
CPUS = "/sys/devices/system/cpu/cpu{}/"
ZONES = "/sys/class/thermal/thermal_zone*/"
COOLING = "/sys/class/thermal/cooling_device*/"
FIRMWARE = "/sys/devices/platform/*/*firmware/get_throttled"
OF_A_PROCESSOR = ("cpu", "soc", "x86_pkg_temp")
"""What the type of such a thermal zone has in its name: cpu-thermal, soc_thermal, x86_pkg_temp."""
HELD_DOWN = 0b1110
"""Of the firmware's get_throttled: frequency capped, throttled, soft temperature limit; see
https://www.raspberrypi.com/documentation/computers/os.html#get_throttled"""

PR_SET_PDEATHSIG = 1
"""Of Linux, see prctl(2)."""

Tell = Callable[..., None]


def main(job: str, results: str) -> None:
    """Do every task and append its answer."""
    gc.disable()  # a collection would be counted, or timed, with the inference that it falls into
    with open(job) as file:
        tasks = list(enumerate(json.load(file)))
    with open(results, "a") as out:

        def tell(index: int, **told: Any) -> None:
            out.write(json.dumps({"index": index, **told}) + "\n")
            out.flush()

        for timed, group in itertools.groupby(tasks, lambda entry: bool(entry[1]["kind"] == "time")):
            if timed:
                _time_in_turns(list(group), tell)
                continue
            for index, task in group:
                tell(index, at=0)
                gc.collect()
                _answer(index, task, tell)


def _answer(index: int, task: dict[str, Any], tell: Tell) -> None:
    try:
        model = _load(task)
        told = {"partitions": model.partitions, "operators": model.operators}
        if task["kind"] == "count":
            model.feed_made_up()
            _count(index, model.invoke, brief=task.get("brief", False))
        else:
            _run(index, task, model, tell)
    except Exception as e:  # noqa: BLE001 - the other side tells what it means
        told = {"error": _words(e)}
    tell(index, **told)


def _load(task: dict[str, Any]) -> Any:
    return {"tflite": _TfLite, "onnx": _Onnx}[task["format"]](task["file"], task.get("threads", 1))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _count(index: int, invoke: Callable[[], Any], *, brief: bool) -> None:
    libc = ctypes.CDLL(None)
    invoke()
    start = time.perf_counter()
    for _ in range(SETTLING if index == 0 else 0):
        if time.perf_counter() - start < SETTLING_S:
            invoke()
    libc.syscall(MARK, index, 0)
    invoke()
    libc.syscall(MARK, index, 1)
    if brief:
        return
    invoke()
    invoke()
    invoke()
    libc.syscall(MARK, index, 2)


def _run(index: int, task: dict[str, Any], model: Any, tell: Tell) -> None:
    outputs = []
    for image in np.load(task["inputs"]):
        model.feed(image[None])
        model.invoke()
        outputs.append(model.result()[0])
        tell(index, at=len(outputs))
    np.save(task["outputs"], np.stack(outputs))


def _time_in_turns(tasks: list[tuple[int, dict[str, Any]]], tell: Tell) -> None:
    """Load and warm up all, then time a few inferences of each in turn."""
    models: dict[int, Any] = {}
    found: dict[int, list[float]] = {}
    before = _temperature()
    for index, task in tasks:
        tell(index, at=0)
        try:
            models[index] = _load(task)
            models[index].feed_made_up()
            for _ in range(task["warmup"]):
                models[index].invoke()
            found[index] = []
        except Exception as e:  # noqa: BLE001 - the other side tells what it means
            tell(index, error=_words(e))
    clocks: dict[int, list[float]] = {index: [] for index in found}
    throttled: list[bool | None] = []
    warnings = _slowed_down()
    while any(len(found[index]) < task["runs"] for index, task in tasks if index in found):
        for index, task in tasks:
            if index in found:
                found[index] += _turn(models[index].invoke, task["runs"] - len(found[index]))
                clocks[index] += [clock for clock in (_clock(),) if clock is not None]
                throttled.append(_is_throttled())
                tell(index, at=len(found[index]))
    if warnings is not None:
        throttled.append(_slowed_down() != warnings)
    state = {
        "machine": _machine(),
        "temperature_before_c": before,
        "temperature_c": _temperature(),
        "throttled": any(throttled) if any(held is not None for held in throttled) else None,
    }
    for index in found:
        clock = statistics.median(clocks[index]) if clocks[index] else None
        lowest = min(clocks[index], default=None)
        tell(index, milliseconds=found[index], state={**state, "clock_mhz": clock, "clock_low_mhz": lowest})


def _turn(invoke: Callable[[], Any], left: int) -> list[float]:
    if left > 0:
        invoke()  # what another file's turn has driven out of the caches comes back
    found = []
    for _ in range(min(TURN, left)):
        start = time.perf_counter()
        invoke()
        found.append(1000 * (time.perf_counter() - start))
    return found


def _clock() -> float | None:
    """Return the megahertz of the core that this ran on last: of cpufreq, else those of the first in /proc/cpuinfo.

    The cores of a board may differ; the latter file has the clock on x86 only.
    """
    asked = getattr(ctypes.CDLL(None), "sched_getcpu", None)  # not on every system
    kilohertz = _number(CPUS.format(max(0, asked()) if asked else 0) + "cpufreq/scaling_cur_freq")
    if kilohertz is not None:
        return kilohertz / 1000
    told = _cpuinfo("cpu MHz")
    return float(told) if told else None


def _temperature() -> float | None:
    """Return the degrees Celsius of the hottest zone of the processor; of any zone, where none is called so."""
    zones = [(_text(path + "type"), _number(path + "temp")) for path in glob.glob(ZONES)]
    known = [(kind, degrees / 1000) for kind, degrees in zones if degrees is not None]
    own = [degrees for kind, degrees in known if any(word in kind.lower() for word in OF_A_PROCESSOR)]
    return max(own or [degrees for _, degrees in known], default=None)


def _is_throttled() -> bool | None:
    """Return whether the clock is held down now, by a Raspberry Pi's firmware or by Linux; None: nothing tells."""
    words = [_text(path) for path in glob.glob(FIRMWARE)]
    held = [bool(int(word, 16) & HELD_DOWN) for word in words if word]
    for path in glob.glob(COOLING):
        state = _number(path + "cur_state")
        if state is not None and ("cpufreq" in _text(path + "type") or _text(path + "type") == "Processor"):
            held.append(state > 0)
    return any(held) if held else None


def _slowed_down() -> float | None:
    """Return how often an x86 core was slowed down for heat since it was started."""
    return _number(CPUS.format(0) + "thermal_throttle/core_throttle_count")


def _machine() -> str:
    model = _text("/proc/device-tree/model").strip("\0")
    return model or _cpuinfo("Model") or _cpuinfo("model name") or platform.machine()


def _cpuinfo(key: str) -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _number(path: str) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


class _TfLite:
    """A TFLite file in LiteRT with its default delegate, XNNPACK."""

    def __init__(self, path: str, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._output = self._interpreter.get_output_details()[0]
        names = [one["op_name"] for one in self._interpreter._get_ops_details()]
        self.partitions = names.count("DELEGATE")
        self.operators = len(names) - self.partitions
        self.invoke = self._interpreter.invoke

    def feed_made_up(self) -> None:
        for told in self._inputs:
            shape = _one_image(told["name"], told["shape_signature"])
            self._interpreter.set_tensor(told["index"], _made_up(shape, told["dtype"]))

    def feed(self, x: Any) -> None:
        self._interpreter.set_tensor(self._inputs[0]["index"], x)

    def result(self) -> Any:
        return self._interpreter.get_tensor(self._output["index"])


class _Onnx:
    """An ONNX file in onnxruntime on the CPU."""

    partitions = None
    operators = None

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._fed: dict[str, Any] = {}
        self._outputs: list[Any] = []

    def feed_made_up(self) -> None:
        for told in self._session.get_inputs():
            kind = told.type.replace("tensor(", "").replace(")", "")
            dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
            self._fed[told.name] = _made_up(_one_image(told.name, told.shape), dtype)

    def feed(self, x: Any) -> None:
        self._fed = {self._session.get_inputs()[0].name: x}

    def invoke(self) -> None:
        self._outputs = self._session.run(None, self._fed)

    def result(self) -> Any:
        return self._outputs[0]


def _one_image(name: str, shape: Any) -> list[int]:
    """Return the shape of one image; only the first size, that of the batch, may be free."""
    sizes = [int(size) if not isinstance(size, str) and size is not None and size > 0 else None for size in shape]
    if None in sizes[1:]:
        raise ValueError(f"input {name} has free sizes, {list(shape)}: give the file one size of image")
    return [1 if size is None else size for size in sizes]


def _made_up(shape: Any, dtype: Any) -> Any:
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    if kind.kind == "b":
        return rng.integers(0, 2, size=shape).astype(kind)
    bounds = np.iinfo(kind)
    return rng.integers(bounds.min, bounds.max + 1, size=shape).astype(kind)


def _end_with_parent() -> None:
    """Let Linux kill this process when the one that started it dies, however that comes: nobody waits any more."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    _end_with_parent()
    main(*sys.argv[1:])
