"""Searching the parameters a kernel variant declares: candidates simulated in parallel, every trial kept."""
