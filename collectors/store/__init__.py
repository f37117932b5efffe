"""runs.db: one DuckDB file, one door (`collectors.store.door.Store`)."""
