"""How long the server takes for each page of the dashboard, on a database of 50 runs.

    python benchmarks/dashboard.py

Figures to reach: at most 1 s for the first view of a page, nothing remembered, and 300 ms for a zoom of the
timeline. The kernel that is zoomed has 100,000 instructions. Wall and processor time are printed, since
other programs may share the machine; "again" is the same view with everything remembered.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import factory  # noqa: E402 (from tests/)

from app import query  # noqa: E402
from app.charts.timeline import PIXELS, lanes_in, timeline  # noqa: E402
from collectors.records import Profile  # noqa: E402
from collectors.store.door import Store  # noqa: E402

RUNS = 50
INSTRUCTIONS_A_CORE = 50_000
PAGES = ("runs", "compare", "rewrite", "kernel")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of this process."""

    wall: float
    cpu: float


def cost(act: Callable[[], object]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def fill(store: Store) -> str:
    """50 runs, and one of a kernel with many instructions; the profile of that kernel."""
    factory.fill(store, RUNS)
    heavy = factory.profile("my_kernels.heavy", 40_000_000, rows=INSTRUCTIONS_A_CORE)
    heavy = replace(heavy, tables={**heavy.tables, "DmaPacketAggregated": short(heavy)})
    run = factory.kernel_run("heavy", 40_000_000)
    launch = replace(run.launches[0], profile_id=heavy.profile_id)
    early = factory.FIRST_DAY - timedelta(days=1)
    store.save(replace(run, created_at=early, launches=(launch,), profiles={heavy.profile_id: heavy}))
    return heavy.profile_id


def short(heavy: Profile) -> pa.Table:
    """The transfers of a profile, none longer than a thousandth of it, as transfers are."""
    rows = heavy.tables["DmaPacketAggregated"]
    length = pc.min_element_wise(rows["duration_ns"], heavy.duration_ns // 1000)
    ends = pc.add(rows["start_ts"], length)
    for name, values in (("duration_ns", length), ("end_ts", ends)):
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def page(name: str) -> AppTest:
    """The app, just after its first page, about to open another."""
    test = AppTest.from_file(str(ROOT / "app" / "streamlit_app.py"), default_timeout=120).run()
    return test if name == "runs" else test.switch_page(f"app_pages/{name}.py")


def view(test: AppTest) -> None:
    test.run()
    if test.exception:
        raise SystemExit(test.exception[0].message)


def zoom(path: Path, profile_id: str, start: float, end: float) -> None:
    """What the server does for a zoom: the query, the figure, and the message to the browser."""
    whole = query.extent(path, profile_id)
    assert whole is not None
    lanes = lanes_in(query.lanes(path, profile_id, *whole, PIXELS))
    timeline(query.lanes(path, profile_id, start, end, PIXELS), lanes, start, end).to_json()


def line(name: str, *costs: Cost) -> None:
    told = "  ".join(f"{each.wall * 1000:8.0f} {each.cpu * 1000:8.0f}" for each in costs)
    print(f"{name:28} {told}", flush=True)


def main() -> None:
    """Print milliseconds, a row a page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        profile_id = fill(Store(path))
        os.environ["NKI_DASHBOARD_DB"], sys.argv = str(path), ["streamlit_app.py"]
        view(page("kernel"))
        print(f"{'milliseconds':28} {'first':>8} {'cpu':>8}  {'again':>8} {'cpu':>8}")
        for name in PAGES:
            test = page(name)
            st.cache_resource.clear()
            first = cost(lambda test=test: view(test))  # type: ignore[misc]
            line(name, first, cost(lambda test=test: view(test)))  # type: ignore[misc]
        whole = query.extent(path, profile_id) or (0, 1)
        query.lanes(path, profile_id, *whole, PIXELS)
        length = whole[1] - whole[0]
        for part in (2, 10, 1000):
            start = whole[0] + length / 3
            spent = cost(lambda s=start, p=part: zoom(path, profile_id, s, s + length / p))  # type: ignore[misc]
            line(f"zoom to 1/{part} of the kernel", spent)


if __name__ == "__main__":
    main()
