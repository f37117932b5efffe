"""Times that authors of public kernels wrote down. Nothing is fitted to them: they test the rest.

From the optimisation logs of KevGomes1403/nki-moe-megakernel: variants of the fused experts and of the fused
attention of one decode step of Qwen3-30B-A3B on one rank, as its profiler gave them.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.measured import Skipped
from collectors.simulated import cache
from collectors.simulated.calibration import PROFILED, Case, Launch
from simulator.kernel_ref import KernelRef

REPOSITORY = "nki-moe-megakernel"
HELPERS = "nki-library"
TRN2_COMMIT, TRN3_COMMIT = "3df5c25", "90c3c94"
"""Commits that hold the logs of either chip and the kernels they speak of."""

Shapes = Mapping[str, tuple[tuple[int, ...], str]]
_TOKEN: Shapes = {
    "inp": ((1, 1, 2048), "bf16"),
    "gamma": ((1, 2048), "bf16"),
    "router_w": ((2048, 128), "bf16"),
}
BF16: Shapes = {
    **_TOKEN,
    "gate_up_w": ((128, 2048, 384), "bf16"),
    "down_w": ((128, 192, 2048), "bf16"),
}
FP8: Shapes = {
    **_TOKEN,
    "gate_up_w": ((128, 2048, 384), "int8"),
    "gate_up_scales": ((128, 384), "fp32"),
    "down_w": ((128, 192, 2048), "int8"),
    "down_scales": ((128, 2048), "fp32"),
}
PACKED: Shapes = {
    **_TOKEN,
    "gate_up_packed_w": ((128, 17, 128, 384), "int8"),
    "down_w": ((128, 192, 2048), "int8"),
    "down_scales": ((128, 2048), "fp32"),
}
ATTENTION: Shapes = {
    "hidden_states": ((1, 1, 2048), "bf16"),
    "Wq": ((1024, 2048), "bf16"),
    "Wk": ((128, 2048), "bf16"),
    "Wv": ((128, 2048), "bf16"),
    "Wo": ((1024, 2048), "bf16"),
    "q_norm_weight": ((128,), "bf16"),
    "k_norm_weight": ((128,), "bf16"),
    "K_cache": ((1, 1, 640, 128), "bf16"),
    "V_cache": ((1, 1, 640, 128), "bf16"),
    "cos": ((1, 128), "bf16"),
    "sin": ((1, 128), "bf16"),
    "position_ids": ((1, 1), "int32"),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Versions of one kernel: `file` by version, cores, arguments, and the device's us by version."""

    family: str
    target: str
    file: str
    function: str
    lnc: int
    arguments: Shapes
    measured_us: Mapping[str, float]


EXPERTS = "qwen3_moe_fused_tkg"
GROUPS: tuple[Group, ...] = (
    Group(
        "fused experts bf16",
        "trn2",
        "kernels/moe_fused_tkg/versions/kernel_{}.py",
        EXPERTS,
        2,
        BF16,
        {
            "v20b": 117.46,
            "v26g": 104.89,
            "v27a": 107.15,
            "v27b": 115.88,
            "v27c": 113.00,
            "v27d": 103.48,
            "v27e": 106.81,
            "v27f": 106.64,
            "v27g": 110.06,
            "v27h": 109.05,
            "v27i": 105.54,
            "v28e": 98.74,
            "v28f": 98.15,
            "v28i": 101.99,
            "v29j": 100.05,
            "v29k": 98.99,
        },
    ),
    Group(
        "fused experts fp8",
        "trn2",
        "kernels/moe_fused_tkg/quantized/{}.py",
        EXPERTS,
        2,
        FP8,
        {
            "v5": 131.60,
            "v6a": 125.62,
            "v6b": 127.36,
            "v6c": 142.69,
            "v7": 120.44,
            "v11c": 104.40,
            "v12d": 112.29,
            "v12g": 106.98,
            "v12h": 109.29,
            "v12i": 90.54,
            "v12k": 126.57,
            "v12m": 90.94,
        },
    ),
    Group(
        "fused experts fp8",
        "trn3",
        "kernels/moe_fused_tkg/quantized/{}.py",
        EXPERTS,
        2,
        FP8,
        {"v12i": 88.96, "v14a": 88.06, "v14b": 137.52, "v14c": 89.13, "v15a": 76.38},
    ),
    Group(
        "fused experts fp8",
        "trn3",
        "kernels/moe_fused_tkg/quantized/{}.py",
        EXPERTS,
        2,
        PACKED,
        {"v15c": 72.88, "v15e": 73.3, "v15f": 85.0, "v15g": 72.48},
    ),
    *(
        Group(
            "fused attention",
            "trn2",
            "kernels/attn_tkg/agents/{}.py",
            f"qwen3_attn_tkg_fused_oproj_{function}",
            1,
            ATTENTION,
            {version: time},
        )
        for version, function, time in (
            ("v12e", "v12e", 65.33),
            ("v13_planA", "v13a", 64.01),
            ("v13_planB", "v13b", 61.43),
            ("v13_planC", "v13c", 64.15),
            ("v13_BC", "v13bc", 59.47),
            ("v14_planG", "v14g", 67.69),
            ("v14_planH", "v14h", 61.43),
            ("v14_planI", "v14i", 76.72),
        )
    ),
)


def published(kernels: Path) -> tuple[list[Case], list[Skipped]]:
    """The rows whose source is in the clones under `kernels`; where it is not, why."""
    rows = [(group, *row) for group in GROUPS for row in group.measured_us.items()]
    missing = _unpacked(kernels / REPOSITORY)
    cases = [_case(group, version, time, kernels) for group, version, time in rows]
    if missing:
        return [], [case.skipped(missing) for case in cases]
    return cases, []


def _case(group: Group, version: str, time: float, kernels: Path) -> Case:
    commit = TRN2_COMMIT if group.target == "trn2" else TRN3_COMMIT
    file = group.file.format(version)
    tree = _tree(commit)
    helpers = (str(tree), str(kernels / HELPERS / "src" / "nkilib_src"))
    launch = Launch(
        KernelRef(group.function, file=str(tree / file), paths=helpers),
        {name: shape for name, (shape, _) in group.arguments.items()},
        "bf16",
        dtypes={name: dtype for name, (_, dtype) in group.arguments.items()},
    )
    return Case(
        id=f"{REPOSITORY}-{group.target}-{version}",
        family=f"{group.family} {group.target}",
        name=version,
        problem=f"one token, {group.target}",
        method=f"{PROFILED} total_time",
        role="held out",
        source=f"KevGomes1403/{REPOSITORY} {commit} {file}",
        target=group.target,
        lnc=group.lnc,
        measured_ns=1e3 * time,
        launches=(launch,),
    )


def _tree(commit: str) -> Path:
    return cache.folder() / "clones" / f"{REPOSITORY}-{commit}"


def _unpacked(clone: Path) -> str:
    """Bring the kernels of both commits to the cache; why that cannot be, "" when it could."""
    for commit in (TRN2_COMMIT, TRN3_COMMIT):
        folder = _tree(commit)
        if folder.is_dir():
            continue
        if not clone.is_dir():
            return f"its source is not part of this project: there is no clone {clone}"
        command = ["git", "-C", str(clone), "archive", "--format=tar", commit, "kernels"]
        made = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
        if made.returncode:
            return f"{clone} does not hold commit {commit}: fetch its whole history"
        part = folder.with_name(f"{folder.name}.part")
        with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
            archive.extractall(part, filter="data")
        part.replace(folder)
    return ""
