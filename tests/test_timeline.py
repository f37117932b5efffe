from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builders import Kernel

from simulator.costs.dma import read_tail
from simulator.costs.table import cost
from simulator.errors import SimulatorError
from simulator.machine.facts import instead, machine, with_values
from simulator.timeline.boxes import find_overlaps
from simulator.timeline.ideal import RESOURCES, ideal_ns
from simulator.timeline.plan import prepare
from simulator.timeline.program import columns, program_of
from simulator.timeline.schedule import schedule
from simulator.timeline.state import WINDOW
from simulator.trace import ENGINES, Region

TRN2 = machine("trn2")
ORDERS = ("as_written", "list")


def copy_chain():
    kernel = Kernel()
    a, b, c = (kernel.tensor("sbuf", 2048) for _ in range(3))
    kernel.add("vector", "max8", 512, writes=(b,), reads=(a,))
    kernel.add("gpsimd", "iota", 512, writes=(c,), reads=(b,))
    return kernel


@pytest.mark.parametrize("order", ORDERS)
def test_an_instruction_starts_a_semaphore_after_the_result_it_needs(order):
    kernel = copy_chain()
    timeline = schedule(kernel.trace(), order)
    first, second = (cost(TRN2, i) for i in kernel.cores[0])
    assert timeline.end_ns[0][0] == pytest.approx(first.latency_ns)
    assert timeline.start_ns[0][1] == pytest.approx(first.latency_ns + TRN2.semaphores.engine_ns)
    assert timeline.ready_ns[0][1] == timeline.start_ns[0][1]
    assert timeline.critical[0].tolist() == [[-1, -1], [0, 0]]
    assert timeline.duration_ns == pytest.approx(timeline.start_ns[0][1] + second.latency_ns)


def test_independent_instructions_of_one_engine_follow_at_its_issue_interval():
    kernel = Kernel()
    tensors = [kernel.tensor("sbuf", 2048) for _ in range(4)]
    kernel.add("vector", "max8", 512, writes=(tensors[0],), reads=(tensors[1],))
    kernel.add("vector", "max8", 512, writes=(tensors[2],), reads=(tensors[3],))
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][1] == pytest.approx(cost(TRN2, kernel.cores[0][0]).issue_ns)
    assert timeline.ready_ns[0][1] == 0
    assert timeline.critical[0][1].tolist() == [0, 0]


def test_a_dependent_instruction_of_the_same_engine_waits_for_the_drain():
    kernel = Kernel()
    a, b, c = (kernel.tensor("sbuf", 2048) for _ in range(3))
    kernel.add("vector", "max8", 512, writes=(b,), reads=(a,))
    kernel.add("vector", "max8", 512, writes=(c,), reads=(b,))
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][1] == pytest.approx(timeline.end_ns[0][0] + TRN2.semaphores.engine_ns)


def test_overwriting_what_another_engine_reads_waits_for_it():
    kernel = Kernel()
    a, b, c = (kernel.tensor("sbuf", 2048) for _ in range(3))
    kernel.add("gpsimd", "iota", 512, writes=(a,))
    kernel.add("gpsimd", "iota", 512, writes=(b,), reads=(a,))
    kernel.add("scalar", "activation", 512, writes=(a,), reads=(c,), op="copy")
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][2] >= timeline.end_ns[0][1]


def test_disjoint_parts_of_a_tensor_do_not_wait_for_each_other():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 4096), kernel.tensor("sbuf", 2048)
    kernel.add("gpsimd", "iota", 512, writes=(Region(a, 0, 128, 0, 2048),))
    kernel.add("scalar", "activation", 512, writes=(Region(a, 0, 128, 2048, 4096),), reads=(b,), op="copy")
    assert schedule(kernel.trace(), "as_written").start_ns[0][1] == 0


def test_tensors_at_the_same_address_do_wait_for_each_other():
    kernel = Kernel()
    a, c = kernel.tensor("sbuf", 2048, address=(0, 0)), kernel.tensor("sbuf", 2048, address=(0, 1024))
    b = kernel.tensor("sbuf", 2048, address=(0, 8192))
    kernel.add("gpsimd", "iota", 512, writes=(a,))
    kernel.add("scalar", "activation", 512, writes=(c,), reads=(b,), op="copy")
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][1] > timeline.end_ns[0][0]


