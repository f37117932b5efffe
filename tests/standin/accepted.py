"""What the tools accept on their command line, from their documentation, independent of `collectors`.

Sources: tools/neuron-explorer/how-to-profile-workload.rst (capture reference, view filters) and
archive/profiler/neuron-profile-user-guide.rst of aws-neuron/aws-neuron-sdk at 2.32; SEEN are options public
scripts use though no reference lists them.
"""

VALUE, FLAG = "value", "flag"

CAPTURE = {
    "-n": VALUE,
    "--neff": VALUE,
    "-s": VALUE,
    "--session-file": VALUE,
    "--num-exec": VALUE,
    "--profile-nth-exec": VALUE,
    "-t": VALUE,
    "--capture-type": VALUE,
    "--exec-mode": VALUE,
    "--ignore-exec-errors": FLAG,
    "--disable-profile": FLAG,
    "--enable-dge-notifs": FLAG,
    "--single-io": FLAG,
    "--single-io-threshold": VALUE,
    "--save-output": FLAG,
    "--save-output-npy": FLAG,
    "--check-output-determinism": FLAG,
    "-r": VALUE,
    "--collectives-workers-per-node": VALUE,
    "--collectives-worker-count": VALUE,
    "--collectives-worker-start-id": VALUE,
    "-i": VALUE,
    "--collectives-profile-id": VALUE,
    "-m": VALUE,
    "--multi-input": VALUE,
    "--systrace-get-event-types": FLAG,
    "--systrace-event-filter": VALUE,
}

VIEW_BOTH = {
    "-n": VALUE,
    "-s": VALUE,
    "--session-file": VALUE,
    "-d": VALUE,
    "--session-dir": VALUE,
    "--output-format": VALUE,
    "--output-file": VALUE,
    "--ingest-only": FLAG,
    "--force": FLAG,
    "--port": VALUE,
    "--show-perfetto-flows": FLAG,
    "--framework-source-root": VALUE,
}

VIEW = {
    "neuron-explorer": VIEW_BOTH
    | {
        "--neff": VALUE,
        "--data-path": VALUE,
        "--display-name": VALUE,
        "--api-server-port": VALUE,
        "--ignore-device-profile": FLAG,
        "--ignore-system-profile": FLAG,
        "--system-trace-filter-neuron-core": VALUE,
        "--system-trace-filter-event-type": VALUE,
        "--system-trace-filter-instance-id": VALUE,
    },
    "neuron-profile": VIEW_BOTH
    | {
        "--neff-path": VALUE,
        "--db-endpoint": VALUE,
        "--db-org": VALUE,
        "--db-bucket": VALUE,
        "--terminology": FLAG,
        "--enable-memory-tracker": FLAG,
    },
}

SEEN = {
    "--disable-ui": FLAG,
    "--processing-status-file": VALUE,
    "--nki-source-root": VALUE,
    "--ignore-instruction-trace": FLAG,
    "--ignore-dma-trace": FLAG,
    "--ignore-event-trace": FLAG,
    "--ignore-nc-buf-usage": FLAG,
    "--ignore-instruction-hierarchy": FLAG,
}

FORMATS = {
    "neuron-explorer": {"parquet", "json", "summary-json", "summary-text", "perfetto"},
    "neuron-profile": {"db", "json", "summary-json", "summary-text", "perfetto"},
}
