from __future__ import annotations

from dataclasses import replace

import pytest
from trace_builders import Kernel

from simulator.costs.dma import descriptor_time, movement, packets, read_tail
from simulator.costs.scalar import table_of
from simulator.costs.table import CostTable, cost
from simulator.machine.facts import machine

TRN2, TRN3 = machine("trn2"), machine("trn3")


def one(engine, call, elements, dtype="bfloat16", memories=("sbuf", "sbuf"), table=TRN2, **attributes):
    kernel = Kernel(table.target)
    tensors = [kernel.tensor(m, 2048) for m in memories]
    kernel.add(
        engine, call, elements, writes=(tensors[0],), reads=tuple(tensors[1:]), dtype=dtype, **attributes
    )
    return cost(table, kernel.cores[0][0])


def stream(found, engine):
    return found.issue_ns - engine.issue_ns


def test_a_bf16_copy_in_sbuf_takes_a_quarter_of_a_cycle_per_element():
    assert stream(one("vector", "tensor_copy", 512), TRN2.vector) == pytest.approx(512 / 4 / 0.96)


def test_a_bf16_copy_with_one_side_in_psum_takes_half_a_cycle():
    found = one("vector", "tensor_copy", 512, memories=("sbuf", "psum"))
    assert stream(found, TRN2.vector) == pytest.approx(512 / 2 / 0.96)


def test_a_strided_bf16_copy_takes_half_a_cycle():
    found = one("vector", "tensor_copy", 512, contiguous=False)
    assert stream(found, TRN2.vector) == pytest.approx(512 / 2 / 0.96)


def test_an_fp32_copy_out_of_psum_takes_a_cycle():
    found = one("vector", "tensor_copy", 512, "float32", ("sbuf", "psum"))
    assert stream(found, TRN2.vector) == pytest.approx(512 / 0.96)


def test_tensor_tensor_is_twice_as_fast_on_bf16_as_on_fp32():
    three = ("sbuf", "sbuf", "sbuf")
    narrow = stream(one("vector", "tensor_tensor", 512, "bfloat16", three), TRN2.vector)
    wide = stream(one("vector", "tensor_tensor", 512, "float32", three), TRN2.vector)
    assert wide == pytest.approx(2 * narrow)
    assert wide == pytest.approx(512 / 0.96)


def test_fp8_copies_are_as_fast_as_bf16_on_trn3_and_half_as_fast_on_trn2():
    def copy(table, dtype):
        return stream(one("vector", "tensor_copy", 2048, dtype, table=table), table.vector)

    assert copy(TRN3, "float8_e4m3") == pytest.approx(copy(TRN3, "bfloat16"))
    assert copy(TRN2, "float8_e4m3") == pytest.approx(2 * copy(TRN2, "bfloat16"))


def test_only_a_memset_of_16_bit_zeros_is_halved():
    def memset(dtype, value):
        return stream(one("vector", "memset", 512, dtype, ("sbuf",), value=value), TRN2.vector)

    assert memset("bfloat16", 0.0) == pytest.approx(256 / 0.96)
    assert {memset("bfloat16", 1.0), memset("float8_e4m3", 0.0), memset("float32", 0.0)} == {512 / 0.96}


def test_a_short_instruction_takes_the_minimum_interval():
    assert one("vector", "tensor_copy", 1).issue_ns >= 64 / 0.96


def test_only_fast_vector_modes_take_the_port_gpsimd_shares():
    assert one("vector", "tensor_copy", 512).exclusive
    assert not one("vector", "max8", 512).exclusive
    assert not one("vector", "tensor_copy", 512, memories=("sbuf", "psum")).exclusive
    assert one("gpsimd", "tensor_copy", 512).exclusive


def test_gpsimd_has_a_start_cost_and_no_fast_mode():
    assert one("gpsimd", "tensor_copy", 512).issue_ns == pytest.approx((150 + 512) / 1.2)


