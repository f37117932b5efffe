"""Runs, launches and profiles by hand, with every number in the test's sight."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from analysis.machine_facts import MachineFacts
from collectors.records import Launch, Profile, Run

NO_ENGINES = dict.fromkeys(("tensor", "vector", "scalar", "gpsimd", "sync", "dma"))

# Round figures: 100 GB/s of DMA a core, 150 of HBM for two, 1000 MACs per ns, 10 ns a descriptor.
MACHINE = MachineFacts(
    target="trn3",
    hbm_bytes_per_ns=150.0,
    cores_per_hbm=2,
    dma_bytes_per_ns=100.0,
    dma_engines=16,
    descriptor_ns=10.0,
    tensor_macs_per_ns={"bfloat16": 1000.0, "float32": 250.0},
    sources={},
)


def launch(slot: str, phase: str, time_ns: int, count: int = 1, **rest: Any) -> Launch:
    given: dict[str, Any] = {
        "covers": (slot,),
        "variant": "plain",
        "bucket": 128,
        "provenance": "simulated",
        "low_ns": round(time_ns * 0.9),
        "high_ns": round(time_ns * 1.1),
    }
    return Launch(slot=slot, phase=phase, time_ns=time_ns, count=count, **(given | rest))  # type: ignore[arg-type]


def profile(profile_id: str, duration_ns: int = 1000, **rest: Any) -> Profile:
    given: dict[str, Any] = {
        "provenance": "simulated",
        "kernel": "kernels.sample.sample",
        "target": "trn3",
        "lnc": 2,
        "low_ns": round(duration_ns * 0.9),
        "high_ns": round(duration_ns * 1.1),
        "interval_basis": "both schedules",
        "as_written_ns": None,
        "list_scheduled_ns": None,
        "engines": NO_ENGINES | dict(rest.pop("engines", {})),
        "hbm_read_bytes": None,
        "hbm_write_bytes": None,
        "dma_bytes": None,
        "dma_transfers": None,
        "dma_descriptors": None,
        "macs": None,
        "instructions": None,
        "sbuf_peak_bytes": None,
        "psum_peak_banks": None,
        "bound": None,
        "tool": "simulator",
        "tool_version": "1",
    }
    return Profile(profile_id=profile_id, duration_ns=duration_ns, **(given | rest))


def run(*launches: Launch, **rest: Any) -> Run:
    given: dict[str, Any] = {
        "run_id": "r",
        "session": "s",
        "label": "a run",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "provenance": "simulated",
        "backend": "simulator",
        "target": "trn3",
        "lnc": 2,
        "prompt": 3,
        "prompt_tokens": 14,
        "new_tokens": 11,
        "seq_len": 640,
        "batch": 1,
        "kernels": {},
        "accuracy": 1,
        "base_latency_ms": 1000.0,
        "base_tokens_per_s": 640.0,
        "configuration": {},
        "environment": {},
        "wall_s": 1.0,
        "profiles": {p.profile_id: p for p in rest.pop("with_profiles", ())},
    }
    return Run(launches=launches, **(given | rest))