def loads(count, row_bytes=4096, **more):
    kernel = Kernel()
    source = kernel.tensor("hbm", row_bytes, role="input")
    for _ in range(count):
        kernel.load(source, kernel.tensor("sbuf", row_bytes), **more)
    return kernel


def test_one_load_takes_trigger_latency_packets_and_tail():
    timeline = schedule(loads(1).trace(), "as_written")
    dma = TRN2.dma
    packets = 8 * (dma.descriptor_ns + 4096 / dma.bytes_per_ns) + dma.completion_ns
    assert timeline.transfers[0].start_ns == pytest.approx(dma.hwdge_latency_ns + dma.hbm_read_ns)
    assert timeline.transfers[0].end_ns - timeline.transfers[0].start_ns == pytest.approx(
        packets + read_tail(dma, packets)
    )
    assert timeline.transfers[0].engines == tuple(range(16))


def test_a_full_queue_moves_one_transfer_after_another_at_the_packet_rate():
    kernel = loads(10)
    timeline = schedule(kernel.trace(), "as_written")
    packets = 8 * (TRN2.dma.descriptor_ns + 4096 / TRN2.dma.bytes_per_ns) + TRN2.dma.completion_ns
    ends = [t.end_ns for t in timeline.transfers]
    assert np.diff(ends) == pytest.approx([packets] * 9)
    assert len({t.queue for t in timeline.transfers}) == 1


def test_two_queues_share_the_engines_equally():
    kernel = Kernel()
    source = kernel.tensor("hbm", 65536, role="input")
    kernel.load(source, kernel.tensor("sbuf", 65536), engine="sync")
    kernel.load(source, kernel.tensor("sbuf", 65536), engine="scalar")
    both = schedule(kernel.trace(), "as_written")
    alone = schedule(loads(1, 65536).trace(), "as_written")
    tail = TRN2.dma.read_tail_ns
    lasts = [t.end_ns - t.start_ns - tail for t in both.transfers]
    assert lasts == pytest.approx([2 * (alone.transfers[0].end_ns - alone.transfers[0].start_ns - tail)] * 2)


def test_loads_slow_down_while_stores_move():
    def last_ns(target, source):
        kernel = Kernel()
        hbm, other = kernel.tensor("hbm", 65536, role="input"), kernel.tensor("hbm", 65536)
        on_chip, there = kernel.tensor("sbuf", 65536), kernel.tensor("sbuf", 65536)
        places = {"in": hbm, "out": other, "here": on_chip, "there": there}
        kernel.move(hbm, on_chip, engine="sync")
        kernel.move(places[source], places[target], engine="scalar")
        first = schedule(kernel.trace(), "as_written").transfers[0]
        return first.end_ns - first.start_ns

    two_loads, load_and_store = last_ns("there", "in"), last_ns("out", "there")
    assert load_and_store > 1.1 * two_loads


def test_transfers_on_different_engines_of_one_queue_do_not_wait():
    kernel = Kernel()
    source = kernel.tensor("hbm", 65536, role="input")
    target = kernel.tensor("sbuf", 65536)
    kernel.move(Region(source, 0, 8, 0, 65536), Region(target, 0, 8, 0, 65536))
    kernel.move(Region(source, 8, 16, 0, 65536), Region(target, 8, 16, 0, 65536))
    first, second = schedule(kernel.trace(), "as_written").transfers
    assert (first.engines, second.engines) == ((0,), (1,))
    assert second.start_ns < first.end_ns - 5000


def test_a_consumer_of_a_load_starts_after_its_completion():
    kernel = loads(1)
    kernel.add("vector", "max8", 512, writes=(kernel.tensor("sbuf", 32),), reads=(1,))
    timeline = schedule(kernel.trace(), "as_written")
    waited = timeline.start_ns[0][1] - timeline.transfers[0].end_ns
    assert waited == pytest.approx(TRN2.semaphores.transfer_ns)
    assert timeline.critical[0][1].tolist() == [0, 0]


