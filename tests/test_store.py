"""runs.db: what is written comes back, names resolve, other versions and broken files are said plainly."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import duckdb
import factory
import pyarrow as pa
import pytest

from collectors.errors import RunNotFound, StoreError
from collectors.records import Run
from collectors.store import migrate
from collectors.store.door import Store


def without_tables(run: Run) -> Run:
    return replace(run, profiles={k: replace(p, tables={}) for k, p in run.profiles.items()})


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    written = factory.run()
    store.save(written)

    read = store.load(written.run_id)

    for field in fields(Run):
        assert getattr(read, field.name) == getattr(without_tables(written), field.name), field.name


def test_instruction_rows_come_back_in_program_order(store: Store) -> None:
    written = factory.run()
    store.save(written)
    profile_id, profile = next(iter(written.profiles.items()))

    read = store.table(profile_id, "Instruction")

    for name in profile.tables["Instruction"].column_names:
        assert read[name].to_pylist() == profile.tables["Instruction"][name].to_pylist(), name


def test_missing_numbers_stay_missing(store: Store) -> None:
    blind = factory.profile(hbm_read_bytes=None, engines={"tensor": None}, low_ns=None, macs=None)
    run = replace(
        factory.kernel_run(),
        profiles={blind.profile_id: blind},
        launches=(replace(factory.kernel_run().launches[0], profile_id=blind.profile_id),),
    )
    store.save(run)

    read = store.load(run.run_id).profiles[blind.profile_id]

    assert read.hbm_read_bytes is None
    assert read.low_ns is None
    assert set(read.engines.values()) == {None}


def test_a_profile_shared_by_two_runs_is_stored_once(store: Store) -> None:
    first, second = factory.run(), factory.run("again")
    store.save(first)
    store.save(second)

    profiles = store.query("SELECT count(*) AS n, count(DISTINCT profile_id) AS ids FROM profile").to_pylist()
    rows = store.query("SELECT count(*) AS n FROM Instruction").to_pylist()

    assert profiles == [{"n": len(first.profiles), "ids": len(first.profiles)}]
    assert rows == [{"n": sum(p.tables["Instruction"].num_rows for p in first.profiles.values())}]


def test_columns_the_schema_does_not_know_are_named_in_a_warning(store: Store) -> None:
    odd = factory.profile()
    table = odd.tables["Warning"].append_column("colour", pa.array(["red"]))
    odd = replace(odd, tables={"Warning": table})
    run = replace(factory.kernel_run(), profiles={odd.profile_id: odd})
    store.save(run)

    assert "colour" in store.load(run.run_id).warnings[-1]
    assert store.table(odd.profile_id, "Warning").num_rows == 1


def test_a_run_that_cannot_be_written_leaves_nothing(store: Store) -> None:
    whole = factory.run()
    store.save(whole)

    with pytest.raises(StoreError):
        store.save(replace(factory.run("other"), run_id=whole.run_id))

    assert [run.label for run in store.runs()] == ["baseline"]
    assert store.query("SELECT count(*) AS n FROM launch").to_pylist() == [{"n": len(whole.launches)}]


def test_a_file_that_does_not_exist_reads_as_empty_and_stays_absent(store: Store) -> None:
    assert store.runs() == ()
    assert not store.path.exists()


def test_an_empty_file_becomes_a_database_on_the_first_write(store: Store) -> None:
    store.path.touch()
    store.save(factory.run())
    assert len(store.runs()) == 1


def test_runs_come_newest_first(filled: Store) -> None:
    times = [run.created_at for run in filled.runs()]
    assert times == sorted(times, reverse=True)
    assert len(times) == 4


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("latest", "attempt-3"),
        ("latest~1", "attempt-2"),
        ("latest~3", "baseline"),
        ("latest/p3", "attempt-3"),
        ("latest~1/p3", "attempt-2"),
        ("tuned", "tuned"),
        ("tuned/p3", "tuned"),
        ("baseline", "baseline"),
        ("baseline/p3", "baseline"),
    ],
)
def test_names_a_person_may_use(filled: Store, name: str, label: str) -> None:
    assert filled.load(filled.resolve(name)).label == label


def test_an_id_and_a_unique_start_of_one_name_the_same_run(filled: Store) -> None:
    run_id = filled.runs()[0].run_id
    assert filled.resolve(run_id) == filled.resolve(run_id[:12]) == run_id


def test_a_start_of_several_ids_is_refused_with_the_ids(filled: Store) -> None:
    with pytest.raises(RunNotFound, match="begins 4 run ids"):
        filled.resolve("2026")


def test_a_label_means_its_latest_run_and_a_prompt_picks_among_them(store: Store) -> None:
    hour = timedelta(hours=1)
    old = factory.run("x", prompt=0)
    new = factory.run("x", prompt=3, at=factory.FIRST_DAY + hour)
    store.save(old)
    store.save(new)

    assert store.resolve("x") == new.run_id
    assert store.resolve("x~1") == old.run_id
    assert store.resolve("x/p0") == old.run_id
    with pytest.raises(RunNotFound, match="x/p4"):
        store.resolve("x/p4")


def test_an_unknown_name_says_how_to_list_the_runs(filled: Store) -> None:
    with pytest.raises(RunNotFound, match="no run is called 'nope'") as raised:
        filled.resolve("nope")
    assert "collectors runs" in raised.value.hint


def test_an_empty_database_says_how_to_fill_it(store: Store) -> None:
    with pytest.raises(RunNotFound) as raised:
        store.resolve("latest")
    assert "collectors profile" in raised.value.hint


def test_going_further_back_than_the_first_run_says_how_many_there_are(filled: Store) -> None:
    with pytest.raises(RunNotFound, match="only 4"):
        filled.resolve("latest~9")


def test_a_prompt_and_target_have_one_baseline(filled: Store) -> None:
    first, second = filled.resolve("baseline"), filled.resolve("tuned")
    filled.set_baseline(second)
    assert filled.baselines() == {second}
    assert filled.resolve("baseline") == second != first


def test_each_prompt_has_its_own_baseline(filled: Store) -> None:
    other = factory.run("long", prompt=4, at=factory.FIRST_DAY + timedelta(days=1))
    filled.save(other)
    filled.set_baseline(other.run_id)

    assert len(filled.baselines()) == 2
    assert filled.resolve("baseline", like=filled.resolve("tuned")) != other.run_id
    assert filled.resolve("baseline", like=other.run_id) == other.run_id
    assert filled.baseline_of(filled.resolve("tuned/p3")) == filled.resolve("baseline/p3")


def test_a_kernel_has_its_own_baseline(filled: Store) -> None:
    softmax, norm = factory.kernel_run("softmax"), factory.kernel_run("norm")
    for run in (softmax, norm):
        filled.save(run)
    filled.set_baseline(softmax.run_id)

    assert filled.baseline_of(softmax.run_id) == softmax.run_id
    assert filled.baseline_of(norm.run_id) is None


def test_a_baseline_nobody_set_is_said_with_the_command_that_sets_it(store: Store) -> None:
    store.save(factory.run("something"))
    with pytest.raises(RunNotFound, match="no baseline") as raised:
        store.resolve("baseline")
    assert "collectors baseline" in raised.value.hint


def test_sql_reads(filled: Store) -> None:
    assert filled.query("SELECT count(*) AS runs FROM run").to_pylist() == [{"runs": 4}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM run",
        "DROP TABLE run",
        "COPY run TO 'stolen.csv'",
        "SELECT * FROM read_text('/etc/hosts')",
    ],
)
def test_sql_neither_writes_nor_reaches_other_files(filled: Store, statement: str) -> None:
    with pytest.raises(StoreError):
        filled.query(statement)
    assert len(filled.runs()) == 4


def test_faulty_sql_says_what_duckdb_says(filled: Store) -> None:
    with pytest.raises(StoreError, match="colum_that_is_not"):
        filled.query("SELECT colum_that_is_not FROM run")


def test_a_database_from_the_future_is_refused_and_left_alone(filled: Store) -> None:
    with duckdb.connect(str(filled.path)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (999, now())")
    before = filled.path.read_bytes()

    for action in (filled.runs, lambda: filled.save(factory.run())):
        with pytest.raises(StoreError, match="newer nki-dashboard"):
            action()
    assert filled.path.read_bytes() == before


def test_an_older_database_is_migrated_on_first_use_even_by_a_reader(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (*migrate.migrations(), (migrate.newest() + 1, "ALTER TABLE run ADD COLUMN mood TEXT"))
    monkeypatch.setattr(migrate, "migrations", lambda: later)

    assert len(filled.runs()) == 4
    assert filled.query("SELECT DISTINCT mood FROM run").to_pylist() == [{"mood": None}]
    assert filled.query("SELECT max(version) AS v FROM schema_version").to_pylist() == [{"v": later[-1][0]}]


def test_a_migration_that_fails_changes_nothing(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "ALTER TABLE run ADD COLUMN mood TEXT; ALTER TABLE no_such_table ADD COLUMN x TEXT"
    known = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: (*known, (known[-1][0] + 1, bad)))
    with pytest.raises(StoreError):
        filled.runs()

    monkeypatch.setattr(migrate, "migrations", lambda: known)
    assert "mood" not in filled.query("SELECT * FROM run").column_names


def test_somebody_elses_database_is_refused(store: Store) -> None:
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE groceries (name TEXT)")
    with pytest.raises(StoreError, match="something else"):
        store.runs()


def test_a_file_that_is_no_database_is_said_to_be_none(store: Store) -> None:
    store.path.write_text("hello " * 4000)
    with pytest.raises(StoreError, match="not a DuckDB database"):
        store.runs()


def test_a_damaged_file_is_an_error_with_a_way_out(filled: Store) -> None:
    content = bytearray(filled.path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    filled.path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read") as raised:
        filled.runs()
    assert raised.value.hint


def test_a_folder_is_not_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store(tmp_path).runs()


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open") as raised:
        Store(tmp_path / "nowhere" / "runs.db").save(factory.run())
    assert "--db" in raised.value.hint


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's right to read everything, which CI has."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_one_may_not_read_is_said(filled: Store) -> None:
    # Not below pytest's own folder, which is its user's alone.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(filled.path, folder))
        Path(folder).chmod(0o755)
        path.chmod(0)
        with nobody(), pytest.raises(StoreError, match="may not be read"):
            Store(path).runs()


def test_a_profile_table_that_does_not_exist_is_refused_by_name(filled: Store) -> None:
    with pytest.raises(StoreError, match="no profile table"):
        filled.table("x", "run; DROP TABLE run")


def test_migrations_are_numbered_one_after_the_other() -> None:
    assert [number for number, _ in migrate.migrations()] == list(range(1, migrate.newest() + 1))
