"""Run the kernels of aws-neuron/nki-library, unmodified, against the references of its own tests.

python tests/recipes/nki_library.py CLONE_OF_nki-library [WORD …]

Prints a line a kernel: largest error of its results (root mean square, relative), instructions, simulated
time; exits 1 when one fails or is off by more than its tolerance. A WORD keeps the kernels whose names
contain it; with --errors FILE the errors are written there. Shapes are those of one of four ranks of
Qwen3-30B-A3B. What the tests need and a CPU does not have (their orchestrator, AWS clients, neuron_dtypes) is
replaced by stand-ins.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import ml_dtypes
import numpy as np
from rows import Row

STOOD_IN = frozenset(
    [
        *("allpairspy", "aws_embedded_metrics", "boto3", "botocore", "fabric2", "invoke", "matplotlib"),
        *("nki_cpu_simulator", "paramiko", "plotext", "psutil", "pytest_html", "requests"),
    ]
)
ORCHESTRATOR = "test.utils.test_orchestrator"
BLOCKWISE = {
    "SHARD_ON_BLOCK": "bwmm_shard_on_block",
    "SHARD_ON_INTERMEDIATE": "blockwise_mm_baseline_shard_intermediate",
    "SHARD_ON_INTERMEDIATE_HW": "blockwise_mm_baseline_shard_intermediate_hybrid",
    "SHARD_ON_INTERMEDIATE_DROPPING": "blockwise_mm_shard_intermediate_dropping",
}
"""What the tests call each block-wise kernel of moe_cte."""
MLP = "nkilib_src.nkilib.core.mlp.mlp"
TESTS = "test.integration.nkilib"
REPOSITORY, COMMIT = "aws-neuron/nki-library", "d2ad3a5"
FLOAT, MX = 1e-2, 4e-2
"""Tolerances: of bfloat16 results, and of MX, where the references quantise with the scale of OCP's sample
conversion and nki.isa.quantize_mx with one twice as large."""
MX_TWICE = 5e-2
"""Where activations are quantised twice, between the projections too: the tests' own tolerance."""
BF16 = np.dtype(ml_dtypes.bfloat16)
HIDDEN, INNER, EXPERTS, TOP, HEADS, HEAD = 2048, 192, 128, 8, 8, 128


class StandIn(types.ModuleType):
    """A module any attribute of which exists."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        is_error = name.endswith(("Error", "Exception"))
        value: Any = type(name, (Exception,), {}) if is_error else MagicMock(name=name)
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins, and the one published file that does not parse, for want of half a docstring."""

    def __init__(self, clone: Path) -> None:
        self.mlp = clone / "src" / Path(*MLP.split(".")).with_suffix(".py")

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in STOOD_IN:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if fullname == MLP and not _parses(self.mlp):
            return importlib.machinery.ModuleSpec(fullname, self, origin=str(self.mlp))
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return None if spec.name == MLP else StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ == MLP:
            text = self.mlp.read_text(encoding="utf-8")
            start = text.index('    """\n\n        TKG mode supports')
            again = text.index('    """\n', start + 8)
            exec(compile(text[:start] + text[again:], str(self.mlp), "exec"), module.__dict__)


def _parses(file: Path) -> bool:
    try:
        compile(file.read_text(encoding="utf-8"), str(file), "exec")
    except SyntaxError:
        return False
    return True


def neuron_dtypes() -> types.ModuleType:
    """What the tests use of neuron_dtypes: dtypes by name and casts, MX packing included."""
    from simulator.nki import mx
    from simulator.nki.dtypes import DTYPES, dtype_of

    def static_cast(x: Any, dtype: Any) -> np.ndarray[Any, Any]:
        array, kind = np.asarray(x), dtype_of(dtype)
        if mx.is_packed(array.dtype):
            return mx.unpacked(array).astype(kind)
        return mx.packed(array.astype(np.float32), kind) if mx.is_packed(kind) else array.astype(kind)

    module = StandIn("neuron_dtypes")
    for name, dtype in DTYPES.items():
        setattr(module, name, dtype)
    module.static_cast = static_cast
    module.sizeinbytes = lambda dtype: dtype_of(dtype).itemsize
    module.is_float_type = lambda dtype: np.dtype(dtype).kind not in "iub"
    module.finfo = ml_dtypes.finfo
    return module


class Outcome(NamedTuple):
    """One kernel's results against its reference."""

    error: float
    instructions: int
    time_us: float
    seconds: float
    warnings: int


