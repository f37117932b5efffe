"""The kernels there are: a row for each variant of each slot, and the named choices of them.

Nothing here imports a kernel: `nki` exists only on a device or inside the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kernels.parameters import SEPARATOR, Parameter, Settings

SLOTS = (
    "input_norm",
    "qkv",
    "qk_norm_rope",
    "kv_update",
    "attention_prefill",
    "attention_decode",
    "o_proj",
    "post_norm",
    "router",
    "group_tokens",
    "experts_prefill",
    "experts_decode",
    "aggregate",
    "final_norm",
    "lm_head",
)
"""Slots a kernel can fill, in the order they run."""

PHASES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attention_prefill": ("prefill",),
        "group_tokens": ("prefill",),
        "experts_prefill": ("prefill",),
        "attention_decode": ("decode",),
        "experts_decode": ("decode",),
    }
)
"""Phases of the slots that exist in one phase only."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One implementation of a slot.

    `covers` lists the slots it fills at once, itself among them. `phases` are those it can run in; in another
    phase the baseline of its slots runs. Beyond `max_tokens` tokens the variant named `beyond` takes its
    place. `summary` says the idea in one sentence. `parameters` are the keyword arguments a search
    may vary; `settings` are those that differ from their defaults, and part of the name. `all_reduces` counts
    the collectives it runs itself. `several` names the variant that takes its place where a decode step has
    several sequences; None where it runs them itself.
    """

    slot: str
    name: str
    module: str
    function: str
    covers: tuple[str, ...]
    summary: str
    phases: tuple[str, ...] = ("prefill", "decode")
    max_tokens: int | None = None
    beyond: str = "baseline"
    parameters: tuple[Parameter, ...] = ()
    settings: Settings = ()
    all_reduces: int = 0
    several: str | None = None

    @property
    def base(self) -> str:
        """The name without settings."""
        return self.name.partition(SEPARATOR)[0]


def _baseline(slot: str, module: str, summary: str, several: str | None = None) -> Variant:
    phases = PHASES_OF.get(slot, ("prefill", "decode"))
    return Variant(slot, "baseline", f"kernels.{module}", module, (slot,), summary, phases, several=several)


QUEUES = Parameter(
    "queues", ("both", "hardware", "software"), "both", "who writes descriptors of weight transfers"
)
EXPERTS = (Parameter("pieces", (1, 2, 4, 8), 2, "transfers of an expert's gate and up"), QUEUES)

LISTED = (Parameter("buffers", (2, 4), 4, "experts in flight, and in a round of the loop"), QUEUES)

QKV_PIECES = Parameter("pieces", (1, 2, 4), 4, "transfers of each half of the QKV weight")

PROJECTION = (Parameter("pieces", (1, 2, 4, 8), 4, "transfers of the weight"), QUEUES)

HEAD_PARAMETERS = (
    Parameter("columns", (512, 1024, 2048), 2048, "columns of the vocabulary per transfer"),
    Parameter("buffers", (2, 3, 4, 6), 3, "groups of columns in flight"),
    QUEUES,
)

ROUTER = (Parameter("pieces", (1, 2, 4), 1, "transfers of the weight"), replace(QUEUES, default="software"))

FEW = 16
"""Tokens whose norm is worth spreading over partitions: a token of each sequence of a batch."""


def _spread(slot: str) -> Variant:
    summary = "Each of up to 16 rows spread over all partitions; sums over them by a matmul with ones."
    return Variant(slot, "spread", "kernels.norm_rows", "rmsnorm_spread", (slot,), summary, ("decode",))


VARIANTS: tuple[Variant, ...] = (
    _baseline("input_norm", "rmsnorm", "Tokens on partitions, the row in one pass."),
    _spread("input_norm"),
    _baseline(
        "qkv", "qkv", "Transpose the tokens 128 x 128 at a time, then matmuls; cores divide the columns."
    ),
    Variant(
        "qkv",
        "fused",
        "kernels.norm_qkv",
        "norm_qkv",
        ("input_norm", "qkv", "qk_norm_rope"),
        "Norm, projection, q/k norm and RoPE without leaving the chip; column-major at one token.",
        parameters=(
            Parameter("pieces", (1, 2, 4, 8), 8, "transfers of the weight"),
            replace(QUEUES, default="software"),
        ),
    ),
    Variant(
        "qkv",
        "columns",
        "kernels.qkv_columns",
        "qkv_columns",
        ("qkv",),
        "Up to 128 tokens move past stationary tiles of the weight: sixteen cost what one does.",
        max_tokens=128,
        parameters=PROJECTION,
    ),
    _baseline("qk_norm_rope", "qk_norm_rope", "All heads side by side, one instruction for every head."),
    _baseline(
        "kv_update", "kv_update", "One HBM-to-HBM transfer per cache with a dynamic address.", "batched"
    ),
    Variant(
        "kv_update",
        "batched",
        "kernels.batch_attention",
        "kv_update_batch",
        ("kv_update",),
        "One scatter per cache for all sequences, each at its own position.",
        ("decode",),
    ),
    _baseline(
        "attention_prefill", "attention_prefill", "All scores to the diagonal, mask, one softmax per row."
    ),
    Variant(
        "attention_prefill",
        "diagonal",
        "kernels.attention_prefill",
        "attention_prefill_diagonal",
        ("attention_prefill",),
        "Mask the diagonal block only; evict transposed probabilities a PSUM bank at a time.",
        ("prefill",),
        parameters=(
            Parameter("collect", ("gpsimd", "vector", "scalar"), "gpsimd", "engine that collects heads"),
            Parameter("evict", ("vector", "scalar"), "vector", "engine that evicts probabilities"),
        ),
    ),
    Variant(
        "attention_prefill",
        "online",
        "kernels.attention_online",
        "attention_prefill_online",
        ("attention_prefill",),
        "Flash attention: a block of keys at a time raises a running peak and sum; no limit on the prompt.",
        ("prefill",),
        parameters=(Parameter("block", (128, 256, 512), 512, "keys in a block"),),
    ),
    _baseline(
        "attention_decode",
        "attention_decode",
        "Keys in 128-row loads, each transposed by itself.",
        "batched",
    ),
    Variant(
        "attention_decode",
        "batched",
        "kernels.batch_attention",
        "attention_decode_batch",
        ("attention_decode",),
        "Cores divide the sequences; every head of every sequence is a row of one softmax.",
        ("decode",),
    ),
    Variant(
        "attention_decode",
        "cached",
        "kernels.attention_decode",
        "attention_decode_cached",
        ("kv_update", "attention_decode"),
        "One interleaved load per cache, the new token from SBUF, the cache written off the critical path.",
        ("decode",),
        several="batched",
    ),
    Variant(
        "attention_decode",
        "block",
        "kernels.attention_block",
        "attention_block",
        ("input_norm", "qkv", "qk_norm_rope", "kv_update", "attention_decode", "o_proj"),
        "From the residual to what attention adds to it; both projections' weights arrive meanwhile.",
        ("decode",),
        parameters=(QKV_PIECES, QUEUES),
        several="block_batch",
    ),
    Variant(
        "attention_decode",
        "block_batch",
        "kernels.attention_block_batch",
        "attention_block_batch",
        ("input_norm", "qkv", "qk_norm_rope", "kv_update", "attention_decode", "o_proj"),
        "`block` for several sequences: four share a tile of scores, and all share the weights' transfers.",
        ("decode",),
        parameters=(QKV_PIECES, QUEUES),
    ),
    Variant(
        "attention_decode",
        "layer",
        "kernels.decode_layer",
        "decode_layer",
        (
            *("input_norm", "qkv", "qk_norm_rope", "kv_update", "attention_decode", "o_proj"),
            *("post_norm", "router", "experts_decode", "aggregate"),
        ),
        "A whole layer with both all-reduces inside; attention's weights arrive under the first.",
        ("decode",),
        all_reduces=2,
        several="batched",
    ),
    _baseline("o_proj", "o_proj", "Transpose, then matmuls; cores divide the columns."),
    Variant(
        "o_proj",
        "interleaved",
        "kernels.o_proj",
        "o_proj_interleaved",
        ("o_proj",),
        "The contracted dimension interleaved over partitions: no transpose, few large transfers.",
        ("decode",),
        parameters=PROJECTION,
        several="rows",
    ),
    Variant(
        "o_proj",
        "rows",
        "kernels.o_proj",
        "o_proj_rows",
        ("o_proj",),
        "Up to 128 tokens stationary, the weight in few large transfers as `interleaved` has it.",
        max_tokens=128,
        parameters=PROJECTION,
    ),
    _baseline("post_norm", "rmsnorm", "Tokens on partitions, the row in one pass."),
    _spread("post_norm"),
    _baseline("router", "router", "fp32 logits from 128-row weight pieces, softmax, top-8."),
    Variant(
        "router",
        "fused",
        "kernels.norm_router",
        "norm_router",
        ("post_norm", "router"),
        "Norm and routing in one; bf16 operands give the fp32 products, the weight is one transfer.",
        parameters=ROUTER,
    ),
    Variant(
        "router",
        "best",
        "kernels.router",
        "router_best",
        ("router",),
        "The eight best logits first, softmax over them alone; bf16 operands, the norm outside.",
        parameters=ROUTER,
    ),
    _baseline("group_tokens", "group_tokens", "Counting sort by one-hot choices and a triangular matmul."),
    _baseline("experts_prefill", "experts_prefill", "Every worst-case block, weights in 128-row pieces."),
    Variant(
        "experts_prefill",
        "resident",
        "kernels.experts_prompt",
        "experts_prompt",
        ("group_tokens", "experts_prefill", "aggregate"),
        "Up to 128 tokens stay stationary while experts stream past in large prefetched transfers.",
        ("prefill",),
        max_tokens=128,
        beyond="grouped",
        parameters=(Parameter("buffers", (2, 3, 4, 6, 8), 3, "experts in flight"), QUEUES),
    ),
    Variant(
        "experts_prefill",
        "grouped",
        "kernels.experts_prefill",
        "experts_prefill_grouped",
        ("experts_prefill",),
        "Blocks of grouped tokens with two large prefetched transfers per expert.",
        ("prefill",),
        parameters=(Parameter("buffers", (2, 3, 4, 6), 3, "blocks in flight"), QUEUES),
    ),
    Variant(
        "experts_prefill",
        "active",
        "kernels.experts_batch",
        "experts_batch",
        ("group_tokens", "experts_prefill", "aggregate"),
        "Up to 128 tokens stay stationary; a hardware loop fetches only experts some token chose.",
        ("prefill",),
        max_tokens=128,
        beyond="grouped",
        parameters=LISTED,
    ),
    _baseline("experts_decode", "experts_decode", "Eighteen dynamic transfers per expert.", "blocks"),
    Variant(
        "experts_decode",
        "blocks",
        "kernels.experts_prefill",
        "experts_prefill",
        ("experts_decode",),
        "Several sequences: a block for each expert of the worst case, tokens gathered into it.",
        ("decode",),
    ),
    Variant(
        "experts_decode",
        "batched",
        "kernels.experts_batch",
        "experts_batch",
        ("group_tokens", "experts_decode", "aggregate"),
        "Several sequences stay stationary; a hardware loop fetches each chosen expert once.",
        ("decode",),
        parameters=LISTED,
    ),
    Variant(
        "experts_decode",
        "prefetched",
        "kernels.experts_decode",
        "experts_decode_prefetched",
        ("experts_decode", "aggregate"),
        "Two large transfers per expert, all requested first, on both kinds of queue; sum in PSUM.",
        ("decode",),
        several="batched",
        parameters=EXPERTS,
    ),
    Variant(
        "experts_decode",
        "routed",
        "kernels.moe_decode",
        "moe_decode",
        ("post_norm", "router", "experts_decode", "aggregate"),
        "Norm, routing and experts in one kernel: ids go from top-8 straight into transfer addresses.",
        ("decode",),
        several="batched",
        parameters=EXPERTS,
    ),
    Variant(
        "experts_decode",
        "block",
        "kernels.moe_block",
        "moe_block",
        ("post_norm", "router", "experts_decode", "aggregate"),
        "From the residual to what the experts add: weights stationary, half of the columns a core.",
        ("decode",),
        several="block_batch",
        parameters=(QUEUES, replace(QUEUES, name="down_queues")),
    ),
    Variant(
        "experts_decode",
        "block_batch",
        "kernels.moe_block_batch",
        "moe_block_batch",
        ("post_norm", "router", "group_tokens", "experts_decode", "aggregate"),
        "Norm, routing, listing and experts for several sequences: a listed expert's weights are stationary.",
        ("decode",),
        parameters=(QUEUES,),
    ),
    Variant(
        "experts_decode",
        "fp8",
        "kernels.moe_block",
        "moe_block_fp8",
        ("post_norm", "router", "experts_decode", "aggregate"),
        "`block` on fp8 weights with scales: half of the bytes, and not quite the checkpoint's answers.",
        ("decode",),
        several="batched",
    ),
    _baseline(
        "aggregate", "aggregate", "Gather each choice's rows and add, in fp32, highest affinity first."
    ),
    _baseline("final_norm", "rmsnorm", "Tokens on partitions, the row in one pass."),
    _spread("final_norm"),
    _baseline("lm_head", "lm_head", "512 columns at a time, weights in 128-row pieces.", "batched"),
    Variant(
        "lm_head",
        "batched",
        "kernels.lm_head",
        "lm_head_batch",
        ("lm_head",),
        "Several sequences stay stationary while the vocabulary streams past all of them once.",
        ("decode",),
        parameters=HEAD_PARAMETERS,
    ),
    Variant(
        "lm_head",
        "wide",
        "kernels.lm_head",
        "lm_head_wide",
        ("lm_head",),
        "4 KiB descriptors over two queues, the hidden dimension interleaved.",
        parameters=HEAD_PARAMETERS,
        several="batched",
    ),
    Variant(
        "lm_head",
        "tiles",
        "kernels.lm_head_tiles",
        "lm_head_tiles",
        ("final_norm", "lm_head"),
        "The final norm of one row inside, weights stationary: the tensor engine never holds up the queues.",
        parameters=HEAD_PARAMETERS,
        several="batched",
    ),
)

PRESETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "baseline": MappingProxyType(dict.fromkeys(SLOTS, "baseline")),
        "tuned": MappingProxyType(
            dict.fromkeys(SLOTS, "baseline")
            | {
                "qkv": "fused",
                "attention_prefill": "online",
                "attention_decode": "block",
                "o_proj": "rows",
                "router": "fused",
                "experts_prefill": "resident",
                "experts_decode": "block",
                "final_norm": "spread",
                "lm_head": "tiles",
            }
        ),
    }
)
"""Named choices: slot to variant name."""
