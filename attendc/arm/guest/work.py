"""What runs on the other side: on the emulated core, or on a board. It knows nothing of attendc.

`python work.py JOB RESULTS` reads a JSON list of tasks and appends a line of JSON for each, so that it is seen which
one brought the process down. Needs numpy, and ai_edge_litert or onnxruntime for the files of theirs; Python 3.9.

A task has `kind`, `file`, `format` (`tflite`, `onnx`) and:
  count: nothing more; marks stand around one inference and around three, for the plugin that counts instructions.
  run: `inputs` and `outputs`, .npy files of images one after the other, as the file takes and gives them.
  time: `warmup` and `runs`, `threads`; answers the milliseconds of each run.
"""

import ctypes
import json
import sys
import time

MARK = 4242  # see count.c
INT8 = "int8"


def main(job, results):
    """Do every task and append its answer."""
    import numpy as np

    with open(job) as file:
        tasks = json.load(file)
    with open(results, "a") as out:
        for index, task in enumerate(tasks):
            try:
                answer = _do(index, task, np)
            except Exception as e:  # noqa: BLE001 - the other side tells what it means
                answer = {"error": f"{type(e).__name__}: {e}"}
            out.write(json.dumps(dict(answer, index=index)) + "\n")
            out.flush()


def _do(index, task, np):
    model = {"tflite": _TfLite, "onnx": _Onnx}[task["format"]](task["file"], task.get("threads", 1), np)
    answer = {"partitions": model.partitions, "operators": model.operators}
    if task["kind"] == "count":
        model.feed(model.made_up())
        _count(index, model.invoke)
    elif task["kind"] == "run":
        _run(task, model, np)
    elif task["kind"] == "time":
        model.feed(model.made_up())
        answer["milliseconds"] = _time(task, model.invoke)
    else:
        raise ValueError(f"no task is called {task['kind']!r}")
    return answer


def _count(index, invoke):
    libc = ctypes.CDLL(None)
    invoke()
    libc.syscall(MARK, index, 0)
    invoke()
    libc.syscall(MARK, index, 1)
    invoke()
    invoke()
    invoke()
    libc.syscall(MARK, index, 2)


def _run(task, model, np):
    outputs = []
    for image in np.load(task["inputs"]):
        model.feed(image[None])
        model.invoke()
        outputs.append(model.result()[0])
    np.save(task["outputs"], np.stack(outputs))


def _time(task, invoke):
    for _ in range(task["warmup"]):
        invoke()
    found = []
    for _ in range(task["runs"]):
        start = time.perf_counter()
        invoke()
        found.append(1000 * (time.perf_counter() - start))
    return found


class _TfLite:
    """A TFLite file in LiteRT with its default delegate, XNNPACK."""

    def __init__(self, path, threads, np):
        from ai_edge_litert.interpreter import Interpreter

        self._np = np
        self._interpreter = Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        names = [one["op_name"] for one in self._interpreter._get_ops_details()]
        self.partitions = names.count("DELEGATE")
        self.operators = len(names) - self.partitions
        self.invoke = self._interpreter.invoke

    def made_up(self):
        return _made_up(self._np, self._input["shape"], self._input["dtype"])

    def feed(self, x):
        self._interpreter.set_tensor(self._input["index"], x)

    def result(self):
        return self._interpreter.get_tensor(self._output["index"])


class _Onnx:
    """An ONNX file in onnxruntime on the CPU."""

    partitions = None
    operators = None

    def __init__(self, path, threads, np):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._np = np
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0]
        self._fed = {}
        self._outputs = None

    def made_up(self):
        shape = [size if isinstance(size, int) else 1 for size in self._input.shape]
        return _made_up(self._np, shape, {"tensor(int8)": "int8", "tensor(uint8)": "uint8"}.get(self._input.type, "f4"))

    def feed(self, x):
        self._fed = {self._input.name: x}

    def invoke(self):
        self._outputs = self._session.run(None, self._fed)

    def result(self):
        return self._outputs[0]


def _made_up(np, shape, dtype):
    rng = np.random.default_rng(0)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return rng.integers(bounds.min, bounds.max + 1, size=shape).astype(dtype)


if __name__ == "__main__":
    main(*sys.argv[1:])
