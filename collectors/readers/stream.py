"""A JSON object of lists, item by item: memory follows the rows that are kept, not the size of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

CHUNK = 1 << 20
LONGEST = 1 << 28
"""Characters one item may have; a longer one is no profile."""

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


class Malformed(ValueError):
    """The text is not the JSON it should be, or ends too early."""


class _Buffer:
    """Text of a file from `at` on, read as needed."""

    def __init__(self, file: TextIO, watch: Callable[[int], None]) -> None:
        self.file, self.watch = file, watch
        self.text, self.at, self.done = "", 0, False

    def more(self) -> None:
        """Read on; what was consumed is let go."""
        got = self.file.read(max(CHUNK, len(self.text) - self.at))
        self.done = not got
        self.watch(self.file.buffer.tell())
        self.text, self.at = self.text[self.at :] + got, 0
        if len(self.text) > LONGEST:
            raise Malformed("one item is longer than 256 MB")

    def peek(self) -> str:
        """The next character that is not space; "" at the end."""
        while True:
            while self.at < len(self.text):
                if self.text[self.at] not in _SPACE:
                    return self.text[self.at]
                self.at += 1
            if self.done:
                return ""
            self.more()

    def take(self, wanted: str) -> None:
        """Step over the character that has to come."""
        if self.peek() != wanted:
            raise Malformed(f"expected {wanted!r}, found {self.peek() or 'the end of the file'!r}")
        self.at += 1

    def value(self) -> Any:
        """The JSON value that begins here. One that touches the end of what was read may go on: read on."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.at)
            except RecursionError:
                raise Malformed("it is nested too deeply") from None
            except ValueError as error:
                if self.done:
                    raise Malformed("it ends too early, or is damaged") from error
            else:
                if end < len(self.text) or self.done:
                    self.at = end
                    return found
            self.more()


def items(path: Path, watch: Callable[[int], None] = lambda _: None) -> Iterator[tuple[str, Any]]:
    """(name, item) for every item of every list; (name, value) for a value that is no list.

    `watch` is told the bytes read so far. Raises `Malformed`, `OSError` or `UnicodeDecodeError`.
    """
    with path.open(encoding="utf-8-sig") as file:
        buffer = _Buffer(file, watch)
        buffer.take("{")
        while buffer.peek() != "}":
            name = buffer.value()
            if not isinstance(name, str):
                raise Malformed("a name is not text")
            buffer.take(":")
            yield from _member(name, buffer)
            if buffer.peek() != "}":
                buffer.take(",")
        buffer.take("}")
        if buffer.peek():
            raise Malformed("there is more after its end")


def _member(name: str, buffer: _Buffer) -> Iterator[tuple[str, Any]]:
    if buffer.peek() != "[":
        yield name, buffer.value()
        return
    buffer.take("[")
    while buffer.peek() != "]":
        yield name, buffer.value()
        if buffer.peek() != "]":
            buffer.take(",")
    buffer.take("]")
