"""Random numbers: `rng`, `rand2`, `dropout`, and the state their generators keep on an engine.

The documents name the algorithm, XORWOW, and the size of its state (6 words a lane on GpSimd, 24 on VectorE),
not the order of its words nor how a 32-bit seed fills them: a device draws other numbers from the same seed.
A generator nobody seeded starts as if seeded with 0, so that a launch repeats.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.enums import engine as Engine
from simulator.nki.numerics import computing, fill, lift, operand, rounded
from simulator.nki.rules import PARTITIONS, check_engine, check_on_chip, check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, free_elements

WORDS = 6
GENERATORS = {"gpsimd": 1, "vector": 4}
"""A lane of VectorE holds 24 words: assumed to be four generators that take turns."""
WEYL_STEP = np.uint32(362437)
Array = np.ndarray[Any, Any]


class Lanes:
    """The generators of one engine: [lanes, generators, words] of Marsaglia's xorwow."""

    __slots__ = ("state",)

    def __init__(self, engine: str, seed: int = 0) -> None:
        shape = (PARTITIONS, GENERATORS[engine], WORDS)
        self.state = np.random.default_rng(seed).integers(1, 1 << 32, shape, dtype=np.uint32)

    def draw(self, first: int, lanes: int, count: int) -> Array:
        """`count` words from each of `lanes` lanes: [lanes, count] of uint32."""
        state = self.state[first : first + lanes]
        steps = -(-count // state.shape[1])
        drawn = np.empty((lanes, steps, state.shape[1]), np.uint32)
        for step in range(steps):
            drawn[:, step] = _next(state)
        return drawn.reshape(lanes, -1)[:, :count]


def _next(state: Array) -> Array:
    """One word of every generator. G. Marsaglia, Xorshift RNGs, J. Stat. Software 8(14), 2003."""
    first, last = state[..., 0], state[..., 4]
    mixed = first ^ (first >> np.uint32(2))
    fresh = last ^ (last << np.uint32(4)) ^ mixed ^ (mixed << np.uint32(1))
    state[..., :4] = state[..., 1:5]
    state[..., 4] = fresh
    state[..., 5] += WEYL_STEP
    return np.asarray(state[..., 5] + fresh)


def _lanes(engine: str) -> Lanes:
    generators = current().generators
    if engine not in generators:
        generators[engine] = Lanes(engine)
    found: Lanes = generators[engine]
    return found


def _words(engine: str, like: NkiTensor) -> Array:
    """Random words in the shape of a tile, from the lanes of its partitions."""
    drawn = _lanes(engine).draw(like.located().row0, like.shape[0], free_elements(like))
    return drawn.reshape(like.shape)


def _uniform(like: NkiTensor) -> Array:
    """float32 in [0, 1) from VectorE's lanes, of the 24 bits it holds exactly."""
    return (_words("vector", like) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def rng(dst: NkiTensor, engine: Engine = Engine.vector, name: str | None = None) -> Handle:
    """dst = the low bits of a random word an element; integers only."""
    where = "vector" if engine is Engine.unknown else engine.name
    check_engine("rng", where, ("vector", "gpsimd"), dst)
    check_on_chip("rng", dst)
    if dst.dtype.kind not in "iu":
        raise refuse("rng-dtype", f"rng into {dst.dtype.name}", "give dst an integer dtype")
    unsigned = np.dtype(f"u{dst.dtype.itemsize}")
    fill(dst, _words(where, dst).astype(unsigned).view(dst.dtype))
    return emit("rng", "RNG", where, (dst,), (), free_elements(dst), name=name)


def rand2(dst: NkiTensor, min: Any, max: Any, name: str | None = None) -> Handle:
    """dst = uniform between min and max, constants or one value per partition; VectorE of trn3."""
    _only_trn3("rand2")
    check_on_chip("rand2", dst)
    bounds = tuple(each for each in (min, max) if isinstance(each, NkiTensor))
    if computing(dst):
        low, high = operand(min, dst), operand(max, dst)
        fill(dst, rounded(low + _uniform(dst) * (high - low), dst.dtype))
    return emit("rand2", "RAND", "vector", (dst,), bounds, free_elements(dst), name=name)


def dropout(dst: NkiTensor, data: NkiTensor, prob: Any, name: str | None = None) -> Handle:
    """dst = data with elements replaced by zero with probability prob (a constant, or one per partition)."""
    check_on_chip("dropout", dst, data)
    check_same_size("dropout", dst, data)
    if dst.dtype != data.dtype:
        raise refuse(
            "dropout-dtype", f"dropout of {data.dtype.name} into {dst.dtype.name}", "give both one dtype"
        )
    pointers = (prob,) if isinstance(prob, NkiTensor) else ()
    if computing(dst):
        kept = _uniform(data) >= operand(prob, data)
        fill(dst, rounded(np.where(kept, lift(data.array), 0), dst.dtype).reshape(dst.shape))
    return emit("dropout", "DROPOUT", "vector", (dst,), (data, *pointers), free_elements(data), name=name)


def set_rng_seed(src_seeds: NkiTensor, name: str | None = None) -> Handle:
    """Seed VectorE's lanes with a tile [1, 1] of 32 bits: the same seed draws the same numbers here."""
    check_on_chip("set_rng_seed", src_seeds)
    if src_seeds.size != 1 or src_seeds.dtype.itemsize != 4:
        raise refuse("rng-seed", f"a seed of shape {src_seeds.shape}", "give it [1, 1] of 32 bits")
    current().generators["vector"] = Lanes("vector", int(src_seeds.array.reshape(1).view(np.uint32)[0]))
    return emit("set_rng_seed", "SET_RNG_SEED", "vector", (), (src_seeds,), 1, name=name)


def rand_set_state(src_seeds: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Handle:
    """The state of each partition's lane = its words in src_seeds (uint32)."""
    where = _state_engine("rand_set_state", engine, src_seeds)
    state = _lanes(where).state
    state[: src_seeds.shape[0]] = src_seeds.array.reshape(-1, *state.shape[1:])
    words = free_elements(src_seeds)
    return emit("rand_set_state", "RAND_SET_STATE", where, (), (src_seeds,), words, name=name)


def rand_get_state(dst: NkiTensor, engine: Engine = Engine.gpsimd, name: str | None = None) -> Handle:
    """dst (uint32) = the words of each partition's lane."""
    where = _state_engine("rand_get_state", engine, dst)
    fill(dst, _lanes(where).state[: dst.shape[0]].reshape(dst.shape))
    return emit("rand_get_state", "RAND_GET_STATE", where, (dst,), (), free_elements(dst), name=name)


def _state_engine(call: str, engine: Engine, tile: NkiTensor) -> str:
    where = "gpsimd" if engine is Engine.unknown else engine.name
    check_engine(call, where, ("gpsimd", "vector"), tile)
    check_on_chip(call, tile)
    if where == "vector":
        _only_trn3(f"{call} on vector")
    words = WORDS * GENERATORS[where]
    if tile.dtype != np.uint32 or free_elements(tile) != words:
        raise refuse(
            "rng-state",
            f"{call} on {where} with {free_elements(tile)} elements of {tile.dtype.name} a partition",
            f"give it {words} of uint32",
        )
    return where


def _only_trn3(call: str) -> None:
    if current().launch.target != "trn3":
        raise refuse(
            "target", f"{call} needs NeuronCore-v4 (trn3)", "simulate it with target trn3, or use rng"
        )