def test_two_engines_on_one_psum_bank_take_turns_and_on_two_do_not():
    def start_of_second(second_bank):
        kernel = Kernel()
        p = kernel.tensor("psum", 16384)
        out = [kernel.tensor("sbuf", 1024) for _ in range(2)]
        kernel.add("vector", "tensor_copy", 256, writes=(out[0],), reads=(Region(p, 0, 128, 0, 1024),))
        at = 2048 if second_bank else 1024
        kernel.add(
            "scalar",
            "activation",
            256,
            writes=(out[1],),
            reads=(Region(p, 0, 128, at, at + 1024),),
            op="copy",
        )
        timeline = schedule(kernel.trace(), "as_written")
        return timeline.start_ns[0][1], timeline.ready_ns[0][1], tuple(timeline.critical[0][1]), kernel

    start, ready, critical, kernel = start_of_second(second_bank=False)
    assert start == pytest.approx(cost(TRN2, kernel.cores[0][0]).issue_ns)
    assert ready == 0
    assert critical == (0, 0)
    assert start_of_second(second_bank=True)[0] == 0


def test_gpsimd_waits_for_the_port_while_the_vector_engine_is_in_a_fast_mode():
    kernel = Kernel()
    tensors = [kernel.tensor("sbuf", 2048) for _ in range(4)]
    kernel.add("vector", "tensor_copy", 1024, writes=(tensors[0],), reads=(tensors[1],), dtype="bfloat16")
    kernel.add("gpsimd", "tensor_copy", 1024, writes=(tensors[2],), reads=(tensors[3],), dtype="bfloat16")
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][1] == pytest.approx(cost(TRN2, kernel.cores[0][0]).issue_ns)


