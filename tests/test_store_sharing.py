"""Many processes on one file: nobody sees an error, no run is lost, a killed writer leaves a good file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import factory
import pytest

from collectors.errors import StoreError
from collectors.store import locks
from collectors.store.door import Store

TESTS = Path(__file__).parent

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import factory
from collectors.store.door import Store
store = Store(sys.argv[2])
for number in range(int(sys.argv[4])):
    store.save(factory.run(f"{sys.argv[3]}-{number}"))
"""

READER = """
import sys
from collectors.store.door import Store
store = Store(sys.argv[2])
seen = 0
while seen < int(sys.argv[4]):
    runs = store.runs()
    assert len(runs) >= seen, "a run was lost"
    assert all(len(run.launches) == len(runs[0].launches) for run in runs), "half a run was seen"
    seen = len(runs)
"""

HALF_A_RUN = """
import os, sys
sys.path.insert(0, sys.argv[1])
import factory
from collectors.store import write
from collectors.store.door import Store

def stop_before_the_run_row(connection, table, rows, insert=write._insert):
    if table == sys.argv[3]:
        print("half", flush=True)
        sys.stdin.readline()
    insert(connection, table, rows)

write._insert = stop_before_the_run_row
Store(sys.argv[2]).save(factory.run("killed", speed=2.0))
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(TESTS), *map(str, arguments)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, said = process.communicate()
    return said if process.returncode else ""


def test_several_writers_and_readers_at_once_all_succeed_and_no_run_is_lost(store: Store) -> None:
    writers = [start(WRITER, store.path, name, 3) for name in "ab"]
    readers = [start(READER, store.path, name, 6) for name in "cd"]

    assert [finish(process) for process in (*writers, *readers)] == [""] * 4
    labels = sorted(run.label for run in store.runs())
    assert labels == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]


def test_threads_of_one_process_read_and_write_together(filled: Store) -> None:
    failures: list[BaseException] = []

    def attempt(action: object) -> None:
        try:
            for _ in range(3):
                action()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    actions = [filled.runs, lambda: filled.save(factory.run("thread")), filled.baselines]
    threads = [threading.Thread(target=attempt, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(filled.runs()) == 7


@pytest.mark.parametrize("table", ["profile", "launch", "run"])
def test_a_writer_killed_inside_its_transaction_leaves_a_file_that_opens_without_half_a_run(
    filled: Store, table: str
) -> None:
    before = filled.query("SELECT count(*) AS n FROM Instruction").to_pylist()
    process = start(HALF_A_RUN, filled.path, table)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    assert len(filled.runs()) == 4
    assert filled.query("SELECT count(*) AS n FROM Instruction").to_pylist() == before
    filled.save(factory.run("after", speed=2.0))
    assert len(filled.runs()) == 5


def test_a_writer_killed_while_creating_the_file_leaves_nothing_in_the_way(store: Store) -> None:
    process = start(HALF_A_RUN, store.path, "profile")
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    assert store.runs() == ()
    store.save(factory.run("after"))
    assert [run.label for run in store.runs()] == ["after"]


def test_a_reader_waits_for_a_writer_instead_of_failing(filled: Store) -> None:
    process = start(HALF_A_RUN, filled.path, "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.append(len(filled.runs())))
    reader.start()
    assert seen == []

    process.communicate("go on\n")
    reader.join()
    assert seen == [5]


def test_a_file_held_for_too_long_is_said_to_be_held(filled: Store) -> None:
    process = start(HALF_A_RUN, filled.path, "run")
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    try:
        with pytest.raises(StoreError, match="is held by"):
            Store(filled.path, patience_s=0.1).runs()
    finally:
        process.communicate("go on\n")


def test_a_program_that_does_not_take_turns_is_named(filled: Store) -> None:
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[2]); print('held', flush=True); sys.stdin.readline()"
    )
    process = start(script, filled.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        with pytest.raises(StoreError, match=str(process.pid)):
            Store(filled.path, patience_s=0.1).runs()
    finally:
        process.communicate("go on\n")


@pytest.mark.parametrize("refusal", [errno.EACCES, errno.EROFS])
def test_a_folder_one_may_not_write_to_can_still_be_read(
    filled: Store, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    refused: list[str] = []

    def read_only(path: Path, flags: int, mode: int = 0o777) -> int:
        # Permissions would not do: root, as in CI, may write everywhere.
        refused.append(Path(path).suffix)
        raise OSError(refusal, os.strerror(refusal), str(path))

    monkeypatch.setattr(locks.os, "open", read_only)
    assert len(filled.runs()) == 4
    assert set(refused) == {".turn", ".lock"}
