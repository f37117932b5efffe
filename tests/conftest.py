"""Fixtures every test file may use: an empty store and one with runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import factory
import pytest
from hypothesis import HealthCheck, settings

from collectors.store.door import Store

# No test judges by a clock, which a busy machine slows; that includes those of hypothesis.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

# The recipes need clones of public repositories, each in a folder of its repository's name.
collect_ignore = [] if "NKI_CLONES" in os.environ else ["recipes"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name != "test_fresh_clone.py")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store whose file does not exist yet."""
    return Store(tmp_path / "runs.db")


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the four runs of `factory.fill`; tests get copies of it."""
    path = tmp_path_factory.mktemp("filled") / "runs.db"
    factory.fill(Store(path))
    return path


@pytest.fixture
def filled(store: Store, filled_once: Path) -> Store:
    """A store with four runs of prompt 3, the first one ("baseline") marked as the baseline."""
    shutil.copyfile(filled_once, store.path)
    return store


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole session, so that a kernel is simulated once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKI_DASHBOARD_CACHE", str(cache_folder))
