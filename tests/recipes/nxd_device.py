"""A stand-in for the devices under NxD Inference: its ranks are threads of one process, in lockstep.

NxD's own ModelBuilder keeps the graphs, their example inputs and buckets, and cuts the checkpoint; what it
would compile is kept as it is, and executed on every rank when called, with the caches' aliases it declares.
Collectives exchange the ranks' tensors. One thread runs at a time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import executed

PREFILL, DECODE = "context_encoding_model", "token_generation_model"

DIMENSIONS = {
    "lhs_contracting_dimensions": [1],
    "rhs_contracting_dimensions": [0],
    "lhs_batch_dimensions": [],
    "rhs_batch_dimensions": [],
}
Macs = tuple[int, int]
"""Multiply-accumulates of a graph on a rank: in kernels, and in torch's own matrix products."""


class Ranks:
    """Functions run side by side, one a rank, that wait for each other in `exchange`."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._turn = threading.Lock()

    def run(self, functions: list[Callable[[], Any]]) -> list[Any]:
        """What each function returns; the first error of any."""
        self._held: list[Any] = [None] * len(functions)
        self._meeting = threading.Barrier(len(functions))
        results: list[Any] = [None] * len(functions)
        errors: list[BaseException] = []

        def work(rank: int) -> None:
            self._here.rank = rank
            with self._turn:
                try:
                    results[rank] = functions[rank]()
                except BaseException as error:
                    errors.append(error)
                    self._meeting.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(functions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return results

    def exchange(self, value: Any) -> list[Any]:
        """Every rank's value, in order, once all have given one."""
        self._held[self._here.rank] = value
        self._meet()
        everyone = list(self._held)
        self._meet()
        return everyone

    @property
    def rank(self) -> int:
        """The rank that is asking."""
        return int(self._here.rank)

    def _meet(self) -> None:
        self._turn.release()
        try:
            self._meeting.wait()
        finally:
            self._turn.acquire()


RANKS = Ranks()


def install_collectives() -> None:
    """torch.distributed's collectives as NxD calls them on a CPU, over the threads of `RANKS`."""
    import torch
    import torch.distributed as dist
    from neuronx_distributed.trace.mock_torchdist import MockDistributed

    def group_of(ranks: list[int], **_: Any) -> Any:
        group = MagicMock(spec=dist.ProcessGroup, group_ranks=ranks, _mesh=[ranks])
        group.rank.return_value, group.size.return_value = 0, len(ranks)
        return group

    def all_reduce(tensor: Any, op: Any = dist.ReduceOp.SUM, group: Any = None) -> None:
        values = torch.stack([v.float() for v in RANKS.exchange(tensor.clone())])
        tensor.copy_(values.sum(0) if op == dist.ReduceOp.SUM else values.amax(0))

    def all_gather(places: list[Any], tensor: Any, group: Any = None) -> None:
        for place, value in zip(places, RANKS.exchange(tensor.clone()), strict=True):
            place.copy_(value)

    dist.all_reduce, dist.all_gather = all_reduce, all_gather  # type: ignore[assignment]
    dist.get_world_size = lambda group=None: group.size()  # type: ignore[assignment]
    dist.get_process_group_ranks = lambda group: group.group_ranks  # type: ignore[assignment]
    MockDistributed.new_group = staticmethod(group_of)


