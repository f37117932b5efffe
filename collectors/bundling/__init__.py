"""Many modules as one file: only what is used, in order, with the source text kept as it was written."""
