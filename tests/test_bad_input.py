"""Damaged profiler output: read or refused in two sentences, never a traceback, the database as it was."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import damage
import pytest

from collectors.cli import main
from collectors.errors import CollectorError, UnreadableInput
from collectors.readers import read
from collectors.records import Run
from collectors.store.door import Store

SHARED = Path(__file__).parents[2] / "shared" / "profiles"
REAL = (
    "trn3/rank04_6bd210aa__1MB.summary.json",
    "trn3/mxfp8_16384_trn3.summary.txt",
    "trn2-session/vllm_trn2_session_dir.summary.txt",
    "inf2/matmul-128x128x136.json",
    "contest/kev-trn3_score_records.csv",
    "contest/whn09-log.txt",
)
ROUNDS = 25
PROFILES = ("summary_json", "summary_text", "full_json", "parquet_folder")
COUNTS = (
    "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM profile), (SELECT count(*) FROM Instruction)"
)


def contents(store: Store) -> tuple[Any, ...]:
    return tuple(store.query(COUNTS).to_pylist()[0].values())


def two_sentences(refusal: CollectorError) -> bool:
    return bool(refusal.hint) and "\n" not in refusal.message


def runs_of(path: Path) -> list[Run] | None:
    """Its runs, or None when it is refused as it should be: what is wrong, and what to do."""
    try:
        return read([path])
    except UnreadableInput as refusal:
        return None if two_sentences(refusal) else pytest.fail(str(refusal))


def saved(store: Store, runs: list[Run]) -> bool:
    """Whether the runs were stored; rows damaged inside a table show only then, and nothing stays of them."""
    before = contents(store)
    try:
        for run in runs:
            store.save(run)
    except UnreadableInput as refusal:
        return False if two_sentences(refusal) and contents(store) == before else pytest.fail(str(refusal))
    return True


@pytest.mark.parametrize("kind", damage.FORMATS)
def test_damage_is_read_or_refused_and_the_database_stays_whole(
    store: Store, tmp_path: Path, kind: str
) -> None:
    found = []
    for seed in range(ROUNDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = damage.FORMATS[kind](folder)
        damage.damage(path, random.Random(f"{kind} {seed}"))
        found.append(runs_of(path))
    assert any(runs is None for runs in found)
    for runs in [runs for runs in found if runs][:3]:
        saved(store, runs)


@pytest.mark.skipif(not SHARED.exists(), reason="no real profiles beside the repository")
@pytest.mark.parametrize("name", REAL)
def test_damaged_real_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    for seed in range(6):
        path = tmp_path / f"{seed}-{Path(name).name}"
        shutil.copyfile(SHARED / name, path)
        damage.damage(path, random.Random(f"{name} {seed}"))
        runs_of(path)


@pytest.mark.parametrize("kind", damage.FORMATS)
def test_every_format_is_read_when_nothing_is_wrong(store: Store, tmp_path: Path, kind: str) -> None:
    assert saved(store, read([damage.FORMATS[kind](tmp_path)]))
    assert contents(store)[:2] == (1, 1 if kind in PROFILES else 0)


def test_one_bad_file_among_good_ones_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    good, bad = damage.summary_json(tmp_path), damage.report(tmp_path)
    damage.truncated(bad, random.Random(1))
    with pytest.raises(UnreadableInput):
        read([good, bad])
    assert contents(store) == (0, 0, 0)


def test_rows_damaged_inside_a_table_are_found_while_storing_and_undone(
    filled: Store, tmp_path: Path
) -> None:
    folder = damage.parquet_folder(tmp_path)
    (run,) = read([folder])
    before = contents(filled)
    for path in folder.glob("Instruction*.parquet"):
        path.write_bytes(b"PAR1" + path.read_bytes()[4:][::-1])
    with pytest.raises(UnreadableInput, match="rows of Instruction"):
        filled.save(run)
    assert contents(filled) == before


def test_a_version_of_the_future_is_read_with_a_warning(tmp_path: Path) -> None:
    path = damage.summary_json(tmp_path)
    path.write_text(path.read_text().replace(damage.VERSION, "9.1.0.0"))
    (run,) = read([path])
    assert any("9.1.0.0 is newer than" in said for said in run.warnings)


def test_a_schema_of_the_future_is_refused(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = damage.parquet_folder(tmp_path) / "Metadata.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("profile_schema_version")
    pq.write_table(table.set_column(at, "profile_schema_version", [["8.0.0"]]), path)
    with pytest.raises(UnreadableInput, match=r"schema 8\.0\.0"):
        read([path.parent])


def test_the_command_refuses_in_two_sentences_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = damage.full_json(tmp_path)
    damage.truncated(path, random.Random(3))
    monkeypatch.setattr(sys, "argv", ["collectors", "import", str(path), "--db", str(tmp_path / "runs.db")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert said[0].startswith("Error: ")
    assert len(said) == 2
    assert not (tmp_path / "runs.db").exists()


FULL_DISK = """
    import resource, sys
    from dataclasses import replace
    sys.path.insert(0, {tests!r})
    import factory
    from collectors.errors import StoreError
    from collectors.store.door import Store

    store, run = Store(sys.argv[1]), factory.kernel_run()
    big = factory.profile("my_kernels.big", 1_000_000, rows=60_000)
    run = replace(run, profiles={{big.profile_id: big}})
    room = store.path.stat().st_size + {room}
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        store.save(run)
    except StoreError as error:
        print(error, "|", error.hint)
        sys.exit(2)
"""


@pytest.mark.parametrize("room", [0, 300_000])
def test_a_full_disk_is_named_and_the_database_is_as_it_was(filled: Store, room: int) -> None:
    before = contents(filled)
    program = textwrap.dedent(FULL_DISK.format(tests=str(Path(__file__).parent), room=room))
    done = subprocess.run(
        [sys.executable, "-c", program, str(filled.path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert (done.returncode, done.stderr) == (2, "")
    assert "space" in done.stdout
    assert "abort" not in done.stdout
    assert contents(filled) == before
