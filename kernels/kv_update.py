"""Writing new keys and values into the cache at a position known only at run time."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa

from kernels.blocks import core_of, load_scalar


@nki.jit
def kv_update(k: Any, v: Any, k_cache: Any, v_cache: Any, position: Any) -> Any:
    """k, v [T, 128] into k_cache, v_cache [1, 1, S, 128] at row position [1, 1]; returns both caches, in
    place.

    One HBM-to-HBM transfer per cache, one core each. Bound by the fixed cost of a transfer with a dynamic
    address at one token.
    """
    core, cores = core_of()
    tokens, head = k.shape
    row = load_scalar(position)
    pattern = [[head, tokens], [1, head]]
    if core == 0:
        nisa.dma_copy(dst=k_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=k)
    if core == cores - 1:
        nisa.dma_copy(dst=v_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=v)
    return k_cache, v_cache
