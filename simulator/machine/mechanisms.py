"""What the timing model models and why: the table of docs/machine-model.md.

`python -m simulator.machine.mechanisms` writes the table into the document anew. A test holds it to this list
and to the machine tables, and this list to the modules and tests it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simulator.machine.facts import machine

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "machine-model.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


class Mechanism(NamedTuple):
    """One thing that takes time: where it is modelled, by which constants, on what evidence, held by which
    tests ("file::function", under tests/).
    """

    name: str
    where: tuple[str, ...]
    constants: tuple[str, ...]
    evidence: str
    tests: tuple[str, ...]


MECHANISMS: tuple[Mechanism, ...] = (
    Mechanism(
        "Fixed envelope of a measurement",
        ("collectors/simulated/calibration.py", "simulator/fidelity/residuals.py"),
        (
            "profile.envelope_ns",
            "profile.benchmark_ns",
            *(
                f"profile.{name}_active_ns"
                for name in ("tensor", "vector", "scalar", "gpsimd", "sync", "dma")
            ),
        ),
        "total_time less the kernel's own in four streams; p50 of nki.benchmark against the profile of the "
        "same kernel, four pairs",
        (
            "test_fidelity_fit.py::test_the_envelope_is_what_a_profile_has_beside_its_kernel",
            "test_fidelity_fit.py::test_a_benchmark_is_compared_with_the_profile_of_the_same_kernel",
        ),
    ),
    Mechanism(
        "Descriptors by hardware",
        ("simulator/costs/dma.py", "simulator/timeline/transfers.py"),
        (
            "dma.hwdge_issue_ns",
            "dma.hwdge_descriptor_ns",
            "dma.hwdge_gap_ns",
            "dma.hwdge_latency_ns",
            "dma.ring_descriptors",
        ),
        "48 DMA_DIRECT2D on SyncE and ScalarE: their durations, gaps, and the time to the first packet of "
        "those issued when nothing moved",
        (
            "test_costs.py::test_hardware_descriptors_take_the_triggering_engine_for_their_issue",
            "test_costs.py::test_a_transfer_of_more_descriptors_than_a_ring_holds_its_engine",
        ),
    ),
    Mechanism(
        "Descriptors by software, static and dynamic addresses",
        ("simulator/costs/dma.py",),
        (
            "dma.swdge_prepare_ns",
            "dma.swdge_prepare_descriptor_ns",
            "dma.swdge_issue_ns",
            "dma.swdge_static_ns",
            "dma.swdge_dynamic_ns",
            "dma.swdge_latency_ns",
        ),
        "17 DMA_DIRECT2D on GpSimd. A dynamic address costs a TENSOR_LOAD more: the sum predicts moe_tkg "
        "v5c to v6a within 2 %, to which it was not fitted",
        (
            "test_costs.py::test_dynamic_addresses_double_what_software_descriptors_cost",
            "test_fidelity_fit.py::test_sums_of_fitted_constants_are_what_the_table_says",
        ),
    ),
    Mechanism(
        "Cost of a descriptor, small transfers",
        ("simulator/costs/dma.py",),
        (
            "dma.bytes_per_ns",
            "dma.descriptor_ns",
            "dma.shortest_descriptor_ns",
            "dma.small_write_bytes",
            "dma.small_write_ns",
            "dma.completion_ns",
            "dma.packet_bytes",
        ),
        "intervals of 6,400 packets of 256 to 4,096 bytes; 5.28 million packets of 4 bytes in attn_cte",
        (
            "test_costs.py::test_a_descriptor_costs_its_bytes_and_a_fixed_part",
            "test_costs.py::test_short_writes_to_hbm_cost_more_than_reads",
            "test_costs.py::test_software_descriptors_pack_the_rows_of_an_engine_up_to_4096_bytes",
        ),
    ),
    Mechanism(
        "Ends of transfers",
        ("simulator/costs/dma.py",),
        (
            "dma.hbm_read_ns",
            "dma.read_spread_ns",
            "dma.read_tail_share",
            "dma.read_tail_ns",
            "dma.write_tail_ns",
        ),
        "transfers that moved alone: from their packets at full rate to their last completion",
        (
            "test_timeline.py::test_one_load_takes_trigger_latency_packets_and_tail",
            "test_costs.py::test_the_tail_of_a_load_grows_with_it_up_to_the_longest_that_was_seen",
        ),
    ),
    Mechanism(
        "Queues in order, engines shared, HBM shared by a pair of cores",
        ("simulator/timeline/transfers.py",),
        ("dma.engines", "dma.partitions_per_engine", "dma.mixed_share", "hbm.bytes_per_ns", "hbm.cores"),
        "packets of two queues alternate on an engine; stores take 300-480 ns a packet now and then while "
        "loads move, the slowest engine keeps 0.79 of its rate. Sharing the stack is documented; no stream "
        "shows it",
        (
            "test_timeline.py::test_a_full_queue_moves_one_transfer_after_another_at_the_packet_rate",
            "test_timeline.py::test_two_queues_share_the_engines_equally",
            "test_timeline.py::test_loads_slow_down_while_stores_move",
            "test_timeline.py::test_two_cores_loading_at_once_get_the_stack_between_them",
        ),
    ),
    Mechanism(
        "Semaphores",
        ("simulator/timeline/records.py",),
        (
            "semaphores.engine_ns",
            "semaphores.tensor_ns",
            "semaphores.transfer_ns",
            "semaphores.transfer_to_trigger_ns",
        ),
        "from the end of a producer to the start of a waiter whose engine was idle: 75 pairs of "
        "instructions, 29 after transfers",
        (
            "test_timeline.py::test_an_instruction_starts_a_semaphore_after_the_result_it_needs",
            "test_timeline.py::test_a_consumer_of_a_load_starts_after_its_completion",
        ),
    ),
    Mechanism(
        "Weight load, hidden behind the matmul before it or not",
        ("simulator/costs/tensor.py", "simulator/timeline/engines.py"),
        ("tensor.load_cycles", "tensor.load_fp32_cycles"),
        "LDWEIGHTS starts with the MATMUL before it; fp32 takes 187-191 ns at full rate, bf16 95 ns",
        (
            "test_timeline.py::test_weights_load_behind_the_previous_matmul",
            "test_timeline.py::test_the_first_matmul_shows_its_weight_load",
        ),
    ),
    Mechanism(
        "Throttling of the tensor engine",
        ("simulator/timeline/throttle.py",),
        ("tensor.throttled_rate", "tensor.throttle_window_ns", "tensor.throttle_release_share"),
        "12 whole throttle records lie on a grid of 3,413 ns; the busiest window before one at half rate "
        "had 0.369 of full work, the idlest before one at full rate 0.375",
        ("test_timeline.py::test_matmuls_run_at_half_rate_until_a_window_was_busy",),
    ),
    Mechanism(
        "Passes of fp32",
        ("simulator/costs/tensor.py",),
        ("tensor.fp32_passes", "tensor.fp32_pass_cycles", "tensor.transpose_fp32_passes"),
        "two MATMUL of 109 ns for N=128 in fp32, one for a transpose; 65,536 for 32,768 in the docs' profile",
        (
            "test_costs.py::test_fp32_matmul_takes_four_cycles_a_row_and_bf16_one",
            "test_fidelity_replay.py::test_the_two_passes_of_an_fp32_matmul_are_one_instruction",
        ),
    ),
    Mechanism(
        "Issue, stream and drain of an instruction",
        ("simulator/costs/cost.py", "simulator/timeline/dependencies.py"),
        (
            "tensor.issue_ns",
            "tensor.pipeline_ns",
            "vector.issue_ns",
            "vector.drain_ns",
            "vector.pointer_ns",
            "scalar.issue_ns",
            "scalar.drain_ns",
            "scalar.pointer_ns",
            "vector.reciprocal_cycles",
        ),
        "intervals and durations of instructions that waited for nothing but their engine",
        (
            "test_timeline.py::test_independent_instructions_of_one_engine_follow_at_its_issue_interval",
            "test_timeline.py::test_a_dependent_instruction_of_the_same_engine_waits_for_the_drain",
        ),
    ),
    Mechanism(
        "Fast modes of VectorE and the port it shares with GpSimd",
        ("simulator/costs/vector.py", "simulator/timeline/engines.py"),
        ("vector.wide_elements", "vector.narrow_elements", "vector.psum_share", "vector.two_input_share"),
        "TENSOR_SCALAR of fp32 in SBUF takes half a cycle an element (396 ns at N=512), from PSUM one. The "
        "bf16 modes and the port are documented; no stream shows them",
        (
            "test_costs.py::test_a_bf16_copy_in_sbuf_takes_a_quarter_of_a_cycle_per_element",
            "test_costs.py::test_only_fast_vector_modes_take_the_port_gpsimd_shares",
            "test_timeline.py::test_gpsimd_waits_for_the_port_while_the_vector_engine_is_in_a_fast_mode",
        ),
    ),
    Mechanism(
        "Activation tables",
        ("simulator/costs/scalar.py", "simulator/timeline/engines.py"),
        ("scalar.table_load_ns",),
        "one ACT_TABLE_LOAD of 1,283 ns a stream. Which functions share a table is assumed: none of these "
        "kernels changes it",
        (
            "test_timeline.py::test_a_change_of_activation_function_loads_a_table",
            "test_costs.py::test_activations_of_one_set_share_a_table_and_copies_need_none",
        ),
    ),
    Mechanism(
        "Registers and branches",
        ("simulator/costs/sequencer.py",),
        ("sequencer.register_load_ns", "sequencer.register_op_ns", "sequencer.branch_ns"),
        "16 TENSOR_LOAD of one register, 28 COMPARE_BRANCH",
        ("test_costs.py::test_a_register_load_and_a_branch_take_the_sequencer",),
    ),
    Mechanism(
        "SBUF and PSUM: reuse, banks, spilling",
        ("simulator/timeline/capacity.py", "simulator/compiler/spills.py", "simulator/nki/capacity.py"),
        ("onchip.sbuf_partition_bytes", "onchip.psum_banks", "onchip.psum_bank_bytes"),
        "PSUM tiles of the streams rotate over eight banks. No measured kernel spills: which tile a compiler "
        "spills is assumed",
        (
            "test_timeline.py::test_prefetch_reaches_as_far_as_sbuf_does",
            "test_timeline.py::test_two_engines_on_one_psum_bank_take_turns_and_on_two_do_not",
            "test_compiler_spills.py::test_a_spill_takes_time_and_shows_as_neuron_explorer_shows_it",
        ),
    ),
)


def table() -> str:
    """The table of docs/machine-model.md."""
    head = (
        "| what | modelled in | constants: trn2, trn3 | evidence | held by |\n| --- | --- | --- | --- | --- |"
    )
    return "\n".join([head, *(_row(each) for each in MECHANISMS)])


def _row(of: Mechanism) -> str:
    cells = (
        of.name,
        _lines([f"`{path}`" for path in of.where]),
        _lines([_constant(name) for name in of.constants]),
        of.evidence,
        _lines([f"`{test.partition('::')[2]}`" for test in of.tests]),
    )
    return f"| {' | '.join(cells)} |"


def _lines(parts: Sequence[str]) -> str:
    return "<br>".join(parts)


def _constant(name: str) -> str:
    old, new = (machine(target).constants[name] for target in ("trn2", "trn3"))
    return f"`{name}` {old.value:g} {old.unit} ({old.kind}), {new.value:g} ({new.kind})"


def document(text: str) -> str:
    """The document with its table anew."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text("utf-8")), "utf-8")
