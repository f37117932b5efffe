-- Results of `collectors fidelity`, newest last: the whole report as JSON, times in ns.
CREATE TABLE fidelity (
    created_at TIMESTAMPTZ PRIMARY KEY,
    report JSON NOT NULL
);
