"""A kernel on the stand-in device, through the real readers, into the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from standin import tables
from test_device_capture import kernel_request, make_bed

from collectors.device.capture import tidy
from collectors.device.kernel import collect_kernel
from collectors.store.door import Store


def test_a_kernel_is_profiled_read_stored_and_tidied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store
) -> None:
    bed = make_bed(monkeypatch, tmp_path)
    run = collect_kernel(kernel_request(tmp_path), settings=bed.settings, host=bed.host)
    store.save(run)
    tidy(run, bed.settings)
    (launch,) = store.load(run.run_id).launches
    assert launch.time_ns == tables.WORK_NS
    assert store.table(launch.profile_id or "", "Instruction").num_rows == tables.MATMULS + 2
    assert not list((bed.settings.work / "runs" / run.run_id).rglob("*.parquet"))
