"""Tensor engine costs: rows of the moving tile, passes of fp32, and loading the stationary matrix.

Sources: AWS Neuron SDK docs v2.26 (nki.isa), trainium_inferentia2_arch (initiation interval, fast weight
load), trainium2_arch and trainium3_arch (double_row, MX, tiling).
"""

from __future__ import annotations

from simulator.costs.cost import Cost, itemsize
from simulator.machine.facts import Machine, TensorEngine
from simulator.trace import Instruction


def tensor_cost(machine: Machine, instruction: Instruction) -> Cost:
    """The cost of a matmul or transpose at full rate; other calls of this engine take one interval."""
    engine = machine.tensor
    if instruction.call == "nc_transpose" or instruction.attributes.get("is_transpose"):
        return _transpose(engine, instruction)
    if instruction.call not in {"nc_matmul", "nc_matmul_mx"}:
        interval = engine.min_interval_cycles / engine.clock_ghz
        return Cost(interval, interval)
    if instruction.call == "nc_matmul" and _is_fp32(instruction):
        return _fp32(engine, instruction)
    perf_mode = str(instruction.attributes.get("perf_mode", ""))
    per_row = engine.double_row_cycles if perf_mode.endswith("double_row") else engine.row_cycles
    stream = _rows(engine, instruction) * per_row * _tile_share(instruction) / engine.clock_ghz
    return _cost(engine, stream, engine.load_cycles)


def _cost(engine: TensorEngine, stream_ns: float, load_cycles: float) -> Cost:
    issue = stream_ns + engine.issue_ns
    return Cost(issue, issue + engine.pipeline_ns, load_ns=load_cycles / engine.clock_ghz)


def _rows(engine: TensorEngine, instruction: Instruction) -> float:
    stationary = int(instruction.attributes.get("stationary_free", engine.columns))
    return max(min(engine.min_interval_cycles, stationary), instruction.elements)


def _is_fp32(instruction: Instruction) -> bool:
    operands = instruction.dtypes[1:] or instruction.dtypes
    return any(itemsize(d) == 4 and not d.endswith("_x4") and d != "tfloat32" for d in operands)


def _fp32(engine: TensorEngine, instruction: Instruction) -> Cost:
    """Every pass loads its half of the weights, the second one behind the first pass."""
    one = _rows(engine, instruction) * engine.fp32_pass_cycles * _tile_share(instruction)
    hidden = max(one, engine.load_fp32_cycles)
    stream = (one + (engine.fp32_passes - 1) * hidden) / engine.clock_ghz
    return _cost(engine, stream + (engine.fp32_passes - 1) * engine.issue_ns, engine.load_fp32_cycles)


def _transpose(engine: TensorEngine, instruction: Instruction) -> Cost:
    """A matmul against the identity: the data is stationary, its partitions are the moving rows N."""
    rows = _rows(engine, instruction)
    if not _is_fp32(instruction):
        return _cost(engine, rows * engine.row_cycles / engine.clock_ghz, engine.load_cycles)
    stream = rows * engine.transpose_fp32_passes * engine.fp32_pass_cycles / engine.clock_ghz
    return _cost(engine, stream, engine.load_fp32_cycles / engine.fp32_passes)


def _tile_share(instruction: Instruction) -> float:
    """Small tiles of the array work side by side: a matmul takes its share of the engine's time."""
    named = instruction.attributes
    return float(named.get("row_tile", 128)) / 128 * float(named.get("column_tile", 128)) / 128
