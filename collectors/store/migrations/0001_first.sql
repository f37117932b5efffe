-- runs.db, version 1. Integers of ns and bytes; fractions 0-1; profiler tables keep Neuron Explorer's names (schema 7.4.0).

CREATE TABLE run (
  run_id TEXT PRIMARY KEY,
  session TEXT NOT NULL,
  label TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  provenance TEXT NOT NULL,
  backend TEXT NOT NULL,
  target TEXT NOT NULL,
  lnc INTEGER NOT NULL,
  prompt INTEGER,
  prompt_tokens INTEGER,
  new_tokens INTEGER,
  seq_len INTEGER,
  batch INTEGER NOT NULL,
  kernels JSON NOT NULL,
  accuracy INTEGER,
  base_latency_ms DOUBLE,
  base_tokens_per_s DOUBLE,
  configuration JSON NOT NULL,
  environment JSON NOT NULL,
  wall_s DOUBLE NOT NULL,
  is_baseline BOOLEAN NOT NULL DEFAULT false
);

CREATE TABLE profile (
  profile_id TEXT PRIMARY KEY,
  provenance TEXT NOT NULL,
  kernel TEXT NOT NULL,
  target TEXT NOT NULL,
  lnc INTEGER NOT NULL,
  duration_ns BIGINT NOT NULL,
  low_ns BIGINT,
  high_ns BIGINT,
  interval_basis TEXT NOT NULL,
  as_written_ns BIGINT,
  list_scheduled_ns BIGINT,
  tensor_active DOUBLE,
  vector_active DOUBLE,
  scalar_active DOUBLE,
  gpsimd_active DOUBLE,
  sync_active DOUBLE,
  dma_active DOUBLE,
  hbm_read_bytes BIGINT,
  hbm_write_bytes BIGINT,
  dma_bytes BIGINT,
  dma_transfers BIGINT,
  dma_descriptors BIGINT,
  macs BIGINT,
  instructions BIGINT,
  sbuf_peak_bytes BIGINT,
  psum_peak_banks BIGINT,
  bound TEXT,
  tool TEXT NOT NULL,
  tool_version TEXT NOT NULL,
  data_dependent TEXT NOT NULL,
  raw JSON NOT NULL
);

CREATE TABLE launch (
  run_id TEXT NOT NULL,
  launch INTEGER NOT NULL,
  slot TEXT NOT NULL,
  covers TEXT[] NOT NULL,
  variant TEXT NOT NULL,
  phase TEXT NOT NULL,
  bucket INTEGER,
  count BIGINT NOT NULL,
  provenance TEXT NOT NULL,
  time_ns BIGINT NOT NULL,
  low_ns BIGINT,
  high_ns BIGINT,
  macs BIGINT,
  nki BOOLEAN NOT NULL,
  profile_id TEXT,
  formula TEXT,
  PRIMARY KEY (run_id, launch)
);

CREATE TABLE sample (run_id TEXT NOT NULL, launch INTEGER, metric TEXT NOT NULL, repetition INTEGER NOT NULL, value DOUBLE NOT NULL);
CREATE TABLE accuracy_check (run_id TEXT NOT NULL, name TEXT NOT NULL, slot TEXT, variant TEXT, passed BOOLEAN NOT NULL, error DOUBLE, tolerance DOUBLE, detail TEXT NOT NULL);
CREATE TABLE artifact (run_id TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL, bytes BIGINT NOT NULL, kind TEXT NOT NULL);
CREATE TABLE source (sha256 TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE run_source (run_id TEXT NOT NULL, file TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE run_warning (run_id TEXT NOT NULL, message TEXT NOT NULL);

-- Rows of a profile. `idx` is program order on its core; `ready_ts` is when data and semaphores allowed the
-- instruction to start (simulated only), so start_ts - ready_ts is waiting for the engine. `other_*` is the second
-- schedule (simulated only). Ids are text.
CREATE TABLE Instruction (
  profile_id TEXT NOT NULL,
  pcore_idx INTEGER NOT NULL,
  idx BIGINT NOT NULL,
  start_ts BIGINT NOT NULL,
  end_ts BIGINT NOT NULL,
  duration_ns BIGINT NOT NULL,
  ready_ts BIGINT,
  other_start_ts BIGINT,
  other_end_ts BIGINT,
  engine TEXT NOT NULL,
  opcode TEXT NOT NULL,
  operands TEXT,
  id TEXT,
  kernel_instruction_name TEXT,
  layer TEXT,
  nki_source_location TEXT,
  evt_wait_time_ns BIGINT,
  dma_wait_time_ns BIGINT,
  hbm_read_bytes BIGINT,
  hbm_write_bytes BIGINT,
  sbuf_read_bytes BIGINT,
  sbuf_write_bytes BIGINT,
  psum_read_bytes BIGINT,
  psum_write_bytes BIGINT,
  spill_save_bytes BIGINT,
  spill_reload_bytes BIGINT,
  performance_mode TEXT,
  tensor_instruction_type TEXT,
  tensor_elements BIGINT,
  raw_flops BIGINT,
  adjusted_flops BIGINT,
  flops_transpose BIGINT,
  scalar_activation_fn TEXT
);
CREATE TABLE ActiveTime (profile_id TEXT NOT NULL, pcore_idx INTEGER, engine TEXT NOT NULL, start_ts BIGINT NOT NULL, end_ts BIGINT NOT NULL, duration_ns BIGINT NOT NULL);
CREATE TABLE DmaPacketAggregated (
  profile_id TEXT NOT NULL,
  pcore_idx INTEGER,
  id TEXT,
  start_ts BIGINT NOT NULL,
  end_ts BIGINT NOT NULL,
  duration_ns BIGINT NOT NULL,
  queue_name TEXT,
  queue_idx BIGINT,
  queue_type TEXT,
  op TEXT,
  variable TEXT,
  read_bytes BIGINT,
  write_bytes BIGINT,
  transfer_bytes BIGINT,
  throughput DOUBLE,
  source TEXT,
  dest TEXT,
  semaphore_id TEXT,
  is_transpose_mode BOOLEAN,
  descriptors BIGINT,
  trigger_idx BIGINT,
  nki_source_location TEXT
);
CREATE TABLE DmaPacket (
  profile_id TEXT NOT NULL,
  pcore_idx INTEGER,
  id TEXT,
  packet_aggregation_id TEXT,
  start_ts BIGINT NOT NULL,
  end_ts BIGINT NOT NULL,
  duration_ns BIGINT NOT NULL,
  engine_idx BIGINT,
  queue_idx BIGINT,
  queue_name TEXT,
  queue_type TEXT,
  variable TEXT,
  read_bytes BIGINT,
  write_bytes BIGINT,
  transfer_bytes BIGINT,
  throughput DOUBLE
);
CREATE TABLE DmaQueuesInfo (profile_id TEXT NOT NULL, name TEXT, type TEXT, pcore_idx INTEGER, idx BIGINT, engine_idx BIGINT, axi_port BIGINT, dram_channel BIGINT);
CREATE TABLE Flow (profile_id TEXT NOT NULL, in_id TEXT, out_id TEXT, in_table TEXT, out_table TEXT, dependency_type TEXT, gap_time BIGINT);
CREATE TABLE Warning (profile_id TEXT NOT NULL, message TEXT NOT NULL, category TEXT NOT NULL);

-- What a profiler said of one field, and what we made of it (facts: meaning depends on the version).
CREATE TABLE summary_field (profile_id TEXT NOT NULL, field TEXT NOT NULL, raw TEXT, normalised DOUBLE, unit TEXT, note TEXT);