def two_cores(row_bytes=65536, count=8):
    kernel = Kernel(lnc=2)
    source = kernel.tensor("hbm", row_bytes, role="input")
    for core in (0, 1):
        for _ in range(count):
            kernel.load(source, kernel.tensor("sbuf", row_bytes // 2, core=core), core=core)
    return kernel


def test_two_cores_loading_at_once_get_the_stack_between_them():
    both = schedule(two_cores().trace(), "as_written")
    alone = two_cores()
    alone.cores[1].clear()
    one = schedule(alone.trace(), "as_written")
    moved = 2 * 8 * 128 * 32768
    assert both.duration_ns > 1.1 * one.duration_ns
    span = both.duration_ns - both.transfers[0].start_ns - TRN2.dma.read_tail_ns
    assert moved / span == pytest.approx(TRN2.hbm.bytes_per_ns, rel=0.02)


@pytest.mark.parametrize("order", ORDERS)
def test_a_barrier_holds_the_early_core_until_the_late_one_comes(order):
    kernel = Kernel(lnc=2)
    tiles = [kernel.tensor("sbuf", 2048, core=c) for c in (0, 1)]
    done = [kernel.tensor("sbuf", 2048, core=c) for c in (0, 1)]
    for core, length in ((0, 64), (1, 4096)):
        kernel.add("vector", "max8", length, writes=(tiles[core],), core=core)
        kernel.add("gpsimd", "core_barrier", 1, reads=(tiles[core],), core=core, rendezvous=7)
        kernel.add("gpsimd", "iota", 64, writes=(done[core],), core=core, after=(1,))
    timeline = schedule(kernel.trace(), order)
    assert timeline.start_ns[0][1] == timeline.start_ns[1][1]
    assert timeline.start_ns[0][1] >= timeline.end_ns[1][0]
    assert timeline.critical[0][1].tolist() == [1, 1]
    assert timeline.start_ns[0][2] >= timeline.start_ns[0][1] + TRN2.pair.barrier_ns


def test_a_barrier_one_core_never_reaches_is_an_error():
    kernel = Kernel(lnc=2)
    tile = kernel.tensor("sbuf", 64)
    kernel.add("gpsimd", "core_barrier", 1, rendezvous=1, after=())
    kernel.add("gpsimd", "core_barrier", 1, rendezvous=2)
    kernel.add("gpsimd", "core_barrier", 1, rendezvous=2, core=1)
    kernel.add("gpsimd", "core_barrier", 1, rendezvous=1, core=1)
    kernel.add("vector", "max8", 64, writes=(tile,))
    with pytest.raises(SimulatorError, match="wait for each other"):
        schedule(kernel.trace(), "as_written")


def prefetch(tile_bytes):
    kernel = Kernel()
    source = kernel.tensor("hbm", tile_bytes, role="input")
    for _ in range(6):
        tile, out = kernel.tensor("sbuf", tile_bytes), kernel.tensor("sbuf", 32)
        kernel.load(source, tile)
        kernel.add("gpsimd", "iota", tile_bytes // 2, writes=(out,), reads=(tile,))
    return kernel


@pytest.mark.parametrize("order", ORDERS)
def test_prefetch_reaches_as_far_as_sbuf_does(order):
    small = schedule(prefetch(8192).trace(), order)
    large = schedule(prefetch(90000).trace(), order)
    load = [2 * k for k in range(6)]
    assert small.start_ns[0][load[5]] < small.end_ns[0][1]
    assert large.start_ns[0][load[1]] < large.end_ns[0][1]
    for k in range(2, 6):
        assert large.start_ns[0][load[k]] >= large.end_ns[0][load[k - 2] + 1]
    assert large.sbuf_peak_bytes >= 90000 * 128


def test_psum_banks_rotate_and_the_ninth_tile_waits_for_the_first():
    kernel = Kernel()
    w, x = kernel.tensor("sbuf", 256), kernel.tensor("sbuf", 1024)
    for _ in range(9):
        bank, out = kernel.tensor("psum", 2048), kernel.tensor("sbuf", 2048)
        kernel.add("tensor", "nc_matmul", 512, writes=(bank,), reads=(w, x), dtype="bfloat16")
        kernel.add("gpsimd", "tensor_copy", 16384, writes=(out,), reads=(bank,))
    timeline = schedule(kernel.trace(), "as_written")
    assert timeline.start_ns[0][14] < timeline.end_ns[0][1]
    assert timeline.start_ns[0][16] >= timeline.end_ns[0][1]
    assert timeline.psum_peak_banks == 1


def matmuls(count, dtype="bfloat16", stationaries=1):
    kernel = Kernel()
    weights = [kernel.tensor("sbuf", 256) for _ in range(stationaries)]
    x, p = kernel.tensor("sbuf", 1024), kernel.tensor("psum", 2048)
    for k in range(count):
        kernel.add("tensor", "nc_matmul", 512, writes=(p,), reads=(weights[k % stationaries], x), dtype=dtype)
    return kernel


def test_matmuls_run_at_half_rate_until_a_window_was_busy():
    timeline = schedule(matmuls(60).trace(), "as_written")
    steps = np.diff(timeline.start_ns[0])
    full = cost(TRN2, matmuls(1).cores[0][0]).issue_ns
    assert steps[1] == pytest.approx(2 * full)
    assert steps[-1] == pytest.approx(full)
    assert timeline.throttled_ns[0] == pytest.approx(TRN2.tensor.throttle_window_ns, rel=0.01)


def test_accumulating_matmuls_do_not_wait_for_the_drain():
    timeline = schedule(matmuls(3).trace(), "as_written")
    assert timeline.start_ns[0][1] < timeline.end_ns[0][0]


def test_weights_load_behind_the_previous_matmul():
    same = schedule(matmuls(40).trace(), "as_written").duration_ns
    changing = schedule(matmuls(40, stationaries=2).trace(), "as_written").duration_ns
    assert changing == pytest.approx(same, rel=0.01)


def test_the_first_matmul_shows_its_weight_load():
    kernel = matmuls(1, "float32")
    timeline = schedule(kernel.trace(), "as_written")
    found = cost(TRN2, kernel.cores[0][0])
    streamed = 2 * found.issue_ns + TRN2.tensor.pipeline_ns
    assert timeline.end_ns[0][0] == pytest.approx(found.load_ns + streamed, rel=0.01)


def test_a_change_of_activation_function_loads_a_table():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 2048), kernel.tensor("sbuf", 2048)
    for op in ("exp", "exp", "silu"):
        kernel.add("scalar", "activation", 512, writes=(b,), reads=(a,), op=op)
    timeline = schedule(kernel.trace(), "as_written")
    assert len(timeline.table_loads) == 2
    assert timeline.start_ns[0][2] - timeline.start_ns[0][1] > TRN2.scalar.table_load_ns


def store_before_load():
    """The load of the second tile stands behind the store of the first, as in a plain loop."""
    kernel = Kernel()
    source, sink = kernel.tensor("hbm", 4096, role="input"), kernel.tensor("hbm", 4096, role="output")
    for k in range(4):
        tile, out = kernel.tensor("sbuf", 4096), kernel.tensor("sbuf", 4096)
        kernel.move(source, tile)
        kernel.add("vector", "max8", 4096, writes=(out,), reads=(tile,))
        kernel.move(out, Region(sink, 0, 128, k * 1024, k * 1024 + 1024))
    return kernel


def test_list_order_lets_loads_pass_stores_that_wait():
    trace = store_before_load().trace()
    written, listed = (schedule(trace, order) for order in ORDERS)
    assert listed.duration_ns < 0.85 * written.duration_ns


def test_no_reorder_keeps_the_author_s_order():
    kernel = store_before_load()
    for instruction in kernel.cores[0]:
        instruction.no_reorder = True
    trace = kernel.trace()
    written, listed = (schedule(trace, order) for order in ORDERS)
    assert listed.duration_ns == pytest.approx(written.duration_ns)


def test_a_kernel_without_instructions_takes_no_time():
    assert schedule(Kernel().trace(), "list").duration_ns == 0


def test_other_constants_change_the_times_of_operations_already_scheduled():
    trace = copy_chain().trace()
    before = schedule(trace, "list").duration_ns
    with instead(with_values(TRN2, {"vector.drain_ns": TRN2.vector.drain_ns + 100})):
        assert schedule(trace, "list").duration_ns == pytest.approx(before + 100)
    assert schedule(trace, "list").duration_ns == before


def test_cores_that_use_the_same_bytes_do_not_wait_for_each_other():
    kernel = Kernel(lnc=2)
    tile = kernel.tensor("sbuf", 2048)
    kernel.add("vector", "max8", 512, writes=(tile,), core=0)
    kernel.add("scalar", "activation", 512, reads=(tile,), writes=(kernel.tensor("sbuf", 2048),), core=1)
    assert schedule(kernel.trace(), "as_written").ready_ns[1][0] == 0


# ---------------------------------------------------------------- any trace


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3, *[st.integers(0, 5)] * 4), min_size=1, max_size=30))
def test_boxes_overlap_and_cover_where_their_rows_and_bytes_do(drawn):
    kernel = Kernel(lnc=2)
    tensors = [kernel.tensor("sbuf", 16, rows=16) for _ in range(2)]
    for core, tensor, reads, row, rows, byte, size in drawn:
        region = Region(tensors[tensor], row, row + rows + 1, byte, byte + size + 1)
        kernel.add(
            "vector",
            "max8",
            8,
            **{"reads" if reads else "writes": (region,)},
            core=core,
        )
    uses = program_of(kernel.cores).uses
    found = find_overlaps(uses, columns(kernel.tensors))
    boxes = [Region(*map(int, region)) for region in uses.regions]
    core_of = np.searchsorted(uses.boxes[1:], np.arange(len(boxes)), side="right")
    written = {(core_of[box], boxes[box].tensor) for box in uses.writes.items}
    for a, (over, inside) in enumerate(zip(found.overlaps.sets(), found.covers.sets(), strict=True)):
        near = {b for b in range(len(boxes)) if core_of[a] == core_of[b] and overlap(boxes[a], boxes[b])}
        assert over == (near if (core_of[a], boxes[a].tensor) in written else set())
        assert inside == {b for b in over if contains(boxes[a], boxes[b])}


