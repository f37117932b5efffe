"""Runs as a collector would hand them over, with full tables.

    store.save(factory.run(label="tuned", speed=1.3))
    factory.fill(store, runs=50)

Same arguments, same run, except for `run_id` and `session`, which are fresh unless given.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.records import Artifact, Check, Launch, Profile, Run, Sample
from collectors.store.door import Store

FIRST_DAY = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PROMPT_TOKENS = {0: 20, 1: 192, 2: 54, 3: 14, 4: 512}
BASELINES = {
    0: (17138.28, 37.87),
    1: (12427.41, 52.34),
    2: (16208.29, 40.25),
    3: (17177.15, 37.93),
    4: (3871.62, 168.39),
}
LAYERS = 48

OPCODES = {
    "tensor": "MATMUL",
    "vector": "TENSOR_TENSOR",
    "scalar": "ACTIVATE",
    "gpsimd": "IOTA",
    "sync": "DMA_TRIGGER",
}
PREFILL = (
    ("input_norm", 9_000),
    ("qkv", 31_000),
    ("qk_norm_rope", 12_000),
    ("kv_update", 6_000),
    ("attention_prefill", 44_000),
    ("o_proj", 22_000),
    ("post_norm", 9_000),
    ("router", 11_000),
    ("group_tokens", 15_000),
    ("experts_prefill", 820_000),
    ("aggregate", 24_000),
)
DECODE = (
    ("input_norm", 4_000),
    ("qkv", 19_000),
    ("qk_norm_rope", 6_000),
    ("kv_update", 5_000),
    ("attention_decode", 21_000),
    ("o_proj", 14_000),
    ("post_norm", 4_000),
    ("router", 8_000),
    ("experts_decode", 61_000),
    ("aggregate", 5_000),
)
FASTER = {"attention_decode": 0.6, "experts_decode": 0.55, "qkv": 0.8}
VARIANT_NAMES = {"attention_decode": "cached", "experts_decode": "prefetched", "qkv": "wide"}
"""What "tuned" changes: time as a share of the baseline's, and the variant's name."""


def digest(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


def source_text(kernel: str) -> str:
    lines = [f"# {kernel}", "import nki.isa as nisa", "", f"def {kernel.rpartition('.')[2]}(x):"]
    return "\n".join(lines + [f"    nisa.step_{i}(x)  # line {i + 5}" for i in range(26)]) + "\n"


def instruction_table(kernel: str, duration_ns: int, rows: int = 120, cores: int = 2) -> pa.Table:
    """`rows` instructions a core on five in-order engines; none overlaps another of its engine."""
    parts = [_core_instructions(kernel, duration_ns, rows, core) for core in range(cores)]
    return pa.concat_tables(parts)


def _core_instructions(kernel: str, duration_ns: int, rows: int, core: int) -> pa.Table:
    random = np.random.default_rng([len(kernel), rows, core])
    step = max(duration_ns // rows, 2)
    start = np.arange(rows, dtype=np.int64) * step
    length = random.integers(1, step, rows)
    engines = [tuple(OPCODES)[i] for i in random.choice(5, rows, p=[0.4, 0.25, 0.2, 0.05, 0.1])]
    file = kernel.rpartition(".")[0].replace(".", "/") + ".py"
    is_tensor = np.array([engine == "tensor" for engine in engines])
    return pa.table(
        {
            "pcore_idx": pa.array([core] * rows, pa.int32()),
            "idx": np.arange(rows, dtype=np.int64),
            "start_ts": start,
            "end_ts": start + length,
            "duration_ns": length,
            "ready_ts": np.maximum(start - random.integers(0, step, rows), 0),
            "other_start_ts": start // 2,
            "other_end_ts": start // 2 + length,
            "engine": engines,
            "opcode": [OPCODES[engine] for engine in engines],
            "operands": [f"dst=sbuf[{i}] src=psum[{i}]" for i in range(rows)],
            "id": [f"{core}:{i}" for i in range(rows)],
            "nki_source_location": [f"{file}:{5 + i % 26}" for i in range(rows)],
            "evt_wait_time_ns": random.integers(0, step, rows),
            "dma_wait_time_ns": random.integers(0, step, rows),
            "sbuf_read_bytes": random.integers(0, 4096, rows),
            "sbuf_write_bytes": random.integers(0, 4096, rows),
            "raw_flops": np.where(is_tensor, 2 * 128 * 128 * 64, 0),
        }
    )


def active_time_table(instructions: pa.Table) -> pa.Table:
    return instructions.select(["pcore_idx", "engine", "start_ts", "end_ts", "duration_ns"])


def dma_table(kernel: str, duration_ns: int, rows: int = 40, cores: int = 2) -> pa.Table:
    """`rows` transfers a core over four queues, overlapping one another as transfers do."""
    random = np.random.default_rng([len(kernel), rows])
    total = rows * cores
    start = np.sort(random.integers(0, max(duration_ns * 9 // 10, 1), total))
    length = np.minimum(random.integers(1, max(duration_ns // 8, 2), total), duration_ns - start)
    file = kernel.rpartition(".")[0].replace(".", "/") + ".py"
    sizes = 2 ** random.integers(9, 17, total)
    queue = random.integers(0, 4, total)
    return pa.table(
        {
            "pcore_idx": pa.array(np.arange(total) % cores, pa.int32()),
            "id": [f"t{i}" for i in range(total)],
            "start_ts": start,
            "end_ts": start + length,
            "duration_ns": length,
            "queue_name": [f"q{i}" for i in queue],
            "queue_idx": queue,
            "queue_type": np.where(queue < 3, "hardware_dynamic", "software_dynamic"),
            "op": ["copy"] * total,
            "variable": [f"w{i % 3}" for i in range(total)],
            "read_bytes": sizes,
            "write_bytes": sizes,
            "transfer_bytes": sizes,
            "throughput": sizes / np.maximum(length, 1),
            "source": ["hbm"] * total,
            "dest": ["sbuf"] * total,
            "is_transpose_mode": [False] * total,
            "descriptors": sizes // 512,
            "trigger_idx": np.arange(total) // cores,
            "nki_source_location": [f"{file}:{5 + i % 7}" for i in range(total)],
        }
    )


def profile(kernel: str = "kernels.router.router", duration_ns: int = 20_000, **changes: Any) -> Profile:
    """One distinct launch with instructions, active time, transfers, flows and a warning."""
    rows = changes.pop("rows", 120)
    instructions = instruction_table(kernel, duration_ns, rows)
    dma = dma_table(kernel, duration_ns, max(rows // 3, 1))
    tables = {
        "Instruction": instructions,
        "ActiveTime": active_time_table(instructions),
        "DmaPacketAggregated": dma,
        "Flow": pa.table(
            {
                "in_id": ["0:0", "t0"],
                "out_id": ["0:1", "0:2"],
                "in_table": ["Instruction", "DmaPacketAggregated"],
                "out_table": ["Instruction", "Instruction"],
                "dependency_type": ["data", "dma"],
                "gap_time": pa.array([0, 120], pa.int64()),
            }
        ),
        "Warning": pa.table({"message": ["17 transfers are under 512 bytes"], "category": ["dma"]}),
    }
    bytes_read = int(np.sum(dma["transfer_bytes"].to_numpy()))
    whole = Profile(
        profile_id=digest(kernel, duration_ns, rows),
        provenance="simulated",
        kernel=kernel,
        target="trn3",
        lnc=2,
        duration_ns=duration_ns,
        low_ns=duration_ns * 85 // 100,
        high_ns=duration_ns * 115 // 100,
        interval_basis="between the two schedules, widened by the simulator's error on measured kernels",
        as_written_ns=duration_ns * 110 // 100,
        list_scheduled_ns=duration_ns * 92 // 100,
        engines={"tensor": 0.31, "vector": 0.22, "scalar": 0.12, "gpsimd": 0.02, "sync": 0.05, "dma": 0.71},
        hbm_read_bytes=bytes_read,
        hbm_write_bytes=4096,
        dma_bytes=bytes_read + 4096,
        dma_transfers=dma.num_rows,
        dma_descriptors=int(np.sum(dma["descriptors"].to_numpy())),
        macs=2048 * 128,
        instructions=instructions.num_rows,
        sbuf_peak_bytes=96 * 1024,
        psum_peak_banks=3,
        bound="dma",
        tool="simulator",
        tool_version="0.1.0",
        ideal_ns={
            "dma_rate": duration_ns * 70 // 100,
            "tensor": duration_ns * 95 // 100,
            "gpsimd": duration_ns,
        },
        raw={"necessary_hbm_bytes": bytes_read},
        tables=tables,
    )
    return replace(whole, **changes)


def _kernel_launch(
    slot: str, phase: str, time_ns: int, count: int, variant: str, bucket: int | None
) -> tuple[Launch, Profile]:
    module = "rmsnorm" if slot.endswith("norm") else slot
    one = profile(f"kernels.{module}.{module if variant == 'baseline' else module + '_' + variant}", time_ns)
    launch = Launch(
        slot=slot,
        covers=(slot,),
        variant=variant,
        phase=phase,  # type: ignore[arg-type]
        bucket=bucket,
        count=count,
        provenance="simulated",
        time_ns=time_ns,
        low_ns=one.low_ns,
        high_ns=one.high_ns,
        macs=2048 * 128,
        profile_id=one.profile_id,
    )
    return launch, one


def _estimate(slot: str, phase: str, time_ns: int, count: int) -> Launch:
    return Launch(
        slot=slot,
        covers=(slot,),
        variant="estimate",
        phase=phase,  # type: ignore[arg-type]
        bucket=None,
        count=count,
        provenance="estimated",
        time_ns=time_ns,
        low_ns=time_ns // 2,
        high_ns=time_ns * 2,
        macs=0,
        nki=False,
        formula=f"{time_ns / 1000:g} us per execution, assumed",
    )


def _launches(
    new_tokens: int, bucket: int, tuned: bool, speed: float
) -> tuple[tuple[Launch, ...], dict[str, Profile]]:
    steps = new_tokens - 1
    rows = [(slot, "prefill", round(ns / speed), LAYERS, "baseline", bucket) for slot, ns in PREFILL]
    for slot, ns in DECODE:
        changed = tuned and slot in FASTER
        time_ns = round(ns * (FASTER[slot] if changed else 1) / speed)
        variant = VARIANT_NAMES[slot] if changed else "baseline"
        rows.append((slot, "decode", time_ns, LAYERS * steps, variant, None))
    rows += [
        (slot, phase, round(ns / speed), count, "baseline", None)
        for phase, count in (("prefill", 1), ("decode", steps))
        for slot, ns in (("final_norm", 4_100), ("lm_head", 190_000))
    ]
    pairs = [
        _kernel_launch(slot, phase, ns, count, variant, at) for slot, phase, ns, count, variant, at in rows
    ]
    estimated = [
        _estimate(slot, phase, ns, count * each)
        for phase, count in (("prefill", 1), ("decode", steps))
        for slot, ns, each in (
            ("embedding", 14_000, 1),
            ("all_reduce", 12_000, 2 * LAYERS),
            ("sampling", 26_000, 1),
        )
    ]
    launches = (
        *(launch for launch, _ in pairs),
        *estimated,
        _estimate("host", "host", 12_000_000, new_tokens),
    )
    return launches, {one.profile_id: one for _, one in pairs}


def run(
    label: str = "baseline",
    prompt: int = 3,
    *,
    tuned: bool | None = None,
    speed: float = 1.0,
    seq_len: int = 640,
    at: datetime = FIRST_DAY,
    **changes: Any,
) -> Run:
    """A prompt's run with every slot's launch, estimated rows, checks, samples, sources and a warning.

    `tuned` (default: `label == "tuned"`) swaps three decode slots for faster variants; `speed` divides every
    kernel's time.
    """
    tokens = PROMPT_TOKENS[prompt]
    new_tokens = seq_len - tokens
    bucket = next(size for size in (128, 256, 640) if tokens <= size)
    is_tuned = label == "tuned" if tuned is None else tuned
    launches, profiles = _launches(new_tokens, bucket, is_tuned, speed)
    kernels = sorted({one.kernel for one in profiles.values()})
    files = {kernel.rpartition(".")[0].replace(".", "/") + ".py": source_text(kernel) for kernel in kernels}
    hashes = {file: "sha256:" + hashlib.sha256(text.encode()).hexdigest() for file, text in files.items()}
    device_ns = sum(launch.time_ns * launch.count for launch in launches)
    stamp = digest(label, prompt, at, np.random.default_rng().integers(2**62))[:6]
    whole = Run(
        run_id=f"{at:%Y%m%d-%H%M%S}-{stamp}",
        session=f"session-{stamp}",
        label=label,
        created_at=at,
        provenance="simulated",
        backend="simulator",
        target="trn3",
        lnc=2,
        prompt=prompt,
        prompt_tokens=tokens,
        new_tokens=new_tokens,
        seq_len=seq_len,
        batch=1,
        kernels={
            slot: VARIANT_NAMES[slot] if is_tuned and slot in FASTER else "baseline" for slot, _ in DECODE
        },
        accuracy=1,
        base_latency_ms=BASELINES[prompt][0],
        base_tokens_per_s=BASELINES[prompt][1],
        configuration={
            "kernels": "tuned" if is_tuned else "baseline",
            "seq_len": seq_len,
            "seed": 0,
            "source_files": hashes,
        },
        environment={
            "python": "3.11.9",
            "numpy": "2.3.0",
            "host": "laptop",
            "machine_tables": "sha256:tables",
            "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        },
        wall_s=12.5,
        launches=launches,
        checks=(
            Check("router against torch", "router", "baseline", True, 0.004, 0.02),
            Check("small model against transformers", None, None, True, 0.011, 0.05, "3 layers, 12 tokens"),
        ),
        samples=tuple(Sample("e2e_ns", i, float(device_ns)) for i in range(2)),
        artifacts=(Artifact("profile.json", "ab" * 32, 1234, "summary-json"),),
        warnings=("2 of 13 estimated rows are a fifth of the total",),
        sources={hashes[file]: text for file, text in files.items()},
        profiles=profiles,
    )
    return replace(whole, **changes)


def kernel_run(function: str = "softmax", duration_ns: int = 14_000, label: str = "softmax") -> Run:
    """A run of one kernel file."""
    one = profile(f"my_kernels.{function}", duration_ns)
    launch = Launch(
        slot=function,
        covers=(function,),
        variant="my_kernels.py",
        phase="kernel",
        bucket=None,
        count=1,
        provenance="simulated",
        time_ns=duration_ns,
        low_ns=one.low_ns,
        high_ns=one.high_ns,
        profile_id=one.profile_id,
    )
    base = run(label)
    return replace(
        base,
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        kernels={function: "my_kernels.py"},
        base_latency_ms=None,
        base_tokens_per_s=None,
        accuracy=None,
        launches=(launch,),
        checks=(),
        samples=(),
        profiles={one.profile_id: one},
    )


def fill(store: Store, runs: int = 4) -> tuple[str, ...]:
    """Save `runs` runs an hour apart, the first the baseline, each a little faster; their ids in order."""
    ids = []
    for number in range(runs):
        one = run(
            "baseline" if number == 0 else "tuned" if number == 1 else f"attempt-{number}",
            tuned=number > 0,
            speed=1.0 + 0.02 * max(number - 1, 0),
            at=FIRST_DAY + timedelta(hours=number),
        )
        store.save(one)
        ids.append(one.run_id)
    if ids:
        store.set_baseline(ids[0])
    return tuple(ids)
