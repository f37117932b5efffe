"""Python's errors as a kernel's author needs them: which call refused which operands, at which line.

Rules of the hardware are checked where they apply, with names of their own. What no rule foresaw (shapes that
NumPy cannot combine, a number where a tile belongs) still comes from a call of `nki`, and is told as its
refusal.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from simulator.errors import KernelRefused
from simulator.nki.ops import Op
from simulator.nki.tensor import NkiTensor, Outside

OURS = tuple(str(folder) for folder in (Path(__file__).parent, Path(__file__).parents[1] / "nki_beta"))
SIGNATURE = re.compile(r"^(?:\w+\.)*(?P<call>\w+)\(\) (?:got|missing|takes)")
LIBRARIES = ("numpy", "scipy", "ml_dtypes", "contextlib", "functools")
LONGEST = 60
KINDS: dict[str, tuple[type, str]] = {
    "NkiTensor": (NkiTensor, "a tensor"),
    "Op": (Op, "an operation such as nl.add"),
}
UNFIT = ("reshape", "broadcast", "axes", "dimension", "matmul")
"""Words of NumPy's about shapes that do not fit together."""


def place(error: BaseException) -> tuple[str, int]:
    """File and line of the kernel where it went wrong."""
    file, line, _, _ = _steps(error.__traceback__)
    return file, line


def misuse(error: Exception) -> KernelRefused | None:
    """The refusal a Python error stands for, or None where the kernel's own Python is at fault."""
    file, line, author, called = _steps(error.__traceback__)
    told = str(error).partition("\n")[0] or type(error).__name__
    if called is not None:
        call = called.f_code.co_name
        rule, message = _refusal(called, told)
        hint = f"check shapes, dtypes and memories against {call} in NKI's docs"
        return KernelRefused(f"{call} {message}", hint, rule=rule, file=file, line=line)
    wrong = SIGNATURE.match(told) if isinstance(error, TypeError) else None
    if wrong is None or author is None or not _is_ours(author, wrong["call"]):
        return None
    hint = f"see the parameters of {wrong['call']} in NKI's docs"
    return KernelRefused(told, hint, rule="signature", file=file, line=line)


def _refusal(called: FrameType, told: str) -> tuple[str, str]:
    """The rule a call broke, and what to say after its name."""
    given = _given(called)
    for name, kind in _kinds(called).items():
        value = given.get(name, inspect.Parameter.empty)
        if value is not inspect.Parameter.empty and not isinstance(value, kind[0]):
            return "operand-kind", f"is given {name}={_told(value)} where {kind[1]} belongs"
    if any(word in told for word in UNFIT):
        return "shape", f"cannot combine {_operands(given)}"
    return "operands", f"cannot take {_operands(given) or 'what it is given'}: {told}"


def _kinds(called: FrameType) -> dict[str, tuple[type, str]]:
    """What parameters that allow one kind of thing alone ask for."""
    function = called.f_globals.get(called.f_code.co_name)
    asked: dict[str, Any] = getattr(function, "__annotations__", {})
    return {name: KINDS[text] for name, text in asked.items() if text in KINDS}


def _steps(traceback: TracebackType | None) -> tuple[str, int, FrameType | None, FrameType | None]:
    """The author's innermost line, its frame, and the frame of ours that it called, if any."""
    file, line = "", 0
    author: FrameType | None = None
    called: FrameType | None = None
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_filename.startswith(OURS):
            called = called or (frame if author is not None else None)
        elif not frame.f_globals.get("__name__", "").startswith(LIBRARIES):
            file, line = frame.f_code.co_filename, traceback.tb_lineno
            author, called = frame, None
        traceback = traceback.tb_next
    return file, line, author, called


def _is_ours(frame: FrameType, call: str) -> bool:
    """Whether the author's line names a function of `nki` by this name."""
    for value in (*frame.f_globals.values(), *frame.f_locals.values()):
        found = (
            getattr(value, call, None)
            if getattr(value, "__name__", "").startswith("simulator.nki")
            else value
        )
        if getattr(found, "__name__", "") == call and getattr(found, "__module__", "").startswith(
            "simulator.nki"
        ):
            return True
    return False


def _given(frame: FrameType) -> dict[str, Any]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return {name: frame.f_locals[name] for name in names if name in frame.f_locals}


def _operands(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_told(value)}" for name, value in given.items() if value is not None)


def _told(value: Any) -> str:
    if isinstance(value, NkiTensor) and not isinstance(value, Outside):
        sizes = ",".join(map(str, value.shape))
        return f"{value.layout.name}[{sizes}] in {value.storage.memory.upper()}"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