class Runner:
    """Stands where the tests expect their orchestrator: runs a kernel here and compares."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None

    def execute(self, kernel: Any) -> None:
        """Run `kernel` as the tests describe it, on its ranks where it has several; keeps the outcome."""
        from simulator.nki.execute import execute_ranks
        from simulator.timeline.plan import prepare
        from simulator.timeline.schedule import schedule

        by_rank = hasattr(kernel.kernel_input, "for_rank")
        count = kernel.inference_args.collective_ranks if by_rank else 1
        inputs = [kernel.kernel_input.for_rank(r) if by_rank else kernel.kernel_input for r in range(count)]
        given = [{n.removesuffix(".must_alias_input"): v for n, v in one.items()} for one in inputs]
        target = "trn3" if kernel.compiler_input.platform_target.is_trn3() else "trn2"
        begun = time.perf_counter()
        lnc = kernel.compiler_input.logical_nc_config
        traces = execute_ranks(kernel.kernel_func, given, target=target, lnc=lnc)
        seconds = time.perf_counter() - begun
        errors = []
        for rank, trace in enumerate(traces):
            golden = kernel.validation_args.golden_output
            expected = golden.for_rank(rank) if by_rank else golden.golden
            errors += [_error(r, e) for r, e in zip(trace.results, expected.values(), strict=False)]
        duration = schedule(traces[0], "list", prepare(traces[0])).duration_ns
        total = sum(len(core) for core in traces[0].cores)
        self.outcome = Outcome(max(errors), total, duration / 1e3, seconds, len(traces[0].warnings))


def _error(found: Any, expected: Any) -> float:
    """Root mean square of the difference over that of what is expected, where it is finite."""
    wanted = np.asarray(expected).astype(np.float64)
    finite = np.isfinite(wanted)
    difference = (found.astype(np.float64).reshape(wanted.shape) - wanted)[finite]
    scale = np.sqrt(np.mean(wanted[finite] ** 2)) if finite.any() else 0.0
    return (
        float(np.sqrt(np.mean(difference**2)) / scale) if scale else float(np.abs(difference).max(initial=0))
    )


class Case(NamedTuple):
    """A kernel of one test module: `run` calls a test of it with shapes of ours."""

    name: str
    module: str
    run: Callable[[Any, Runner], Any]
    tolerance: float = FLOAT
    on: str = "trn2 LNC 2"

    def row(self) -> Row:
        """Its row in docs/public-kernels.md."""
        against = f"`{self.module.rpartition('.')[2]}.py` of its repository"
        return Row(REPOSITORY, COMMIT, self.name, "current", self.on, against, self.tolerance)


def cases() -> list[Case]:
    """Every kernel at one and two cores where it runs on both."""
    found: list[Case] = []
    for lnc in (1, 2):
        found += [case._replace(on=f"trn2 LNC {lnc}") for case in _both(lnc)]
    return found + _two_cores() + _blockwise_mx() + _ranks()


def _both(lnc: int) -> list[Case]:
    return [
        Case(
            "rmsnorm_tkg, 4 tokens",
            "core.subkernels.test_rmsnorm_tkg",
            lambda m, r: m.TestRmsNormTKGKernel().test_rmsnorm_tkg_unit(
                r, lnc, 1, 4, HIDDEN, None, False, False, BF16
            ),
        ),
        Case(
            "qkv_tkg",
            "core.qkv.test_qkv_tkg",
            lambda m, r: m.TestQkvTkgKernel().test_qkv_tkg_accuracy_unit(
                *(r, MagicMock(), lnc, 1, 1, HIDDEN, None, (HEADS + 2) * HEAD, HEADS, 1, HEAD),
                *(m.NormType.RMS_NORM, m.QuantizationType.NONE, False, False, False, 1e-6),
                m.QKVOutputLayout.BSD,
            ),
        ),
        Case(
            "qkv (prompt of 128)",
            "core.qkv.test_qkv_cte",
            lambda m, r: m.TestQkvCteKernel().test_qkv_cte_accuracy_unit(
                *(r, MagicMock(), lnc, 1, 128, HIDDEN, None, (HEADS + 2) * HEAD, BF16),
                *(m.NormType.RMS_NORM, False, False, 1e-6),
            ),
        ),
        Case(
            "mlp_tkg",
            "core.mlp.test_mlp_tkg",
            lambda m, r: m.TestMlpTkgKernels().run_mlp_tkg_test(
                r,
                m.CompilerArgs(logical_nc_config=lnc),
                MagicMock(),
                batch=1,
                hidden=HIDDEN,
                intermediate=768,
                seqlen=1,
                dtype=BF16,
                lnc_degree=lnc,
                act_fn_type=m.ActFnType.SiLU,
                norm_type=m.NormType.RMS_NORM,
                quant_dtype=None,
                quantization_type=m.QuantizationType.NONE,
                **dict.fromkeys(("fused_add", "gate_bias", "up_bias", "down_bias", "norm_bias"), False),
                **dict.fromkeys(("skip_gate_proj", "store_add"), False),
            ),
        ),
        *[
            Case(
                f"attention_tkg, {made} 256 in the cache",
                "core.attention.test_attention_tkg",
                lambda m, r, options=options: m.run_attention_tkg_test(
                    r,
                    m.CompilerArgs(logical_nc_config=lnc),
                    m.AttnTKGConfig(1, HEADS, 1, 256, 640, HEAD, tp_k_prior=True, **options),
                    dtype=BF16,
                    test_sink=False,
                    fp8_kv=False,
                    sliding_window=0,
                ),
            )
            for made, options in (
                ("q and k in SBUF,", {"qk_in_sb": True}),
                ("RoPE and mask made inside,", {"fuse_rope": True, "use_pos_id": True}),
            )
        ],
        *[
            Case(
                f"moe_tkg, {experts} experts, {'all' if all_of else 'selective'}",
                "core.moe.moe_tkg.test_moe_tkg",
                lambda m, r, all_of=all_of, experts=experts: m._run_moe_tkg_test(
                    *(r, lnc, 4, HIDDEN, INNER, experts, None if all_of else TOP, m.ActFnType.SiLU),
                    *(m.ExpertAffinityScaleMode.POST_SCALE, all_of, False, False),
                    dtype=BF16,
                    q_type=m.QuantizationType.NONE,
                ),
            )
            for all_of, experts in ((False, EXPERTS), (True, 16))
        ],
        Case(
            "attention_cte, prompt of 256",
            "core.attention.test_attention_cte",
            lambda m, r: m.TestRangedAttentionCTEKernels().test_attention_cte_no_cp_vnc_apc_klr_unit(
                *(r, MagicMock(), lnc, HEADS, 256, 256, None, None, HEAD, HEAD**-0.5, BF16),
                *(True, True, False, False, False, 0, None),
            ),
        ),
    ]


def _two_cores() -> list[Case]:
    """Kernels whose tests leave the number of cores to the platform, or that run on two alone."""
    return [
        *[
            Case(
                f"router_topk, x in {'SBUF' if in_sbuf else 'HBM'}",
                "core.router_topk.test_router_topk",
                lambda m, r, in_sbuf=in_sbuf: m.TestRouterTopkKernel().test_router_topk(
                    *(r, 4, HIDDEN, EXPERTS, TOP, m.RouterActFnType.SOFTMAX, False, True, True),
                    *(False, True, False, False, False, in_sbuf, 0, 0),
                ),
            )
            for in_sbuf in (False, True)
        ],
        Case(
            "RoPE",
            "core.embeddings.test_rope",
            lambda m, r: m.TestRopeKernel()._run_rope_test(r, HEAD, 1, HEADS, 16, True, False),
        ),
        Case(
            "output_projection_tkg",
            "core.output_projection.test_output_proj_tkg",
            lambda m, r: m.TestOutputProjTkgKernel().test_output_proj_tkg_unit(
                r, 4, HEADS, 1, HEAD, HIDDEN, m.QuantizationType.NONE, False, False
            ),
        ),
        *[
            Case(
                f"moe_block_tkg, {'all' if all_of else 'selective'} experts",
                "core.moe_block.test_moe_block_tkg",
                lambda m, r, all_of=all_of: m.TestMoEBlockTkgKernel()._run_moe_block_test(
                    *(r, MagicMock(), 2, all_of, 4, 1, HIDDEN, None, INNER, EXPERTS),
                    *(16 if all_of else EXPERTS, TOP, m.RouterActFnType.SOFTMAX, m.ActFnType.SiLU),
                    *(m.ExpertAffinityScaleMode.POST_SCALE, BF16, BF16),
                    *(False, False, False, True, True, False, BF16, m.Platforms.TRN2),
                ),
            )
            for all_of in (False, True)
        ],
        *[
            Case(
                f"moe_cte {BLOCKWISE[function]}, skip mode {skip}",
                "core.moe.moe_cte.test_moe_cte",
                lambda m, r, function=function, skip=skip, inner=inner: _moe_cte(m, r, function, skip, inner),
            )
            for function, skip, inner in (
                ("SHARD_ON_BLOCK", 1, INNER),
                ("SHARD_ON_BLOCK", 3, INNER),
                ("SHARD_ON_INTERMEDIATE", 1, 256),
                ("SHARD_ON_INTERMEDIATE_HW", 1, 256),
                ("SHARD_ON_INTERMEDIATE_DROPPING", 0, 1024),
            )
        ],
        Case(
            "moe blockwise_mm_baseline_shard_hidden, skip mode 1",
            "experimental.moe.test_bwmm_shard_on_H",
            _on_hidden,
        ),
        *[
            Case(
                f"moe_tkg, {dtype}, {'all' if all_of else 'selective'} experts",
                "core.moe.moe_tkg.test_moe_tkg",
                lambda m, r, dtype=dtype, all_of=all_of: m._run_moe_tkg_test(
                    *(r, 2, 32 if all_of else 4, HIDDEN, INNER, 4 if all_of else 16, None if all_of else 4),
                    *(m.ActFnType.SiLU, m.ExpertAffinityScaleMode.POST_SCALE, all_of, True, True),
                    dtype=BF16,
                    q_type=m.QuantizationType.MX,
                    q_dtype=getattr(m.nl, f"{dtype}_x4"),
                    platform_target=m.Platforms.TRN3,
                ),
                MX,
                "trn3 LNC 2",
            )
            for dtype, all_of in (("float8_e4m3fn", True), ("float4_e2m1fn", True), ("float4_e2m1fn", False))
        ],
    ]


def _blockwise_mx() -> list[Case]:
    """The block-wise kernels on MX weights."""
    on_block = ("TestMoeBwmmMxCteKernel", "bwmm_mx_cte")
    on_inner = ("TestMoeBwmmMxShardIKernel", "bwmm_mx_shard_I")
    kernels = (
        ("bwmm_shard_on_block_mx", *on_block, False, "float8_e4m3fn"),
        ("bwmm_shard_on_block_mx", *on_block, False, "float4_e2m1fn"),
        ("blockwise_mm_shard_intermediate_mx", *on_inner, False, "float8_e4m3fn"),
        ("blockwise_mm_shard_intermediate_mx_hybrid", *on_inner, True, "float8_e4m3fn"),
    )
    return [
        Case(
            f"moe_cte {function}, {dtype}",
            "core.moe.moe_cte.test_moe_bwmm_mx_cte",
            lambda m, r, tests=tests, test=test, dynamic=dynamic, dtype=dtype: getattr(
                getattr(m, tests)(), f"run_moe_{test}_test"
            )(
                *(r, m.CompilerArgs(logical_nc_config=2, platform_target=m.Platforms.TRN3), 2),
                *(256, 512, 1024, 2, 256, 2, m.ActFnType.Swish, 1, 7.0, None, 7.0, -7.0),
                *(BF16, getattr(m.nl, f"{dtype}_x4"), m.ExpertAffinityScaleMode.POST_SCALE),
                *(True, dynamic, MagicMock()),
            ),
            MX_TWICE,
            "trn3 LNC 2",
        )
        for function, tests, test, dynamic, dtype in kernels
    ]


def _ranks() -> list[Case]:
    """Kernels that meet other ranks."""
    where = "experimental.collectives"
    return [
        Case(
            "allgather_sb2sb",
            f"{where}.test_sb2sb_allgather",
            lambda m, r: m.TestSb2sbAllgather().test_allgather_sb2sb(r, 64, 256, BF16, 8),
            on="trn2 LNC 1, 8 ranks",
        ),
        Case(
            "allgather_sb2sb_tiled",
            f"{where}.test_sb2sb_allgather",
            lambda m, r: m.TestSb2sbAllgather().test_allgather_sb2sb_tiled(r, 256, 256, BF16, 4, 2),
            on="trn2 LNC 2, 4 ranks",
        ),
        *[
            Case(
                f"fine_grained_allgather, through {'HBM' if in_hbm else 'SBUF'}",
                f"{where}.test_fg_allgather",
                lambda m, r, in_hbm=in_hbm: m.TestFgAllgather().test_fine_grained_allgather(
                    r, 256, 1024, BF16, 4, 2, in_hbm
                ),
                on="trn2 LNC 2, 4 ranks",
            )
            for in_hbm in (False, True)
        ],
        Case(
            "allgather_compute_matmul",
            f"{where}.test_fgcc",
            lambda m, r: m.TestFgcc().test_allgather_compute_matmul(r, 256, 1024, 2048, BF16, 4, 2, False),
            on="trn2 LNC 2, 4 ranks",
        ),
    ]


def _moe_cte(m: Any, runner: Runner, function: str, skip: int, inner: int) -> None:
    """The dropping kernel needs places enough for its tokens, and gives the activations training keeps."""
    request = MagicMock()
    request.node.callspec.id = "qwen"
    dropping = function == "SHARD_ON_INTERMEDIATE_DROPPING"
    tokens, experts, block, top = (2048, 2, 1024, 2) if dropping else (512, 8, 256, 4)
    m.TestMoeBlockwiseMatMulLnc2().test_moe_blockwise_mm_kernel_lnc2(
        *(runner, MagicMock(), m.BWMMFunc[function], HIDDEN, tokens, experts, block, top, inner, BF16),
        *(skip, False, dropping, None, m.ActFnType.SiLU, m.ExpertAffinityScaleMode.POST_SCALE),
        *(None, None, None, None, dropping, m.Platforms.TRN2, request),
    )


def _on_hidden(m: Any, runner: Runner) -> None:
    sizes = {"tok": 512, "hid": HIDDEN, "int": 256, "exp": 8, "bs": 256, "k": 4, "dt": BF16, "sk": 1}
    chosen = {m.SCALING_MODE_DIM: m.ExpertAffinityScaleMode.POST_SCALE, m.CHECKPOINT_ACTIVATION_DIM: False}
    options = types.SimpleNamespace(tensors={m.BWMM_H_CONFIG: sizes | chosen})
    m.TestMoeBlockwiseMatMulShardH().run_bwmm_h_test(
        runner, m.CompilerArgs(logical_nc_config=2), options, 2, MagicMock()
    )


def prepare_imports(clone: Path) -> None:
    """Make the clone's tests importable; to be called inside `nki_modules()`."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "test"]:
        del sys.modules[name]
    sys.path[:0] = [str(clone), str(clone / "src")]
    sys.meta_path.insert(0, Finder(clone))
    sys.modules |= {"neuron_dtypes": neuron_dtypes()}
    importlib.import_module("test.utils")
    sys.modules[ORCHESTRATOR] = StandIn(ORCHESTRATOR)
    # Some tests name Platforms without importing it; their own conftest is what brings it in.
    builtins.Platforms = importlib.import_module("test.utils.common_dataclasses").Platforms  # type: ignore[attr-defined]