class Device:
    """What torch.jit would load: the graphs of a model's builder, on every rank."""

    def __init__(self, builder: Any) -> None:
        self.builder, self.nxd_model = builder, self
        self.models: list[dict[str, Any]] = []
        self.macs: dict[tuple[str, int], Macs] = {}

    def initialize(self, weights: list[dict[str, Any]], start_rank: Any) -> None:
        """Both graphs on each rank with its share of the weights; they share parameters and caches."""
        assert int(start_rank) == 0
        with self._world():
            for share in weights:
                graphs = {key: self._module(key, share) for key in (PREFILL, DECODE)}
                graphs[DECODE].kv_mgr.past_key_values = graphs[PREFILL].kv_mgr.past_key_values
                self.models.append(graphs)

    def _module(self, key: str, share: dict[str, Any]) -> Any:
        instance = self.builder.model_collection[key].model_instance
        instance.load_module()
        found = instance.module.load_state_dict(share, strict=False)
        absent = [name for name in found.missing_keys if "kv_mgr" not in name]
        assert not absent, f"no weights for {absent}"
        assert not found.unexpected_keys, f"weights nothing holds: {found.unexpected_keys}"
        return instance.module

    def forward(self, given: Any) -> Any:
        """The graph and bucket the inputs' shapes choose, on every rank; rank 0's first result."""
        return self(*given)

    def __call__(self, *given: Any) -> Any:
        """See `forward`."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        ids, mask = given[:2]
        key, width = (PREFILL, ids.shape[1]) if ids.shape[1] > 1 else (DECODE, mask.shape[1])
        instance = self.builder.model_collection[key].model_instance
        bucket = instance.neuron_config.buckets.index(width)
        ready = []
        for graphs in self.models:
            instance.module = graphs[key]
            ready.append((graphs[key], instance.get(bucket)[1]))

        counted = FlopCounterMode(display=False)

        def on_rank(module: Any, aliases: dict[Any, int]) -> Any:
            with torch.no_grad(), counted if RANKS.rank == 0 else contextlib.nullcontext():
                results = module(*(value.clone() for value in given))
                for held, place in aliases.items():
                    assert results[place].shape == held.shape
                    held.data = results[place]
            return results[0]

        executed.macs.clear()
        with self._world():
            everyone = RANKS.run([lambda r=each: on_rank(*r) for each in ready])  # type: ignore[misc]
        assert all(torch.equal(everyone[0], other) for other in everyone), "ranks disagree on the logits"
        kernels = executed.macs.total() // len(self.models)
        self.macs[key, width] = (kernels, counted.get_total_flops() // 2)
        self._write_hlo(key, bucket)
        return everyone[0]

    def _write_hlo(self, key: str, bucket: int) -> None:
        """Where the compiler leaves a graph's HLO: one instruction for its kernels and one for the rest."""
        kernels, rest = next(macs for (graph, _), macs in self.macs.items() if graph == key)
        config = base64.b64encode(json.dumps({"mac_count": kernels}).encode()).decode()
        folder = Path(self.builder.compiler_workdir, key, f"_tp0_bk{bucket}")
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            {"id": 1, "opcode": "parameter", "shape": {"dimensions": [rest, 1]}},
            {"id": 2, "opcode": "parameter", "shape": {"dimensions": [1, 1]}},
            {"id": 3, "opcode": "dot", "operand_ids": [1, 2], "dot_dimension_numbers": DIMENSIONS},
            {
                "id": 4,
                "opcode": "custom-call",
                "custom_call_target": "AwsNeuronCustomNativeKernel",
                "backend_config": config,
            },
        ]
        text = json.dumps({"computations": [{"instructions": rows}]})
        (folder / "model.MODULE_1+2.hlo_module.pb").write_text(text)

    def shares(self) -> dict[tuple[str, int], float]:
        """Kernels' part of the multiply-accumulates of each graph and bucket that ran."""
        return {key: kernels / (kernels + rest) for key, (kernels, rest) in self.macs.items()}

    @contextlib.contextmanager
    def _world(self) -> Iterator[None]:
        """NxD's parallel state as the builder's configuration has it, as while it traces."""
        import torch.distributed
        from neuronx_distributed.parallel_layers import parallel_state
        from neuronx_distributed.trace.mock_torchdist import mock_distributed

        built = self.builder
        with mock_distributed(world_size=built.world_size):
            torch.distributed.init_process_group("xla", rank=0, world_size=built.world_size)
            parallel_state.initialize_model_parallel(
                tensor_model_parallel_size=built.tp_degree,
                pipeline_model_parallel_size=built.pp_degree,
                expert_model_parallel_size=built.ep_degree,
                skip_collective_init=True,
                lnc_size=built.logical_nc_config,
            )
            try:
                yield
            finally:
                parallel_state.destroy_model_parallel()
                torch.distributed.destroy_process_group()


def work_in(folder: Path) -> None:
    """Where NxD Inference puts what the compiler leaves."""
    os.environ["BASE_COMPILE_WORK_DIR"] = str(folder)


devices: list[Device] = []
"""Every model that was compiled, in order."""


def install_device() -> None:
    """NxD's builder leaves a `Device` where it would leave a compiled model; torch.jit keeps it."""
    import torch
    from neuronx_distributed.trace.model_builder import ModelBuilder
    from neuronx_distributed_inference.models.model_wrapper import ModelWrapper

    kept: dict[str, Device] = {}

    def trace(builder: Any, **_: Any) -> Device:
        devices.append(Device(builder))
        return devices[-1]

    def save(device: Device, path: str) -> None:
        Path(path).write_text("stand-in")
        kept[path] = device

    ModelBuilder.trace = trace
    ModelWrapper.is_neuron = lambda wrapper: isinstance(wrapper.model, Device)
    torch.jit.save, torch.jit.load = save, kept.__getitem__  # type: ignore[assignment]
    install_collectives()
