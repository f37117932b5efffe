"""Kernel arguments as typed.

`x='bf16[128,2048]'`, `ids='int32[1,8] 0..127'`, `eps=1e-6`, `x=@file.npy`; and by names of the kernel's own
file, `act=ActFnType.SiLU`, `cfg='Config(bs=1, d_head=128)'`. Ranks are given the same, but
`x='bf16[128,2048] by rank'` is drawn for each, and `x=@part-{rank}.npy` names a file of each.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from collectors.errors import UnreadableInput, UsageError
from simulator.expressions import Expression, is_expression

Array = np.ndarray[Any, Any]

DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(dtype)
    for names, dtype in (
        (("bf16", "bfloat16"), ml_dtypes.bfloat16),
        (("fp32", "f32", "float32"), np.float32),
        (("fp16", "f16", "float16"), np.float16),
        (("fp8_e4m3", "float8_e4m3"), ml_dtypes.float8_e4m3),
        (("fp8_e4m3fn", "float8_e4m3fn"), ml_dtypes.float8_e4m3fn),
        (("fp8_e5m2", "float8_e5m2"), ml_dtypes.float8_e5m2),
        (("int8", "i8"), np.int8),
        (("int16", "i16"), np.int16),
        (("int32", "i32"), np.int32),
        (("uint8", "u8"), np.uint8),
        (("uint16", "u16"), np.uint16),
        (("uint32", "u32"), np.uint32),
        (("bool",), np.bool_),
    )
    for name in names
}
RANDOM = re.compile(
    r"(?P<dtype>\w+)\s*\[(?P<shape>[\d,\s]*)\](?:\s+(?P<low>-?\d+)\.\.(?P<high>-?\d+))?(?P<own>\s+by rank)?",
    re.ASCII,
)
RANK = "{rank}"
DEFAULT_INTEGERS = (0, 1)
HOW = (
    "write NAME='bf16[128,2048]', NAME='int32[1,8] 0..127', NAME=@file.npy, NAME=1e-6, "
    "or a name of the kernel's file, NAME=ActFnType.SiLU"
)


def parse(texts: Sequence[str], seed: int) -> dict[str, Any]:
    """Arguments by name out of NAME=VALUE texts; arrays are drawn from `seed` and the name.

    Floats are standard normal; integers uniform over the range given, 0..1 without one. Raises `UsageError`
    or `UnreadableInput`.
    """
    return {name: _value(name, text, seed, 0) for name, text in split(texts).items()}


def peers(texts: Sequence[str], seed: int, ranks: int) -> tuple[dict[str, Any], ...]:
    """Arguments of ranks 1 and on: those of rank 0 but where a text gives each rank its own."""
    given, first = split(texts), parse(texts, seed)
    return tuple(
        {
            name: _value(name, text, seed, rank) if by_rank(text) else first[name]
            for name, text in given.items()
        }
        for rank in range(1, ranks)
    )


def by_rank(text: str) -> bool:
    """Whether what was typed gives each rank its own value."""
    found = RANDOM.fullmatch(text)
    return bool(found and found["own"]) or (text.startswith("@") and RANK in text)


def split(texts: Sequence[str]) -> dict[str, str]:
    """Name to what was typed for it. Raises `UsageError`."""
    named: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(f"--arg {text!r} is not NAME=VALUE", HOW)
        if name.strip() in named:
            raise UsageError(f"--arg {name.strip()} is given twice", "give every argument once")
        named[name.strip()] = value.strip()
    return named


def data_hash(arguments: Mapping[str, Any]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(arguments.items()):
        if isinstance(value, np.ndarray):
            digest.update(f"{name}:{value.dtype}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8).data)
        else:
            digest.update(f"{name}={value!r}".encode())
    return digest.hexdigest()


def describe(value: Any) -> str:
    """An argument in a few characters: `bfloat16[128,2048]` or the scalar."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return repr(value)


def _value(name: str, text: str, seed: int, rank: int) -> Any:
    if text.startswith("@"):
        return _load(Path(text[1:].replace(RANK, str(rank))))
    if text in DTYPES:
        raise UsageError(f"--arg {name}={text} has no shape", f"write --arg {name}='{text}[128,2048]'")
    if found := RANDOM.fullmatch(text):
        return _random(name, found, [seed, *name.encode(), *([rank] if rank and found["own"] else [])])
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        if is_expression(text):
            return Expression(text)
        raise UsageError(f"--arg {name}={text} cannot be read", HOW) from None
    if isinstance(value, int | float | str | bool | tuple | list) or value is None:
        return value
    raise UsageError(f"--arg {name}={text} is neither an array nor a scalar", HOW)


def _random(name: str, found: re.Match[str], seed: Sequence[int]) -> Array:
    dtype = DTYPES.get(found["dtype"])
    if dtype is None:
        raise UsageError(
            f"--arg {name}: there is no type {found['dtype']!r}", f"types are {', '.join(DTYPES)}"
        )
    shape = tuple(int(part) for part in found["shape"].split(",") if part.strip())
    if any(size < 1 for size in shape):
        raise UsageError(f"--arg {name}: a dimension is zero", "every dimension is at least 1")
    source = np.random.default_rng(seed)
    if dtype.kind in "iub":
        low, high = (int(found["low"]), int(found["high"])) if found["low"] else DEFAULT_INTEGERS
        return source.integers(low, high, shape, endpoint=True).astype(dtype)
    return source.standard_normal(shape, dtype=np.float32).astype(dtype)


def _load(path: Path) -> Array:
    """A .npy file; two-byte voids are bfloat16, which .npy has no name for. `PATH:bf16` names a type."""
    file, colon, kind = str(path).rpartition(":")
    named = DTYPES.get(kind) if colon else None
    actual = Path(file) if named is not None else path
    try:
        array: Array = np.load(actual, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UnreadableInput(f"cannot read {actual}: {error}", "give a file written by numpy.save") from None
    if named is None and array.dtype.kind == "V" and array.dtype.itemsize == 2:
        named = DTYPES["bf16"]
    if named is None:
        return array
    if named.itemsize != array.dtype.itemsize:
        raise UnreadableInput(f"{actual} holds {array.dtype}, which is not {named}", "name its own type")
    return array.view(named)
