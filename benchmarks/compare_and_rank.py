"""How long comparing and ranking take, and what the profiles' tables add to it.

    python benchmarks/compare_and_rank.py

Figures to reach: comparing or ranking runs of 50 launches well under the 300 ms of a page's zoom; the stalls
of a profile of 100,000 instructions under 1 s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from analysis.compare import compare
from analysis.lines import lines
from analysis.machine_facts import machine_facts
from analysis.rank import rank
from analysis.stalls import stalls
from collectors.records import ENGINE_NAMES, Launch, Profile, Run
from simulator.machine.facts import machine

LAUNCHES = 50
INSTRUCTIONS = 100_000


def profile(number: int, duration_ns: int) -> Profile:
    return Profile(
        profile_id=f"profile {number} {duration_ns}",
        provenance="simulated",
        kernel=f"kernels.slot_{number}.kernel",
        target="trn3",
        lnc=2,
        duration_ns=duration_ns,
        low_ns=duration_ns * 9 // 10,
        high_ns=duration_ns * 11 // 10,
        interval_basis="made up",
        as_written_ns=None,
        list_scheduled_ns=None,
        engines=dict.fromkeys(ENGINE_NAMES, 0.3) | {"dma": 0.6},
        hbm_read_bytes=1_000_000,
        hbm_write_bytes=10_000,
        dma_bytes=1_010_000,
        dma_transfers=100,
        dma_descriptors=2_000,
        macs=1_000_000,
        instructions=1_000,
        sbuf_peak_bytes=None,
        psum_peak_banks=None,
        bound=None,
        tool="simulator",
        tool_version="0",
    )


def run(name: str, speed: float) -> Run:
    profiles = [profile(number, round((20_000 + 100 * number) / speed)) for number in range(LAUNCHES)]
    launches = tuple(
        Launch(
            slot=f"slot_{number}",
            covers=(f"slot_{number}",),
            variant=name,
            phase="decode",
            bucket=None,
            count=48 * 625,
            provenance="simulated",
            time_ns=each.duration_ns,
            low_ns=each.low_ns,
            high_ns=each.high_ns,
            macs=each.macs,
            profile_id=each.profile_id,
        )
        for number, each in enumerate(profiles)
    )
    return Run(
        run_id=name,
        session=name,
        label=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        provenance="simulated",
        backend="simulator",
        target="trn3",
        lnc=2,
        prompt=3,
        prompt_tokens=14,
        new_tokens=626,
        seq_len=640,
        batch=1,
        kernels={},
        accuracy=1,
        base_latency_ms=17177.15,
        base_tokens_per_s=37.93,
        configuration={},
        environment={},
        wall_s=1.0,
        launches=launches,
        profiles={each.profile_id: each for each in profiles},
    )


def tables(rows: int) -> dict[str, pa.Table]:
    random = np.random.default_rng(0)
    start = np.sort(random.integers(0, 40 * rows, rows))
    engine = random.choice(ENGINE_NAMES[:5], rows)
    instructions = {
        "pcore_idx": random.integers(0, 2, rows),
        "engine": engine,
        "opcode": np.where(engine == "tensor", "MATMUL", "TENSOR_TENSOR"),
        "start_ts": start,
        "end_ts": start + random.integers(1, 200, rows),
        "ready_ts": start - random.integers(0, 100, rows),
        "operands": [f"src={i}" for i in range(rows)],
        "nki_source_location": [f"kernel.py:{line}" for line in random.integers(1, 300, rows)],
    }
    return {"Instruction": pa.table(instructions)}


def milliseconds(work: Callable[[], object]) -> float:
    """The best of five runs, in ms."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - started))
    return min(times)


def main() -> None:
    base, tuned = run("base", 1.0), run("tuned", 1.3)
    facts = machine_facts("trn3", machine("trn3").constants)
    big, small = tables(INSTRUCTIONS), tables(1_000)
    duration = 40 * INSTRUCTIONS + 200
    plain = milliseconds(lambda: rank(base, machine=facts, alternatives=(tuned,)))
    with_tables = milliseconds(lambda: rank(base, machine=facts, tables=dict.fromkeys(base.profiles, small)))
    print(f"compare, {LAUNCHES} launches each: {milliseconds(lambda: compare(base, tuned)):.1f} ms")
    ratio = with_tables / plain
    print(f"rank, {LAUNCHES} launches: {plain:.1f} ms; with tables of 1,000 rows: {ratio:.1f} times that")
    print(f"stalls of {INSTRUCTIONS:,} instructions: {milliseconds(lambda: stalls(duration, big)):.0f} ms")
    print(f"lines of {INSTRUCTIONS:,} instructions: {milliseconds(lambda: lines(duration, big)):.0f} ms")


if __name__ == "__main__":
    main()
