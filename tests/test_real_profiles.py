"""Every public profile beside the repository is imported, or refused by a sentence that fits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.errors import UnreadableInput
from collectors.readers import read
from collectors.store.door import Store

PROFILES = Path(__file__).parents[2] / "shared" / "profiles"
FILES = sorted(path for path in PROFILES.rglob("*") if path.is_file()) if PROFILES.exists() else []
REFUSED = {
    "kev-profile_v6b_exec_2.ntff": "without its NEFF",
    "prompt_data_trn2.csv": "table of prompts",
    "prompt_data_trn3.csv": "table of prompts",
    "prompts.txt": "no format the import knows",
}
"""What is no measurement, and what of its refusal says why."""


@pytest.mark.skipif(not FILES, reason="no real profiles beside the repository")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_real_file_is_imported_or_refused_by_one_sentence(path: Path, store: Store) -> None:
    if path.name in REFUSED:
        with pytest.raises(UnreadableInput, match=REFUSED[path.name]) as refused:
            read([path])
        assert refused.value.hint
        return
    runs = read([path])
    for run in runs:
        store.save(run)
        assert run.launches or run.samples or run.checks or run.configuration["events"]
    assert len(store.runs()) == len(runs) > 0


@pytest.mark.skipif(not FILES, reason="no real profiles beside the repository")
def test_totals_by_graph_sum_to_totals_by_event() -> None:
    folder = PROFILES / "contest"
    events, graphs = (
        read([folder / f"hwang-{kind}_event_totals-p0.tsv"])[0].configuration["events"]
        for kind in ("runtime", "model")
    )
    for event in ("nc_exec_running", "nrt_execute", "kbl_exec_wait"):
        assert sum(row[f"{event}_ns"] for row in graphs.values()) == events[event]["total_ns"]


def test_a_cut_device_record_leaves_the_system_records_counts(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    counts = "    event_type_count:\n        nrt_execute    20\n"
    path.write_text(f"WARN[0000] skipped\ns_{'0b' * 20}\n{counts}n_{'0a' * 20}\n    hbm_read_bytes    5\n")
    (run,) = read([path])
    assert run.configuration["events"] == {"nrt_execute": {"count": 20}}
    assert any("no usable total_time (fields: 1)" in said for said in run.warnings)