def test_fp32_matmul_takes_four_cycles_a_row_and_bf16_one():
    three = ("psum", "sbuf", "sbuf")
    fp32 = one("tensor", "nc_matmul", 512, "float32", three).issue_ns
    bf16 = one("tensor", "nc_matmul", 512, "bfloat16", three).issue_ns
    assert bf16 == pytest.approx(512 / 2.4, rel=0.02)
    assert fp32 == pytest.approx(4 * 512 / 2.4, rel=0.02)


def test_a_matmul_of_few_rows_takes_the_minimum_interval():
    three = ("psum", "sbuf", "sbuf")
    assert one("tensor", "nc_matmul", 1, "bfloat16", three).issue_ns == pytest.approx(
        64 / 2.4 + TRN2.tensor.issue_ns
    )


def test_packed_mx_data_is_not_taken_for_fp32():
    three = ("psum", "sbuf", "sbuf")
    found = one("tensor", "nc_matmul_mx", 512, "float8_e4m3fn_x4", three, table=TRN3)
    assert found.issue_ns == pytest.approx(512 / 2.4, rel=0.02)


def test_a_quarter_of_the_array_costs_a_quarter_of_the_time():
    three = ("psum", "sbuf", "sbuf")
    whole = one("tensor", "nc_matmul", 512, "bfloat16", three).issue_ns - TRN2.tensor.issue_ns
    part = one("tensor", "nc_matmul", 512, "bfloat16", three, row_tile=32).issue_ns - TRN2.tensor.issue_ns
    assert part == pytest.approx(whole / 4)


def test_activations_of_one_set_share_a_table_and_copies_need_none():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 64), kernel.tensor("sbuf", 64)
    for op in ("exp", "silu", "sigmoid", "copy"):
        kernel.add("scalar", "activation", writes=(a,), reads=(b,), op=op)
    exp, silu, sigmoid, copy = map(table_of, kernel.cores[0])
    assert silu == sigmoid != exp
    assert copy == 0


def test_an_activation_that_reduces_reads_its_accumulator_too():
    plain = one("scalar", "activation", 512, op="exp")
    both = one("scalar", "activation", 512, op="exp", reduce=True)
    assert both.issue_ns - plain.issue_ns == pytest.approx(64 / 1.2)


def test_trn3_scalar_engine_copies_bf16_at_twice_the_rate():
    old = stream(one("scalar", "tensor_copy", 512), TRN2.scalar)
    new = stream(one("scalar", "tensor_copy", 512, table=TRN3), TRN3.scalar)
    assert new == pytest.approx(old / 2)


@pytest.mark.parametrize("size", [512, 2048, 4096])
def test_a_descriptor_costs_its_bytes_and_a_fixed_part(size):
    fixed = descriptor_time(TRN2.dma, size, to_hbm=False) - size / 27.2
    assert fixed == pytest.approx(TRN2.dma.descriptor_ns)


def moved(partitions, row_bytes, dge="hwdge", dynamic=False):
    kernel = Kernel()
    source, target = (
        kernel.tensor("hbm", row_bytes, role="input"),
        kernel.tensor("sbuf", row_bytes, rows=partitions),
    )
    kernel.load(source, target, dge=dge)
    load = kernel.cores[0][0]
    return movement(TRN2, replace(load, transfer=replace(load.transfer, dynamic=dynamic)))


def test_128_partitions_use_sixteen_engines_and_eight_use_one():
    assert moved(128, 2048).mask.bit_count() == 16
    assert moved(8, 2048).mask.bit_count() == 1


def test_the_same_bytes_in_smaller_pieces_take_longer():
    assert moved(128, 256).work_ns / 256 > 1.3 * moved(128, 4096).work_ns / 4096


def counted(partitions, row_bytes, dge, *, casts=False):
    kernel = Kernel()
    source, target = (
        kernel.tensor("hbm", row_bytes, role="input"),
        kernel.tensor("sbuf", row_bytes, rows=partitions),
    )
    kernel.load(source, target, dge=dge)
    instruction = kernel.cores[0][0]
    transfer = replace(instruction.transfer, casts=casts)
    return packets(TRN2.dma, transfer, movement(TRN2, instruction).mask.bit_count())


