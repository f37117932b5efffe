"""Which kernel each row of a calibration table measured: where its public source is, and its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SEED = 0
Key = tuple[str, str, str]
"""A row's source_repo, kernel_file and variant."""
Shapes = Mapping[str, tuple[int | str, ...]]
Packets = Mapping[str, int]
"""DMA packets by class, "software" and "hardware", as the summary of a profile counts them."""
EVERY = frozenset({"*"})
"""As `fitted`: all rows of the kernel."""


@dataclass(frozen=True, slots=True)
class Steering:
    """An int32 argument that picks rows: every row of it names different ones below `below`."""

    shape: tuple[int, int]
    below: int

    def drawn(self) -> np.ndarray[Any, Any]:
        """Seeded: which rows they are moves no time, that they differ does."""
        source, (rows, picks) = np.random.default_rng(SEED), self.shape
        return np.stack([source.permutation(self.below)[:picks] for _ in range(rows)]).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Known:
    """Where a calibration row's source lies in a clone of its repository, and what its arguments are.

    A shape's letters are names of the row's `params`. `fitted` holds the params of rows that constants
    of the machine were fitted to. A launch without a grid runs on one physical core. `file` is the source
    where the row names it by a pattern, and `commit` the last one that has it. `packets` are the DMA packets
    by class that the row's own profile counted, by params, where its summary was published too.
    """

    family: str
    launches: tuple[tuple[str, Shapes], ...]
    fitted: frozenset[str] = frozenset()
    lnc: int = 1
    dtypes: Mapping[str, str] = field(default_factory=dict)
    steering: Mapping[str, Steering] = field(default_factory=dict)
    file: str = ""
    commit: str = ""
    packets: Mapping[str, Packets] = field(default_factory=dict)

    def was_fitted(self, params: str) -> bool:
        """Whether a constant was fitted to the row with these params."""
        return params in self.fitted or self.fitted == EVERY

    def packets_of(self, params: str, method: str) -> Packets:
        """DMA packets a device profile counted, {} where none was published; a benchmark counts none."""
        if "profile" not in method:
            return {}
        return self.packets.get(params, self.packets.get("*", {}))


FUSION = "allenkchau/trainium-kernel-fusion"
_HEAD = ("d_head", "seqlen")
_QKV: Shapes = {"q_ref": _HEAD, "k_ref": _HEAD, "v_ref": _HEAD}
_GEMM: Shapes = {"lhsT": ("K", "M"), "rhs": ("K", "N"), "bias": (1, "N")}
_SHORT, _LONG = "seqlen=512 d_head=128", "seqlen=1024 d_head=128"
_STREAMS = frozenset({_SHORT, _LONG})

MEGAKERNEL = "KevGomes1403/nki-moe-megakernel"
LAST_WITH_AGENTS = "bcf4f30"
_EXPERTS: Shapes = {
    "hidden_states": (1, 2048),
    "gate_up_weights": (128, 2048, 512),
    "down_weights": (128, 256, 2048),
    "routing_weights_k": (1, 8),
}
_PREFILL: Shapes = {
    "hidden_states": (1, 640, 2048),
    "q_norm_weight": (128,),
    "k_norm_weight": (128,),
    "cos": (640, 128),
    "sin": (640, 128),
}
_ROWS: Shapes = {**_PREFILL, "Wq": (1024, 2048), "Wk": (512, 2048), "Wv": (512, 2048)}
_COLUMNS: Shapes = {**_PREFILL, "Wq": (2048, 1024), "Wk": (2048, 512), "Wv": (2048, 512)}


_PACKETS: Mapping[str, Packets] = {
    "v5a": {"software": 14_848},
    "v5b": {"software": 19_968},
    "v5c": {"software": 25_088},
    "v6a": {"software": 9_728},
}
"""Published with the rows: kernels/moe_tkg/agents/PROFILING.md, software dynamic DMA packet count."""
_PREFILL_PACKETS: Packets = {"software": 12_416, "hardware": 5_278_880}
"""Published with the rows of v5a and v5b: kernels/attn_cte/PROFILING.md."""


def _experts(**files: str) -> dict[Key, Known]:
    """Decode experts: one token, 8 of 128 experts. The profile's 25.17 MB read are 8 experts' weights."""
    folder = "kernels/moe_tkg/agents"
    return {
        (MEGAKERNEL, f"{folder}/{variant}*.py", variant): Known(
            "experts decode",
            ((f"nki_moe_{variant}", _EXPERTS),),
            dtypes={"routing_weights_k": "float32"},
            steering={"expert_indices": Steering((1, 8), 128)},
            file=f"{folder}/{file}.py",
            commit=LAST_WITH_AGENTS,
            packets={"*": _PACKETS[variant]},
        )
        for variant, file in files.items()
    }


def _prefill(**shapes: Shapes) -> dict[Key, Known]:
    """Attention of 640 tokens: the profile's 11.34 MB read are its inputs, the 1.31 MB written its output.

    Fitted: the time of the shortest descriptor is from the active DMA time of v5a and v5b and their packets.
    """
    return {
        (
            MEGAKERNEL,
            f"kernels/attn_cte/agents/{variant}_qwen3_attn_cte_fused.py",
            f"Data ({variant})",
        ): Known(
            "attention prefill",
            (("qwen3_attn_cte_fused", arguments),),
            EVERY if variant != "v4a" else frozenset(),
            commit=LAST_WITH_AGENTS,
            packets={"*": _PREFILL_PACKETS} if variant != "v4a" else {},
        )
        for variant, arguments in shapes.items()
    }


KNOWN: Mapping[Key, Known] = {
    (FUSION, "kernels/baseline/attention.py", "baseline"): Known(
        "attention",
        (("baseline_attention", _QKV),),
        _STREAMS,
        packets={_SHORT: {"software": 192, "hardware": 2_464}, _LONG: {"software": 336, "hardware": 4_896}},
    ),
    (FUSION, "kernels/fused/attention.py", "fused"): Known(
        "attention",
        (("fused_attention", _QKV),),
        _STREAMS,
        packets={_SHORT: {"software": 672, "hardware": 288}, _LONG: {"software": 1_280, "hardware": 288}},
    ),
    (FUSION, "kernels/baseline/mlp_gemm.py", "baseline"): Known(
        "mlp", (("gemm_kernel", _GEMM), ("gelu_kernel", {"y": ("M", "N")}))
    ),
    (FUSION, "kernels/fused/mlp.py", "fused_pwl"): Known("mlp", (("fused_mlp_pwl", _GEMM),)),
    (FUSION, "kernels/fused/mlp.py", "fused_taylor"): Known("mlp", (("fused_mlp_taylor", _GEMM),)),
    **_experts(
        v5a="v5a_coalesce_gateup_dma",
        v5b="v5b_widen_down_matmul",
        v5c="v5c_batch_routing_weights",
        v6a="v6a_widen_down_on_v5a",
    ),
    **_prefill(v4a=_ROWS, v5a=_ROWS, v5b=_COLUMNS),
}

UNPUBLISHED: Mapping[Key, str] = {
    (MEGAKERNEL, f"kernels/attn_tkg/agents/{variant}*.py", f"Data ({variant})"): (
        f"the repository's history does not hold the kernel that was measured: {reason}"
    )
    for variant, reason in (
        ("v9a", "no file v9a_full_hoist.py was ever committed"),
        (
            "v10a",
            "v10a_wide_dma.py was never committed, and agents/v10a.py is another kernel, which would read "
            "19.5 MB on two cores where the profile has 15.35 MB",
        ),
    )
}
"""Rows whose kernel nobody can have."""
