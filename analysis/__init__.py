"""Judgement over profiled runs: pure functions from records to numbers, with no I/O and no drawing."""
