"""Readers of what profilers and the challenge write: recognised by content, normalised by version."""

from collectors.readers.read import read

__all__ = ["read"]
