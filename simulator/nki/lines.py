"""The source lines of a launch."""

from __future__ import annotations

from types import CodeType, FrameType

from simulator.trace import Source

_HERE = __name__.rpartition(".")[0]


class Lines:
    """The source lines of a launch, numbered as they come.

    Python works a line number out from the place in the code each time it is asked; here once for a place.
    """

    def __init__(self, sources: list[Source]) -> None:
        self._places: dict[tuple[int, int], int] = {}
        self._sources = sources
        self._numbers: dict[tuple[int, int], int] = {}
        self._codes: list[CodeType] = []

    def at(self, frame: FrameType) -> int:
        """The number of the line that the innermost frame outside this package is at."""
        line = self._places.get((id(frame.f_code), frame.f_lasti))
        return self._outside(frame) if line is None else line

    def _outside(self, frame: FrameType) -> int:
        outer: FrameType | None = frame
        while outer is not None and outer.f_globals.get("__name__", "").startswith(_HERE):
            outer = outer.f_back
        if outer is None:
            return 0
        place = (id(outer.f_code), outer.f_lasti)
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = self._number(outer.f_code, outer.f_lineno)
        return found

    def _number(self, code: CodeType, line: int) -> int:
        place = (id(code), line)
        found = self._numbers.get(place)
        if found is None:
            found = self._numbers[place] = len(self._sources)
            self._sources.append(Source(code.co_filename, line, code.co_name))
            self._codes.append(code)  # as long as it lives its id is its own
        return found
