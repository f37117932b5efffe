"""`nki.typing`: names for annotations."""

from __future__ import annotations

from simulator.nki.tensor import NkiTensor

tensor = mutable_tensor = NkiTensor