def contains(outer, inner):
    rows = outer.row0 <= inner.row0 and inner.row1 <= outer.row1
    return rows and outer.byte0 <= inner.byte0 and inner.byte1 <= outer.byte1


@st.composite
def kernels(draw):
    kernel = Kernel()
    source = kernel.tensor("hbm", 4096, role="input")
    tiles = [kernel.tensor("sbuf", 4096) for _ in range(3)] + [kernel.tensor("psum", 2048) for _ in range(2)]
    regions = st.builds(
        lambda t, a, b: Region(t, 0, 128, 512 * min(a, b), 512 * max(a, b) + 512),
        st.sampled_from(tiles),
        st.integers(0, 3),
        st.integers(0, 3),
    )
    for _ in range(draw(st.integers(1, 25))):
        engine = draw(st.sampled_from(ENGINES))
        if engine == "sync":
            target = draw(regions.filter(lambda r: r.tensor in tiles[:3]))
            kernel.move(Region(source, 0, 128, target.byte0, target.byte1), target)
            continue
        call = "nc_matmul" if engine == "tensor" else "activation" if engine == "scalar" else "tensor_copy"
        reads = draw(st.lists(regions, max_size=2))
        after = draw(st.lists(st.integers(0, max(0, len(kernel.cores[0]) - 1)), max_size=1))
        earlier = tuple(a for a in after if a < len(kernel.cores[0]))
        flag = draw(st.booleans()) and draw(st.booleans())
        kernel.add(
            engine, call, 256, reads=tuple(reads), writes=(draw(regions),), after=earlier, no_reorder=flag
        )
    return kernel.trace()


