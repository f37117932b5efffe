"""A small kernel that writes activations to HBM for the next kernel to read back."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered

RULE = "unfused"

# Slots whose result the following slot reads whole; public kernels fuse each of these pairs
# (aws-neuron/nki-library: qkv, moe_block_tkg, attention_block_tkg).
FUSES_INTO = {
    "input_norm": ("qkv",),
    "qkv": ("qk_norm_rope",),
    "qk_norm_rope": ("kv_update", "attention_decode", "attention_prefill"),
    "kv_update": ("attention_decode",),
    "post_norm": ("router",),
    "router": ("experts_decode", "group_tokens"),
    "group_tokens": ("experts_prefill",),
    "experts_decode": ("aggregate",),
    "experts_prefill": ("aggregate",),
    "aggregate": ("all_reduce",),
    "final_norm": ("lm_head",),
}


def check(evidence: Evidence) -> Outcome:
    """Fires when the next kernel of the graph could take this one in."""
    launch, following, profile = evidence.launch, evidence.following, evidence.profile
    if following is None or following.profile_id is None or not _fuses(launch.covers, following.covers):
        return None
    if profile is None:
        return CannotTell(RULE, "the launch has no profile")
    compute = [value for name, value in profile.engines.items() if name != "dma" and value is not None]
    if not compute:
        return CannotTell(RULE, "the profile does not say how active its engines were")
    busiest = max(compute)
    written = profile.hbm_write_bytes
    traffic = f"writes {written:,} bytes to HBM for" if written else "feeds"
    return Finding(
        RULE,
        f"not fused with {following.slot}",
        f"{launch.slot} takes {launch.time_ns / 1e3:.3g} us, {traffic} {following.slot}, "
        f"and its busiest compute engine works {busiest:.0%}",
        "inside the next kernel only the compute remains, and may hide behind its loads",
        ordered(0.0, 0.5 * (1 - busiest), 1 - busiest),
        f"Compute {launch.slot} inside the {following.slot} kernel and keep the activations in SBUF.",
    )


def _fuses(covers: tuple[str, ...], following: tuple[str, ...]) -> bool:
    return any(target in following for slot in covers for target in FUSES_INTO.get(slot, ()))
