"""What goes to stdout, to stderr and to the log."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from attendc.cli.console import Console, open_console
from attendc.errors import DataError


def console(*, quiet: bool = False) -> tuple[Console, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Console(out, err, None, quiet), out, err


@pytest.mark.usefixtures("temporary")
def test_what_libraries_print_is_kept_off_both_streams(capfd: pytest.CaptureFixture[str]) -> None:
    with open_console() as opened:
        os.write(1, b"chatter of C++\n")
        os.write(2, b"chatter of C++\n")
        opened.result("result")
        opened.say("log")
    assert capfd.readouterr() == ("result\n", "log\n")


def test_it_goes_to_a_log_that_is_removed_in_the_end(temporary: Path) -> None:
    with open_console() as opened:
        os.write(1, b"chatter")
        assert opened.log is not None
        assert opened.log.read_text() == "chatter"
    assert list(temporary.iterdir()) == []


def test_verbose_lets_it_through(capfd: pytest.CaptureFixture[str]) -> None:
    with open_console(verbose=True):
        os.write(1, b"chatter\n")
    assert capfd.readouterr().out == "chatter\n"


@pytest.mark.parametrize("error", [DataError("expected"), KeyboardInterrupt()])
def test_the_log_of_an_expected_end_is_removed(temporary: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), open_console():
        raise error
    assert list(temporary.iterdir()) == []


def test_the_log_of_an_unexpected_end_is_kept(temporary: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="Bad file"), open_console():
        os.write(os.write(1, b"chatter") + 9000, b"")
    (log,) = temporary.iterdir()
    assert log.read_text() == "chatter"
    assert capfd.readouterr().err == f"the log of the libraries is in {log}\n"


@pytest.mark.usefixtures("temporary")
def test_the_streams_are_given_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError), open_console():
        raise DataError("expected")
    os.write(1, b"out")
    os.write(2, b"err")
    assert capfd.readouterr() == ("out", "err")


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("verbose", [False, True])
def test_an_error_under_json_is_the_one_object_on_stdout(capfd: pytest.CaptureFixture[str], *, verbose: bool) -> None:
    with pytest.raises(DataError), open_console(as_json=True, verbose=verbose):
        raise DataError("what happened", hint="what to do")
    told = {"kind": "DataError", "exit_code": 4, "message": "what happened", "hint": "what to do"}
    assert json.loads(capfd.readouterr().out) == {"error": told}


def test_json_takes_paths() -> None:
    opened, out, _ = console()
    opened.json({"path": Path("a")})
    assert json.loads(out.getvalue()) == {"path": "a"}


def test_quiet_leaves_out_the_log_but_not_the_result() -> None:
    opened, out, err = console(quiet=True)
    opened.say("log")
    opened.result("result")
    with opened.progress("work", 1) as advance:
        advance(1, "")
    assert (out.getvalue(), err.getvalue()) == ("result\n", "")


def test_progress_in_a_log_file_is_a_line_at_the_end() -> None:
    opened, _, err = console()
    with opened.progress("work", 3) as advance:
        for _ in range(3):
            advance(1, "note")
    assert err.getvalue() == "work: 3/3 after 0 s note\n"


def test_progress_on_a_terminal_is_a_bar() -> None:
    opened, _, err = console()
    err.isatty = lambda: True  # type: ignore[method-assign]
    with opened.progress("work", 3) as advance:
        advance(3, "note")
    assert "3/3" in err.getvalue()
    assert "left" in err.getvalue()


def test_a_table_has_its_title_its_head_and_every_row() -> None:
    opened, out, _ = console()
    opened.table("title", ("file", "bytes"), [("a.tflite", "1,234"), ("b.onnx", "5")])
    lines = out.getvalue().splitlines()
    assert lines[0].rstrip() == "title"
    assert [word in out.getvalue() for word in ("file", "bytes", "a.tflite", "1,234", "b.onnx")] == [True] * 5
    assert max(len(line.rstrip()) for line in lines) <= 120


def test_a_console_of_its_own_streams_does_not_touch_the_real_ones(capfd: pytest.CaptureFixture[str]) -> None:
    opened, _, _ = console()
    opened.result("elsewhere")
    sys.stdout.flush()
    assert capfd.readouterr().out == ""
