"""The machine's facts, a table per target, each constant with its source."""
