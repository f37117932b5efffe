"""A profile's reading as a run of one kernel: normalised, checked, with what it leaves unsaid as warnings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from collectors.readers import identities
from collectors.readers.files import digest
from collectors.readers.machines import Family, family_of
from collectors.readers.normalise import Field, as_table, normalise, number, release
from collectors.readers.parquet_scans import placed
from collectors.readers.reading import Reading
from collectors.readers.row_sums import row_sums
from collectors.readers.rows import Covered, activity, count
from collectors.records import ENGINE_NAMES, Artifact, Launch, Profile, Run

NEWEST = (2, 33)
"""The newest release whose fields' meanings are known."""

CHECKED_ONLY = frozenset({"Throttle"})
"""Tables the summary is checked against, and that are not stored."""

VERSIONS = (
    "profiler_version",
    "compiler_version",
    "runtime_version",
    "driver_version",
    "collectives_version",
    "nki_version",
    "instance_type",
)
ENVELOPE = (
    "Only total_time is known: it includes the fixed envelope of a profiled execution (about 15 us on trn2, "
    "13 us on trn3, 1.9 ms on inf2), so short kernels look slower than they are."
)


def run_of(reading: Reading, artifacts: tuple[Artifact, ...]) -> Run:
    """A run with one launch and one profile; its id is that of its artifacts, so the same file is one run."""
    family = family_of(reading.summary.get("instance_type") or reading.constants.get("instance_type"))
    cores = _cores(reading, family)
    fields = normalise(reading.summary, reading.version, reading.fp32)
    duration, basis = _duration(reading, fields)
    active = activity(reading.rows)
    profile = _profile(reading, fields, family, cores, (duration, basis), active)
    wrong = identities.disagreements(
        reading.summary, family, cores, row_sums(reading.rows, active, reading.summary)
    )
    said = (*reading.notes, *_unsaid(reading, family, basis), *(each.sentence for each in wrong))
    return Run(
        run_id=digest("import", reading.identity)[:32],
        session=digest("session", *(each.sha256 for each in artifacts))[:8],
        label=reading.name,
        created_at=datetime.now(UTC),
        provenance="measured",
        backend="neuron",
        target=family.name if family else "unknown",
        lnc=cores,
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        batch=1,
        kernels={reading.name: reading.format},
        accuracy=None,
        base_latency_ms=None,
        base_tokens_per_s=None,
        configuration={"imported": reading.format},
        environment={name: reading.summary[name] for name in VERSIONS if reading.summary.get(name)},
        wall_s=0.0,
        launches=(_launch(reading.name, profile),),
        artifacts=artifacts,
        warnings=tuple(dict.fromkeys(said)),
        profiles={profile.profile_id: profile},
    )


def _launch(name: str, profile: Profile) -> Launch:
    return Launch(
        slot=name,
        covers=(name,),
        variant=name,
        phase="kernel",
        bucket=None,
        count=1,
        provenance="measured",
        time_ns=profile.duration_ns,
        low_ns=None,
        high_ns=None,
        macs=profile.macs,
        profile_id=profile.profile_id,
    )


def _cores(reading: Reading, family: Family | None) -> int:
    said = reading.constants.get("num_physical_cores")
    if isinstance(said, int) and said in (1, 2):
        return said
    indices = {
        name.split("_nc")[-1].split("_")[0] for name in reading.summary if name.startswith("throttle_")
    }
    cores = identities.cores_of(reading.summary, family) or len({each for each in indices if each.isdigit()})
    return cores if cores in (1, 2) else family.usual_cores if family else 1


def _duration(reading: Reading, fields: Mapping[str, Field]) -> tuple[int, str]:
    """Execution time in ns and where it is from."""
    if reading.window_ns is not None:
        return max(reading.window_ns[1] - reading.window_ns[0], 1), "rows"
    said = _value(fields, "total_exec_time")
    if said:
        return max(round(said), 1), "total_exec_time"
    return max(round(_value(fields, "total_time") or 0), 1), "total_time"


BASES = {
    "rows": "one execution; first start to last end of instructions that do work, without the fixed envelope",
    "total_exec_time": "one execution; the profiler's total_exec_time, the fixed envelope left out",
    "total_time": "one execution; the profiler's total_time, the fixed envelope included",
}


