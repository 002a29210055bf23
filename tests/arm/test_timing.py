"""What is told of milliseconds: the interval of their median, the answers of the other side, the state it was in."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import numpy as np
import pytest
from arm.bench_nets import plain_conv

from attendc.arm.emulation.process import WORK
from attendc.arm.guest import work
from attendc.arm.measure.local import time_here
from attendc.arm.measure.timing import TimeOptions, median_interval, read_timings, summarize, time_job
from attendc.context import Context
from attendc.errors import ConversionError, UsageError

# With `cut` values left out at each end, the median is outside in 2 * sum(n over k, k <= cut) / 2**n of all cases:
#   6: 2/64 = 3 %;  with the second value 14/64 = 22 %
#  10: 22/1024 = 2 % with the second;  with the third 112/1024 = 11 %
#  20: 43,400/1,048,576 = 4 % with the sixth;  with the seventh 12 %
RANKS = {6: (1, 6), 10: (2, 9), 20: (6, 15)}


@pytest.mark.parametrize("count", RANKS)
def test_the_interval_is_the_narrowest_that_holds_the_median_in_95_of_100_cases(count: int) -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1, count + 1)).tolist()
    assert median_interval(shuffled) == RANKS[count]


def test_the_interval_holds_the_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    # 50 values of an exponential distribution, whose median is ln 2; ranks 18 and 33 are outside in 3.3 % of all cases.
    draws = np.random.default_rng(0).exponential(size=(2000, 50))
    held = [low <= np.log(2) <= high for low, high in map(median_interval, draws.tolist())]
    assert np.mean(held) == pytest.approx(0.967, abs=0.012)  # three standard deviations of a share of 2000


def test_five_runs_have_no_interval() -> None:
    with pytest.raises(UsageError, match=r"5 runs give no 95 % interval.*Take 6 or more"):
        median_interval([1, 2, 3, 4, 5])
    with pytest.raises(UsageError, match="5 runs"):
        TimeOptions(runs=5)


def test_no_thread_and_less_than_no_warm_up_cannot_be() -> None:
    for options in ({"threads": 0}, {"warmup": -1}):
        with pytest.raises(UsageError, match="cannot be"):
            TimeOptions(**options)


def test_a_timing_is_the_median_whatever_one_run_took() -> None:
    options = TimeOptions(threads=2, warmup=3, runs=7)
    timing = summarize([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 90.0], options, {"clock_mhz": 1800.0})
    assert (timing.median_ms, timing.runs, timing.warmup, timing.threads) == (1.3, 7, 3, 2)
    assert (timing.clock_mhz, timing.temperature_c, timing.machine) == (1800.0, None, "unknown")


def test_the_file_that_the_other_side_could_not_run_is_named() -> None:
    files = [Path("a.tflite"), Path("b.onnx")]
    lines = [{"index": 0, "at": 5}, {"index": 1, "error": "ValueError: no"}, {"index": 0, "milliseconds": [1.0] * 6}]
    with pytest.raises(ConversionError, match=r"runtime on board cannot run b\.onnx: ValueError: no"):
        read_timings([{**line, "state": {}} for line in lines], files, TimeOptions(runs=6), "board")


# The script that runs over there


def test_the_script_is_plain_python_39_without_attendc() -> None:
    tree = ast.parse(WORK.read_text(), feature_version=(3, 9))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules == {"__future__", "typing", "ai_edge_litert.interpreter"}
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert names & {"numpy", "onnxruntime", "attendc"} == {"numpy", "onnxruntime"}


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the script read the files of a board in a folder."""
    monkeypatch.setattr(work, "ZONES", f"{tmp_path}/thermal_zone*/")
    monkeypatch.setattr(work, "COOLING", f"{tmp_path}/cooling_device*/")
    monkeypatch.setattr(work, "FIRMWARE", f"{tmp_path}/get_throttled")
    monkeypatch.setattr(work, "CPUS", f"{tmp_path}/cpu{{}}/")
    return tmp_path


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text + "\n")


def test_the_temperature_is_that_of_the_hottest_zone_of_the_processor(board: Path) -> None:
    write(board / "thermal_zone0", type="nvme", temp="70000")
    assert work._temperature() == 70.0  # nothing is called a processor's
    write(board / "thermal_zone1", type="cpu-thermal", temp="47200")
    write(board / "thermal_zone2", type="soc_thermal", temp="45000")
    assert work._temperature() == 47.2


def test_the_clock_is_that_of_the_core_it_ran_on_in_megahertz(board: Path) -> None:
    here, *others = sorted(os.sched_getaffinity(0), reverse=True)
    for core in range(here + 1):
        write(board / f"cpu{core}" / "cpufreq", scaling_cur_freq="2400000" if core == here else "1800000")
    os.sched_setaffinity(0, {here})
    try:
        assert work._clock() == 2400.0
    finally:
        os.sched_setaffinity(0, {here, *others})


# Of the firmware's bits: 1 and 2 hold the clock down now, 18 did so since the start; 0 is a low voltage.
@pytest.mark.parametrize(
    ("word", "held"), [("0x0", False), ("0x4", True), ("0x2", True), ("0x40000", False), ("1", False)]
)
def test_a_raspberry_pi_tells_that_its_clock_is_held_down(board: Path, word: str, held: bool) -> None:
    write(board, get_throttled=word)
    assert work._is_throttled() is held


def test_linux_tells_that_it_holds_the_clock_down(board: Path) -> None:
    assert work._is_throttled() is None
    write(board / "cooling_device0", type="pwm-fan", cur_state="3")  # a fan that turns slows nothing down
    assert work._is_throttled() is None
    write(board / "cooling_device1", type="cpufreq-cpu0", cur_state="0")
    assert work._is_throttled() is False
    write(board / "cooling_device1", type="cpufreq-cpu0", cur_state="2")
    assert work._is_throttled() is True


def test_files_take_turns_of_five_runs(tmp_path: Path) -> None:
    small, large = plain_conv(tmp_path / "small", channels=16), plain_conv(tmp_path / "large", channels=32)
    job = time_job([str(small), str(large)], ["tflite", "tflite"], TimeOptions(warmup=0, runs=12))
    write(tmp_path, job=json.dumps(job))
    work.main(str(tmp_path / "job"), str(tmp_path / "results"))
    lines = [json.loads(line) for line in (tmp_path / "results").read_text().splitlines()]
    assert [(line["index"], line["at"]) for line in lines if "at" in line] == [
        *((0, 0), (1, 0)),
        *((0, 5), (1, 5), (0, 10), (1, 10), (0, 12), (1, 12)),
    ]
    assert [len(line["milliseconds"]) for line in lines if "at" not in line] == [12, 12]


@pytest.mark.slow
def test_this_computer_takes_longer_for_sixty_four_times_the_products(tmp_path: Path) -> None:
    small, large = plain_conv(tmp_path / "small", channels=16), plain_conv(tmp_path / "large", channels=128)
    quick, slow = time_here([small, large], TimeOptions(runs=20), Context())
    assert quick.high_ms < slow.low_ms
    assert quick.low_ms <= quick.median_ms <= quick.high_ms
    assert (quick.runs, quick.machine) == (20, slow.machine)
