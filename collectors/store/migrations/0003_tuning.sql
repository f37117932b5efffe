-- Searches over the parameters of a kernel variant. A trial that ran has a run, which lists of runs leave out.
CREATE TABLE study (
    study TEXT PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    slot TEXT NOT NULL,
    variant TEXT NOT NULL,
    phase TEXT NOT NULL,
    target TEXT NOT NULL,
    lnc INTEGER NOT NULL,
    prompt INTEGER NOT NULL,
    seq_len INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    parameters JSON NOT NULL,
    fingerprint TEXT NOT NULL
);
CREATE TABLE trial (
    study TEXT NOT NULL,
    number INTEGER NOT NULL,
    settings JSON NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    run_id TEXT,
    measured_run_id TEXT,
    PRIMARY KEY (study, number)
);
CREATE VIEW trial_run AS
    SELECT run_id FROM trial WHERE run_id IS NOT NULL
    UNION SELECT measured_run_id FROM trial WHERE measured_run_id IS NOT NULL;