def _profile(
    reading: Reading,
    fields: Mapping[str, Field],
    family: Family | None,
    cores: int,
    duration: tuple[int, str],
    active: Mapping[str, Covered],
) -> Profile:
    flops, transposed = _value(fields, "hardware_flops"), _value(fields, "transpose_flops") or 0.0
    transfers = _value(fields, "dma_transfer_count") or count(reading.rows, "DmaPacketAggregated")
    sizes = [
        _value(fields, f"{kind}_dma_size") for kind in ("static", "software_dynamic", "hardware_dynamic")
    ]
    packets = [
        _value(fields, f"{kind}_dma_packet_count")
        for kind in ("static", "software_dynamic", "hardware_dynamic")
    ]
    return Profile(
        profile_id=digest("measured", reading.identity),
        provenance="measured",
        kernel=reading.name,
        target=family.name if family else "unknown",
        lnc=cores,
        duration_ns=duration[0],
        low_ns=None,
        high_ns=None,
        interval_basis=BASES[duration[1]],
        as_written_ns=None,
        list_scheduled_ns=None,
        engines=_engines(reading, fields, duration[0], active),
        hbm_read_bytes=_whole(fields, "hbm_read_bytes"),
        hbm_write_bytes=_whole(fields, "hbm_write_bytes"),
        dma_bytes=_total(sizes),
        dma_transfers=round(transfers) if transfers else None,
        dma_descriptors=_total(packets),
        macs=None if flops is None else round(max(flops - transposed, 0.0) / 2),
        instructions=_total(
            [_value(fields, f"{engine}_engine_instruction_count") for engine in identities.ENGINES]
        ),
        sbuf_peak_bytes=None,
        psum_peak_banks=None,
        bound=None,
        tool="neuron-explorer" if (release(reading.version) or (0, 0)) >= (2, 29) else "neuron-profile",
        tool_version=reading.version,
        raw={"summary": dict(reading.summary), "constants": dict(reading.constants)} | _necessary(fields),
        tables=_tables(reading, fields),
        scans=placed(
            {name: scan for name, scan in reading.scans.items() if name not in CHECKED_ONLY},
            reading.window_ns[0] if reading.window_ns else 0,
        ),
    )


def _necessary(fields: Mapping[str, Field]) -> dict[str, Any]:
    name = "inputs_outputs_weights_size_bytes"
    found = _value(fields, name)
    return {name: round(found)} if found else {}


def _tables(reading: Reading, fields: Mapping[str, Field]) -> dict[str, pa.Table]:
    """Rows on a clock that starts with execution: what comes before it has negative times."""
    origin = reading.window_ns[0] if reading.window_ns else 0
    kept = {name: rows for name, rows in reading.tables.items() if name not in CHECKED_ONLY}
    return {name: _shifted(rows, origin) for name, rows in kept.items()} | {"summary_field": as_table(fields)}


def _shifted(rows: pa.Table, origin: int) -> pa.Table:
    for name in ("start_ts", "end_ts"):
        if origin and name in rows.column_names:
            at = rows.column_names.index(name)
            rows = rows.set_column(at, name, pc.subtract(rows[name], origin))
    return rows


def _engines(
    reading: Reading, fields: Mapping[str, Field], duration: int, active: Mapping[str, Covered]
) -> dict[str, float | None]:
    """Active time over execution time; from rows cut to the execution, else the summary's, at most 1."""
    found: dict[str, float | None] = {}
    bounds = reading.window_ns
    for engine in ENGINE_NAMES:
        name = "dma_active_time" if engine == "dma" else f"{engine}_engine_active_time"
        spent = active[engine].within(bounds) if bounds and engine in active else _value(fields, name)
        found[engine] = None if spent is None else min(spent / duration, 1.0)
    return found


def _value(fields: Mapping[str, Field], name: str) -> float | None:
    return fields[name].value if name in fields else None


def _whole(fields: Mapping[str, Field], name: str) -> int | None:
    found = _value(fields, name)
    return None if found is None else round(found)


def _total(parts: list[float | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return round(sum(known)) if known else None


def _unnamed(reading: Reading) -> bool:
    """Whether DMA worked and no transfer is counted: the count is 0, or absent, without notifications."""
    worked = number(reading.summary.get("dma_active_time"))
    return bool(worked) and not number(reading.summary.get("dma_transfer_count"))


def _unsaid(reading: Reading, family: Family | None, basis: str) -> list[str]:
    said = []
    known = release(reading.version)
    if not reading.version:
        said.append(
            "The profiler's version is not in the file: fields are read as the newest version means them."
        )
    elif known and known > NEWEST:
        newest = ".".join(map(str, NEWEST))
        said.append(f"Profiler {reading.version} is newer than {newest}, the newest whose fields are known.")
    if family is None:
        said.append(
            "The instance type is not known: utilisation was not checked against the machine's peaks."
        )
    if basis == "total_time":
        said.append(ENVELOPE)
    if _unnamed(reading):
        said.append(
            "DMA transfers are not named: capture with NEURON_RT_ENABLE_DGE_NOTIFICATIONS=1 to see them."
        )
    return said
