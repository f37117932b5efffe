"""Fair waiting among processes: many readers or one writer, nobody overtakes.

DuckDB lets one process write a file and refuses everyone else meanwhile, at once. This advisory lock makes
the others wait instead. `runs.db.lock` is held shared by readers and exclusive by a writer; whoever wants it
first takes `runs.db.turn`, so a waiting writer keeps later readers behind it. The operating system releases
both when a process dies.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: DuckDB's own lock and the door's retry remain
    fcntl = None  # type: ignore[assignment]

FIRST_WAIT_S = 0.002
LONGEST_WAIT_S = 0.05


class Deadline:
    """A moment to give up at, and waits that grow towards it."""

    def __init__(self, patience_s: float) -> None:
        self._end = time.monotonic() + patience_s
        self._wait = FIRST_WAIT_S

    @property
    def passed(self) -> bool:
        """Whether patience has run out."""
        return time.monotonic() >= self._end

    def wait(self) -> None:
        """Sleep a little, longer each time; random, so that waiters do not march in step."""
        time.sleep(self._wait * random.uniform(0.5, 1.5))  # noqa: S311 (not a secret)
        self._wait = min(self._wait * 1.5, LONGEST_WAIT_S)


@contextmanager
def shared_or_exclusive(path: Path, *, exclusive: bool, deadline: Deadline) -> Iterator[None]:
    """Hold the lock of the database `path`; raises `TimeoutError` at the deadline.

    A folder that cannot be written to has no writers to wait for, so nothing is locked there.
    """
    with _lock_file(path.with_name(path.name + ".turn")) as turn:
        _acquire(turn, exclusive=True, deadline=deadline)
        lock = _open(path.with_name(path.name + ".lock"))
        try:
            _acquire(lock, exclusive=exclusive, deadline=deadline)
        except TimeoutError:
            _close(lock)
            raise
    try:
        yield
    finally:
        _close(lock)


@contextmanager
def _lock_file(path: Path) -> Iterator[int | None]:
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        _close(descriptor)


def _open(path: Path) -> int | None:
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            return None
        raise


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _acquire(descriptor: int | None, *, exclusive: bool, deadline: Deadline) -> None:
    if descriptor is None:
        return
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if deadline.passed:
                raise TimeoutError from None
            deadline.wait()
        else:
            return