def test_software_descriptors_pack_the_rows_of_an_engine_up_to_4096_bytes():
    # The packet counts of public profiles: moe_tkg v5 (256-byte rows), v6a (1024) and v6b (4096).
    assert [counted(128, row, "swdge") for row in (256, 1024, 4096)] == [32, 48, 144]


def test_hardware_descriptors_and_casts_move_a_row_a_packet():
    assert counted(128, 256, "hwdge") == 128 + 16
    assert counted(128, 256, "swdge", casts=True) == 128 + 16
    assert counted(8, 4096, "hwdge") == 8 + 1


def test_the_tail_of_a_load_grows_with_it_up_to_the_longest_that_was_seen():
    dma = TRN2.dma
    assert dma.read_spread_ns < read_tail(dma, 100) < read_tail(dma, 1000) < dma.read_tail_ns
    assert read_tail(dma, 1e5) == dma.read_tail_ns


def test_dynamic_addresses_double_what_software_descriptors_cost():
    assert moved(128, 2048, "swdge", True).issue_ns > 2 * moved(128, 2048, "swdge").issue_ns
    assert moved(128, 2048, "swdge", True).printed_ns == moved(128, 2048, "swdge", True).issue_ns
    assert moved(128, 2048, "swdge").printed_ns < 100 < moved(128, 2048, "swdge").issue_ns
    assert moved(128, 2048, "swdge").prepare_ns > 1000
    assert moved(128, 2048, "hwdge").prepare_ns == 0


def test_hardware_descriptors_take_the_triggering_engine_for_their_issue():
    short, long = moved(64, 512), moved(128, 512)
    assert long.issue_ns - long.printed_ns == pytest.approx(TRN2.dma.hwdge_gap_ns)
    assert long.printed_ns - short.printed_ns == pytest.approx(64 * TRN2.dma.hwdge_descriptor_ns)
    assert long.printed_ns > TRN2.dma.hwdge_issue_ns


def test_a_transfer_of_more_descriptors_than_a_ring_holds_its_engine():
    kernel = Kernel()
    source, target = kernel.tensor("hbm", 65536, role="input"), kernel.tensor("sbuf", 65536)
    kernel.load(source, target)
    load = kernel.cores[0][0]
    fits = replace(load, transfer=replace(load.transfer, descriptors=16 * 34, descriptor_bytes=15420))
    more = replace(load, transfer=replace(load.transfer, descriptors=16 * 68, descriptor_bytes=7710))
    issued = TRN2.dma.hwdge_issue_ns + TRN2.dma.hwdge_descriptor_ns * 16 * 34
    assert movement(TRN2, fits).printed_ns == pytest.approx(issued)
    held = movement(TRN2, more)
    assert held.printed_ns == pytest.approx(TRN2.dma.hwdge_latency_ns + held.work_ns / 2)


def test_short_writes_to_hbm_cost_more_than_reads():
    dma = TRN2.dma
    short = [descriptor_time(dma, 256, to_hbm=to_hbm) for to_hbm in (True, False)]
    long = [descriptor_time(dma, 2048, to_hbm=to_hbm) for to_hbm in (True, False)]
    assert short[0] - short[1] == pytest.approx(dma.small_write_ns)
    assert long[0] == long[1]


def test_a_register_load_and_a_branch_take_the_sequencer():
    assert one("gpsimd", "register_load", 1).issue_ns == TRN2.sequencer.register_load_ns
    assert one("sync", "dynamic_range", 1).issue_ns == TRN2.sequencer.branch_ns
    assert one("sync", "register_move", 1).issue_ns == TRN2.sequencer.register_op_ns


def test_the_cost_table_tells_attributes_apart():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 2048), kernel.tensor("sbuf", 2048)
    kernel.add("vector", "tensor_scalar", 512, writes=(a,), reads=(b,))
    kernel.add("vector", "tensor_scalar", 512, writes=(a,), reads=(b,), pointers=1)
    costs = CostTable(TRN2)
    first, second = map(costs, kernel.cores[0])
    assert second.issue_ns - first.issue_ns == pytest.approx(TRN2.vector.pointer_ns)