def main(clone: Path, words: list[str], errors: Path | None = None) -> int:
    """Run the kernels whose names contain one of `words`, all without one."""
    from simulator.dialect import nki_modules

    failed, kept = 0, {}
    wanted = [c for c in cases() if not words or any(word in f"{c.name}, {c.on}" for word in words)]
    print(f"{'kernel':86} {'error':>9} {'instructions':>12} {'time (us)':>10} {'ran (s)':>8}")
    with nki_modules():
        prepare_imports(clone)
        for case in wanted:
            runner = Runner()
            try:
                case.run(importlib.import_module(f"{TESTS}.{case.module}"), runner)
            except Exception as error:
                print(f"{case.name:66} {case.on:19} {type(error).__name__}: {error}")
            outcome = runner.outcome
            good = outcome is not None and outcome.error <= case.tolerance
            failed += not good
            if outcome is not None:
                kept[case.row().key] = outcome.error
                print(
                    f"{case.name:66} {case.on:19} {outcome.error:9.2e} {outcome.instructions:12,} "
                    f"{outcome.time_us:10.1f} {outcome.seconds:8.1f}{'' if good else '  OFF'}",
                    flush=True,
                )
    print(f"{len(wanted) - failed} of {len(wanted)} agree with their references")
    if errors is not None:
        errors.write_text(json.dumps(kept), "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    place = sys.argv.index("--errors") if "--errors" in sys.argv else len(sys.argv)
    told = Path(sys.argv[place + 1]).resolve() if place < len(sys.argv) else None
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:place], told))