def overlap(a, b):
    return (
        a.tensor == b.tensor
        and a.byte0 < b.byte1
        and b.byte0 < a.byte1
        and a.row0 < b.row1
        and b.row0 < a.row1
    )


def conflicts(first, second):
    data = any(overlap(w, r) for w in first.writes for r in second.reads)
    reuse = any(overlap(x, w) for x in (*first.reads, *first.writes) for w in second.writes)
    return data, reuse


@settings(max_examples=60, deadline=None)
@given(kernels(), st.sampled_from(ORDERS))
def test_no_order_starts_an_instruction_before_what_it_depends_on(trace, order):
    timeline = schedule(trace, order)
    done = dict(enumerate(timeline.end_ns[0].tolist()))
    done |= {t.instruction: t.end_ns for t in timeline.transfers}
    start = timeline.start_ns[0]
    for second in trace.cores[0]:
        for first in trace.cores[0][: second.index]:
            data, reuse = conflicts(first, second)
            same_lane = first.engine == second.engine and first.transfer is None and second.transfer is None
            if data or first.index in second.after or (reuse and not same_lane):
                assert start[second.index] >= done[first.index]
            elif reuse:
                assert start[second.index] >= start[first.index]


@settings(max_examples=60, deadline=None)
@given(kernels(), st.sampled_from(ORDERS))
def test_an_engine_issues_one_instruction_at_a_time(trace, order):
    plan = prepare(trace)
    timeline = schedule(trace, order, plan)
    start = timeline.start_ns[0]
    for engine in ENGINES:
        mine = sorted((start[i.index], i.index) for i in trace.cores[0] if i.engine == engine)
        for (a, index), (b, _) in pairwise(mine):
            assert b >= a + plan.instructions["issue_ns"][index] - 1e-6
    assert (start >= timeline.ready_ns[0] - 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(kernels())
def test_an_instruction_marked_no_reorder_is_passed_by_nothing_on_its_engine(trace):
    start = schedule(trace, "list").start_ns[0]
    for engine in ENGINES:
        mine = [i for i in trace.cores[0] if i.engine == engine]
        for position, fence in enumerate(mine):
            if fence.no_reorder:
                assert all(start[i.index] <= start[fence.index] for i in mine[:position])
                assert all(start[i.index] >= start[fence.index] for i in mine[position + 1 :])


@settings(max_examples=60, deadline=None)
@given(kernels(), st.sampled_from(ORDERS))
def test_what_waits_for_a_result_starts_a_semaphore_after_it_and_not_before_it_is_ready(trace, order):
    plan = prepare(trace)
    timeline = schedule(trace, order, plan)
    arrived = {t.instruction: t.end_ns for t in timeline.transfers}
    start, ready = timeline.start_ns[0], timeline.ready_ns[0]
    assert (start >= ready).all()
    for producer, planned in enumerate(plan.instructions):
        for consumer in plan.edges[slice(*planned["waiting"])]:
            waiting = plan.instructions[consumer]
            done = arrived.get(producer, timeline.end_ns[0][producer])
            delay = waiting["transfer_ns" if producer in arrived else "semaphore_ns"]
            assert ready[consumer] >= done + delay
        for follower in plan.edges[slice(*planned["following"])]:
            assert start[follower] >= start[producer]


@settings(max_examples=40, deadline=None)
@given(kernels(), st.sampled_from(ORDERS))
def test_the_same_trace_has_the_same_timeline_every_time(trace, order):
    one, two = (schedule(trace, order) for _ in range(2))
    for name in ("start_ns", "end_ns", "ready_ns", "critical"):
        assert np.array_equal(getattr(one, name)[0], getattr(two, name)[0])
    assert list(one.transfers) == list(two.transfers)
    assert one.table_loads == two.table_loads


@pytest.mark.parametrize(("dialect", "window"), WINDOW.items())
def test_list_order_takes_nothing_from_beyond_its_window(dialect, window):
    kernel = Kernel()
    blocker, slow = kernel.tensor("sbuf", 64), kernel.tensor("sbuf", 64)
    kernel.add("gpsimd", "iota", 400_000, writes=(slow,))
    kernel.add("vector", "max8", 8, writes=(blocker,), reads=(slow,))
    for _ in range(window + 20):
        kernel.add("vector", "max8", 8, writes=(kernel.tensor("sbuf", 2),))
    trace = replace(kernel.trace(), dialect=dialect)
    start = schedule(trace, "list").start_ns[0]
    passed = int((start[2:] < start[1]).sum())
    assert passed == window - 1


def test_nothing_that_only_reads_runs_loads_the_compiler():
    program = "import collectors.cli, app.query, collectors.store.door, collectors.simulated.pool, sys"
    found = [sys.executable, "-c", f"{program}; sys.exit('numba' in sys.modules)"]
    assert subprocess.run(found, check=False).returncode == 0


def round_trip():
    """Load, compute, store: one path, every part of it on the path."""
    kernel = Kernel()
    source, sink = kernel.tensor("hbm", 4096, role="input"), kernel.tensor("hbm", 4096, role="output")
    tile, out = kernel.tensor("sbuf", 4096), kernel.tensor("sbuf", 4096)
    kernel.move(source, tile)
    kernel.add("vector", "max8", 2048, writes=(out,), reads=(tile,))
    kernel.move(out, sink)
    return kernel.trace()


def saved(trace):
    duration = schedule(trace, "list").duration_ns
    return duration, {name: duration - ideal for name, ideal in ideal_ns(prepare(trace), duration).items()}


def test_on_a_single_path_the_costs_of_all_resources_make_up_the_whole_time():
    duration, cost_of = saved(round_trip())
    assert cost_of["vector"] > 0
    assert cost_of["dma_rate"] > 0
    assert cost_of["tensor"] == cost_of["collectives"] == 0
    assert sum(cost_of.values()) == pytest.approx(duration, rel=1e-3)


def test_an_engine_beside_the_longest_path_costs_nothing_however_active():
    kernel = Kernel()
    long, short = (tuple(kernel.tensor("sbuf", 8192) for _ in range(2)) for _ in range(2))
    kernel.add("vector", "max8", 4096, writes=(long[0],), reads=(long[1],))
    kernel.add("gpsimd", "iota", 64, writes=(short[0],), reads=(short[1],))
    _, cost_of = saved(kernel.trace())
    assert cost_of["vector"] > 0
    assert cost_of["gpsimd"] == 0


def test_no_ideal_resource_makes_a_kernel_slower():
    trace = round_trip()
    duration, cost_of = saved(trace)
    assert set(cost_of) == set(RESOURCES)
    assert all(0 <= each <= duration for each in cost_of.values())
