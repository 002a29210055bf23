"""`attendc bench` as typed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from arm.bench_nets import SIDE, plain_conv, silu_net
from commands import cells, told

from attendc.cli.bench_tables import print_bench
from attendc.cli.console import Console
from attendc.cli.main import main

CONV_MACS = SIDE * SIDE * 16 * 16


@pytest.mark.slow
@pytest.mark.usefixtures("arm_machine", "temporary")
def test_counts_and_layers_are_tables(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(silu_net(tmp_path)), "--on", "cortex-a76", "--layers"]) == 0
    out = capfd.readouterr().out
    assert "a count, not a time" in out
    (_, core, instructions, partitions, macs, *_), *layers = cells(out)
    assert (core, partitions, macs) == ("cortex-a76", "1", f"{2 * CONV_MACS:,}")
    assert [row[:3] for row in layers] == [
        [name, kind, f"1x{SIDE}x{SIDE}x16"]
        for name, kind in (("first", "CONV_2D"), ("silu", "SILU"), ("second", "CONV_2D"), ("sum", "ADD"))
    ]
    assert f"{sum(int(row[3].replace(',', '')) for row in layers):,}" == instructions


@pytest.mark.slow
@pytest.mark.usefixtures("temporary")
def test_json_is_a_list_that_the_output_holds_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [str(plain_conv(tmp_path / name, channels=16)) for name in ("a", "b")]
    output = tmp_path / "bench.json"
    command = ["bench", *files, "--on", "local", "--runs", "6", "--warmup", "0", "--threads", "2", "--json"]
    assert main([*command, "-o", str(output)]) == 0
    out = capfd.readouterr().out
    entries = json.loads(out)
    assert [entry["file"] for entry in entries] == files
    assert [(entry["core"], entry["runs"], entry["warmup"], entry["threads"]) for entry in entries] == [
        ("local", 6, 0, 2)
    ] * 2
    assert json.loads(output.read_text()) == entries


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--on", "cortex-a67"], "error: no core 'cortex-a67'. Did you mean cortex-a"),
        (["--on", "local,ssh:a b"], "error: 'a b' is no host"),
        (["--on", "local", "--ssh-key", "nowhere"], "error: there is no key nowhere"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_any_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    assert main(["bench", str(plain_conv(tmp_path, channels=16)), *given]) == 2
    assert told(capfd).startswith(said)


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("given", [[], ["--on", "local", "--runs", "5"], ["--on", "local", "--threads", "0"]])
def test_options_that_cannot_be_are_wrong_usage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert main(["bench", str(plain_conv(tmp_path, channels=16)), *given]) == 2
    assert "Usage: " in capfd.readouterr().err


@pytest.mark.usefixtures("temporary")
def test_an_output_that_is_there_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bench.json").write_text("mine")
    command = ["bench", str(plain_conv(tmp_path, channels=16)), "--on", "local", "-o", str(tmp_path / "bench.json")]
    assert main(command) == 2
    assert told(capfd).endswith("bench.json exists already. Add --force to replace it")
    assert (tmp_path / "bench.json").read_text() == "mine"


# Tables


def timed(file: str, core: str, milliseconds: float, **more: Any) -> dict[str, Any]:
    return {
        "file": file,
        "core": core,
        "milliseconds": milliseconds,
        "low": milliseconds - 0.1,
        "high": milliseconds + 0.2,
        "runs": 50,
        "warmup": 10,
        "threads": 4,
        "machine": "Raspberry Pi 5",
        "clock_mhz": 2400.0,
        "temperature_c": None,
        **more,
    }


COUNTED = {
    "file": "a/model.tflite",
    "core": "cortex-a76",
    "instructions": 4_000_000,
    "partitions": None,
    "macs": 12_000_000,
    "macs_per_instruction": 3.0,
    "share_of_limit": 0.1875,
}


def printed(entries: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    print_bench(Console(out, io.StringIO(), None), entries)
    return out.getvalue()


def test_times_have_a_table_for_each_place_with_the_ratio_to_its_first_file() -> None:
    files = ("a/model.tflite", "b/model.tflite")
    entries = [timed(f, place, ms) for f, ms in zip(files, (2.0, 3.0), strict=True) for place in ("ssh:pi", "local")]
    out = printed(entries)
    assert out.count("milliseconds of one inference on") == 2
    assert "on ssh:pi (Raspberry Pi 5), 4 threads, 50 runs after 10 of warm-up" in out
    assert (
        cells(out)
        == [
            ["a/model.tflite", "2.000", "1.900 to 2.200", "1.000", "2400", "-"],
            ["b/model.tflite", "3.000", "2.900 to 3.200", "1.500", "2400", "-"],
        ]
        * 2
    )
    assert out.count("ratio: to a/model.tflite") == 2


def test_counts_and_times_never_share_a_table() -> None:
    out = printed([COUNTED, timed("a/model.tflite", "local", 2.0)])
    counts, times = out.split("milliseconds of one inference")
    assert cells(counts) == [["model.tflite", "cortex-a76", "4,000,000", "-", "12,000,000", "3.00", "19%"]]
    assert cells(times) == [["model.tflite", "2.000", "1.900 to 2.200", "1.000", "2400", "-"]]
    assert "MHz" not in counts
