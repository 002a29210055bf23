"""Several processes on one PostgreSQL, some of which are killed: no trial is lost, and none is done twice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from explore.postgresql import PASSWORD, server
from explore.small_study import DiesAt, expect_each_done_once, request, start, together, trials_of

from attendc.context import Context
from attendc.errors import OutputError, UsageError
from attendc.explore.phases import explore
from attendc.explore.request import prepare
from attendc.explore.storage import Heartbeat, open_storage
from attendc.jobs.explore import explore_space

pytestmark = pytest.mark.slow  # a server, and processes that wait for the signs of life of dead ones


def test_what_killed_processes_had_is_done_by_others_and_nothing_twice(
    postgresql: str, tmp_path: Path, small_npz: Path
) -> None:
    wanted = request(tmp_path, small_npz, storage=postgresql, trials=14)
    barrier = together(4)
    doomed = [start(wanted, DiesAt(1), barrier), start(wanted, DiesAt(2), barrier)]
    others = [start(wanted, barrier=barrier), start(wanted, barrier=barrier)]
    for process in (*doomed, *others):
        process.join(180)
    assert [p.exitcode for p in (*doomed, *others)] == [-9, -9, 0, 0]

    trials = trials_of(wanted)
    expect_each_done_once(trials, 14)
    killed = [t for t in trials if t.error.endswith("was killed")]
    assert {t.worker.rpartition(":")[2] for t in killed} == {str(p.pid) for p in doomed}
    survivors = {str(p.pid) for p in others}
    for one in killed:  # the second may have been killed over the design of the first
        (done,) = (t for t in trials if t.done and t.config == one.config)
        assert done.retry_of in {t.number for t in killed}
        assert done.worker.rpartition(":")[2] in survivors
    assert {t.worker.rpartition(":")[2] for t in trials if t.done} >= survivors


def test_a_finished_study_gives_each_computer_the_same_results(
    postgresql: str, tmp_path: Path, small_npz: Path
) -> None:
    results = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        wanted = request(tmp_path / name, small_npz, storage=postgresql, study="shared", trials=2)
        results.append(explore_space(wanted, Context()))
        assert not (tmp_path / name / "out" / "study.db").exists()
    here, there = results
    assert here["trials"] == there["trials"]
    texts = [p.read_text() for p in (tmp_path / "there" / "out").rglob("*") if p.is_file()]
    assert len(texts) > 4
    assert all(PASSWORD not in t and "s3cret" not in t for t in texts)


def test_a_server_that_goes_away_in_the_middle_is_told(tmp_path: Path, small_npz: Path) -> None:
    with ExitStack() as running:

        def say(text: str) -> None:
            if text.startswith("trial 0: ") and "epochs" in text:
                running.close()

        wanted = request(tmp_path, small_npz, storage=running.enter_context(server()))
        with pytest.raises(OutputError, match=r"postgresql://.* does not answer any more: .*same command again") as e:
            explore(prepare(wanted, Context()), Context(say=say))
    assert "s3cret" not in str(e.value)


def test_a_process_with_other_settings_may_not_join(postgresql: str, tmp_path: Path, small_npz: Path) -> None:
    first = request(tmp_path, small_npz, storage=postgresql, study="strict", trials=1)
    explore_space(first, Context())
    other = request(tmp_path, small_npz, storage=postgresql, study="strict", trials=1, epochs=4)
    with pytest.raises(UsageError, match="begun with other settings: epochs is 4, there it is 3"):
        explore_space(other, Context())


def test_a_wrong_password_is_told_without_it(postgresql: str) -> None:
    with pytest.raises(UsageError, match="password authentication failed") as raised:
        open_storage(postgresql.replace("s3cret", "wr0ng"), Heartbeat())
    assert "tester:***@" in str(raised.value)
    assert "wr0ng" not in str(raised.value)


def test_processes_that_start_at_once_on_an_empty_database_all_find_its_tables(
    postgresql: str, tmp_path: Path, small_npz: Path
) -> None:
    import psycopg

    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("CREATE DATABASE fresh")
    wanted = request(tmp_path, small_npz, storage=postgresql.replace("/postgres", "/fresh"), trials=3)
    processes = [start(wanted) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert [p.exitcode for p in processes] == [0, 0, 0]
    expect_each_done_once(trials_of(wanted), 3)
    assert prepare(wanted, Context()).request.storage.endswith("/fresh")
