"""Instruction and packet costs against public trn2 profiles: `python benchmarks/instruction_costs.py
[FOLDER]`.

FOLDER holds `profiles/trn2-attention/*.json` and `measured/dma_packet_cost_samples.csv` (../shared by
default). The constants of trn2 marked "fitted" were fitted to these very profiles, so the errors are those
of the fit, not of a prediction.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from simulator.fidelity.replay import replay
from simulator.fidelity.residuals import (
    Residual,
    Total,
    as_profiled,
    duration_residuals,
    packet_residuals,
    total,
)
from simulator.machine.facts import Machine, machine


def main(folder: Path) -> int:
    """Print the tables; 0 when the data is there, 2 otherwise."""
    profiles = sorted((folder / "profiles" / "trn2-attention").glob("*.json"))
    if not profiles:
        print(f"No profiles under {folder}: nothing to compare with.")
        return 2
    facts = machine("trn2")
    replays = []
    print("whole streams, compiled order, without the envelope of a profile")
    print("active: predicted - measured active fraction in points, with the envelope of a profile")
    print("profile                  predicted us  measured us   error start error us  active")
    for path in profiles:
        content = json.loads(path.read_text())
        replays.append(replay(content, target="trn2"))
        ends = [r["timestamp"] + r["duration"] for r in content["dma"] if r["dma_queue"] in {"0", "1", "2"}]
        whole = total(replays[-1], max(ends))
        figures = f"{whole.predicted_ns / 1e3:12.2f} {whole.measured_ns / 1e3:12.2f} {whole.error:7.1%}"
        print(f"{path.stem:24} {figures} {whole.start_error_ns / 1e3:14.2f}  {active(whole, facts, content)}")
    show(
        "instruction durations (a matmul's fastest execution, else the median)",
        duration_residuals(replays, facts),
    )
    samples = folder / "measured" / "dma_packet_cost_samples.csv"
    if samples.exists():
        with samples.open() as file:
            rows = [r for r in csv.DictReader(file) if r["instance_type"].startswith("trn2")]
        show("DMA packets", packet_residuals(rows, facts))
    return 0


def active(whole: Total, facts: Machine, content: dict[str, Any]) -> str:
    """How far the active fraction of each engine is from the measured one, in points."""
    summary = content["summary"][0]
    parts = []
    for name, share in as_profiled(facts, whole.predicted_ns, whole.active_ns).items():
        key = "dma_active_time_percent" if name == "dma" else f"{name}_engine_active_time_percent"
        parts.append(f"{name} {100 * (share - summary[key]):+.1f}")
    return ", ".join(parts)


def show(title: str, residuals: list[Residual]) -> None:
    print(f"\n{title}")
    print(f"{'kind':80} {'count':>6} {'predicted':>9} {'measured':>9} {'error':>7}")
    for each in residuals:
        figures = f"{each.count:6} {each.predicted_ns:9.0f} {each.measured_ns:9.0f} {each.error:7.1%}"
        print(f"{each.kind:80} {figures}")
    print(f"median absolute error {median(abs(each.error) for each in residuals):.1%}")


if __name__ == "__main__":
    shared = Path(__file__).resolve().parents[2] / "shared"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else shared))
