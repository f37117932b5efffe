"""What stays in a run's folder: everything of a run that succeeds, logs of one that fails, else nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collectors.errors import CollectorError

READ_BY_PEOPLE = frozenset({".log", ".json", ".txt"})


@contextmanager
def tidied(folder: Path, *, keep: bool = False) -> Iterator[None]:
    """While it lasts `folder` is one run's. An interruption removes it; a failure leaves what explains it.

    `keep` leaves everything after a failure, for a look.
    """
    try:
        yield
    except CollectorError:
        if not keep:
            _only_logs(folder)
        raise
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _only_logs(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.suffix not in READ_BY_PEOPLE:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
